"""Tuning jobs over the API: a real search, its counters and its best trial, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.api.tuning_requests import several_definitions
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
    request = {**tuning_request("search", script(SCORE)), "Tags": [{"Key": "team", "Value": "dogs"}]}
    arn = sagemaker.create_hyper_parameter_tuning_job(**request)["HyperParameterTuningJobArn"]
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
    assert sagemaker.list_tags(ResourceArn=described["TrainingJobArn"])["Tags"] == request["Tags"]
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 2
    with pytest.raises(ClientError, match="rejected because the hyperparameter tuning job is in status Completed"):
        sagemaker.stop_hyper_parameter_tuning_job(**name)


def trials_of(sagemaker: Any, name: str) -> list[dict[str, Any]]:
    list_trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
    return list(list_trials(HyperParameterTuningJobName=name, MaxResults=100)["TrainingJobSummaries"])


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


def test_several_definitions_share_the_training_jobs(
    sagemaker: Any, tuning_request: Request, script: Pack, ended_search: Any
) -> None:
    limits = {"MaxNumberOfTrainingJobs": 5, "MaxParallelTrainingJobs": 2}
    request = several_definitions(
        tuning_request("search", script(SCORE), config={"ResourceLimits": limits}), ["a", "b"]
    )
    first, second = request["TrainingJobDefinitions"]
    second["HyperParameterRanges"] = {"ContinuousParameterRanges": [{**RANGE, "MinValue": "5", "MaxValue": "6"}]}
    second["TuningObjective"] = {"Type": "Maximize", "MetricName": "loss"}
    metrics = [{"Name": "loss", "Regex": "score=([-0-9.]+)"}]
    second["AlgorithmSpecification"] = {**first["AlgorithmSpecification"], "MetricDefinitions": metrics}
    sagemaker.create_hyper_parameter_tuning_job(**request)
    job = ended_search("search")
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 5, "Pending": 0, "Failed": 0}
    trials = trials_of(sagemaker, "search")
    assert sorted(trial["TrainingJobDefinitionName"] for trial in trials) == ["a", "a", "a", "b", "b"]
    for trial in trials:
        level, metric = (
            float(trial["TunedHyperParameters"]["level"]),
            trial["FinalHyperParameterTuningJobObjectiveMetric"],
        )
        assert (5 <= level <= 6) == (trial["TrainingJobDefinitionName"] == "b")
        assert metric["MetricName"] == {"a": "score", "b": "loss"}[trial["TrainingJobDefinitionName"]]
    assert job["BestTrainingJob"]["TrainingJobDefinitionName"] == "a"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"DefinitionName": "one"}, "'one' is used more than once"),
        ({"DefinitionName": None}, "definitionName' .* not be null"),
        ({"TuningObjective": {"Type": "Minimize", "MetricName": "score"}}, "must have the same Type"),
        ({"HyperParameterRanges": {}}, "at least one hyperparameter range"),
        ({"HyperParameterRanges": None}, r"trainingJobDefinitions.2.member.hyperParameterRanges' .* not be null"),
        ({"ResourceConfig": None}, r"trainingJobDefinitions.2.member.resourceConfig' .* not be null"),
    ],
)
def test_definitions_that_do_not_go_together(
    empty_sagemaker: Any, tuning_request: Request, change: dict[str, Any], complaint: str
) -> None:
    request = several_definitions(tuning_request("search"), ["one", "two"])
    changed = {**request["TrainingJobDefinitions"][1], **change}
    request["TrainingJobDefinitions"][1] = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(ClientError, match="ValidationException") as caught:
        empty_sagemaker.create_hyper_parameter_tuning_job(**request)
    assert re.search(complaint, str(caught.value))


def test_what_the_sdk_for_python_sends_and_reads(
    sagemaker: Any, tuning_request: Request, script: Pack, ended_search: Any
) -> None:
    """sagemaker 2's HyperparameterTuner: fit sends HyperParameterTuningResourceConfig, attach reads the rest."""
    resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30, "VolumeKmsKeyId": "key"}
    request = tuning_request("search", script(SCORE), definition={"HyperParameterTuningResourceConfig": resources})
    del request["TrainingJobDefinition"]["ResourceConfig"]
    sagemaker.create_hyper_parameter_tuning_job(**request)
    job = ended_search("search")
    definition, config = job["TrainingJobDefinition"], job["HyperParameterTuningJobConfig"]
    assert definition["ResourceConfig"] == resources
    assert definition["StaticHyperParameters"]["_tuning_objective_metric"] == "score"
    assert config["TrainingJobEarlyStoppingType"] == "Off"
    assert {kind: len(entries) for kind, entries in config["ParameterRanges"].items()} == {
        "IntegerParameterRanges": 0, "ContinuousParameterRanges": 1, "CategoricalParameterRanges": 0
    }  # fmt: skip
    best = sagemaker.describe_training_job(TrainingJobName=job["BestTrainingJob"]["TrainingJobName"])
    assert best["ResourceConfig"] == resources
    assert best["HyperParameters"]["_tuning_objective_metric"] == "score"
    assert best["HyperParameters"]["level"] == job["BestTrainingJob"]["TunedHyperParameters"]["level"]


