"""A wall clock that jumps while jobs run: it moves no limit and no duration."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import MODEL, TRAINING_JOB, TUNING_JOB
from dogbreed_sdk.local.tuning import runner
from tests.waiting import script_until, wait_for

# Python imports it at every start: each process of a job reads the wrong time from then on.
WRONG_CLOCK = """
import os, time
right = time.time
def wrong():
    try:
        return right() + float(open(os.environ["CLOCK_OFFSET"]).read() if "CLOCK_OFFSET" in os.environ else 0)
    except OSError:
        return right()
time.time = wrong
"""


@pytest.fixture
def jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Puts the clock forward, here and in every process that is started."""
    folder, offset = tmp_path / "wrong", tmp_path / "offset"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("CLOCK_OFFSET", str(offset))
    right = time.time

    def put_forward(seconds: float) -> None:
        (tmp_path / "aside").write_text(str(seconds))
        (tmp_path / "aside").replace(offset)
        monkeypatch.setattr(time, "time", lambda: right() + seconds)

    return put_forward


@pytest.fixture
def search(
    script: Callable[[str], dict[str, str]], training_request: Callable[..., dict[str, Any]], tmp_path: Path
) -> dict[str, Any]:
    """A CreateHyperParameterTuningJob request of two trials, one after the other, that wait for a file and a second."""
    request = training_request("unused")
    metrics = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    return {
        "HyperParameterTuningJobName": "search",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": 2,
                "MaxParallelTrainingJobs": 1,
                "MaxRuntimeInSeconds": 3600,
            },
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.1", "MaxValue": "1"}]},
        },
        "TrainingJobDefinition": {
            **{name: request[name] for name in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
            "AlgorithmSpecification": {**request["AlgorithmSpecification"], "MetricDefinitions": metrics},
            "StaticHyperParameters": script(script_until(tmp_path / "go") + "time.sleep(1); print('loss=0.5')"),
        },
    }


@pytest.mark.parametrize("hours", [2, -2])
def test_a_jump_of_the_clock_ends_no_search_and_lengthens_no_training(
    sagemaker: Any, store: Store, jump: Callable[[float], None], search: dict[str, Any], hours: float, tmp_path: Path
) -> None:
    sagemaker.create_hyper_parameter_tuning_job(**search)
    wait_for(lambda: any(job.state.get("secondary") == "Training" for job in store.list(TRAINING_JOB)))
    jump(hours * 3600)
    (tmp_path / "go").touch()

    wait_for(lambda: store.get(TUNING_JOB, "search").state["status"] not in RUNNING_STATUSES)
    answer = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    assert answer["HyperParameterTuningJobStatus"] == "Completed"
    assert answer["TrainingJobStatusCounters"]["Completed"] == 2
    assert 2 <= answer["ConsumedResources"]["RuntimeInSeconds"] < 3600
    assert 0 <= (answer["HyperParameterTuningEndTime"] - answer["CreationTime"]).total_seconds() < 3600
    for trial in store.list(TRAINING_JOB):
        described = sagemaker.describe_training_job(TrainingJobName=trial.name)
        assert 1 <= described["TrainingTimeInSeconds"] < 3600
        moments = [entry[key] for entry in described["SecondaryStatusTransitions"] for key in ("StartTime", "EndTime")]
        assert moments == sorted(moments)


def test_a_running_job_keeps_its_time_to_start(
    store: Store, jump: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(runner, "start_tuning_job", lambda _store, name: started.append(name))
    store.create(TUNING_JOB, "young", {}, {"status": "InProgress", "process": None})
    jump(3600)
    runner.reconcile(store, "young")
    assert started == []
    assert store.get(TUNING_JOB, "young").state["status"] == "InProgress"


def test_ages_are_those_of_a_clock_that_nobody_sets(store: Store, jump: Callable[[float], None]) -> None:
    record = store.create(MODEL, "m", {}, {})
    jump(7200)
    assert record.age < 3600
    assert store.get(MODEL, "m").unchanged_for < 3600
    assert store.update(MODEL, "m", lambda state: state.update(n=1)).modified > record.modified + 7000


def test_after_a_restart_of_the_machine_the_wall_clock_has_to_do() -> None:
    assert 99 <= clock.elapsed("another-boot:5.000", time.time() - 100) < 3600
    assert clock.elapsed(None, time.time() + 100) == 0.0
    kept = {"time": 1000.0, "mark": clock.mark()}
    assert 999 <= clock.read(kept) < 4600


def test_the_times_of_a_job_and_of_its_log_rise(tmp_path: Path, jump: Callable[[float], None]) -> None:
    state: dict[str, Any] = {"status": "InProgress"}
    job_state.enter(state, "Starting")
    log = LogFile(tmp_path / "log.jsonl")
    log.write(["before"])
    jump(-7200)
    log.write(["after"])
    log.close()
    job_state.finish(state, "Completed")
    first, last = state["transitions"]
    assert first["start"] <= first["end"] <= last["start"] <= state["ended"] < first["start"] + 3600
    times = [json.loads(line)["t"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert times == sorted(times)
