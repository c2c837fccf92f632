"""Training jobs on several hosts: what each finds, what becomes of their output, and how they end together."""

from __future__ import annotations

import json
import os
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.container_view import NAMESPACE_VARIABLE
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import network
from dogbreed_sdk.local.jobs.environment import JOB_MARK, gpus_by_host
from dogbreed_sdk.local.jobs.hosts import Host, hosts_of, job_mark
from dogbreed_sdk.local.jobs.launchers import is_distributed, launch_command, unsupported_launcher
from dogbreed_sdk.local.jobs.network import JobNetwork, job_network
from dogbreed_sdk.local.jobs.script_processes import GRACE_VARIABLE
from dogbreed_sdk.local.jobs.script_run import ScriptRun
from dogbreed_sdk.local.script_files import merged_contents
from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import TRAINING_JOB
from tests.passing_time import PassingTime
from tests.waiting import wait_for

Make = Callable[..., dict[str, Any]]
Ended = Callable[[str], dict[str, Any]]
Script = Callable[[str], dict[str, str]]

GROUP = "/aws/sagemaker/TrainingJobs"
METRICS = [{"Name": name, "Regex": f"{name}=([0-9.]+)"} for name in ("first", "second")]
ALGORITHM = {"TrainingImage": "local/image", "TrainingInputMode": "File", "MetricDefinitions": METRICS}

# Leaves what it finds in output/data/<host>.json, and a model of two files, one of which all hosts write.
LOOKING_AROUND = """
import json, os, socket
hosts, host = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
seen = {
    "environ": dict(os.environ),
    "resources": json.load(open("/opt/ml/input/config/resourceconfig.json")),
    "addresses": [socket.gethostbyname(name) for name in hosts],
    "name": socket.gethostname(),
}
json.dump(seen, open(f"{os.environ['SM_OUTPUT_DATA_DIR']}/{host}.json", "w"))
os.mkdir(f"{os.environ['SM_MODEL_DIR']}/shards")
open(f"{os.environ['SM_MODEL_DIR']}/shards/{host}", "w").write(host)
open(f"{os.environ['SM_MODEL_DIR']}/model.pth", "w").write(host)
print("hello from", host)
print("first=1" if host == "algo-1" else "second=2")
"""
# Says when it runs; saves when it is asked to end.
SAVING = """
import os, signal, sys, time
host = os.environ["SM_CURRENT_HOST"]
def save(*_):
    open(f"{os.environ['SM_MODEL_DIR']}/{host}", "w").write("so far")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready")
"""


def resources(count: int) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 5}


@pytest.fixture
def start(sagemaker: Any, training_request: Make, script: Script) -> Callable[..., None]:
    def make(name: str, text: str, count: int, hyperparameters: dict[str, str] | None = None, **changes: Any) -> None:
        changes = {"AlgorithmSpecification": ALGORITHM, "ResourceConfig": resources(count), **changes}
        sagemaker.create_training_job(**training_request(name, {**script(text), **(hyperparameters or {})}, **changes))

    return make


def log_of(root: Path, job: str, host: str) -> list[str]:
    return list(LogFollower(JobFolder.of(root, job).log_of(host)).read())


def wait_for_lines(root: Path, job: str, hosts: int, line: str = "ready") -> None:
    wait_for(lambda: all(line in log_of(root, job, f"algo-{host + 1}") for host in range(hosts)))


