"""AWS's sagemaker-training toolkit runs our packed scripts as they are."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.container import encode_hyperparameter
from dogbreed_sdk.jobs import source
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import staging
from dogbreed_sdk.local.jobs.environment import script_environment
from dogbreed_sdk.local.jobs.hosts import hosts_of
from dogbreed_sdk.local.jobs.network import JobNetwork
from dogbreed_sdk.local.jobs.script_run import ScriptRun
from tests.training_scripts.small_datasets import CLASSES, draw_pictures
from training_scripts.models.bundle import read_description
from training_scripts.models.model import load
from training_scripts.training.metrics import EpochMetrics, parse

HYPERPARAMETERS = {"weights": "none", "epochs": 2, "hidden": "8", "dropout": 0.1, "batch-size": 8, "amp": False}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder like /opt/ml, with the pictures in the channel `training`."""
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    for folder in ("model", "output", "checkpoints"):
        (tmp_path / folder).mkdir()
    draw_pictures(tmp_path / "input" / "data" / "training")
    # A host that resolves: the toolkit waits for its cluster's names.
    hosts = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
    (config / "resourceconfig.json").write_text(json.dumps(hosts))
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    (config / "inputdataconfig.json").write_text(json.dumps({"training": channel}))
    return tmp_path


def run(python: Path, base: Path, program: str, **changes: object) -> subprocess.CompletedProcess[str]:
    packed = base / "sourcedir.tar.gz"
    packed.write_bytes(source.pack())
    values = {"sagemaker_program": program, "sagemaker_submit_directory": str(packed), **HYPERPARAMETERS, **changes}
    encoded = {name: encode_hyperparameter(value) for name, value in values.items()}
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(encoded))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "PYTHONPATH"))}
    environ |= {
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_CHECKPOINT_DIR": str(base / "checkpoints"),
        "PATH": f"{python.parent}:{environ['PATH']}",
        "PIP_NO_INDEX": "1",  # what requirements.txt names must be there already
    }
    toolkit = [python, "-c", "from sagemaker_training.cli.train import main; main()"]
    return subprocess.run(toolkit, env=environ, capture_output=True, text=True, check=False, timeout=200, cwd=base)


@pytest.mark.parametrize("program", ["train_model.py", "hpo.py"])
def test_the_toolkit_runs_an_entry_point_to_its_bundle(conformance_python: Path, base: Path, program: str) -> None:
    done = run(conformance_python, base, program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (base / "output" / "success").exists()
    epochs = [report for report in map(parse, done.stdout.splitlines()) if isinstance(report, EpochMetrics)]
    assert [(epoch.epoch, epoch.best) for epoch in epochs][:2] == [(1, False), (2, False)]
    assert "test:accuracy" in epochs[-1].values
    description = read_description(base / "model")
    assert description.classes == tuple(sorted(CLASSES))
    assert description.hyperparameters["hidden"] == "8"
    assert load(base / "model").model_id == description.model_id


def test_the_toolkit_reports_a_wrong_hyperparameter_as_a_failure(conformance_python: Path, base: Path) -> None:
    done = run(conformance_python, base, "train_model.py", learning_rte=0.1)
    assert done.returncode != 0
    assert "did you mean lr?" in done.stdout + done.stderr
    assert (base / "output" / "failure").read_text().startswith("this hyperparameter is wrong:")


@pytest.mark.parametrize("launcher", [{}, {"sagemaker_torch_distributed_enabled": "true"}])
def test_hosts_have_the_toolkits_variables(conformance_python: Path, tmp_path: Path, launcher: dict[str, str]) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/train.py").touch()
    hyperparameters = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": str(tmp_path / "source"),
        "sagemaker_instance_type": '"ml.m5.large"',
        "lr": "0.1",
        **launcher,
    }
    place = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": (tmp_path / "source").as_uri()}}
    request: Any = {
        "AlgorithmSpecification": {"TrainingImage": "local/image", "TrainingInputMode": "File"},
        "HyperParameters": hyperparameters,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": place}],
        "OutputDataConfig": {"S3OutputPath": tmp_path.as_uri()},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
    }
    for host in hosts_of(JobFolder(tmp_path / "dogs"), request):
        program = staging.stage(host, request, print)
        run = ScriptRun("dogs", "arn", request, host, tmp_path, program, os.cpu_count() or 1, (), JobNetwork(0))
        ours = script_environment(run, os.environ)
        theirs = toolkit_variables(conformance_python, host.container)
        assert json.loads(ours["SM_TRAINING_ENV"]) == json.loads(theirs.pop("SM_TRAINING_ENV"))
        assert {name: ours.get(name) for name in theirs} == theirs


def toolkit_variables(python: Path, base: Path) -> dict[str, str]:
    """The variables that AWS's toolkit gives to a script whose container is this folder."""
    code = (
        "import json\n"
        "from sagemaker_training import environment\n"
        "print(json.dumps(dict(environment.Environment().to_env_vars())))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "PYTHONPATH"))}
    environ |= {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "dogs"}
    done = subprocess.run([python, "-c", code], env=environ, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found
