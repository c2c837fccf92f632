"""Kills supervisors and hosts of training jobs at random moments; prints which jobs end wrongly, and how many.

A job ends rightly if its status is true, each of its scripts ran at most once, and no process of it stays: in half of
the cases nobody looks at the job for a while, so that its guards alone must end its scripts.

    python benchmarks/killed_jobs.py [--jobs 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.environment import JOB_MARK
from dogbreed_sdk.local.jobs.hosts import job_mark
from dogbreed_sdk.local.jobs.script_processes import GRACE_VARIABLE
from dogbreed_sdk.local.store import TRAINING_JOB

# Starts a daemon, which must not stay either.
SCRIPT = """
import os, signal, subprocess, sys, time
host = os.environ["SM_CURRENT_HOST"]
open(f"{os.environ['SM_CHECKPOINT_DIR']}/{host}", "a").write("ran\\n")
subprocess.Popen(["sleep", "300"], start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
time.sleep(1.5)
open(f"{os.environ['SM_MODEL_DIR']}/{host}", "w").write("weights")
"""
LATEST_SECONDS = 2.6
UNWATCHED_SECONDS = 14
PATIENCE_SECONDS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the jobs one after another; returns 1 if one of them ended wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    os.environ[GRACE_VARIABLE] = "3"
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, LocalSageMaker(Path(folder) / "root") as server:
        client = server.boto3_session().client("sagemaker")
        store = Store(Path(folder) / "root")
        found = [_wrong(Path(folder), client, store, f"job-{number}", chance) for number in range(options.jobs)]
        store.close()
    print(f"{sum(found)} of {len(found)} jobs ended wrongly")
    return int(any(found))


def _wrong(folder: Path, client: Any, store: Store, name: str, chance: random.Random) -> bool:
    hosts, target, delay = (
        chance.choice([1, 2, 3]),
        chance.choice(["supervisor", "host"]),
        chance.uniform(0, LATEST_SECONDS),
    )
    client.create_training_job(**_request(folder, name, hosts))
    time.sleep(delay)
    state = store.get(TRAINING_JOB, name).state
    processes = state.get("scripts", []) if target == "host" else [state.get("process")]
    victim = chance.choice(processes) if processes else None
    if victim:
        with suppress(ProcessLookupError):
            os.kill(victim["pid"], signal.SIGKILL)
    if victim and chance.random() < 0.5:
        time.sleep(UNWATCHED_SECONDS)
    job = _ended(client, name)
    problem = _problem(folder, store.root, job, hosts)
    print(
        f"{name}: {hosts} hosts, {target} killed after {delay:.2f} s: {job['TrainingJobStatus']} {problem}", flush=True
    )
    return bool(problem)


def _request(folder: Path, name: str, hosts: int) -> dict[str, Any]:
    archive = folder / "sourcedir.tar.gz"
    if not archive.exists():
        (folder / "train.py").write_text(SCRIPT)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder / "train.py", "train.py")
    return {
        "TrainingJobName": name,
        "RoleArn": "arn:aws:iam::000000000000:role/local",
        "AlgorithmSpecification": {"TrainingImage": "local/image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": (folder / "output").as_uri()},
        "CheckpointConfig": {"S3Uri": (folder / "ran" / name).as_uri()},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": hosts, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        "HyperParameters": {"sagemaker_program": "train.py", "sagemaker_submit_directory": archive.as_uri()},
    }


def _ended(client: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
        if job["TrainingJobStatus"] not in {"InProgress", "Stopping"}:
            return job
        time.sleep(0.05)
    raise SystemExit(f"{name} still has not ended: {job['SecondaryStatus']}")


def _problem(folder: Path, root: Path, job: dict[str, Any], hosts: int) -> str:
    """What is wrong with an ended job; empty if nothing is."""
    name, status = job["TrainingJobName"], job["TrainingJobStatus"]
    ran = [path.read_text() for path in (folder / "ran" / name).glob("*")]
    complete = len(ran) == hosts and (folder / "output" / name / "output/model.tar.gz").exists()
    if status == "Completed" and not complete:
        return "but it is not complete"
    if status not in {"Completed", "Failed"} or job["SecondaryStatusTransitions"][-1]["Status"] != status:
        return "is a wrong status"
    if any(text != "ran\n" for text in ran):
        return "but a script ran twice"
    left = _processes(job_mark(JobFolder.of(root, name)))
    return f"but these processes stay: {left}" if left else ""


def _processes(mark: str) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(JOB_MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


if __name__ == "__main__":
    sys.exit(main())