def processes_of(root: Path, job: str) -> list[psutil.Process]:
    """The processes that a job's hosts have started."""
    mark = job_mark(JobFolder.of(root, job))
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(JOB_MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_each_host_finds_its_own_container(
    start: Callable[..., None], ended: Ended, client: Any, root: Path, tmp_path: Path
) -> None:
    start("two", LOOKING_AROUND, 2, Environment={"NCCL_SOCKET_IFNAME": "eth0"})
    described = ended("two")
    assert described["TrainingJobStatus"] == "Completed", described
    assert {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]} == {
        "first": 1.0,
        "second": 2.0,
    }
    names = ["algo-1", "algo-2"]
    with tarfile.open(tmp_path / "output/two/output/output.tar.gz") as tar:
        assert tar.getnames() == ["algo-1.json", "algo-2.json"]
        seen = [json.loads(tar.extractfile(f"{name}.json").read()) for name in names]  # type: ignore[union-attr]
    for name, found in zip(names, seen, strict=True):
        environ = found["environ"]
        assert json.loads(environ["SM_HOSTS"]) == found["resources"]["hosts"] == names
        assert environ["SM_CURRENT_HOST"] == found["resources"]["current_host"] == found["name"] == name
        assert json.loads(environ["SM_TRAINING_ENV"])["is_master"] == (name == "algo-1")
        assert json.loads(environ["SM_TRAINING_ENV"])["master_hostname"] == environ["MASTER_ADDR"] == "algo-1"
        assert environ["SM_NETWORK_INTERFACE_NAME"] == environ["NCCL_SOCKET_IFNAME"] == environ["GLOO_SOCKET_IFNAME"]
        assert found["resources"]["instance_groups"][0]["hosts"] == names
        assert found["addresses"][0] != found["addresses"][1]
    assert seen[0]["addresses"] == seen[1]["addresses"]
    assert seen[0]["environ"]["MASTER_PORT"] == seen[1]["environ"]["MASTER_PORT"]
    with tarfile.open(tmp_path / "output/two/output/model.tar.gz") as tar:
        assert tar.getnames() == ["model.pth", "shards", "shards/algo-1", "shards/algo-2"]
        assert tar.extractfile("model.pth").read() == b"algo-1"  # type: ignore[union-attr]
    assert any("another host has written model/model.pth" in line for line in log_of(root, "two", "algo-1"))
    _check_log_streams(client("logs"))


def test_hosts_have_addresses_where_names_cannot_be_resolved(
    start: Callable[..., None], ended: Ended, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAMESPACE_VARIABLE, "off")
    text = (
        "import json, os, socket\n"
        "hosts = json.loads(os.environ['SM_HOSTS'])\n"
        "assert os.environ['MASTER_ADDR'] == hosts[0] == socket.gethostbyname(hosts[0])\n"
        "print('host', hosts.index(os.environ['SM_CURRENT_HOST']))"
    )
    start("plain", text, 2)
    assert ended("plain")["TrainingJobStatus"] == "Completed"
    for index in range(2):
        notice, line = log_of(root, "plain", f"algo-{index + 1}")
        assert "the names of hosts such as algo-1 with addresses" in notice
        assert line == f"host {index}"


def _check_log_streams(logs: Any) -> None:
    """Each host has a log stream, in the order and with the names of CloudWatch."""
    first = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="two/", limit=1)
    second = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="two/", nextToken=first["nextToken"])
    streams = [found["logStreamName"] for found in (*first["logStreams"], *second["logStreams"])]
    assert [name.rpartition("-")[0] for name in streams] == ["two/algo-1", "two/algo-2"]
    for name, stream in zip(("algo-1", "algo-2"), streams, strict=True):
        events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
        assert f"hello from {name}" in [event["message"] for event in events]


