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
from tests.ports import free_port
from tests.training_scripts.small_datasets import CLASSES, SIZES, draw_pictures
from training_scripts.features.files import MANIFEST
from training_scripts.features.store import FeatureStore
from training_scripts.models.bundle import read_description
from training_scripts.models.model import load
from training_scripts.training.metrics import EpochMetrics, parse

HYPERPARAMETERS: dict[str, Any] = {
    "model": "efficientnet_lite0",
    "weights": "none",
    "epochs": 2,
    "hidden": "8",
    "dropout": 0.1,
    "batch-size": 8,
    "amp": False,
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return container_of(tmp_path / "localhost", ["localhost"], "localhost", draw_pictures(tmp_path / "pictures"))


def container_of(base: Path, hosts: list[str], host: str, pictures: Path) -> Path:
    """A folder like /opt/ml, with the pictures in the channel `training`.

    Args:
        base: The folder, which is made.
        hosts: Names that resolve: the toolkit waits for those of its cluster.
        host: The one that the folder is of.
        pictures: What the channel has.
    """
    config = base / "input" / "config"
    config.mkdir(parents=True)
    for folder in ("model", "output", "checkpoints", "input/data"):
        (base / folder).mkdir()
    (base / "input/data/training").symlink_to(pictures)
    resources = {"current_host": host, "hosts": hosts, "network_interface_name": "lo"}
    (config / "resourceconfig.json").write_text(json.dumps(resources))
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    (config / "inputdataconfig.json").write_text(json.dumps({"training": channel}))
    return base


def start(
    python: Path, base: Path, program: str, hyperparameters: dict[str, Any], master_port: int = 7777
) -> subprocess.Popen[str]:
    packed = base / "sourcedir.tar.gz"
    packed.write_bytes(source.pack())
    values = {"sagemaker_program": program, "sagemaker_submit_directory": str(packed), **hyperparameters}
    encoded = {name: encode_hyperparameter(value) for name, value in values.items()}
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(encoded))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "PYTHONPATH"))}
    environ |= {
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_CHECKPOINT_DIR": str(base / "checkpoints"),
        "PATH": f"{python.parent}:{environ['PATH']}",
        "PIP_NO_INDEX": "1",  # what requirements.txt names must be there already
    }
    # On a machine that several tests share, the port of the toolkit's launcher may be taken.
    toolkit = (
        "from sagemaker_training import torch_distributed; from sagemaker_training.cli.train import main; "
        f"torch_distributed.MASTER_PORT = '{master_port}'; main()"
    )
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([python, "-c", toolkit], env=environ, cwd=base, **streams)


def ended(process: subprocess.Popen[str]) -> str:
    """Waits for a toolkit's end and returns what it printed."""
    try:
        return process.communicate(timeout=200)[0]
    finally:
        process.kill()


@pytest.mark.parametrize("program", ["train_model.py", "hpo.py"])
def test_the_toolkit_runs_an_entry_point_to_its_bundle(conformance_python: Path, base: Path, program: str) -> None:
    process = start(conformance_python, base, program, HYPERPARAMETERS)
    output = ended(process)
    assert process.returncode == 0, output
    assert (base / "output" / "success").exists()
    epochs = epochs_in(output)
    assert [(epoch.epoch, epoch.best) for epoch in epochs][:2] == [(1, False), (2, False)]
    assert "test:accuracy" in epochs[-1].values
    description = read_description(base / "model")
    assert description.classes == tuple(sorted(CLASSES))
    assert description.hyperparameters["hidden"] == "8"
    assert load(base / "model").model_id == description.model_id


def epochs_in(output: str) -> list[EpochMetrics]:
    return [report for report in map(parse, output.splitlines()) if isinstance(report, EpochMetrics)]


def test_the_toolkit_computes_features(conformance_python: Path, base: Path) -> None:
    settings = {name: HYPERPARAMETERS[name] for name in ("model", "weights", "batch-size")}
    process = start(conformance_python, base, "extract_features.py", settings)
    output = ended(process)
    assert process.returncode == 0, output
    store = FeatureStore.open(base / "checkpoints")
    assert store.sizes == {split: count * len(CLASSES) for split, count in SIZES.items()}
    assert (base / "model" / MANIFEST).read_bytes() == (store.folder / MANIFEST).read_bytes()


