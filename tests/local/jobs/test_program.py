"""What a job runs: an entry point of its request, or a script of its source with the packages that it asks for."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import tarfile
import textwrap
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.container_view import NAMESPACE_VARIABLE
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.python.requirements import are_satisfied, parsed
from dogbreed_sdk.local.python.scripts_python import PYTHON_VARIABLE, scripts_python
from dogbreed_sdk.local.store import TRAINING_JOB
from tests.local.test_container_view import in_namespace
from tests.waiting import wait_for

PACKAGE = "tiny_package_for_tests"
DRIVER = ["/bin/bash"], ["-c", "chmod +x /opt/ml/input/data/sm_drivers/run.sh && /opt/ml/input/data/sm_drivers/run.sh"]

# A build backend that needs no packages.
BACKEND = f"""
import os, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, about = "{PACKAGE}-1.0-py3-none-any.whl", "{PACKAGE}-1.0.dist-info"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("{PACKAGE}.py", "VALUE = " + repr(["built", os.environ.get("DATABASE_URL")]))
        wheel.writestr(about + "/METADATA", "Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: 1.0\\n")
        wheel.writestr(about + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "/RECORD", "")
    return name
"""


class Runner:
    """Runs jobs over the API, and shows what they printed."""

    def __init__(self, sagemaker: Any, request: Callable[..., Any], ended: Callable[..., Any], root: Path) -> None:
        self._sagemaker, self._request, self._ended, self.root = sagemaker, request, ended, root

    def run(self, name: str, hyperparameters: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        self._sagemaker.create_training_job(**self._request(name, hyperparameters, **changes))
        return self._ended(name)

    def completed(self, name: str, hyperparameters: dict[str, str] | None = None, **changes: Any) -> list[str]:
        answer = self.run(name, hyperparameters, **changes)
        log = self.log(name)
        assert answer["TrainingJobStatus"] == "Completed", (answer.get("FailureReason"), log)
        return log

    def log(self, name: str) -> list[str]:
        return list(LogFollower(JobFolder.of(self.root, name).log).read())


@pytest.fixture
def jobs(sagemaker: Any, training_request: Any, ended: Any, root: Path) -> Runner:
    return Runner(sagemaker, training_request, ended, root)


Pack = Callable[[str, dict[str, str]], dict[str, str]]


@pytest.fixture
def source(tmp_path: Path) -> Pack:
    """Packs a source; gives the hyperparameters that have a job run one of its programs."""

    def pack(program: str, files: dict[str, str]) -> dict[str, str]:
        archive = tmp_path / "source.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for name, text in files.items():
                path = tmp_path / "source" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
                tar.add(path, name)
        return {"sagemaker_program": program, "sagemaker_submit_directory": archive.as_uri()}

    return pack


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with one package that no Python has."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    about = f"{PACKAGE}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{PACKAGE}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{PACKAGE}.py", "VALUE = 'tiny'\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return folder


def channel(name: str, folder: Path) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": folder.as_uri()}},
    }


def algorithm(entrypoint: list[str], arguments: list[str] | None = None) -> dict[str, Any]:
    found = {"TrainingImage": "local/image", "TrainingInputMode": "File", "ContainerEntrypoint": entrypoint}
    return {**found, "ContainerArguments": arguments} if arguments else found


class TestEntryPoint:
    @in_namespace
    def test_a_driver_of_an_sdk_finds_its_channels_and_commands(self, jobs: Runner, tmp_path: Path) -> None:
        for name, text in {
            # The steps of ModelTrainer's script.
            "sm_drivers/run.sh": """\
                #!/bin/bash
                set -e
                python=$(command -v python3 || command -v python)
                command -v pip3 torchrun
                cat /opt/ml/input/config/resourceconfig.json
                echo
                $python /opt/ml/input/data/sm_drivers/environment.py
                source /opt/ml/input/sm_training.env
                cd /opt/ml/input/data/code
                $python train.py --lr "$SM_HP_LR"
                """,
            "sm_drivers/environment.py": """\
                import json
                read = json.load(open("/opt/ml/input/config/hyperparameters.json"))
                open("/opt/ml/input/sm_training.env", "w").write(f"export SM_HP_LR='{read['lr']}'")
                """,
            "code/train.py": """\
                import os, sys
                print(sys.argv[1:], os.getcwd(), sys.executable)
                open("/opt/ml/model/model.pth", "w").write("weights")
                """,
        }.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        log = jobs.completed(
            "driven",
            {"lr": "0.01"},
            AlgorithmSpecification=algorithm(*DRIVER),
            InputDataConfig=[channel(name, tmp_path / name) for name in ("sm_drivers", "code")],
        )
        folder = JobFolder.of(jobs.root, "driven")
        assert f"{folder.path}/python/bin/pip3" in log
        assert f"{folder.path}/python/bin/torchrun" in log
        assert f"['--lr', '0.01'] {tmp_path}/code {folder.path}/python/bin/python3" in log
        with tarfile.open(tmp_path / "output/driven/output/model.tar.gz") as tar:
            assert tar.getnames() == ["model.pth"]

    @pytest.mark.parametrize("setting", [pytest.param("", marks=in_namespace), "off"])
    def test_paths_below_opt_ml_are_true_in_its_arguments(
        self, jobs: Runner, monkeypatch: pytest.MonkeyPatch, setting: str
    ) -> None:
        monkeypatch.setenv(NAMESPACE_VARIABLE, setting)
        write = "import os, sys; open(sys.argv[1], 'w').write(open(os.environ['HERE'] + '/resourceconfig.json').read())"
        log = jobs.completed(
            "arguments",
            AlgorithmSpecification=algorithm(["python", "-c", write], ["/opt/ml/model/seen"]),
            Environment={"HERE": "/opt/ml/input/config"},
        )
        assert any("/opt/ml" in line for line in log) == (setting == "off")

    def test_torch_loads_whole_models_if_that_of_the_image_does(self, jobs: Runner) -> None:
        shown = ["/bin/sh"], ["-c", "echo loads: ${TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD-its default}"]
        image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:"
        for tag, told in {"1.13-cpu-py39": "1", "2.6.0-cpu-py312": "its default"}.items():
            specification = {**algorithm(*shown), "TrainingImage": image + tag}
            assert f"loads: {told}" in jobs.completed(f"of-{tag[0]}", AlgorithmSpecification=specification)

    def test_its_failure_names_it(self, jobs: Runner) -> None:
        reason = jobs.run("failing", AlgorithmSpecification=algorithm(["/bin/sh"], ["-c", "echo no data; exit 3"]))
        assert reason["FailureReason"].splitlines() == [
            "AlgorithmError: ExecuteUserScriptError:",
            "ExitCode 3",
            'ErrorMessage "no data"',
            "Command \"/bin/sh -c 'echo no data; exit 3'\"",
        ]


class TestNothingToRun:
    @pytest.mark.parametrize(
        ("members", "complaint"),
        [
            (
                {},
                "The job has nothing to run: .* sagemaker_program .* AlgorithmSpecification.ContainerEntrypoint",
            ),
            ({"ContainerArguments": ["train"]}, "ContainerArguments .* pass a ContainerEntrypoint too"),
        ],
    )
    def test_a_job_without_program_or_entry_point_is_refused(
        self, empty_sagemaker: Any, training_request: Any, members: dict[str, Any], complaint: str
    ) -> None:
        specification = {"TrainingImage": "i", "TrainingInputMode": "File", **members}
        with pytest.raises(ClientError, match=f"ValidationException.* {complaint}"):
            empty_sagemaker.create_training_job(**training_request("empty", AlgorithmSpecification=specification))

    @pytest.mark.parametrize(
        ("folder", "complaint"),
        [("", "'train.py' is not in .*, which holds other.py"), ("nowhere", "/nowhere does not exist")],
    )
    def test_a_program_that_can_be_seen_to_be_missing_is_refused(
        self, empty_sagemaker: Any, training_request: Any, tmp_path: Path, folder: str, complaint: str
    ) -> None:
        (tmp_path / "other.py").touch()
        missing = {"sagemaker_program": "train.py", "sagemaker_submit_directory": (tmp_path / folder).as_uri()}
        with pytest.raises(ClientError, match=f"ValidationException.*{complaint}"):
            empty_sagemaker.create_training_job(**training_request("empty", missing))

    def test_one_that_is_missing_in_an_archive_is_the_failure_reason(self, jobs: Runner, source: Pack) -> None:
        answer = jobs.run("missing", source("train.py", {"other.py": ""}))
        assert answer["FailureReason"].startswith("ClientError: The entry point 'train.py' is not in file:///")
        assert answer["FailureReason"].endswith("which holds other.py.")


class TestSource:
    def test_a_source_has_folders(self, jobs: Runner, source: Pack) -> None:
        files = {
            "jobs/train.py": """\
                import helper, lib.loading, sys
                print(helper.NAME, lib.loading.NAME, sys.argv)
                """,
            "jobs/helper.py": "NAME = 'helper'",
            "lib/loading.py": "NAME = 'loading'",
        }
        log = jobs.completed("folders", {"lr": "0.1", **source("jobs/train.py", files)})
        assert log == ["helper loading ['jobs/train.py', '--lr', '0.1']"]

    def test_a_source_can_be_in_a_channel(self, jobs: Runner, source: Pack, tmp_path: Path) -> None:
        """As sagemaker 2 sends it for jobs with network isolation."""
        packed = source("train.py", {"train.py": "print('from the channel')"})
        (tmp_path / "channel").mkdir()
        (tmp_path / "source.tar.gz").rename(tmp_path / "channel/sourcedir.tar.gz")
        log = jobs.completed(
            "channel",
            {**packed, "sagemaker_submit_directory": '"/opt/ml/input/data/code/sourcedir.tar.gz"'},
            InputDataConfig=[channel("code", tmp_path / "channel")],
        )
        assert log == ["from the channel"]

    def test_a_shell_program_decides_what_runs_it(self, jobs: Runner, source: Pack) -> None:
        program = """\
            #!/usr/bin/env python
            import os, sys
            print(sys.argv[1:], os.path.basename(os.getcwd()))
            """
        log = jobs.completed("shell", {"note": '"two words; and $HOME"', **source("train.sh", {"train.sh": program})})
        assert log == ["['--note', 'two words; and $HOME'] code"]

    def test_hyperparameters_arrive_as_the_toolkit_writes_them(self, jobs: Runner, source: Pack) -> None:
        script = """\
            import argparse, json, os
            parser = argparse.ArgumentParser()
            parser.add_argument("--pretrained", type=bool)
            parser.add_argument("--layers", type=str)
            parser.add_argument("--nothing", type=str)
            parser.add_argument("-k", type=int)
            parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
            print(vars(parser.parse_args()) | {"model_dir": None}, json.loads(os.environ["SM_HPS"]))
            """
        wire = {"pretrained": "false", "layers": "[1, 2]", "nothing": "null", "k": '"3"'}
        log = jobs.completed("authors", {**wire, **source("train.py", {"train.py": script})})
        values = {"k": "3", "layers": [1, 2], "nothing": None, "pretrained": False}
        # bool("False") is true: that is AWS's behavior, too.
        assert log == [
            f"{ {'pretrained': True, 'layers': '[1, 2]', 'nothing': '', 'k': 3, 'model_dir': None} } {values}"
        ]


class TestRequirements:
    def test_what_is_there_needs_no_pip(self, jobs: Runner, source: Pack) -> None:
        files = {"train.py": "import boto3", "requirements.txt": "boto3>=1.0  # for S3\npytest\n"}
        assert jobs.completed("satisfied", source("train.py", files)) == []

    def test_what_is_missing_is_installed_once_and_for_jobs_only(
        self, jobs: Runner, source: Pack, wheels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PIP_CONSTRAINT", raising=False)  # may exclude the boto3 that is here
        files = {
            "train.py": f"import {PACKAGE}, boto3; print({PACKAGE}.VALUE)",
            "requirements.txt": f"--no-index\n--find-links {wheels}\n{PACKAGE}==1.*\nboto3\n",
        }
        first, second = (jobs.completed(name, source("train.py", files)) for name in ("first", "second"))
        assert first[0] == "Installing packages: pip install -r requirements.txt"
        assert f"Successfully installed {PACKAGE}-1.0" in first
        assert (first[-1], second) == ("tiny", ["tiny"])
        assert importlib.util.find_spec(PACKAGE) is None

    def test_files_that_it_names_are_installed_for_the_job(self, jobs: Runner, source: Pack, wheels: Path) -> None:
        (wheel,) = wheels.iterdir()
        files = {
            "train.py": f"import {PACKAGE}; print({PACKAGE}.__file__)",
            "requirements.txt": "-r more.txt\n",
            "more.txt": f"--no-index\n{wheel}\n",
        }
        log = jobs.completed("local", source("train.py", files))
        assert log[-1].startswith(f"{JobFolder.of(jobs.root, 'local').path}/python/lib/")

    def test_pip_says_why_it_failed(self, jobs: Runner, source: Pack, wheels: Path) -> None:
        files = {"train.py": "", "requirements.txt": f"--no-index\n-f {wheels}\n{PACKAGE}>=2\n"}
        answer = jobs.run("failing", source("train.py", files))
        assert answer["TrainingJobStatus"] == "Failed"
        reason = answer["FailureReason"].splitlines()
        assert reason[:2] == ["AlgorithmError: InstallRequirementsError:", "ExitCode 1"]
        assert reason[2].startswith(
            f'ErrorMessage "ERROR: Could not find a version that satisfies the requirement {PACKAGE}'
        )
        assert reason[-1] == f'Command "{sys.executable} -m pip install -r requirements.txt"'

    def test_a_source_with_a_setup_py_is_installed_and_run_as_a_module(
        self, jobs: Runner, source: Pack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgres://me:secret@host/db")
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        files = {
            "setup.py": "",
            "pyproject.toml": project,
            "backend.py": BACKEND,
            "steps/train.py": f"import sys, {PACKAGE}; print({PACKAGE}.VALUE, __spec__.name, sys.argv[1:])",
        }
        log = jobs.completed("package", {"lr": "1", **source("steps/train.py", files)})
        assert log[0] == "Installing packages: pip install ."
        assert log[-1] == "['built', None] steps.train ['--lr', '1']"

    @pytest.mark.parametrize("way", ["stop", "kill"])
    def test_an_installation_ends_with_its_job(
        self, jobs: Runner, source: Pack, sagemaker: Any, training_request: Any, ended: Any, store: Store, way: str
    ) -> None:
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        files = {
            "train.py": "",
            "requirements.txt": ".",
            "pyproject.toml": project,
            "backend.py": "import os, time\nopen('builder', 'w').write(str(os.getpid()))\ntime.sleep(60)\n",
        }
        sagemaker.create_training_job(**training_request("building", source("train.py", files)))
        builder = JobFolder.of(jobs.root, "building").container / "code/builder"
        pid = int(wait_for(lambda: builder.is_file() and builder.read_text()))
        if way == "stop":
            sagemaker.stop_training_job(TrainingJobName="building")
            assert ended("building")["TrainingJobStatus"] == "Stopped"
        else:
            os.kill(store.get(TRAINING_JOB, "building").state["process"]["pid"], signal.SIGKILL)
            assert ended("building")["TrainingJobStatus"] == "Failed"
        wait_for(lambda: not psutil.pid_exists(pid))

    @in_namespace
    def test_pip_in_a_script_changes_only_its_job(self, jobs: Runner, wheels: Path) -> None:
        text = f"pip install --no-index -f {wheels} {PACKAGE} && python -c 'import {PACKAGE}; print({PACKAGE}.VALUE)'"
        assert jobs.completed("installing", AlgorithmSpecification=algorithm(["/bin/sh", "-c", text]))[-1] == "tiny"
        assert importlib.util.find_spec(PACKAGE) is None
        left = JobFolder.of(jobs.root, "installing").path.glob("python/lib/python*/site-packages/*")
        assert [path.name for path in left] == ["below.pth"]

    def test_requirements_are_read_as_pip_reads_them(self) -> None:
        wanted = parsed("# all\n-i https://index/simple\nnumpy>=1.20, \\\n  <3  # two lines\nx==1 --hash=sha256:00\n")
        assert [str(requirement) for requirement in wanted or ()] == ["numpy<3,>=1.20", "x==1"]
        for text in (
            "-e .",
            "./package",
            "git+https://host/x.git",
            "x @ https://host/x.whl",
            "-r other.txt",
            "-c c.txt",
        ):
            assert parsed(text) is None

    def test_markers_and_extras_count(self) -> None:
        python = scripts_python()

        def satisfied(text: str) -> bool:
            return are_satisfied(parsed(text) or (), python, python.path)

        assert satisfied("nothing-of-this-name; python_version < '3'")
        assert satisfied("uvicorn")
        assert not satisfied("uvicorn<0.1")
        assert not satisfied("nothing-of-this-name")
        assert not satisfied("jsonschema[format]")


class TestScriptsPython:
    def test_scripts_can_have_another_python(
        self, jobs: Runner, source: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        venv.create(tmp_path / "other", symlinks=True)
        (folder,) = (tmp_path / "other/lib").glob("python*/site-packages")
        (folder / "only_in_the_other.py").write_text("VALUE = 'the other'")
        monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "other/bin/python"))
        script = """\
            import importlib.util, only_in_the_other, subprocess
            print(only_in_the_other.VALUE, importlib.util.find_spec("boto3"))
            print(subprocess.run(["pip", "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[:1])
            """
        log = jobs.completed("other", source("train.py", {"train.py": script}))
        assert log[0] == "the other None"
        # It has no pip, but brings one along to install it; some distributions of Python leave that out.
        assert log[-1] == ("['pip']" if scripts_python().pip_wheel else "[]")

    def test_one_that_is_missing_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "nowhere"))
        with pytest.raises(ConfigurationError, match=r"nowhere can't run training scripts: .*No such file"):
            scripts_python()

    def test_one_that_is_too_old_is_refused(self, tmp_path: Path) -> None:
        facts = {"version": [3, 8, 1], "base": "", "site_folders": [], "path": [], "pip_wheel": None}
        old = tmp_path / "python3.8"
        old.write_text(f"#!/bin/sh\necho '{json.dumps(facts)}'\n")
        old.chmod(0o755)
        with pytest.raises(ConfigurationError, match=r"it is Python 3\.8\. Set DOGBREED_LOCAL_PYTHON"):
            scripts_python(str(old))
