"""Tuning jobs over the API: a real search, its counters and its best trial, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_for

Pack = Callable[[str], dict[str, str]]
Request = Callable[..., dict[str, Any]]

SCORE = """
import sys
level = float(sys.argv[sys.argv.index("--level") + 1])
print(f"score={1 - (level - 0.5) ** 2:.6f}", flush=True)
"""
RANGE = {"Name": "level", "MinValue": "0", "MaxValue": "1"}
METRICS = [{"Name": "score", "Regex": "score=([0-9.]+)"}]


@pytest.fixture
def tuning_request(training_request: Request) -> Request:
    """A CreateHyperParameterTuningJob request that is right; members of its three parts can be replaced."""

    def make(
        name: str,
        hyperparameters: dict[str, str] | None = None,
        *,
        config: dict[str, Any] | None = None,
        definition: dict[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        job = training_request("unused")
        algorithm = {"TrainingImage": "i", "TrainingInputMode": "File", "MetricDefinitions": METRICS}
        members = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
        request = {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": {"ContinuousParameterRanges": [RANGE]},
                **(config or {}),
            },
            "TrainingJobDefinition": {
                "StaticHyperParameters": hyperparameters or {},
                "AlgorithmSpecification": algorithm,
                **{member: job[member] for member in members},
                **(definition or {}),
            },
            **changes,
        }
        config_members = request["HyperParameterTuningJobConfig"]
        request["HyperParameterTuningJobConfig"] = {k: v for k, v in config_members.items() if v is not None}
        return {member: value for member, value in request.items() if value is not None}

    return make


def test_a_search_tells_what_came_of_it(sagemaker: Any, tuning_request: Request, script: Pack) -> None:
    arn = sagemaker.create_hyper_parameter_tuning_job(**tuning_request("search", script(SCORE)))[
        "HyperParameterTuningJobArn"
    ]
    assert arn == "arn:aws:sagemaker:us-east-1:000000000000:hyper-parameter-tuning-job/search"
    name = {"HyperParameterTuningJobName": "search"}

    def finished() -> dict[str, Any] | None:
        answer: dict[str, Any] = sagemaker.describe_hyper_parameter_tuning_job(**name)
        return answer if answer["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping") else None

    job = wait_for(finished)
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 2, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0
    }  # fmt: skip
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 0}
    trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        **name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["TrainingJobSummaries"]
    values = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in trials]
    assert values == sorted(values, reverse=True)
    assert job["BestTrainingJob"]["TrainingJobName"] == trials[0]["TrainingJobName"]
    level = float(job["BestTrainingJob"]["TunedHyperParameters"]["level"])
    assert values[0] == pytest.approx(1 - (level - 0.5) ** 2, abs=1e-5)
    described = sagemaker.describe_training_job(TrainingJobName=trials[0]["TrainingJobName"])
    assert described["TuningJobArn"] == arn
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 2
    with pytest.raises(ClientError, match="rejected because the hyperparameter tuning job is in status Completed"):
        sagemaker.stop_hyper_parameter_tuning_job(**name)


def several_definitions(request: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The same search with its objective and its ranges in each of the definitions."""
    definition = request.pop("TrainingJobDefinition")
    config = request["HyperParameterTuningJobConfig"]
    definition["TuningObjective"] = config.pop("HyperParameterTuningJobObjective")
    definition["HyperParameterRanges"] = config.pop("ParameterRanges")
    return {**request, "TrainingJobDefinitions": [{**definition, "DefinitionName": name} for name in names]}


def test_one_definition_may_come_in_a_list(sagemaker: Any, tuning_request: Request, script: Pack) -> None:
    request = several_definitions(tuning_request("search", script(SCORE)), ["only"])
    sagemaker.create_hyper_parameter_tuning_job(**request)
    name = {"HyperParameterTuningJobName": "search"}
    wait_for(
        lambda: sagemaker.describe_hyper_parameter_tuning_job(**name)["HyperParameterTuningJobStatus"] == "Completed"
    )
    best = sagemaker.describe_hyper_parameter_tuning_job(**name)["BestTrainingJob"]
    assert best["TrainingJobDefinitionName"] == "only"
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["MetricName"] == "score"


def test_several_definitions_are_refused(empty_sagemaker: Any, tuning_request: Request) -> None:
    request = several_definitions(tuning_request("search"), ["one", "two"])
    with pytest.raises(ClientError, match=r"ValidationException.*more than one entry in TrainingJobDefinitions"):
        empty_sagemaker.create_hyper_parameter_tuning_job(**request)


def test_a_search_that_is_stopped_stops_its_trials(sagemaker: Any, tuning_request: Request, script: Pack) -> None:
    sagemaker.create_hyper_parameter_tuning_job(**tuning_request("search", script("import time; time.sleep(60)")))
    name = {"HyperParameterTuningJobName": "search"}
    wait_for(lambda: sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(**name)["TrainingJobSummaries"])
    sagemaker.stop_hyper_parameter_tuning_job(**name)
    wait_for(
        lambda: sagemaker.describe_hyper_parameter_tuning_job(**name)["HyperParameterTuningJobStatus"] == "Stopped"
    )
    counters = sagemaker.describe_hyper_parameter_tuning_job(**name)["TrainingJobStatusCounters"]
    assert counters["InProgress"] == 0
    assert counters["Stopped"] >= 1


