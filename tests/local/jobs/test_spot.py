"""Managed spot training: interruptions, what survives them, and what DescribeTrainingJob says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk.cli import main
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.script_processes import GRACE_VARIABLE
from tests.passing_time import PassingTime
from tests.waiting import wait_for

Make = Callable[..., dict[str, Any]]
Ended = Callable[[str], dict[str, Any]]
Script = Callable[[str], dict[str, str]]

# Counts its starts in the checkpoint folder and elsewhere in its container; ends at the third, if it can count so far.
COUNTING = """
import os, signal, sys, time
def starts(folder):
    path = os.path.join(folder, "starts")
    number = int(open(path).read()) + 1 if os.path.exists(path) else 1
    open(path, "w").write(str(number))
    return number
def end(*_):
    print("asked to end", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
number = starts(os.environ["SM_CHECKPOINT_DIR"])
print("start", number, "here", starts(os.environ["SM_MODEL_DIR"]), flush=True)
if number < 3:
    time.sleep(60)
"""
STUBBORN = COUNTING.replace("SIGTERM, end", "SIGTERM, signal.SIG_IGN")
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 120, "MaxWaitTimeInSeconds": 240},
}


def lines(root: Path, job: str) -> list[str]:
    return list(LogFollower(JobFolder.of(root, job).log).read())


def interrupt(root: Path, job: str, after: str) -> None:
    """Interrupts a job with the command, once its log has a line."""
    wait_for(lambda: after in lines(root, job), state=lambda: lines(root, job))
    assert main(["local", "interrupt", job, "--root", str(root)]) == 0


@pytest.mark.parametrize(("text", "grace"), [(COUNTING, "30"), (STUBBORN, "0.2")], ids=["SIGTERM", "SIGKILL"])
def test_an_interrupted_job_starts_again_with_its_checkpoints_only(
    text: str,
    grace: str,
    sagemaker: Any,
    training_request: Make,
    script: Script,
    ended: Ended,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, grace)
    saved = {"S3Uri": (tmp_path / "saved").as_uri()}
    sagemaker.create_training_job(**training_request("spot", script(text), CheckpointConfig=saved, **SPOT))
    interrupt(root, "spot", "start 1 here 1")
    interrupt(root, "spot", "start 2 here 1")
    job = ended("spot")
    assert job["TrainingJobStatus"] == "Completed", job
    again = ["Interrupted", "Starting", "Downloading", "Training"]
    assert [seen["Status"] for seen in job["SecondaryStatusTransitions"]] == [
        *again[1:], *again, *again, "Uploading", "Completed"
    ]  # fmt: skip
    starts = [line for line in lines(root, "spot") if line.startswith("start")]
    assert starts == ["start 1 here 1", "start 2 here 1", "start 3 here 1"]
    assert lines(root, "spot").count("asked to end") == (2 if text is COUNTING else 0)
    assert (tmp_path / "saved/starts").read_text() == "3"
    assert job["TrainingTimeInSeconds"] >= job["BillableTimeInSeconds"] >= 1


def test_checkpoints_come_back_from_s3_and_without_them_nothing_does(
    sagemaker: Any, training_request: Make, script: Script, ended: Ended, root: Path, s3: Any
) -> None:
    text = COUNTING.replace("number < 3", "number < 2")
    saved = {"S3Uri": "s3://bucket/saved"}
    sagemaker.create_training_job(**training_request("on-s3", script(text), CheckpointConfig=saved, **SPOT))
    sagemaker.create_training_job(**training_request("lost", script(text), **SPOT))
    interrupt(root, "on-s3", "start 1 here 1")
    interrupt(root, "lost", "start 1 here 1")
    assert ended("on-s3")["TrainingJobStatus"] == "Completed"
    assert "start 2 here 1" in lines(root, "on-s3")
    assert s3.get_object(Bucket="bucket", Key="saved/starts")["Body"].read() == b"2"
    wait_for(lambda: lines(root, "lost").count("start 1 here 1") == 2)
    assert any("elsewhere with nothing, since it has no CheckpointConfig" in line for line in lines(root, "lost"))
    sagemaker.stop_training_job(TrainingJobName="lost")
    stopped = ended("lost")
    assert (stopped["TrainingJobStatus"], stopped["SecondaryStatus"]) == ("Stopped", "Stopped")


def test_the_limits_count_all_attempts(
    sagemaker: Any,
    training_request: Make,
    script: Script,
    ended: Ended,
    root: Path,
    passing_time: PassingTime,
) -> None:
    text = "import time\nprint('ready', flush=True)\ntime.sleep(300)"
    waiting = SPOT | {"StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 3600}}
    running = SPOT | {"StoppingCondition": {"MaxRuntimeInSeconds": 5400, "MaxWaitTimeInSeconds": 86_400}}
    sagemaker.create_training_job(**training_request("waits", script(text), **waiting))
    wait_for(lambda: "ready" in lines(root, "waits"))
    passing_time.move(3600)
    job = ended("waits")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    sagemaker.create_training_job(**training_request("runs", script(text), **running))
    wait_for(lambda: "ready" in lines(root, "runs"))
    passing_time.move(3600 + 3600)
    interrupt(root, "runs", "ready")
    wait_for(lambda: lines(root, "runs").count("ready") == 2)
    passing_time.move(3600 + 5400)
    job = ended("runs")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "Interrupted" in [seen["Status"] for seen in job["SecondaryStatusTransitions"]]
    assert job["TrainingTimeInSeconds"] >= 5400
    # At 30% of the price, as there is no market for this machine's time.
    assert 0.3 * 5400 <= job["BillableTimeInSeconds"] <= round(0.3 * job["TrainingTimeInSeconds"])


def test_only_spot_jobs_that_run_can_be_interrupted(
    sagemaker: Any,
    training_request: Make,
    script: Script,
    ended: Ended,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sagemaker.create_training_job(**training_request("plain", script("pass")))
    sagemaker.create_training_job(**training_request("done", script("pass"), **SPOT))
    for name in ("plain", "done"):
        ended(name)
    messages = []
    for name in ("plain", "done", "missing"):
        assert main(["local", "interrupt", name, "--root", str(root), "--json"]) != 0
        messages.append(json.loads(capsys.readouterr().out)["error"])
    assert messages[0].startswith("Training job plain has no spot instance to interrupt: create it with Enable")
    assert messages[1:] == [
        "Training job done is Completed, and cannot be interrupted.",
        "No training-job is named missing.",
    ]