class TestEnds:
    def test_a_host_that_fails_ends_the_job_with_its_reason(
        self, start: Callable[..., None], ended: Ended, root: Path, tmp_path: Path
    ) -> None:
        text = SAVING + (
            "shared = os.environ['SM_CHECKPOINT_DIR']\n"
            "open(f'{shared}/{host}', 'w').close()\n"
            "while len(os.listdir(shared)) < 3: time.sleep(0.02)\n"
            "if host == 'algo-2': raise ValueError('no such breed')\n"
            "time.sleep(60)"
        )
        start("fails", text, 3, CheckpointConfig={"S3Uri": (tmp_path / "shared").as_uri()})
        described = ended("fails")
        reason = described["FailureReason"]
        assert reason.startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1\n")
        assert reason.endswith("\nHost algo-2")
        assert "ValueError: no such breed" in reason
        assert (JobFolder.of(root, "fails").container_of("algo-3") / "model/algo-3").read_text() == "so far"
        assert processes_of(root, "fails") == []

    def test_a_failure_file_of_the_host_that_failed_counts(self, start: Callable[..., None], ended: Ended) -> None:
        text = (
            "import os, sys, time\n"
            "host = os.environ['SM_CURRENT_HOST']\n"
            "open('/opt/ml/output/failure', 'w').write(f'{host} has no data')\n"
            "time.sleep(60) if host == 'algo-1' else sys.exit(4)"
        )
        start("says-why", text, 2)
        assert 'ExitCode 4\nErrorMessage "algo-2 has no data"' in ended("says-why")["FailureReason"]

    @pytest.mark.parametrize(
        "failure",
        [
            "Traceback (most recent call last):\n  File 'x.py', line 1, in y\nError: no such breed",
            "E1130 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 0",
        ],
        ids=["raised", "killed"],
    )
    def test_the_host_that_lost_its_connection_is_not_blamed(
        self, start: Callable[..., None], ended: Ended, root: Path, tmp_path: Path, failure: str
    ) -> None:
        # As with torchrun: the second host's launcher prints a traceback of its own, and ends after the first one's.
        text = (
            "import os, signal, sys, time, pathlib\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "marker = pathlib.Path(os.environ['SM_CHECKPOINT_DIR'], 'failed')\n"
            "def fail(why): print(f'Traceback (most recent call last):\\n  File \"x\", line 1, in y\\nError: {why}')\n"
            "if os.environ['SM_CURRENT_HOST'] == 'algo-2':\n"
            f"    asked = []\n"
            "    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))\n"
            f"    print({failure!r})\n"
            "    while not asked: time.sleep(0.01)\n"
            "    fail('ChildFailedError'); sys.exit(1)\n"
            "while not marker.exists(): time.sleep(0.01)\n"
            "fail('connection closed'); sys.exit(1)"
        )
        start("victim", text, 2, CheckpointConfig={"S3Uri": (tmp_path / "shared").as_uri()})
        wait_for(lambda: log_of(root, "victim", "algo-2"))
        (tmp_path / "shared/failed").touch()
        assert ended("victim")["FailureReason"].endswith("\nHost algo-2")

    def test_stopping_lets_all_hosts_save(
        self, sagemaker: Any, start: Callable[..., None], ended: Ended, root: Path, tmp_path: Path
    ) -> None:
        start("stopped", SAVING + "time.sleep(60)", 2)
        wait_for_lines(root, "stopped", 2)
        sagemaker.stop_training_job(TrainingJobName="stopped")
        assert ended("stopped")["TrainingJobStatus"] == "Stopped"
        with tarfile.open(tmp_path / "output/stopped/output/model.tar.gz") as tar:
            assert tar.getnames() == ["algo-1", "algo-2"]

    def test_a_host_that_ends_early_takes_its_daemons_along(
        self, start: Callable[..., None], ended: Ended, root: Path
    ) -> None:
        text = (
            "import os, subprocess, sys, time\n"
            "if os.environ['SM_CURRENT_HOST'] == 'algo-2':\n"
            "    subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
            "    sys.exit(0)\n"
            "while not os.path.exists('/opt/ml/checkpoints/go'): time.sleep(0.02)"
        )
        start("early", text, 2)
        wait_for(lambda: any("train.py" in process.cmdline() for process in processes_of(root, "early")))
        wait_for(lambda: not [found for found in processes_of(root, "early") if _is_on(found, "algo-2")])
        (JobFolder.of(root, "early").container / "checkpoints/go").touch()
        assert ended("early")["TrainingJobStatus"] == "Completed"

    def test_a_stubborn_host_is_killed_after_the_grace(
        self,
        start: Callable[..., None],
        ended: Ended,
        root: Path,
        monkeypatch: pytest.MonkeyPatch,
        passing_time: PassingTime,
    ) -> None:
        monkeypatch.setenv(GRACE_VARIABLE, "0.3")
        text = (
            "import os, signal, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('ready', flush=True)\n"
            "while True: time.sleep(60)"
        )
        start("stubborn", text, 2, StoppingCondition={"MaxRuntimeInSeconds": 3600})
        wait_for_lines(root, "stubborn", 2)
        passing_time.move(3600)
        described = ended("stubborn")
        assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
        assert processes_of(root, "stubborn") == []


# Notes each run in the folder that all hosts share.
RUNNING_ONCE = """
import os, time
open(f"/opt/ml/checkpoints/{os.environ['SM_CURRENT_HOST']}", "a").write("ran\\n")
print("ready")
time.sleep(60)
"""


def _is_on(process: psutil.Process, host: str) -> bool:
    try:
        return process.environ()[JOB_MARK].endswith(host)
    except psutil.Error:
        return False