def test_a_name_is_used_once(sagemaker: Any, tuning_request: Request, script: Pack) -> None:
    request = tuning_request("search", script(SCORE))
    sagemaker.create_hyper_parameter_tuning_job(**request)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="must be unique"):
        sagemaker.create_hyper_parameter_tuning_job(**request)
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")


def test_a_training_job_of_the_same_name_is_in_the_way(
    sagemaker: Any, tuning_request: Request, training_request: Request, script: Pack
) -> None:
    sagemaker.create_hyper_parameter_tuning_job(**tuning_request("search", script(SCORE)))
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="A tuning job is named search"):
        sagemaker.create_training_job(**training_request("search", script(SCORE)))
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")


@pytest.mark.parametrize(
    "call",
    [
        "describe_hyper_parameter_tuning_job",
        "stop_hyper_parameter_tuning_job",
        "list_training_jobs_for_hyper_parameter_tuning_job",
    ],
)
def test_a_search_that_is_not_there(empty_sagemaker: Any, call: str) -> None:
    with pytest.raises(empty_sagemaker.exceptions.ResourceNotFound, match="Requested resource not found"):
        getattr(empty_sagemaker, call)(HyperParameterTuningJobName="missing")


def continuous(**members: str) -> dict[str, Any]:
    return {"ParameterRanges": {"ContinuousParameterRanges": [{**RANGE, **members}]}}


GRID = {"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "level", "Values": ["1", "2", "3"]}]}}
INTEGERS = {"ParameterRanges": {"IntegerParameterRanges": [{"Name": "level", "MinValue": "1", "MaxValue": "2.5"}]}}
TWICE = {"ParameterRanges": {"ContinuousParameterRanges": [RANGE, RANGE]}}
WARM = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "a"}], "WarmStartType": "TransferLearning"}
CONVERGED = {"TuningJobCompletionCriteria": {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}}
ALGORITHM = {"TrainingImage": "i", "TrainingInputMode": "File"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"HyperParameterTuningJobName": "x" * 33}, "less than or equal to 32"),
        ({"TrainingJobDefinition": None}, "either TrainingJobDefinition or TrainingJobDefinitions"),
        ({"config": {"HyperParameterTuningJobObjective": None}}, "hyperParameterTuningJobObjective' .* not be null"),
        ({"config": {"ParameterRanges": None}}, "parameterRanges' .* not be null"),
        ({"config": {"ParameterRanges": {}}}, "at least one hyperparameter range"),
        ({"definition": {"AlgorithmSpecification": ALGORITHM}}, "A metric is required for this hyperparameter tuning"),
        ({"config": {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "other"}}}, "'other' is"),
        ({"config": continuous(MinValue="1")}, "must be less than MaxValue"),
        ({"config": continuous(MaxValue="much")}, "'much' .* is not a number"),
        ({"config": continuous(MaxValue="inf")}, "must be finite"),
        ({"config": continuous(ScalingType="Logarithmic")}, "MinValue must be above 0"),
        ({"config": continuous(ScalingType="ReverseLogarithmic")}, "reverse logarithmic"),
        ({"config": INTEGERS}, "'2.5' .* is not an integer"),
        ({"config": TWICE}, "more than one range"),
        ({"definition": {"StaticHyperParameters": {"level": "1"}}}, "both tuned and static"),
        ({"config": {"Strategy": "Grid"}}, "categorical hyperparameter ranges only"),
        ({"config": {"Strategy": "Grid", **GRID}}, "grid has 3 combinations"),
        ({"config": {"ResourceLimits": {"MaxParallelTrainingJobs": 1}}}, "MaxNumberOfTrainingJobs is required"),
        ({"config": {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}}, "must be Off"),
        ({"config": {"Strategy": "Simulated"}}, "enum value set: .Bayesian, Random, Hyperband, Grid"),
        ({"WarmStartConfig": WARM}, "does not support WarmStartConfig .leave it out"),
        ({"Autotune": {"Mode": "Enabled"}}, "does not support Autotune"),
        ({"config": CONVERGED}, "does not support .*ConvergenceDetected"),
        ({"config": {"ParameterRanges": {"AutoParameters": [{"Name": "level", "ValueHint": "1"}]}}}, "AutoParameters"),
        ({"definition": {"StoppingCondition": {"MaxRuntimeInSeconds": 9_000_000}}}, "28 days"),
    ],
)  # fmt: skip
def test_what_aws_would_refuse_is_refused(
    empty_sagemaker: Any, tuning_request: Request, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ClientError) as caught:
        empty_sagemaker.create_hyper_parameter_tuning_job(**tuning_request("search", **changes))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    message = caught.value.response["Error"]["Message"]
    assert re.search(complaint, message), message
    assert empty_sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
