"""Describe answers have the members that AWS adds to a request; the expected ones are those of published answers."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import TRAINING_JOB

OUT = "s3://bucket/output"
# What sagemaker 2 sends for an estimator with one channel and a metric, and what AWS adds to it (May 2025).
SENT: dict[str, Any] = {
    "AlgorithmSpecification": {
        "TrainingImage": "image",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "b", "Regex": "b=(.*)"}, {"Name": "a", "Regex": "a=(.*)"}],
    },
    "OutputDataConfig": {"S3OutputPath": OUT},
    "RoleArn": "arn:aws:iam::000000000000:role/local",
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/train"}},
        }
    ],
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    "DebugHookConfig": {"S3OutputPath": OUT},
    "ProfilerConfig": {"S3OutputPath": OUT},
    "ProfilerRuleConfigurations": [{"RuleConfigurationName": "ProfilerReport", "RuleEvaluatorImage": "rules"}],
}
DESCRIBED = {
    "AlgorithmSpecification": {**SENT["AlgorithmSpecification"], "EnableSageMakerMetricsTimeSeries": False},
    "OutputDataConfig": {"KmsKeyId": "", "S3OutputPath": OUT, "CompressionType": "GZIP"},
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": "s3://bucket/train",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
            "CompressionType": "None",
            "RecordWrapperType": "None",
        }
    ],
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
    "DebugHookConfig": {"S3OutputPath": OUT, "CollectionConfigurations": []},
    "ProfilerConfig": {"S3OutputPath": OUT, "ProfilingIntervalInMilliseconds": 500, "DisableProfiler": False},
    "ProfilerRuleConfigurations": [
        {"RuleConfigurationName": "ProfilerReport", "RuleEvaluatorImage": "rules", "VolumeSizeInGB": 0}
    ],
    "ProfilingStatus": "Enabled",
}


def described_job(sagemaker: Any, store: Store, **changes: Any) -> dict[str, Any]:
    now = time.time()
    transition = {"status": "Completed", "start": now, "end": now, "message": "done"}
    metrics = {"a": {"value": 1.0, "time": now}, "b": {"value": 2.0, "time": now}}
    state: Any = {
        "status": "Completed",
        "secondary": "Completed",
        "transitions": [transition],
        "ended": now,
        "metrics": metrics,
    }
    request = {**SENT, "TrainingJobName": "dogs", **changes}
    store.create(TRAINING_JOB, "dogs", {name: value for name, value in request.items() if value is not None}, state)
    answer: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName="dogs")
    return answer


def test_a_training_job_has_the_members_that_aws_adds(sagemaker: Any, store: Store) -> None:
    job = described_job(sagemaker, store)
    assert {name: job.get(name) for name in {**SENT, **DESCRIBED}} == {**SENT, **DESCRIBED}


def test_final_metrics_come_in_the_order_of_their_definitions(sagemaker: Any, store: Store) -> None:
    metrics = described_job(sagemaker, store)["FinalMetricDataList"]
    assert [metric["MetricName"] for metric in metrics] == ["b", "a"]


@pytest.mark.parametrize("profiler", [None, {"DisableProfiler": True}])
def test_without_the_profiler_its_status_is_disabled(
    sagemaker: Any, store: Store, profiler: dict[str, Any] | None
) -> None:
    job = described_job(sagemaker, store, ProfilerConfig=profiler, DebugHookConfig=None, InputDataConfig=None)
    assert (job["ProfilingStatus"], job.get("ProfilerConfig")) == ("Disabled", profiler)
    assert not {"DebugHookConfig", "InputDataConfig"} & set(job)


def test_what_the_caller_set_stays(sagemaker: Any, store: Store) -> None:
    output = {"S3OutputPath": OUT, "KmsKeyId": "key", "CompressionType": "NONE"}
    job = described_job(sagemaker, store, OutputDataConfig=output, EnableNetworkIsolation=True)
    assert job["OutputDataConfig"] == output
    assert job["EnableNetworkIsolation"] is True


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("s3://bucket/model.tar.gz", {"S3DataType": "S3Object", "CompressionType": "Gzip"}),
        ("s3://bucket/model/", {"S3DataType": "S3Prefix", "CompressionType": "None"}),
    ],
)
def test_a_model_has_the_members_that_aws_adds(sagemaker: Any, url: str, source: dict[str, str]) -> None:
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "i", "ModelDataUrl": url})
    model = sagemaker.describe_model(ModelName="m")
    assert model["PrimaryContainer"] == {
        "Image": "i",
        "Mode": "SingleModel",
        "ModelDataUrl": url,
        "ModelDataSource": {"S3DataSource": {"S3Uri": url, **source}},
        "Environment": {},
    }
    assert model["EnableNetworkIsolation"] is False
    assert model["DeploymentRecommendation"]["RecommendationStatus"] == "NOT_APPLICABLE"
    assert "Containers" not in model


def test_a_model_of_a_list_of_containers_stays_one(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="m", Containers=[{"Image": "i", "Environment": {"A": "1"}}])
    model = sagemaker.describe_model(ModelName="m")
    assert model["Containers"] == [{"Image": "i", "Mode": "SingleModel", "Environment": {"A": "1"}}]
    assert "PrimaryContainer" not in model


def test_an_endpoint_configuration_has_the_members_that_aws_adds(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "i"})
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    config = sagemaker.describe_endpoint_config(EndpointConfigName="c")
    assert config["ProductionVariants"] == [{**variant, "InitialVariantWeight": 1.0}]
    assert config["EnableNetworkIsolation"] is False
