"""Warm start over the API: what a search learns from its parents, and which parents are refused."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk._util.processes import identify_self
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB
from dogbreed_sdk.local.tuning.warm_start import collect
from tests.local.api.tuning_requests import several_definitions
from tests.waiting import script_until, wait_for

METRICS = [{"Name": "score", "Regex": "score=([0-9.]+)"}]
LEVELS = {"ContinuousParameterRanges": [{"Name": "level", "MinValue": "0", "MaxValue": "1"}]}
COLORS = {"CategoricalParameterRanges": [{"Name": "color", "Values": ["red", "green", "blue"]}]}
SCRIPT = """
import sys
color = sys.argv[sys.argv.index("--color") + 1]
print("score=" + {"red": "0.9", "green": "0.5", "blue": "0.1"}[color], flush=True)
"""

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def search(training_request: Make) -> Make:
    """A request for a search of two hyperparameters, one tuned and one static, with parents."""

    def make(
        name: str,
        parents: tuple[str, ...] = (),
        *,
        static: dict[str, str],
        ranges: dict[str, Any] = LEVELS,
        objective: str = "score",
        environment: dict[str, str] | None = None,
        kind: str = "IdenticalDataAndAlgorithm",
        jobs: int = 2,
    ) -> dict[str, Any]:
        members = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
        algorithm = {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [*METRICS, {"Name": "loss", "Regex": "loss=([0-9.]+)"}],
        }
        request: dict[str, Any] = {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": objective},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": 1},
                "ParameterRanges": ranges,
            },
            "TrainingJobDefinition": {
                "StaticHyperParameters": static,
                "AlgorithmSpecification": algorithm,
                "Environment": environment or {},
                **{member: training_request("unused")[member] for member in members},
            },
        }
        if parents:
            listed = [{"HyperParameterTuningJobName": parent} for parent in parents]
            request["WarmStartConfig"] = {"ParentHyperParameterTuningJobs": listed, "WarmStartType": kind}
        return request

    return make


@pytest.fixture
def parent(store: Store, search: Make) -> Callable[..., None]:
    """Records a search that has ended, with one training job per (value of the tuned hyperparameter, objective)."""

    def record(name: str, results: dict[str, float], *, status: str = "Completed", **options: Any) -> None:
        request = search(name, **options)
        kinds = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
        (tuned,) = [entry["Name"] for entries in kinds.values() for entry in entries]
        static = request["TrainingJobDefinition"]["StaticHyperParameters"]
        names = []
        for number, (value, objective) in enumerate(results.items(), start=1):
            names.append(f"{name}-{number:03d}-00000000")
            state: Any = {
                "status": "Completed",
                "tuning_job": name,
                "tuned": {tuned: value},
                "metrics": {"score": {"value": objective, "time": 1.0}},
                "started": 1.0,
                "ended": 2.0,
            }
            trial = {"TrainingJobName": names[-1], "HyperParameters": {**static, tuned: value}}
            store.create(TRAINING_JOB, names[-1], trial, state)
        store.create(
            TUNING_JOB, name, request, {"status": status, "trials": names, "best": names[0] if names else None}
        )

    return record


@pytest.fixture
def run(sagemaker: Any, search: Make, script: Any, ended_search: Any) -> Callable[..., dict[str, Any]]:
    """Runs a search over colors to its end; gives its description."""

    def start(name: str, *parents: str, **options: Any) -> dict[str, Any]:
        static = {"level": "0.5", **script(SCRIPT)}
        sagemaker.create_hyper_parameter_tuning_job(**search(name, parents, static=static, ranges=COLORS, **options))
        described: dict[str, Any] = ended_search(name)
        return described

    return start


def colors(sagemaker: Any, name: str) -> list[str]:
    trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    return sorted(trial["TunedHyperParameters"]["color"] for trial in trials["TrainingJobSummaries"])


def parent_static() -> dict[str, str]:
    """Static hyperparameters of a parent of `run`: the same number, with other values for its source."""
    return {"level": "0.5", "sagemaker_program": "x", "sagemaker_submit_directory": "y"}


def test_with_the_same_data_nothing_is_tried_twice(sagemaker: Any, parent: Any, run: Any) -> None:
    parent("first", {"red": 0.95, "blue": 0.1}, static=parent_static(), ranges=COLORS)
    job = run("second", "first", jobs=5)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert colors(sagemaker, "second") == ["green"]
    assert job["TrainingJobStatusCounters"]["Completed"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"color": "green"}
    overall = job["OverallBestTrainingJob"]
    assert (overall["TrainingJobName"], overall["TuningJobName"]) == ("first-001-00000000", "first")
    assert overall["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.95
    assert job["WarmStartConfig"]["WarmStartType"] == "IdenticalDataAndAlgorithm"


def test_with_other_data_everything_may_be_tried_again(sagemaker: Any, parent: Any, run: Any) -> None:
    parent("first", {"red": 0.95, "green": 0.5, "blue": 0.1}, static=parent_static(), ranges=COLORS)
    job = run("second", "first", jobs=3, kind="TransferLearning")
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert colors(sagemaker, "second") == ["blue", "green", "red"]
    assert "OverallBestTrainingJob" not in job


def test_the_own_best_can_be_the_overall_best(parent: Any, run: Any) -> None:
    parent("first", {"green": 0.5, "blue": 0.1}, static=parent_static(), ranges=COLORS)
    job = run("second", "first", jobs=1)
    assert job["OverallBestTrainingJob"] == job["BestTrainingJob"]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"color": "red"}


def test_parents_that_are_deleted_leave_what_was_learned(
    sagemaker: Any, store: Store, parent: Any, search: Make, script: Any, ended_search: Any, tmp_path: Path
) -> None:
    parent("first", {"red": 0.95, "blue": 0.1}, static=parent_static(), ranges=COLORS)
    static = {"level": "0.5", **script(script_until(tmp_path / "go") + SCRIPT)}
    sagemaker.create_hyper_parameter_tuning_job(**search("second", ("first",), static=static, ranges=COLORS, jobs=3))
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="first")
    store.delete(TRAINING_JOB, "first-001-00000000")
    (tmp_path / "go").touch()
    job = ended_search("second")
    assert colors(sagemaker, "second") == ["green"]
    # The training job that was best is gone: the best of those that remain is shown.
    assert job["OverallBestTrainingJob"] == job["BestTrainingJob"]


def test_a_killed_search_keeps_what_it_learned(
    sagemaker: Any, store: Store, parent: Any, search: Make, script: Any, ended_search: Any, tmp_path: Path
) -> None:
    parent("first", {"red": 0.95}, static=parent_static(), ranges=COLORS)
    static = {"level": "0.5", **script(script_until(tmp_path / "go") + SCRIPT)}
    sagemaker.create_hyper_parameter_tuning_job(**search("second", ("first",), static=static, ranges=COLORS, jobs=3))
    wait_for(lambda: store.get(TUNING_JOB, "second").state["trials"])
    process = store.get(TUNING_JOB, "second").state["process"]
    assert process
    os.kill(process["pid"], signal.SIGKILL)
    (tmp_path / "go").touch()
    job = ended_search("second")
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert colors(sagemaker, "second") == ["blue", "green"]
    assert job["OverallBestTrainingJob"]["TuningJobName"] == "first"


def test_each_definition_learns_from_its_counterpart(store: Store, search: Make) -> None:
    parent = several_definitions(search("first", static=parent_static(), ranges=COLORS), ["a", "c"])
    store.create(TUNING_JOB, "first", parent, {"status": "Completed", "trials": []})
    for definition, color, value, status in (
        ("a", "red", 0.5, "Completed"),
        ("c", "green", 0.6, "Completed"),
        ("a", "blue", 0.7, "Failed"),
        ("a", "green", float("nan"), "Completed"),
        ("a", "blue", 0.8, "Stopped"),
    ):
        metrics: Any = {"score": {"value": value, "time": 1.0}}
        state: Any = {"status": status, "tuning_job": "first", "definition": definition, "metrics": metrics}
        name = f"first-{definition}-{color}-{status}"
        store.create(TRAINING_JOB, name, {"HyperParameters": {**parent_static(), "color": color}}, state)
    request = several_definitions(
        search("second", ("first", "gone"), static=parent_static(), ranges=COLORS), ["a", "b"]
    )
    learned = [(entry["definition"], entry["hyperparameters"], entry["value"]) for entry in collect(store, request)]
    assert learned == [("a", {"color": "red"}, 0.5), ("a", {"color": "blue"}, 0.8)]


def test_a_parent_without_a_counterpart_is_refused(sagemaker: Any, store: Store, search: Make) -> None:
    parent = several_definitions(search("first", static=STATIC), ["a"])
    store.create(TUNING_JOB, "first", parent, {"status": "Completed", "trials": []})
    with pytest.raises(ClientError, match="'first' has no training job definition of the same DefinitionName"):
        sagemaker.create_hyper_parameter_tuning_job(
            **several_definitions(search("second", ("first",), static=STATIC), ["b"])
        )


STATIC = {"color": "red", "a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1"}
INTEGERS = {"IntegerParameterRanges": [{"Name": "level", "MinValue": "0", "MaxValue": "9"}]}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"static": {"color": "red", "new": "1"}}, "names is not the same .* 'first': a, b, c, d, e, f, new"),
        ({"static": STATIC, "ranges": INTEGERS}, "'level' has a range of type Integer, and Continuous in the parent"),
        ({"static": STATIC, "objective": "loss"}, "to maximize 'loss', and that of the parent .* maximize 'score'"),
        ({"static": STATIC, "environment": {"A": "1"}}, "allowed to change: .* parent 'first': Environment"),
        ({"static": {**dict.fromkeys(STATIC, "2"), "color": "red"}}, "Too many hyperparameters .*: a, b, c, d, e, f"),
    ],
)  # fmt: skip
def test_parents_that_are_too_different(
    sagemaker: Any, parent: Any, search: Make, options: dict[str, Any], complaint: str
) -> None:
    parent("first", {"0.5": 0.9}, static=STATIC)
    with pytest.raises(ClientError, match="ValidationException") as caught:
        sagemaker.create_hyper_parameter_tuning_job(**search("second", ("first",), **options))
    assert re.search(complaint, str(caught.value)), str(caught.value)


def test_a_parent_must_have_ended(sagemaker: Any, store: Store, parent: Any, search: Make) -> None:
    parent("first", {}, static=STATIC)
    process = identify_self(root=store.root)
    store.update(TUNING_JOB, "first", lambda state: state.update({"status": "InProgress", "process": process}))
    with pytest.raises(ClientError, match="'first' is in status InProgress"):
        sagemaker.create_hyper_parameter_tuning_job(**search("second", ("first",), static=STATIC))


def test_a_parent_is_given_once(sagemaker: Any, parent: Any, search: Make) -> None:
    parent("first", {}, static=STATIC)
    with pytest.raises(ClientError, match="'first' is given more than once"):
        sagemaker.create_hyper_parameter_tuning_job(**search("second", ("first", "first"), static=STATIC))