def test_the_toolkits_launcher_trains_one_model_on_several_hosts(conformance_python: Path, tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures")
    hosts = ["127.0.0.1", "127.0.0.2"]
    port = free_port()
    launcher = {"sagemaker_torch_distributed_enabled": True, "sagemaker_instance_type": "ml.m5.large"}
    bases = [container_of(tmp_path / host, hosts, host, pictures) for host in hosts]
    processes = [
        start(conformance_python, base, "train_model.py", {**HYPERPARAMETERS, **launcher}, port) for base in bases
    ]
    outputs = [ended(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    first, second = map(epochs_in, outputs)
    assert [epoch.epoch for epoch in first[:2]] == [1, 2]
    assert second == [], "one process reports for all"
    assert load(bases[0] / "model").model_id == read_description(bases[0] / "model").model_id
    assert list((bases[1] / "model").iterdir()) == [], "the first host's model is the job's"


def test_the_toolkit_reports_a_wrong_hyperparameter_as_a_failure(conformance_python: Path, base: Path) -> None:
    process = start(conformance_python, base, "train_model.py", {**HYPERPARAMETERS, "learning_rte": 0.1})
    output = ended(process)
    assert process.returncode != 0
    assert "did you mean lr?" in output
    assert (base / "output" / "failure").read_text().startswith("this hyperparameter is wrong:")


# Variables of a local host that the toolkit has not, and why.
OUR_OWN = {
    "SM_CHECKPOINT_DIR": "AWS's is always /opt/ml/checkpoints; here, the machine may not let a job have that path",
}
# A folder that is only in AWS's containers if the job has a CheckpointConfig: ours has a place for them all the same.
OUR_FOLDERS = {"checkpoints"}
# What is in every container (SageMaker developer guide, "How Amazon SageMaker Processes Training Output" and "... Uses
# Amazon S3 Training Data"), with the toolkit's own folders: code and output/intermediate.
EVERY_CONTAINER = {
    *("code", "code/train.py", "input", "input/config", "input/data", "input/data/train", "model"),
    *("output", "output/data", "output/intermediate"),
    *(f"input/config/{name}.json" for name in ("hyperparameters", "inputdataconfig", "resourceconfig")),
}
DISTRIBUTED = {"sagemaker_torch_distributed_enabled": "true"}
RECORDED = {
    "CheckpointConfig": {"S3Uri": "{place}/checkpoints"},
    "DebugHookConfig": {"S3OutputPath": "{place}", "CollectionConfigurations": [{"CollectionName": "losses"}]},
    "ProfilerConfig": {"S3OutputPath": "{place}", "ProfilingIntervalInMilliseconds": 500},
}
# Where smdebug looks in AWS's containers unless variables say otherwise, and the API reference's LocalPaths.
RECORDED_FILES = {
    *(f"input/config/{name}.json" for name in ("checkpointconfig", "debughookconfig", "profilerconfig")),
    *("output/tensors", "output/profiler"),
}


@pytest.mark.parametrize(
    ("count", "launcher", "configured", "files"),
    [(1, {}, {}, set()), (2, DISTRIBUTED, {}, set()), (1, {}, RECORDED, RECORDED_FILES)],
    ids=["one host", "several hosts", "checkpoints and debugger"],
)
def test_hosts_have_the_toolkits_variables_and_folders(
    conformance_python: Path,
    tmp_path: Path,
    count: int,
    launcher: dict[str, str],
    configured: dict[str, Any],
    files: set[str],
) -> None:
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
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": count},
        **json.loads(json.dumps(configured).replace("{place}", tmp_path.as_uri())),
    }
    for host in hosts_of(JobFolder(tmp_path / "dogs"), request):
        program = staging.stage(host, request, print)
        run = ScriptRun("dogs", "arn", request, host, tmp_path, program, os.cpu_count() or 1, (), JobNetwork(0))
        ours = script_environment(run, os.environ)
        names = names_below(host.container)
        assert names == EVERY_CONTAINER | OUR_FOLDERS | files
        theirs, folders = toolkit_view(conformance_python, host.container)
        assert names_below(host.container) == names, "the toolkit missed nothing that it makes"
        assert folders <= names
        assert json.loads(ours["SM_TRAINING_ENV"]) == json.loads(theirs.pop("SM_TRAINING_ENV"))
        assert {name: ours.get(name) for name in theirs} == theirs
        named = {name for name in ours if name.startswith("SM_")}
        assert named - {*theirs, "SM_TRAINING_ENV"} == set(OUR_OWN)


def names_below(base: Path) -> set[str]:
    """All files and folders of a container, but not what is in its channels."""
    found = {path.relative_to(base).as_posix() for path in base.rglob("*")}
    return {name for name in found if not name.startswith("input/data/train/")}


def toolkit_view(python: Path, base: Path) -> tuple[dict[str, str], set[str]]:
    """The variables that AWS's toolkit gives to a script whose container is this folder, and the folders it names."""
    code = (
        "import json\n"
        "from sagemaker_training import environment\n"
        "folders = [value for name, value in vars(environment).items() if name.endswith('_dir')]\n"
        "print(json.dumps([environment.Environment().to_env_vars(), [one for one in folders if isinstance(one, str)]]))"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "PYTHONPATH"))}
    environ |= {"SAGEMAKER_BASE_DIR": str(base), "TRAINING_JOB_NAME": "dogs"}
    done = subprocess.run([python, "-c", code], env=environ, capture_output=True, text=True, check=True, timeout=60)
    variables, folders = json.loads(done.stdout.splitlines()[-1])
    return variables, {Path(folder).relative_to(base).as_posix() for folder in folders} - {"."}