class TestKilled:
    """kill -9, of the supervisor or of a host: the state is true, nothing runs twice, and no process stays."""

    @pytest.mark.parametrize("seconds", [0.0, 0.4, None])
    def test_the_supervisor(
        self, start: Callable[..., None], ended: Ended, store: Store, tmp_path: Path, seconds: float | None
    ) -> None:
        start("lost", RUNNING_ONCE, 2, CheckpointConfig={"S3Uri": (tmp_path / "shared").as_uri()})
        if seconds is None:
            wait_for_lines(store.root, "lost", 2)
        else:
            time.sleep(seconds)
        process = wait_for(lambda: store.get(TRAINING_JOB, "lost").state.get("process"))
        os.kill(process["pid"], signal.SIGKILL)
        described = ended("lost")
        assert described["TrainingJobStatus"] == "Failed"
        assert "the process that supervised this job ended before the job did" in described["FailureReason"]
        assert processes_of(store.root, "lost") == []
        ran = [path.read_text() for path in (tmp_path / "shared").glob("*")]
        assert ran == ["ran\n"] * len(ran)
        assert seconds is not None or len(ran) == 2

    def test_a_host(self, start: Callable[..., None], ended: Ended, store: Store) -> None:
        start("shot", RUNNING_ONCE, 2)
        wait_for_lines(store.root, "shot", 2)
        os.kill(store.get(TRAINING_JOB, "shot").state["scripts"][1]["pid"], signal.SIGKILL)
        reason = ended("shot")["FailureReason"]
        assert reason.startswith("AlgorithmError: The script was ended by SIGKILL.")
        assert reason.endswith("\nHost algo-2")
        assert processes_of(store.root, "shot") == []


# Trains a small network on fixed data; prints the loss of the whole batch at every step, and which of gloo's threads
# are left at the end. One that still lets go of its tensors while Python ends makes the process abort (SIGABRT), which
# happens on busy machines. They end with the last reference to the group, and two kinds of references outlive
# destroy_process_group: DDP's own, and default arguments of torch.distributed.nn, which DDP imports: unless that is
# imported before there is a group, its functions hold the group for good.
DDP = """
import json, os
import torch
import torch.distributed as dist
import torch.distributed.nn

hosts = json.loads(os.environ["SM_HOSTS"])
if "RANK" not in os.environ:
    os.environ.update(RANK=str(hosts.index(os.environ["SM_CURRENT_HOST"])), WORLD_SIZE=str(len(hosts)))
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
images, labels = torch.randn(66, 8), torch.randn(66, 1)
network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
trained = torch.nn.parallel.DistributedDataParallel(network)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for step in range(10):
    batch = slice(rank, None, world)
    loss = torch.nn.functional.mse_loss(trained(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    total = loss.detach().clone()
    dist.all_reduce(total)
    if rank == 0:
        print(f"loss={total.item() / world:.8f}")
print(f"world={world}")
del trained
dist.destroy_process_group()
threads = [open(f"/proc/self/task/{thread}/comm").read().strip() for thread in os.listdir("/proc/self/task")]
print("left:", [name for name in threads if "gloo" in name])
"""