def test_the_first_of_several_instance_configurations_is_used(
    sagemaker: Any, tuning_request: Request, script: Pack, ended_search: Any
) -> None:
    choices = [
        {"InstanceType": kind, "InstanceCount": 1, "VolumeSizeInGB": 30} for kind in ("ml.m5.xlarge", "ml.c5.xlarge")
    ]
    flexible = {"InstanceConfigs": choices, "AllocationStrategy": "Prioritized"}
    request = tuning_request("search", script(SCORE), definition={"HyperParameterTuningResourceConfig": flexible})
    del request["TrainingJobDefinition"]["ResourceConfig"]
    sagemaker.create_hyper_parameter_tuning_job(**request)
    job = ended_search("search")
    assert job["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] == flexible
    best = sagemaker.describe_training_job(TrainingJobName=job["BestTrainingJob"]["TrainingJobName"])
    assert best["ResourceConfig"] == choices[0]


def test_autotune_chooses_what_the_request_leaves_open(
    sagemaker: Any, tuning_request: Request, script: Pack, ended_search: Any
) -> None:
    hints = {"level": "0.5", "epochs": "8", "optimizer": "adam", "sagemaker_container_log_level": "20"}
    ranges = {"AutoParameters": [{"Name": name, "ValueHint": hint} for name, hint in hints.items()]}
    config = {"ParameterRanges": ranges, "Strategy": "Bayesian"}
    request = tuning_request("search", script(SCORE), config=config, Autotune={"Mode": "Enabled"})
    sagemaker.create_hyper_parameter_tuning_job(**request)
    job = ended_search("search")
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["Autotune"] == {"Mode": "Enabled"}
    chosen = job["HyperParameterTuningJobConfig"]
    continuous, integer = (chosen["ParameterRanges"][f"{kind}ParameterRanges"] for kind in ("Continuous", "Integer"))
    assert [(entry["Name"], entry["MinValue"], entry["MaxValue"]) for entry in integer] == [("epochs", "2", "32")]
    assert [(entry["Name"], entry["MinValue"], entry["MaxValue"]) for entry in continuous] == [
        ("level", "0.0909091", "0.909091")
    ]
    assert chosen["TrainingJobEarlyStoppingType"] == "Auto"
    assert chosen["TuningJobCompletionCriteria"] == {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
    trials = trials_of(sagemaker, "search")
    assert {tuple(sorted(trial["TunedHyperParameters"])) for trial in trials} == {("epochs", "level")}
    used = sagemaker.describe_training_job(TrainingJobName=trials[0]["TrainingJobName"])["HyperParameters"]
    assert (used["optimizer"], used["sagemaker_container_log_level"]) == ("adam", "20")


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


def test_a_name_by_the_minute_is_explained(sagemaker: Any, tuning_request: Request, script: Pack) -> None:
    request = tuning_request("pytorch-training-261130-0255", script(SCORE))
    sagemaker.create_hyper_parameter_tuning_job(**request)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match=r"must be unique .* by the minute.* pass job_name"):
        sagemaker.create_hyper_parameter_tuning_job(**request)
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="pytorch-training-261130-0255")


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
HYPERBAND = {
    "Strategy": "Hyperband", "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 9, "MaxResource": 3}}
}  # fmt: skip
AUTO = {"ParameterRanges": {"AutoParameters": [{"Name": "kind", "ValueHint": "adam"}]}}
ONE_INSTANCE = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
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
        ({"definition": {"StaticHyperParameters": {f"h{n}": "1" for n in range(99)}}}, "has 101 hyperparameters"),
        ({"config": {"Strategy": "Grid"}}, "categorical hyperparameter ranges only"),
        ({"config": {"Strategy": "Grid", **GRID}}, "grid has 3 combinations"),
        ({"config": {"ResourceLimits": {"MaxParallelTrainingJobs": 1}}}, "MaxNumberOfTrainingJobs is required"),
        ({"config": {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}}, "must be Off"),
        ({"config": {"Strategy": "Simulated"}}, "enum value set: .Bayesian, Random, Hyperband, Grid"),
        ({"config": HYPERBAND}, "MinResource 9 must not be greater than MaxResource 3"),
        ({"WarmStartConfig": WARM}, "parent hyperparameter tuning job 'a' does not exist"),
        ({"config": AUTO, "Autotune": {"Mode": "Enabled"}}, "none of AutoParameters has a positive number"),
        ({"config": {"ParameterRanges": {**continuous()["ParameterRanges"], **AUTO["ParameterRanges"]}}}, "Autotune"),
        ({"definition": {"HyperParameterTuningResourceConfig": ONE_INSTANCE}}, "either ResourceConfig or"),
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
