"""Training jobs as processes: what a script finds, what becomes of it, and what survives which end."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.cores import CORES_VARIABLE, available_cores, thread_environment
from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.location import PACKAGE_PARENT
from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk._util.processes import identify, identify_self, is_alive, start_module, wait_for_end
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import Store, supervision
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import runner
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.jobs.script_processes import GRACE_VARIABLE
from dogbreed_sdk.local.jobs.training_run import TrainingRun
from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import TRAINING_JOB, Record, StoreError
from dogbreed_sdk.local.thread_ledger import ThreadLedger
from dogbreed_sdk.local.unpacking import unpack
from tests.passing_time import PassingTime
from tests.waiting import script_until, wait_for

Make = Callable[..., dict[str, Any]]
METRICS = [{"Name": "valid:accuracy", "Regex": r"valid:accuracy=([0-9.]+)"}]
SPECIFICATION = {"TrainingImage": "local/image", "TrainingInputMode": "File", "MetricDefinitions": METRICS}


class Jobs:
    """Runs training jobs as the API does, without HTTP in between."""

    def __init__(self, store: Store, training_request: Make) -> None:
        self.store = store
        self._request = training_request

    def start(self, name: str, hyperparameters: dict[str, str], **changes: Any) -> JobFolder:
        changes.setdefault("AlgorithmSpecification", SPECIFICATION)
        state: dict[str, Any] = {"status": "InProgress", "process": None, "stop": False}
        job_state.enter(state, "Starting")
        self.store.create(TRAINING_JOB, name, self._request(name, hyperparameters, **changes), state)
        runner.start_training_job(self.store, name)
        return JobFolder.of(self.store.root, name)

    def run(self, name: str, hyperparameters: dict[str, str], **changes: Any) -> Record:
        self.start(name, hyperparameters, **changes)
        return self.ended(name)

    def get(self, name: str) -> Record:
        return self.store.get(TRAINING_JOB, name)

    def ended(self, name: str) -> Record:
        return self.until(name, lambda record: record.state["status"] not in RUNNING_STATUSES)

    def until(self, name: str, condition: Callable[[Record], Any]) -> Record:
        wait_for(lambda: condition(self.get(name)), state=lambda: self.get(name).state)
        return self.get(name)

    def log(self, name: str) -> list[str]:
        return list(LogFollower(JobFolder.of(self.store.root, name).log).read())

    def wait_for_line(self, name: str, line: str) -> None:
        self.until(name, lambda _: line in self.log(name))


@pytest.fixture
def jobs(store: Store, training_request: Make) -> Jobs:
    return Jobs(store, training_request)


Script = Callable[[str], dict[str, str]]

SAVING = """
import os, signal, sys, time
def save(*_):
    open(os.path.join(os.environ["SM_MODEL_DIR"], "weights"), "w").write("so far")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready")
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
time.sleep(60)
"""


def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock that limits count with in this process, a minute has passed."""
    now = clock._seconds
    monkeypatch.setattr(clock, "_seconds", lambda: now() + 60)


def channel(name: str, path: Path) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": path.as_uri()}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


@pytest.fixture
def environment_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets, variables of another job, and one that a script inherits."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("SOME_API_KEY", "hidden")
    monkeypatch.setenv("SM_MODEL_DIR", "of another job")
    monkeypatch.setenv("DATABASE_URL", "postgres://me:hidden@host/db")
    monkeypatch.setenv("LC_TIME", "C")


# Writes what it finds to output/data, and a model.
LOOKING_AROUND = """
import json, os, sys
seen = {"environ": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd()}
seen.update({name: os.listdir(os.environ["SM_CHANNEL_" + name.upper()]) for name in ("train", "one")})
json.dump(seen, open(os.environ["SM_OUTPUT_DATA_DIR"] + "/seen.json", "w"))
open(os.environ["SM_MODEL_DIR"] + "/model.pth", "w").write("weights")
print("valid:accuracy=0.25"); print("valid:accuracy=0.75", file=sys.stderr)
"""


