"""UpdateTrainingJob: the profiler of a running job is switched, and gets more rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import debugger_outputs, debugger_recording
from dogbreed_sdk.local.jobs.debugger_recording import recording
from dogbreed_sdk.local.jobs.hosts import hosts_of
from tests.waiting import wait_for

Request = Callable[..., dict[str, Any]]
Ended = Callable[[str], dict[str, Any]]

RULE = {
    "RuleConfigurationName": "Report",
    "RuleEvaluatorImage": "rules",
    "RuleParameters": {"rule_to_invoke": "ProfilerReport"},
}


class Sampled:
    """A recording whose request is updated while it runs."""

    def __init__(self, folder: Path, profiler: dict[str, Any] | None) -> None:
        output = {"S3OutputPath": (folder / "output").as_uri()}
        self.request: Any = {"OutputDataConfig": output, **({"ProfilerConfig": profiler} if profiler else {})}
        self.job = JobFolder(folder / "dogs")
        self._samples = folder / "output/dogs/profiler-output/system/incremental"
        self._configuration = self.job.container_of("algo-1") / "input/config/profilerconfig.json"
        self._configuration.parent.mkdir(parents=True)

    def update(self, **profiler: Any) -> None:
        self.request = {**self.request, "ProfilerConfig": profiler}
        wait_for(lambda: self._configuration.is_file() and self.told().items() >= profiler.items())

    def told(self) -> dict[str, Any]:
        """What the script reads."""
        found: dict[str, Any] = json.loads(self._configuration.read_text())
        return found

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._samples.rglob("*.json"))

    def wait_for_more(self) -> None:
        before = self.size()
        wait_for(lambda: self.size() > before)


@pytest.fixture
def sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any] | None], Any]:
    monkeypatch.setattr(debugger_recording, "_DELIVERY_SECONDS", 0.05)

    def begin(profiler: dict[str, Any] | None) -> Iterator[Sampled]:
        run = Sampled(tmp_path, profiler)
        hosts = hosts_of(run.job, run.request)
        problems: list[str] = []
        debugger_outputs.stage(hosts[0], run.request, problems.append)
        with recording(
            hosts, run.request, updated=lambda: run.request, report=problems.append, abandoned=lambda: False
        ):
            yield run
        assert problems == []

    return begin


def test_the_profiler_of_a_running_job_is_disabled_and_enabled_again(sampled: Any) -> None:
    for run in sampled({"ProfilingIntervalInMilliseconds": 100}):
        run.wait_for_more()
        run.update(DisableProfiler=True)
        wait_for(lambda run=run: run.size() and not run.told().get("LocalPath"))
        size = run.size()
        with pytest.raises(AssertionError):
            wait_for(lambda run=run, size=size: run.size() > size, seconds=0.5)
        run.update(DisableProfiler=False, ProfilingIntervalInMilliseconds=200)
        run.wait_for_more()
        assert run.told()["ProfilingIntervalInMilliseconds"] == 200


def test_a_job_without_profiler_gets_one(sampled: Any) -> None:
    for run in sampled(None):
        run.update(DisableProfiler=False, ProfilingIntervalInMilliseconds=100)
        run.wait_for_more()
        assert Path(run.told()["LocalPath"]).is_dir()


@pytest.fixture
def waiting_job(
    sagemaker: Any, training_request: Request, script: Callable[[str], dict[str, str]], tmp_path: Path, ended: Ended
) -> Iterator[Path]:
    """A job with a profiler that runs until a file exists."""
    end = tmp_path / "end"
    text = f"import pathlib, time\nwhile not pathlib.Path({str(end)!r}).exists(): time.sleep(0.02)"
    profiler = {"S3OutputPath": (tmp_path / "debugger").as_uri()}
    sagemaker.create_training_job(**training_request("dogs", script(text), ProfilerConfig=profiler))
    yield end
    end.touch()
    ended("dogs")


def update(sagemaker: Any, **members: Any) -> Any:
    return sagemaker.update_training_job(TrainingJobName="dogs", **members)


def statuses(sagemaker: Any) -> list[str]:
    job = sagemaker.describe_training_job(TrainingJobName="dogs")
    return [entry["RuleEvaluationStatus"] for entry in job.get("ProfilerRuleEvaluationStatuses", [])]


def test_an_update_is_described_and_its_rules_are_evaluated(
    sagemaker: Any, waiting_job: Path, ended: Ended, tmp_path: Path
) -> None:
    arn = sagemaker.describe_training_job(TrainingJobName="dogs")["TrainingJobArn"]
    profiler = {"ProfilingIntervalInMilliseconds": 1000}
    assert update(sagemaker, ProfilerConfig=profiler, ProfilerRuleConfigurations=[RULE])["TrainingJobArn"] == arn
    job = sagemaker.describe_training_job(TrainingJobName="dogs")
    place = (tmp_path / "debugger").as_uri()
    assert job["ProfilerConfig"] == {"S3OutputPath": place, **profiler, "DisableProfiler": False}
    assert job["ProfilerRuleConfigurations"] == [{**RULE, "VolumeSizeInGB": 0}]
    assert statuses(sagemaker) == ["InProgress"]
    waiting_job.touch()
    ended("dogs")
    assert wait_for(lambda: [status for status in statuses(sagemaker) if status != "InProgress"]) != ["Error"]
    with pytest.raises(ClientError, match="in status Completed; only a job that is InProgress can be updated"):
        update(sagemaker, ProfilerConfig={"DisableProfiler": False})


def test_disabling_the_profiler_stops_its_rules(sagemaker: Any, waiting_job: Path, ended: Ended) -> None:
    update(sagemaker, ProfilerRuleConfigurations=[RULE])
    update(sagemaker, ProfilerConfig={"DisableProfiler": True})
    job = sagemaker.describe_training_job(TrainingJobName="dogs")
    assert (job["ProfilingStatus"], "ProfilerRuleConfigurations" in job) == ("Disabled", False)
    assert statuses(sagemaker) == ["Stopped"]
    update(sagemaker, ProfilerConfig={"DisableProfiler": False}, ProfilerRuleConfigurations=[RULE])
    assert statuses(sagemaker) == ["Stopped", "InProgress"]
    update(sagemaker, ProfilerConfig={"DisableProfiler": True})
    waiting_job.touch()
    ended("dogs")
    assert statuses(sagemaker) == ["Stopped", "Stopped"]


@pytest.mark.usefixtures("waiting_job")
def test_what_aws_would_refuse_is_refused(sagemaker: Any) -> None:
    elsewhere = {"S3OutputPath": "s3://elsewhere/output"}
    for members, complaint in (
        ({}, "Pass at least one of ProfilerConfig"),
        ({"ProfilerConfig": elsewhere}, "S3OutputPath can't be changed"),
        ({"ProfilerConfig": {"ProfilingIntervalInMilliseconds": 7}}, "must be one of 100"),
        ({"ProfilerRuleConfigurations": [RULE, RULE]}, "must be unique; 'Report'"),
        ({"ProfilerConfig": {"DisableProfiler": True}, "ProfilerRuleConfigurations": [RULE]}, "must be empty"),
        ({"ResourceConfig": {"KeepAlivePeriodInSeconds": 60}}, "does not support ResourceConfig"),
    ):
        with pytest.raises(ClientError, match=complaint):
            update(sagemaker, **members)
    job = sagemaker.describe_training_job(TrainingJobName="dogs")
    assert "ProfilerRuleConfigurations" not in job
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.update_training_job(TrainingJobName="cats", ProfilerConfig={"DisableProfiler": True})
