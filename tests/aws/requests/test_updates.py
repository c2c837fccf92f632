"""The requests that change what an endpoint serves: what is not changed is kept."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from dogbreed_sdk import ConfigurationError, EndpointError, Rollout
from dogbreed_sdk.aws.requests import updates
from tests.aws.requests.golden import check_golden

VARIANT = {
    "VariantName": "AllTraffic",
    "ModelName": "dogs",
    "InstanceType": "ml.g5.xlarge",
    "InitialInstanceCount": 2,
    "InitialVariantWeight": 1.0,
    "ModelDataDownloadTimeoutInSeconds": 600,
    "ContainerStartupHealthCheckTimeoutInSeconds": 600,
}
# As SageMaker describes them: with ARNs, times and defaults that no request may repeat.
CONFIG: Any = {
    "EndpointConfigName": "dogs",
    "EndpointConfigArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/dogs",
    "ProductionVariants": [VARIANT],
    "DataCaptureConfig": {
        "EnableCapture": False,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://bucket/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    },
    "KmsKeyId": "alias/dogs",
    "AsyncInferenceConfig": {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4},
        "OutputConfig": {"S3OutputPath": "s3://bucket/async", "KmsKeyId": "alias/dogs"},
    },
    "EnableNetworkIsolation": False,
    "CreationTime": None,
    "ResponseMetadata": {},
}
MODEL: Any = {
    "ModelName": "dogs",
    "ModelArn": "arn:aws:sagemaker:eu-west-1:123456789012:model/dogs",
    "PrimaryContainer": {
        "Image": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312",
        "Mode": "SingleModel",
        "ModelDataUrl": "s3://bucket/old/model.tar.gz",
        "ModelDataSource": {
            "S3DataSource": {
                "S3Uri": "s3://bucket/old/model.tar.gz",
                "S3DataType": "S3Object",
                "CompressionType": "Gzip",
            }
        },
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "TOP": "5"},
    },
    "ExecutionRoleArn": "arn:aws:iam::123456789012:role/SageMaker",
    "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    "EnableNetworkIsolation": True,
    "CreationTime": None,
}
TAGS = {"team": "vision", "dogbreed:endpoint": "dogs"}


@pytest.fixture(scope="module")
def members() -> list[str]:
    client = boto3.client("sagemaker", region_name="eu-west-1")
    shape = client.meta.service_model.operation_model("CreateEndpointConfig").input_shape
    assert shape is not None
    return list(shape.members)


def test_a_new_model_keeps_image_network_and_environment() -> None:
    request = updates.changed_model(
        MODEL,
        "dogs-2",
        model_uri="s3://bucket/new/model.tar.gz",
        image_uri=None,
        environment={"TOP": "3"},
        tags=TAGS,
    )
    check_golden("update-model", "CreateModel", request)


def test_a_new_configuration_keeps_all_but_its_variants(members: list[str]) -> None:
    changed = updates.changed_variant(
        CONFIG["ProductionVariants"][0], {"ModelName": "dogs-2", "InstanceType": None, "InitialInstanceCount": 3}
    )
    request = updates.changed_config(CONFIG, "dogs-2", variants=[changed], members=members, tags=TAGS)
    check_golden("update-endpoint-config", "CreateEndpointConfig", request)


def test_a_plain_update_keeps_what_autoscaling_and_weights_changed() -> None:
    check_golden("update-endpoint", "UpdateEndpoint", updates.update("dogs", config_name="dogs-2"))


def test_an_update_with_a_canary_and_alarms() -> None:
    rollout = Rollout("canary", percent=10, wait_seconds=600, keep_old_seconds=120, alarms=["dogs-errors"])
    request = updates.update("dogs", config_name="dogs-2", renewed=["DesiredInstanceCount"], rollout=rollout)
    check_golden("update-endpoint-canary", "UpdateEndpoint", request)


def test_an_update_in_equal_steps() -> None:
    request = updates.update("dogs", config_name="dogs-2", rollout=Rollout("linear", percent=25, wait_seconds=60))
    check_golden("update-endpoint-linear", "UpdateEndpoint", request)


def test_other_weights() -> None:
    request = updates.weights("dogs", {"AllTraffic": 9, "canary": 1})
    check_golden("update-weights", "UpdateEndpointWeightsAndCapacities", request)


def test_a_pipeline_of_containers_is_not_taken_apart() -> None:
    pipeline: Any = {**MODEL, "PrimaryContainer": None, "Containers": [{"Image": "a"}, {"Image": "b"}]}
    with pytest.raises(EndpointError, match="model dogs has 2 containers"):
        updates.image_of(pipeline)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "sudden"}, "kind must be"),
        ({"percent": 51}, "percent must be 1 to 50"),
        ({"kind": "linear", "percent": 5}, "percent must be 10 to 50"),
        ({"wait_seconds": 3601}, "wait_seconds must be 0 to 3600"),
        ({"keep_old_seconds": -1}, "keep_old_seconds must be 0 to 3600"),
        ({"alarms": ["a"] * 11}, "up to 10 alarms"),
    ],
)
def test_rollouts_that_sagemaker_would_refuse(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rollout(**arguments)


def test_a_rollout_may_last_as_long_as_its_waits() -> None:
    assert Rollout("linear", percent=10, wait_seconds=3600).longest_seconds == 28_800
    assert Rollout("all_at_once", percent=99, wait_seconds=0).longest_seconds == 3600