class TestContainer:
    @pytest.mark.usefixtures("environment_of_the_caller")
    def test_a_script_finds_the_container_contract(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        pictures = tmp_path / "pictures"
        pictures.mkdir()
        (pictures / "dog.jpg").write_text("woof")
        source = script(LOOKING_AROUND)
        record = jobs.run(
            "contract",
            {"lr": "0.01", "optimizer": '"sgd"', **source},
            InputDataConfig=[channel("train", pictures), channel("one", pictures / "dog.jpg")],
            Environment={"MY_TOKEN": "meant for the script"},
        )
        assert record.state["status"] == "Completed", record.state["failure"]
        base = JobFolder.of(jobs.store.root, "contract").container
        with tarfile.open(tmp_path / "output/contract/output/output.tar.gz") as tar:
            seen = json.loads(tar.extractfile("seen.json").read())  # type: ignore[union-attr]
        environ = seen["environ"]
        assert seen["argv"] == ["train.py", "--lr", "0.01", "--optimizer", "sgd"]
        assert seen["cwd"] == os.path.realpath(base / "code")
        assert (seen["train"], seen["one"]) == (["dog.jpg"], ["dog.jpg"])
        assert json.loads(environ["SM_HPS"]) == {"lr": 0.01, "optimizer": "sgd"}
        assert (environ["SM_HP_LR"], environ["SM_HP_OPTIMIZER"]) == ("0.01", "sgd")
        assert json.loads(environ["SM_USER_ARGS"]) == seen["argv"][1:]
        assert json.loads(environ["SM_CHANNELS"]) == ["one", "train"]
        assert environ["SM_MODEL_DIR"] == str(base / "model")
        assert environ["SM_CHECKPOINT_DIR"] == str(base / "checkpoints")
        assert environ["TRAINING_JOB_NAME"] == "contract"
        assert json.loads(environ["SM_TRAINING_ENV"])["hyperparameters"] == {"lr": 0.01, "optimizer": "sgd"}
        assert environ["SM_NUM_CPUS"] == environ["OMP_NUM_THREADS"] == str(record.state["threads"])
        assert environ["OMP_WAIT_POLICY"] == "PASSIVE"
        assert environ["LC_TIME"] == "C"
        assert not [name for name, value in environ.items() if "hidden" in value]
        assert environ["MY_TOKEN"] == "meant for the script"
        assert not {"AWS_SECRET_ACCESS_KEY", "SOME_API_KEY"} & set(environ)
        for name in ("hyperparameters", "inputdataconfig", "resourceconfig"):
            assert json.loads((base / f"input/config/{name}.json").read_text())

    def test_the_outcome_has_awss_form(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        record = jobs.run("outcome", script("print('valid:accuracy=0.5'); print('valid:accuracy=0.75')"))
        transitions = record.state["transitions"]
        assert [entry["status"] for entry in transitions] == [
            "Starting", "Downloading", "Training", "Uploading", "Completed",
        ]  # fmt: skip
        assert all(entry["end"] >= entry["start"] and entry["message"] for entry in transitions)
        assert record.state["metrics"]["valid:accuracy"]["value"] == 0.75
        uri = (tmp_path / "output/outcome/output/model.tar.gz").as_uri()
        assert record.state["artifacts"] == uri
        assert not (tmp_path / "output/outcome/output/output.tar.gz").exists()

    def test_outputs_are_packed_the_same_every_time(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        source = script(
            "import os, time\nopen(os.environ['SM_MODEL_DIR'] + '/b', 'w').write('1')\n"
            "os.mkdir(os.environ['SM_MODEL_DIR'] + '/code'); open(os.environ['SM_MODEL_DIR'] + '/code/a', 'w')\n"
            "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/table', 'w').write('x')\n"
        )
        archives = []
        for name in ("first", "second"):
            jobs.run(name, source)
            archives.append((tmp_path / f"output/{name}/output/model.tar.gz").read_bytes())
        assert archives[0] == archives[1]
        with tarfile.open(tmp_path / "output/first/output/model.tar.gz") as tar:
            assert tar.getnames() == ["b", "code", "code/a"]
        with tarfile.open(tmp_path / "output/first/output/output.tar.gz") as tar:
            assert tar.getnames() == ["table"]

    def test_checkpoints_go_to_the_configured_folder(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        source = script("import os; open(os.environ['SM_CHECKPOINT_DIR'] + '/epoch-1', 'a').write('x')")
        folder = tmp_path / "kept"
        for name in ("one", "two"):
            jobs.run(name, source, CheckpointConfig={"S3Uri": folder.as_uri()})
        assert (folder / "epoch-1").read_text() == "xx"


class TestFailures:
    def test_a_script_that_raises(self, jobs: Jobs, script: Script) -> None:
        record = jobs.run("raises", script("def inner():\n    raise ValueError('no such breed')\ninner()"))
        reason = record.state["failure"]
        assert record.state["status"] == record.state["secondary"] == "Failed"
        assert reason.startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "')
        assert "ValueError: no such breed" in reason
        assert reason.endswith(f'"\nCommand "{sys.executable} train.py"')
        assert record.state["transitions"][-1]["message"] == reason

    def test_a_failure_file_wins_over_the_log(self, jobs: Jobs, script: Script) -> None:
        text = (
            "import os, sys\n"
            "open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('lr must be positive')\n"
            "sys.exit(3)"
        )
        reason = jobs.run("says-why", script(text)).state["failure"]
        assert 'ExitCode 3\nErrorMessage "lr must be positive"' in reason

    def test_a_long_failure_keeps_its_end(self, jobs: Jobs, script: Script) -> None:
        reason = jobs.run("long", script("raise ValueError('x' * 5000 + 'the end')")).state["failure"]
        assert len(reason) == 1024
        assert 'the end"\nCommand' in reason

    def test_a_script_ended_by_a_signal(self, jobs: Jobs, script: Script) -> None:
        reason = jobs.run("killed", script("import os; os.kill(os.getpid(), 9)")).state["failure"]
        assert "SIGKILL" in reason
        assert "memory" in reason

    def test_a_missing_channel_folder(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        record = jobs.run("no-data", script("print(1)"), InputDataConfig=[channel("train", tmp_path / "nowhere")])
        assert record.state["status"] == "Failed"
        assert record.state["failure"].startswith("ClientError: Data download failed: channel 'train'")
        assert str(tmp_path / "nowhere") in record.state["failure"]

    def test_a_source_that_is_no_archive(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        source = script("print(1)")
        (tmp_path / "sourcedir.tar.gz").write_text("no tar at all")
        assert "is not a complete tar archive" in jobs.run("no-tar", source).state["failure"]

    @pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
    def test_an_archive_with_a_flipped_byte_is_refused(self, tmp_path: Path, packing: str) -> None:
        (tmp_path / "weights").write_bytes(random.Random(0).randbytes(30_000))
        archive = tmp_path / f"model.tar.{packing}"
        with tarfile.open(archive, f"w:{packing}") as tar:
            tar.add(tmp_path / "weights", "weights")
        good = archive.read_bytes()
        for place in range(20, len(good), 1_501):
            archive.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
            with pytest.raises(ConfigurationError, match=f"{archive.name} is not a complete tar archive, or it is dam"):
                unpack(archive, tmp_path / "unpacked")

    @pytest.mark.parametrize(
        ("name", "kind", "size", "said"),
        [
            (
                "model.pth",
                tarfile.REGTYPE,
                2_500_000_000,
                r"'model.pth' it contains 2.5 GB, more than 100 times its own",
            ),
            ("a/" * 110 + "b", tarfile.REGTYPE, 0, r"is nested more than 100 folders deep"),
            ("path", tarfile.XHDTYPE, 4 << 30, r"a header of 4,294,967,296 bytes: a bomb"),
        ],
    )
    def test_an_archive_that_unpacks_to_far_more_than_it_is(
        self, jobs: Jobs, script: Script, tmp_path: Path, name: str, kind: bytes, size: int, said: str
    ) -> None:
        source = script("print(1)")
        member = tarfile.TarInfo(name)
        member.type, member.size = kind, size
        content = gzip.compress(member.tobuf() + bytes(10_000))
        (tmp_path / "sourcedir.tar.gz").write_bytes(content)
        failure = jobs.run("bomb", source).state["failure"]
        assert re.search(said, failure)
        assert str(tmp_path / "sourcedir.tar.gz") in failure

    def test_an_archive_that_leads_out_of_its_folder(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        source = script("print(1)")
        with tarfile.open(tmp_path / "sourcedir.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "train.py", "../../escaped.py")
        record = jobs.run("unsafe", source)
        assert "not safe" in record.state["failure"]
        assert not list(jobs.store.root.rglob("escaped.py"))

    def test_an_entry_point_that_is_not_in_the_archive(self, jobs: Jobs, script: Script) -> None:
        source = {**script("print(1)"), "sagemaker_program": '"other.py"'}
        assert "'other.py' is not in" in jobs.run("no-entry", source).state["failure"]

    def test_s3_without_credentials(self, jobs: Jobs, script: Script) -> None:
        source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/dogs"}
        config = [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]
        reason = jobs.run("no-keys", script("print(1)"), InputDataConfig=config).state["failure"]
        assert "s3://bucket/dogs" in reason
        assert "credentials" in reason

    def test_a_regular_expression_that_is_none(self, jobs: Jobs, script: Script) -> None:
        specification = {**SPECIFICATION, "MetricDefinitions": [{"Name": "loss", "Regex": "loss=("}]}
        record = jobs.run("bad-regex", script("print(1)"), AlgorithmSpecification=specification)
        assert "metric 'loss' is not a valid regular expression" in record.state["failure"]


class TestEnds:
    def test_what_was_packed_lies_there_once(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        text = (
            "import os\n"
            "for name in ('MODEL', 'OUTPUT_DATA'): open(os.environ[f'SM_{name}_DIR'] + '/big', 'w').write('big')"
        )
        jobs.run("tidy", script(text))
        for archive in ("model", "output"):
            with tarfile.open(tmp_path / f"output/tidy/output/{archive}.tar.gz") as tar:
                assert tar.getnames() == ["big"]
        assert not list(jobs.store.root.rglob("big"))

    def test_a_script_can_be_interrupted(self, jobs: Jobs, script: Script) -> None:
        text = (
            "import os, signal\n"
            "assert signal.getsignal(signal.SIGQUIT) == signal.SIG_DFL\n"
            "try: os.kill(os.getpid(), signal.SIGINT)\n"
            "except KeyboardInterrupt: print('interrupted')"
        )
        assert jobs.run("interruptible", script(text)).state["status"] == "Completed"
        assert jobs.log("interruptible") == ["interrupted"]

    def test_stopping_lets_the_script_save(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        jobs.start("stopped", script(SAVING))
        jobs.wait_for_line("stopped", "ready")
        runner.request_stop(jobs.store, "stopped")
        assert jobs.get("stopped").state["status"] == "Stopping"
        record = jobs.ended("stopped")
        assert (record.state["status"], record.state["secondary"]) == ("Stopped", "Stopped")
        with tarfile.open(tmp_path / "output/stopped/output/model.tar.gz") as tar:
            assert tar.getnames() == ["weights"]
        assert [entry["status"] for entry in record.state["transitions"]][-3:] == ["Stopping", "Uploading", "Stopped"]

    def test_a_script_that_ignores_the_signal_is_killed(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(GRACE_VARIABLE, "0.5")
        jobs.start("stubborn", script(STUBBORN))
        jobs.wait_for_line("stubborn", "ready")
        runner.request_stop(jobs.store, "stubborn")
        record = jobs.ended("stubborn")
        assert record.state["status"] == "Stopped"
        assert not is_alive(record.state["scripts"][0])

    def test_the_maximum_runtime_holds(
        self, jobs: Jobs, script: Script, tmp_path: Path, passing_time: PassingTime
    ) -> None:
        jobs.start("slow", script(SAVING), StoppingCondition={"MaxRuntimeInSeconds": 3600})
        jobs.wait_for_line("slow", "ready")
        passing_time.move(3600)
        record = jobs.ended("slow")
        assert (record.state["status"], record.state["secondary"]) == ("Stopped", "MaxRuntimeExceeded")
        assert record.state["failure"] is None
        with tarfile.open(tmp_path / "output/slow/output/model.tar.gz") as tar:
            assert tar.getnames() == ["weights"]

    def test_what_a_script_leaves_running_is_ended(self, jobs: Jobs, script: Script) -> None:
        record = jobs.run("parent", script("import subprocess; print(subprocess.Popen(['sleep', '776']).pid)"))
        assert record.state["status"] == "Completed"
        assert identify(int(jobs.log("parent")[0])) is None

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the environment has to tell")
    def test_what_has_left_the_scripts_session_is_ended_too(
        self, jobs: Jobs, script: Script, passing_time: PassingTime
    ) -> None:
        text = (
            "import os, subprocess, time\n"
            "reading, writing = os.pipe()\n"
            "print(subprocess.Popen(['sleep', '777'], start_new_session=True).pid, flush=True)\n"
            "if os.fork() == 0:\n"  # a daemon, whose environment does not tell whose it is
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        print(os.getpid(), flush=True); os.write(writing, b'printed')\n"
            "        os.execve('/bin/sleep', ['sleep', '778'], {})\n"
            "    os._exit(0)\n"
            "os.read(reading, 7); print('ready', flush=True); time.sleep(TIME)"
        )
        for name, seconds in (("ends", 0), ("stopped", 60), ("slow", 60)):
            limit = {"MaxRuntimeInSeconds": 3600}
            jobs.start(name, script(text.replace("TIME", str(seconds))), StoppingCondition=limit)
            jobs.wait_for_line(name, "ready")
            if name == "stopped":
                runner.request_stop(jobs.store, name)
            elif name == "slow":
                passing_time.move(3600)
            jobs.ended(name)
            strays = [int(line) for line in jobs.log(name) if line.isdecimal()]
            assert len(strays) == 2
            assert [identify(pid) for pid in strays] == [None, None], name

    def test_what_left_the_session_of_a_lost_job_is_ended_when_somebody_looks(self, jobs: Jobs, script: Script) -> None:
        text = (
            "import subprocess, time\n"
            "print(subprocess.Popen(['sleep', '779'], start_new_session=True).pid, flush=True); time.sleep(60)"
        )
        jobs.start("lost", script(text))
        jobs.until("lost", lambda _: jobs.log("lost"))
        state = jobs.get("lost").state
        os.kill(state["process"]["pid"], signal.SIGKILL)
        assert wait_for_end(state["process"], timeout=60)
        assert wait_for_end(state["scripts"][0], timeout=60)
        runner.reconcile(jobs.store, "lost")
        assert jobs.get("lost").state["status"] == "Failed"
        assert identify(int(jobs.log("lost")[0])) is None

    def test_a_job_that_a_script_starts_outlives_it(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        inner, go = tmp_path / "inner", tmp_path / "go"
        request = jobs._request("inner", script(script_until(go) + "print('done')"))
        starting = (
            "import json, time; from pathlib import Path; from dogbreed_sdk.local import Store\n"
            "from dogbreed_sdk.local.jobs import runner\n"
            f"store = Store(Path({str(inner)!r})); request = json.loads({json.dumps(request)!r})\n"
            "store.create('training-job', 'inner', request, {'status': 'InProgress'})\n"
            "runner.start_training_job(store, 'inner')\n"
            "while not store.get('training-job', 'inner').state.get('scripts'): time.sleep(0.05)"
        )
        (tmp_path / "outer").mkdir()
        (tmp_path / "outer/train.py").write_text(starting)
        source = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(str(tmp_path / "outer"))}
        environment = {"PYTHONPATH": str(PACKAGE_PARENT), CORES_VARIABLE: "2"}
        record = jobs.run("outer", source, Environment=environment)
        assert record.state["status"] == "Completed", record.state
        store = Store(inner)
        assert store.get(TRAINING_JOB, "inner").state["status"] == "InProgress"
        go.touch()
        wait_for(lambda: store.get(TRAINING_JOB, "inner").state["status"] not in RUNNING_STATUSES)
        assert store.get(TRAINING_JOB, "inner").state["status"] == "Completed"
        store.close()

    @pytest.mark.parametrize(
        ("regex", "lines"),
        [
            (r"^((?:a+)+)$", "print('a' * 40 + '!', flush=True)\ntime.sleep(60)"),
            (r".*loss=([0-9.]+)", "while True: print('x' * 60_000, flush=True)"),
        ],
        ids=["without end", "slow"],
    )
    def test_a_regular_expression_holds_up_no_stop(
        self, jobs: Jobs, script: Script, regex: str, lines: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(GRACE_VARIABLE, "0.5")
        text = f"import time\nprint('loss=0.5', flush=True)\n{lines}"
        metrics = [{"Name": "slow", "Regex": regex}, {"Name": "loss", "Regex": "loss=([0-9.]+)"}]
        jobs.start("held", script(text), AlgorithmSpecification={**SPECIFICATION, "MetricDefinitions": metrics})
        jobs.until("held", lambda record: record.state.get("metrics"))
        runner.request_stop(jobs.store, "held")
        record = jobs.ended("held")
        assert record.state["status"] == "Stopped"
        if lines.startswith("while True"):  # the search has not come to its end, and the job has
            assert any("were not searched" in line for line in jobs.log("held"))
        assert record.state["metrics"]["loss"]["value"] == 0.5

    def test_output_without_end_stays_out_of_memory(self, jobs: Jobs, script: Script) -> None:
        text = (
            "import sys, time\n"
            "for _ in range(400): sys.stdout.write('x' * 100_000)\n"
            "print(); print('done'); time.sleep(60)"
        )
        folder = jobs.start("chatty", script(text))
        jobs.wait_for_line("chatty", "done")
        supervisor = psutil.Process(jobs.get("chatty").state["process"]["pid"])
        assert supervisor.memory_info().rss < 120e6
        assert max(len(line) for line in folder.log.read_bytes().splitlines()) < 70_000
        runner.request_stop(jobs.store, "chatty")
        jobs.ended("chatty")

    def test_the_death_of_the_client_is_not_the_jobs(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        go = tmp_path / "go"
        request = jobs._request("orphan", script(script_until(go) + "print('valid:accuracy=1')"))
        request["AlgorithmSpecification"] = SPECIFICATION
        jobs.store.create(TRAINING_JOB, "orphan", request, {"status": "InProgress"})
        code = (
            "import sys, time; from pathlib import Path; from dogbreed_sdk.local import Store\n"
            "from dogbreed_sdk.local.jobs import runner\n"
            "runner.start_training_job(Store(Path(sys.argv[1])), 'orphan'); time.sleep(60)"
        )
        client = subprocess.Popen([sys.executable, "-c", code, str(jobs.store.root)])
        jobs.until("orphan", lambda record: record.state.get("secondary") == "Training")
        client.kill()
        client.wait()
        go.touch()
        record = jobs.ended("orphan")
        assert record.state["status"] == "Completed"
        assert record.state["metrics"]["valid:accuracy"]["value"] == 1.0

    def test_the_death_of_the_supervisor_is_found_and_explained(self, jobs: Jobs, script: Script) -> None:
        folder = jobs.start("lost", script(SAVING))
        jobs.wait_for_line("lost", "ready")
        state = jobs.get("lost").state
        os.kill(state["process"]["pid"], signal.SIGKILL)
        assert wait_for_end(state["process"], timeout=60)
        # Nobody looks, and yet the script may save and does not stay.
        assert wait_for_end(state["scripts"][0], timeout=60)
        assert (folder.container / "model/weights").read_text() == "so far"
        runner.reconcile(jobs.store, "lost")
        record = jobs.get("lost")
        assert record.state["status"] == "Failed"
        for part in (str(folder.log), (folder.container / "checkpoints").as_uri(), "CheckpointConfig"):
            assert part in record.state["failure"]

    def test_looking_at_a_lost_job_leaves_its_script_time_to_save(
        self, jobs: Jobs, script: Script, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        wait = f"def save(*_):\n    while not os.path.exists({str(go)!r}): time.sleep(0.02)"
        folder = jobs.start("polled", script(SAVING.replace("def save(*_):", wait)))
        jobs.wait_for_line("polled", "ready")
        state = jobs.get("polled").state
        os.kill(state["process"]["pid"], signal.SIGKILL)
        assert wait_for_end(state["process"], timeout=60)
        # What the supervisor started holds its lock until it has noticed.
        wait_for(lambda: supervision.is_lost(jobs.store, jobs.get("polled")))
        runner.reconcile(jobs.store, "polled")
        assert jobs.get("polled").state["status"] == "Stopping"
        go.touch()
        while is_alive(state["scripts"][0]):
            runner.reconcile(jobs.store, "polled")
            time.sleep(0.02)
        assert (folder.container / "model/weights").read_text() == "so far"
        runner.reconcile(jobs.store, "polled")
        record = jobs.get("polled")
        assert record.state["status"] == "Failed"
        assert [entry["status"] for entry in record.state["transitions"]][-2:] == ["Stopping", "Failed"]

    def test_a_correction_of_the_clock_ends_no_job(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        jobs.start("timeless", script(script_until(go)))
        record = jobs.until("timeless", lambda record: record.state["secondary"] == "Training")
        created = psutil.Process.create_time
        # What a process sees that starts after the clock was put forward.
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + 60)
        runner.reconcile(jobs.store, "timeless")
        if sys.platform == "linux":
            assert is_alive(record.state["scripts"][0])
        go.touch()
        assert jobs.ended("timeless").state["status"] == "Completed"

    def test_a_busy_store_loses_no_metric(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        monkeypatch.setattr(runner, "start_training_job", lambda *_: None)
        folder = jobs.start("busy", script("print('valid:accuracy=0.5')\n" + script_until(go)))
        folder.path.mkdir(parents=True)
        refused: list[Any] = []

        class BusyStore(Store):
            def update(self, kind: str, name: str, change: Callable[[dict[str, Any]], None]) -> Record:
                before = self.get(kind, name).state
                after = {**before, "metrics": {}}
                if before.get("scripts") and not refused:
                    change(after)
                    if after["metrics"]:
                        refused.append(after["metrics"])
                        go.touch()
                        raise StoreError("database is locked")
                return super().update(kind, name, change)

        busy = BusyStore(jobs.store.root)
        TrainingRun(busy, "busy").execute()
        busy.close()
        assert refused
        assert jobs.get("busy").state["metrics"]["valid:accuracy"]["value"] == 0.5

    def test_a_running_job_is_left_alone(self, jobs: Jobs, script: Script) -> None:
        jobs.start("fine", script("import time; time.sleep(0.5)"))
        while jobs.get("fine").state["status"] == "InProgress":
            runner.reconcile(jobs.store, "fine")
            time.sleep(0.01)
        assert jobs.get("fine").state["status"] == "Completed"

    def test_a_job_whose_starter_was_killed_is_started(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = jobs._request("unstarted", script("print('here')"))
        jobs.store.create(TRAINING_JOB, "unstarted", request, {"status": "InProgress", "process": None})
        runner.reconcile(jobs.store, "unstarted")
        assert jobs.get("unstarted").state["process"] is None, "its starter may be about to start it"
        a_minute_later(monkeypatch)
        runner.reconcile(jobs.store, "unstarted")
        assert jobs.ended("unstarted").state["status"] == "Completed"
        assert jobs.log("unstarted") == ["here"]

    def test_of_many_who_look_one_starts_the_job(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started: list[str] = []

        def start(*arguments: Any, **options: Any) -> int:
            started.append(arguments[0])
            return start_module(*arguments, **options)

        monkeypatch.setattr(supervision, "start_module", start)
        request = jobs._request("crowd", script("print('here')"))
        jobs.store.create(TRAINING_JOB, "crowd", request, {"status": "InProgress", "process": None})
        a_minute_later(monkeypatch)
        with ThreadPoolExecutor(8) as pool:
            looks = [pool.submit(runner.reconcile, jobs.store, "crowd") for _ in range(8)]
        assert [look.exception() for look in looks] == [None] * 8
        assert len(started) == 1
        while jobs.get("crowd").state["status"] == "InProgress":
            runner.reconcile(jobs.store, "crowd")
        assert jobs.get("crowd").state["status"] == "Completed"
        assert jobs.log("crowd") == ["here"]

    def test_a_supervisor_that_holds_the_lock_is_alive(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        go = tmp_path / "go"
        folder = jobs.start("held", script(script_until(go)))
        jobs.until("held", lambda record: record.state.get("secondary") == "Training")
        dead = {"pid": os.getpid(), "created": 1.0}
        # A second one that has stepped back may be the one that was noted.
        jobs.store.update(TRAINING_JOB, "held", lambda state: state.update(process=dead))
        runner.reconcile(jobs.store, "held")
        go.touch()
        assert jobs.ended("held").state["status"] == "Completed", folder

    def test_a_job_that_has_ended_does_not_run_again(self, jobs: Jobs, script: Script) -> None:
        before = jobs.run("over", script("print('once')"))
        command = [
            sys.executable,
            "-m",
            "dogbreed_sdk.local.jobs.supervisor",
            str(jobs.store.root),
            "over",
        ]
        assert subprocess.run(command, check=False).returncode == 0
        assert jobs.get("over") == before
        assert jobs.log("over") == ["once"]

    def test_a_second_supervisor_steps_back(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        go = tmp_path / "go"
        folder = jobs.start("twice", script(script_until(go) + "print('once')"))
        jobs.until("twice", lambda record: record.state.get("secondary") == "Training")
        arguments = [str(jobs.store.root), "twice"]
        second = identify(start_module("dogbreed_sdk.local.jobs.supervisor", arguments, log=folder.supervisor_log))
        assert second is None or wait_for_end(second, timeout=60)
        go.touch()
        assert jobs.ended("twice").state["status"] == "Completed"
        assert jobs.log("twice") == ["once"]


class TestWhatAScriptLeaves:
    """Pipes, links and missing folders: the job ends, and its model is kept."""

    @pytest.mark.parametrize(
        "make",
        [
            "os.mkfifo(path)",
            "os.symlink('/dev/zero', path)",
            "socket.socket(socket.AF_UNIX).bind(os.path.relpath(path))",
            "os.mkdir(path)",
            "open(path, 'w').truncate(1 << 40)",
        ],
        ids=["pipe", "device", "socket", "folder", "terabyte"],
    )
    def test_a_failure_file_that_is_none_holds_up_nothing(self, jobs: Jobs, script: Script, make: str) -> None:
        text = f"import os, socket, sys\npath = os.environ['SM_OUTPUT_DIR'] + '/failure'\n{make}\nsys.exit('broken')"
        record = jobs.run("odd", script(text))
        assert record.state["status"] == "Failed"
        assert 'ErrorMessage "broken"' in record.state["failure"]

    @pytest.mark.parametrize("compression", ["GZIP", "NONE"])
    def test_what_is_no_file_is_left_out_and_named(
        self, jobs: Jobs, script: Script, tmp_path: Path, compression: str
    ) -> None:
        (tmp_path / "weights").write_text("pretrained")
        text = (
            "import os, socket\n"
            "for name in ('SM_MODEL_DIR', 'SM_OUTPUT_DATA_DIR', 'SM_CHECKPOINT_DIR'):\n"
            "    os.chdir(os.environ[name])\n"
            "    open('good', 'w').write('kept'); os.mkdir('sub'); os.symlink('good', 'alias')\n"
            "    os.mkfifo('pipe'); socket.socket(socket.AF_UNIX).bind('socket')\n"
            "    os.symlink('/dev/zero', 'zero'); os.symlink('nowhere', 'dangling'); os.symlink('/etc', 'etc')\n"
            f"    os.symlink({str(tmp_path / 'weights')!r}, 'linked')\n"
            "    os.symlink('circle', 'circle')"
        )
        output = {"S3OutputPath": (tmp_path / "output").as_uri(), "CompressionType": compression}
        record = jobs.run("odd", script(text), OutputDataConfig=output)
        assert record.state["status"] == "Completed", record.state["failure"]
        folder = tmp_path / "output/odd/output"
        for name, archive in (("model", "model.tar.gz"), ("data", "output.tar.gz")):
            if compression == "GZIP":
                unpack(folder / archive, folder / name)
            found = sorted(path.name for path in (folder / name).iterdir())
            assert found == ["alias", "good", "linked", "sub"]
            assert (folder / name / "alias").read_text() == "kept"
            assert (folder / name / "linked").read_text() == "pretrained"
            assert not (folder / name / "linked").is_symlink()
        log = jobs.log("odd")
        assert "warning: model/pipe is not packed: it is a named pipe" in log
        assert "warning: data/zero is not packed: it is a link to /dev/zero, which is not a file" in log

    @pytest.mark.parametrize(
        ("remove", "kept"),
        [
            ("shutil.rmtree(os.environ['SM_OUTPUT_DATA_DIR'])", ["weights"]),
            ("shutil.rmtree(os.environ['SM_OUTPUT_DIR']); open(os.environ['SM_OUTPUT_DIR'], 'w')", ["weights"]),
            ("path = os.environ['SM_OUTPUT_DATA_DIR']; shutil.rmtree(path); os.mkfifo(path)", ["weights"]),
            ("shutil.rmtree(os.environ['SM_MODEL_DIR'])", []),
            ("path = os.environ['SM_MODEL_DIR']; shutil.rmtree(path); os.mkfifo(path)", []),
            ("shutil.rmtree(os.environ['SM_MODEL_DIR']); os.symlink('/', os.environ['SM_MODEL_DIR'])", []),
            ("shutil.rmtree(os.path.dirname(os.environ['SM_MODEL_DIR']))", []),
            ("shutil.rmtree(os.path.dirname(os.path.dirname(os.environ['SM_MODEL_DIR'])))", []),
        ],
        ids=["data", "output", "data is a pipe", "model", "model is a pipe", "model is a link", "container", "job"],
    )
    def test_a_script_that_removes_its_folders_ends_with_what_is_left(
        self, jobs: Jobs, script: Script, tmp_path: Path, remove: str, kept: list[str]
    ) -> None:
        text = f"import os, shutil\nopen(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('x')\n{remove}"
        record = jobs.run("tidy", script(text))
        assert record.state["status"] == "Completed", record.state["failure"]
        with tarfile.open(tmp_path / "output/tidy/output/model.tar.gz") as tar:
            assert tar.getnames() == kept

    def test_folders_nested_beyond_any_path_are_left_out_and_removed(
        self, jobs: Jobs, script: Script, tmp_path: Path
    ) -> None:
        text = (
            "import os\nos.chdir(os.environ['SM_MODEL_DIR'])\nopen('weights', 'w').write('x')\n"
            "for _ in range(3000): os.mkdir('d'); os.chdir('d')"
        )
        record = jobs.run("deep", script(text))
        assert record.state["status"] == "Completed", record.state["failure"]
        with tarfile.open(tmp_path / "output/deep/output/model.tar.gz") as tar:
            assert "weights" in tar.getnames()
        assert any("is not packed: File name too long" in line for line in jobs.log("deep"))
        assert not (JobFolder.of(jobs.store.root, "deep").container / "model").exists()

    @pytest.mark.parametrize("folder", ["ml", "."], ids=["container", "job"])
    def test_a_script_that_removes_its_folders_and_fails_has_failed(
        self, jobs: Jobs, script: Script, folder: str
    ) -> None:
        text = (
            "import os, shutil, sys\n"
            f"shutil.rmtree(os.path.normpath(os.path.join(os.environ['SM_MODEL_DIR'], '../..', {folder!r})))\n"
            "sys.exit('No space left on device')"
        )
        record = jobs.run("gone", script(text))
        assert record.state["status"] == "Failed"
        assert 'ErrorMessage "No space left on device"' in record.state["failure"]

    def test_a_file_of_nothing_but_holes_is_not_packed_for_hours(
        self, jobs: Jobs, script: Script, tmp_path: Path
    ) -> None:
        text = "import os; open(os.environ['SM_MODEL_DIR'] + '/big', 'w').truncate(1 << 43)"
        record = jobs.run("holes", script(text))
        assert record.state["status"] == "Failed"
        assert "needs 8.8 TB" in record.state["failure"]
        assert not list((tmp_path / "output").rglob("*"))

    @pytest.mark.parametrize("how", ["stop", "terminate"])
    def test_a_source_without_end_holds_up_no_stop(self, jobs: Jobs, tmp_path: Path, how: str) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "endless").symlink_to("/dev/zero")
        hyperparameters = {"sagemaker_program": '"x.py"', "sagemaker_submit_directory": json.dumps(str(source))}
        folder = jobs.start("endless", hyperparameters)
        copied = folder.container / "code/endless"
        jobs.until("endless", lambda _: copied.exists())
        if how == "stop":
            runner.request_stop(jobs.store, "endless")
        else:
            os.kill(jobs.get("endless").state["process"]["pid"], signal.SIGTERM)
        assert jobs.ended("endless").state["status"] == "Stopped"
        copied.unlink()

    def test_a_root_that_is_moved_under_a_job_is_the_reason_of_its_failure(
        self, jobs: Jobs, script: Script, tmp_path: Path
    ) -> None:
        root = jobs.store.root
        output = {"S3OutputPath": (root / "bucket/jobs").as_uri()}
        go = tmp_path / "go"
        jobs.start("dogs", script("print('ready')\n" + script_until(go)), OutputDataConfig=output)
        jobs.wait_for_line("dogs", "ready")
        moved = Store(root.rename(tmp_path / "moved"))
        go.touch()
        wait_for(lambda: moved.get(TRAINING_JOB, "dogs").state["status"] not in RUNNING_STATUSES)
        failure = moved.get(TRAINING_JOB, "dogs").state["failure"]
        assert "was moved away from" in failure
        assert not root.exists()
        assert (tmp_path / "moved/jobs/dogs/ml/model").is_dir()
        moved.close()

    def test_data_that_cannot_be_packed_costs_no_model(self, jobs: Jobs, script: Script, tmp_path: Path) -> None:
        (tmp_path / "output/odd/output/output.tar.gz").mkdir(parents=True)  # cannot be replaced by a file
        text = (
            "import os\n"
            "for name in ('SM_MODEL_DIR', 'SM_OUTPUT_DATA_DIR'): open(os.environ[name] + '/good', 'w').write('kept')"
        )
        record = jobs.run("odd", script(text))
        assert record.state["status"] == "Completed", record.state["failure"]
        assert (tmp_path / "output/odd/output/model.tar.gz").is_file()
        base = JobFolder.of(jobs.store.root, "odd").container
        assert (base / "output/data/good").read_text() == "kept"
        assert any(line.startswith("warning: output/data is not packed") for line in jobs.log("odd"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk needs root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class TestFullDisk:
    @pytest.mark.parametrize(
        "text",
        [
            "import os\nf = open(os.environ['SM_MODEL_DIR'] + '/big', 'wb')\nwhile True: f.write(bytes(65536))",
            "import os\nopen(os.environ['SM_MODEL_DIR'] + '/half', 'wb').write(os.urandom(3_000_000))",
            "while True: print('y' * 1000)",
        ],
        ids=["script writes", "model is packed", "log grows"],
    )
    def test_the_job_fails_and_nothing_else_breaks(
        self, small_disk: Path, training_request: Make, script: Script, text: str
    ) -> None:
        store = Store(small_disk / "root")
        jobs = Jobs(store, training_request)
        record = jobs.run("full", script(text), OutputDataConfig={"S3OutputPath": (small_disk / "out").as_uri()})
        assert record.state["status"] == "Failed"
        assert f"The disk that holds {small_disk}" in record.state["failure"]
        assert "is full" in record.state["failure"]
        assert not list(small_disk.rglob("*.partial"))
        database = sqlite3.connect(store.path)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        shutil.rmtree(JobFolder.of(store.root, "full").container)
        JobFolder.of(store.root, "full").log.unlink()
        assert jobs.run("next", script("print(1)")).state["status"] == "Completed"
        store.close()


def last_message(record: Record) -> str:
    transitions = record.state.get("transitions")
    return str(transitions[-1]["message"]) if transitions else ""


class TestThreads:
    def test_jobs_never_hold_more_threads_than_cores(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(CORES_VARIABLE, "2")
        source = script(script_until(tmp_path / "go"))
        names = ["a", "b", "c"]
        for name in names:
            jobs.start(name, source)
            expected = "Training" if name == "a" else "Pending"
            jobs.until(name, lambda record, expected=expected: record.state["secondary"] == expected)
        assert jobs.get("a").state["threads"] == 2
        assert not any(jobs.get(name).state.get("threads") for name in ("b", "c"))
        (tmp_path / "go").touch()
        held = []
        while any(jobs.get(name).state["status"] == "InProgress" for name in names):
            states = [jobs.get(name).state for name in names]
            held.append(sum(s.get("threads", 0) for s in states if s["secondary"] == "Training"))
            time.sleep(0.01)
        assert max(held, default=0) <= 2
        records = [jobs.get(name) for name in names]
        assert all(record.state["status"] == "Completed" for record in records)
        assert records[0].state["started"] < records[1].state["started"] < records[2].state["started"]
        waits = [any(entry["status"] == "Pending" for entry in record.state["transitions"]) for record in records]
        assert waits == [False, True, True]

    def test_a_waiting_job_can_be_stopped(self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CORES_VARIABLE, "1")
        jobs.start("first", script(SAVING))
        jobs.wait_for_line("first", "ready")
        jobs.start("second", script("print(1)"))
        jobs.until("second", lambda record: record.state["secondary"] == "Pending")
        runner.request_stop(jobs.store, "second")
        record = jobs.ended("second")
        assert (record.state["status"], record.state.get("started")) == ("Stopped", None)
        runner.request_stop(jobs.store, "first")
        jobs.ended("first")

    def test_grants_follow_the_order_and_end_with_their_process(self, tmp_path: Path) -> None:
        sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
        first, second, third = (identify(process.pid) or {} for process in sleepers)
        ledger = ThreadLedger(tmp_path, cores=4)
        assert ledger.claim("one", process=first, wanted=3) == 3
        assert ledger.claim("one", process=first, wanted=3) == 3
        assert ledger.claim("two", process=second, wanted=8) == 1
        assert ledger.claim("three", process=third, wanted=1) == 0
        sleepers[0].kill()
        sleepers[0].wait()
        assert ledger.claim("three", process=third, wanted=1) == 1
        ledger.release("two")
        assert ledger.claim("four", process=second, wanted=9) == 3
        for process in sleepers[1:]:
            process.kill()
            process.wait()

    @pytest.mark.parametrize("content", ["", "{", "[1]", '[{"job": "a"}]'])
    def test_a_damaged_ledger_keeps_no_job_from_running(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "threads.json").write_text(content)
        assert ThreadLedger(tmp_path, cores=2).claim("one", process=identify(os.getpid()) or {}, wanted=2) == 2

    def test_earlier_jobs_go_first(self, tmp_path: Path) -> None:
        me = identify(os.getpid()) or {}
        ledger = ThreadLedger(tmp_path, cores=1)
        assert ledger.claim("holder", process=me, wanted=1) == 1
        assert ledger.claim("early", process=me, wanted=1) == 0
        assert ledger.claim("late", process=me, wanted=1) == 0
        ledger.release("holder")
        assert ledger.claim("late", process=me, wanted=1) == 0
        assert ledger.claim("early", process=me, wanted=1) == 1

    def test_a_later_job_whose_supervisor_starts_faster_waits_its_turn(self, tmp_path: Path) -> None:
        me = identify(os.getpid()) or {}
        ledger = ThreadLedger(tmp_path, cores=2)
        ledger.queue("early", process=me)
        ledger.queue("late", process=me)
        assert ledger.claim("late", process=me, wanted=2) == 0
        assert ledger.claim("early", process=me, wanted=1) == 1
        ledger.queue("early", process=me)  # changes nothing
        assert ledger.claim("late", process=me, wanted=2) == 1

    @pytest.mark.parametrize(
        ("holders", "reason"),
        [
            ([], ""),
            (["a"], ": a holds them. Wait for it to end, or stop it: dogbreed stop a --root '{root}'"),
            (["transform-job/a"], ": a holds them. Wait for it to end, or stop it: dogbreed stop a --root '{root}'"),
            (["a", "b"], ": a and b hold them. Wait for them to end, or stop one: dogbreed stop a --root '{root}'"),
            (["a", "b", "c"], ": a, b and c hold them. {rest}"),
            (["a", "b", "c", "d"], ": a, b and 2 more hold them. {rest}"),
        ],
    )
    def test_it_names_the_jobs_that_hold_the_cores(self, tmp_path: Path, holders: list[str], reason: str) -> None:
        root = tmp_path / "my jobs"
        root.mkdir()
        ledger = ThreadLedger(root, cores=4)
        for name in holders:
            ledger.claim(name, process=identify_self(), wanted=1)
        ledger.queue("ahead", process=identify_self())
        rest = f"Wait for them to end, or stop one: dogbreed stop a --root '{root}'"
        assert ledger.why_waiting() == f"Waiting for free cores on this machine{reason.format(root=root, rest=rest)}"

    def test_a_waiting_job_says_which_job_holds_the_cores_now(
        self, jobs: Jobs, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(CORES_VARIABLE, "1")
        ledger = ThreadLedger(jobs.store.root)
        ledger.claim("first", process=identify_self(), wanted=1)
        ledger.queue("second", process=identify_self())
        jobs.start("third", script("print(1)"))
        jobs.until("third", lambda record: "machine: first holds them." in last_message(record))
        ledger.release("first")
        ledger.claim("second", process=identify_self(), wanted=1)
        jobs.until("third", lambda record: "machine: second holds them." in last_message(record))
        ledger.release("second")
        states = [entry["status"] for entry in jobs.ended("third").state["transitions"]]
        assert states == ["Starting", "Pending", "Downloading", "Training", "Uploading", "Completed"]

    def test_jobs_run_in_the_order_in_which_they_were_created(self, jobs: Jobs, script: Script) -> None:
        jobs.start("early", script("print(1)"))
        supervisor = jobs.get("early").state["process"]["pid"]
        os.kill(supervisor, signal.SIGSTOP)  # a machine under load: the later job's supervisor is there first
        jobs.start("late", script("print(1)"))
        jobs.until("late", lambda record: record.state["secondary"] == "Pending")
        os.kill(supervisor, signal.SIGCONT)
        early, late = (jobs.ended(name).state for name in ("early", "late"))
        assert early["status"] == late["status"] == "Completed"
        assert early["ended"] <= late["started"]

    def test_cores_can_be_set(self) -> None:
        assert available_cores({CORES_VARIABLE: "3"}) == 3
        assert available_cores({CORES_VARIABLE: "many"}) == available_cores({}) >= 1
        assert thread_environment(2)["MKL_NUM_THREADS"] == "2"


def test_an_empty_prefix_marks_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "process_iter", list)  # should it be accepted one day, nothing dies of this test
    with pytest.raises(ValueError, match="marks every process"):
        end_marked("SM_MODEL_DIR", "")