def curve_of_one_process() -> list[float]:
    """The losses of DDP's network with the whole batch in one process."""
    torch.manual_seed(0)
    images, labels = torch.randn(66, 8), torch.randn(66, 1)
    network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    curve = []
    for _ in range(10):
        loss = torch.nn.functional.mse_loss(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def _how_it_failed(described: dict[str, Any], logs: list[list[str]]) -> str:
    hosts = (f"--- algo-{number}\n" + "\n".join(log) for number, log in enumerate(logs, 1))
    return "\n".join([f"{described['TrainingJobStatus']}: {described.get('FailureReason')}", *hosts])


def test_distributed_training_follows_the_curve_of_one_process(
    start: Callable[..., None], ended: Ended, store: Store, root: Path
) -> None:
    """Two hosts through torchrun, and three hosts whose scripts find each other."""
    torchrun = {"sagemaker_torch_distributed_enabled": "true", "sagemaker_instance_type": '"ml.m5.large"'}
    expected = curve_of_one_process()
    assert expected[-1] < expected[0]
    cases: list[tuple[int, dict[str, str]]] = [(2, torchrun), (3, {})]
    for count, hyperparameters in cases:
        name = f"ddp-{count}"
        start(name, DDP, count, hyperparameters)
        # Several processes import torch, which takes long on a busy machine.
        wait_for(lambda job=name: store.get(TRAINING_JOB, job).state["status"] not in RUNNING_STATUSES, 150)
        described = ended(name)
        logs = [log_of(root, name, f"algo-{host + 1}") for host in range(count)]
        assert described["TrainingJobStatus"] == "Completed", _how_it_failed(described, logs)
        assert all(f"world={count}" in log and "left: []" in log for log in logs), logs
        found = [line.removeprefix("loss=") for line in logs[0] if line.startswith("loss=")]
        assert [float(loss) for loss in found] == pytest.approx(expected, abs=1e-5)


class TestParts:
    def test_hosts_have_places_of_their_own(self, tmp_path: Path) -> None:
        folder = JobFolder(tmp_path / "jobs/dogs")
        request: Any = {"ResourceConfig": resources(3)}
        first, second, third = hosts_of(folder, request)
        assert first.names == third.names == ["algo-1", "algo-2", "algo-3"]
        assert first.container == folder.container
        assert len({host.container for host in (first, second, third)}) == 3
        assert second.log_stream("dogs/algo-1-1700000000") == "dogs/algo-2-1700000000"
        assert not Host(JobFolder(tmp_path / "jobs/dogs-2"), 0, 1).mark.startswith(job_mark(folder))

    def test_jobs_that_run_together_have_different_networks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(network, "_MASTER_PORT", 17_777)  # not those of jobs in tests that run at the same time
        with job_network() as first, job_network() as second:
            assert first.master_port != second.master_port
            assert not set(first.addresses(["algo-1"]).values()) & set(second.addresses(["algo-1"]).values())
        with job_network() as again:
            assert again == first

    def test_a_hosts_file_names_the_hosts_and_the_machine(self) -> None:
        lines = JobNetwork(3).hosts_file(["algo-1", "algo-2"]).splitlines()
        assert lines[:2] == ["127.0.3.1\talgo-1", "127.0.3.2\talgo-2"]
        assert any("localhost" in line for line in lines)

    @pytest.mark.parametrize(
        ("hosts", "visible", "expected"),
        [
            (1, None, [("0", "1", "2", "3")]),
            (2, None, [("0", "1"), ("2", "3")]),
            (3, "GPU-a,1, 3,2", [("GPU-a",), ("1",), ("3",)]),
            (2, "3", [(), ()]),
            (1, "", [()]),
        ],
    )
    def test_hosts_share_the_gpus(
        self, hosts: int, visible: str | None, expected: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = tmp_path / "nvidia-smi"
        command.write_text('#!/bin/sh\nfor n in 0 1 2 3; do echo "GPU $n: H200"; done')
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        caller = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        assert gpus_by_host(caller, hosts) == expected

    def test_folders_of_hosts_are_merged(self, tmp_path: Path) -> None:
        for name in ("one/both", "one/first/a", "two/both/deep/a", "two/first/b", "two/last"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        reports: list[str] = []
        found = merged_contents([tmp_path / "one", tmp_path / "two"], reports.append)
        assert [entry.name for entry in found] == ["both", "first", "first/a", "first/b", "last"]
        assert found[0].source == tmp_path / "one/both"
        assert len(reports) == 1
        assert "two/both is not packed" in reports[0]

    def test_pytorchddp_is_launched_with_torchrun(self) -> None:
        # What sagemaker 2 sends for distribution={"pytorchddp": {"enabled": True}}.
        assert is_distributed({"sagemaker_distributed_dataparallel_enabled": "true"})
        assert not is_distributed({"sagemaker_distributed_dataparallel_enabled": "false", "lr": "0.1"})

    def test_launchers_that_need_mpi_are_refused(self) -> None:
        assert unsupported_launcher({"sagemaker_torch_distributed_enabled": "true", "lr": "1"}) is None
        assert unsupported_launcher({"sagemaker_mpi_enabled": "false"}) is None
        refusal = unsupported_launcher({"sagemaker_mpi_enabled": "true"})
        assert refusal is not None
        assert "asks for MPI" in refusal

    @pytest.mark.parametrize("driver", ["mpi_driver.py", "torchrun_driver.py"])
    def test_the_mpi_launcher_of_sagemaker_3_does_not_begin(self, driver: str, tmp_path: Path) -> None:
        host = Host(JobFolder(tmp_path), 0, 1)
        drivers = host.container / "input/data/sm_drivers"
        drivers.mkdir(parents=True)
        (drivers / "sm_train.sh").write_text(
            f"$SM_PYTHON_CMD /opt/ml/input/data/sm_drivers/distributed_drivers/{driver}"
        )
        run = ScriptRun("dogs", "arn", {}, host, tmp_path, "", 1, (), JobNetwork(0))  # type: ignore[typeddict-item]
        program: Any = SimpleNamespace(entrypoint=["/bin/bash"], command=lambda arguments: ["/bin/bash", *arguments])
        if driver == "mpi_driver.py":
            with pytest.raises(ConfigurationError, match=r"distributed=MPI\(\)\) asks for MPI.* distributed=Torchrun"):
                launch_command(run, program)
        else:
            assert launch_command(run, program) == ["/bin/bash"]
