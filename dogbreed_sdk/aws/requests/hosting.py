"""The requests that create a model, an endpoint configuration and an endpoint, as boto3 takes them.

Not as `sagemaker.core` takes them, whose 2.27 spells a serverless variant's MemorySizeInMB so that AWS refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

from dogbreed_sdk.aws.requests.tags import tag_list
from training_scripts.data import limits

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import AsyncNotificationTopicTypesType, ProductionVariantInstanceTypeType
    from types_boto3_sagemaker.type_defs import (
        AsyncInferenceConfigTypeDef,
        AsyncInferenceNotificationConfigTypeDef,
        AsyncInferenceOutputConfigTypeDef,
        CaptureOptionTypeDef,
        CreateEndpointConfigInputTypeDef,
        CreateEndpointInputTypeDef,
        CreateModelInputTypeDef,
        DataCaptureConfigTypeDef,
        ProductionVariantTypeDef,
    )

    from dogbreed_sdk.aws.vpc import Vpc

VARIANT_NAME = "AllTraffic"

# What AWS's PyTorch serving container reads. Without the first two, an inference.py inside the model artifact is
# silently ignored (sagemaker-inference toolkit, environment.py). TorchServe refuses requests above 6.5 MB, a quarter of
# what SageMaker passes on, unless its own variable says otherwise (pytorch/serve, docs/configuration.md).
SERVING_ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "TS_MAX_REQUEST_SIZE": str(limits.MAX_REALTIME_REQUEST_BYTES),
}

# Bodies that are captured as text; all others are captured in base 64. The pattern of JsonContentTypes (API reference,
# CaptureContentTypeHeader) has no "+", so that types such as application/vnd.dogbreed+json cannot be listed.
CAPTURED_AS_JSON = ("application/json",)

Captured = Literal["input", "output"]
Outcome = Literal["success", "error"]


def model(
    name: str,
    *,
    image_uri: str,
    model_uri: str,
    role_arn: str,
    environment: Mapping[str, str],
    vpc: Vpc | None = None,
    network_isolation: bool = False,
    tags: Mapping[str, str],
) -> CreateModelInputTypeDef:
    """Members of a CreateModel request.

    Args:
        name: Name of the model.
        image_uri: The serving image.
        model_uri: URI of the ``model.tar.gz``.
        role_arn: Role with which SageMaker reads both.
        environment: Environment variables of the container, beside `SERVING_ENVIRONMENT`.
        vpc: The network of the container; None for SageMaker's own.
        network_isolation: Whether the container is cut off from all networks.
        tags: Tags for cost reports and clean-up.
    """
    request: CreateModelInputTypeDef = {
        "ModelName": name,
        "PrimaryContainer": {
            "Image": image_uri,
            "ModelDataUrl": model_uri,
            "Environment": {**SERVING_ENVIRONMENT, **environment},
        },
        "ExecutionRoleArn": role_arn,
        "Tags": tag_list(tags),
    }
    if vpc is not None:
        request["VpcConfig"] = vpc.as_request()
    if network_isolation:
        request["EnableNetworkIsolation"] = True
    return request


def instance_variant(
    model_name: str,
    *,
    instance_type: str,
    instance_count: int,
    volume_size_gb: int | None = None,
    download_timeout: int | None = None,
    startup_timeout: int | None = None,
    name: str = VARIANT_NAME,
    weight: float = 1.0,
) -> ProductionVariantTypeDef:
    """A production variant that runs on instances.

    Args:
        model_name: The model that it serves.
        instance_type: For example ``ml.m5.large``.
        instance_count: Number of instances.
        volume_size_gb: Size of each instance's volume, in GB; None for SageMaker's default.
        download_timeout: Seconds for downloading and unpacking the model; None for SageMaker's default.
        startup_timeout: Seconds until the container must answer /ping; None for SageMaker's default.
        name: Name of the variant.
        weight: Its share of the traffic, relative to the weights of the other variants.
    """
    variant: ProductionVariantTypeDef = {
        "VariantName": name,
        "ModelName": model_name,
        "InitialVariantWeight": weight,
        "InstanceType": cast("ProductionVariantInstanceTypeType", instance_type),
        "InitialInstanceCount": instance_count,
    }
    if volume_size_gb is not None:
        variant["VolumeSizeInGB"] = volume_size_gb
    if download_timeout is not None:
        variant["ModelDataDownloadTimeoutInSeconds"] = download_timeout
    if startup_timeout is not None:
        variant["ContainerStartupHealthCheckTimeoutInSeconds"] = startup_timeout
    return variant


def serverless_variant(
    model_name: str, *, memory_mb: int, max_concurrency: int, provisioned_concurrency: int | None = None
) -> ProductionVariantTypeDef:
    """The one production variant of a serverless endpoint.

    Args:
        model_name: The model that it serves.
        memory_mb: 1024 to 6144 in steps of 1024.
        max_concurrency: Requests that are processed at the same time; further ones are throttled.
        provisioned_concurrency: The part of them for which containers are kept warm, and paid for; None for none.
    """
    variant: ProductionVariantTypeDef = {
        "VariantName": VARIANT_NAME,
        "ModelName": model_name,
        "InitialVariantWeight": 1.0,
        "ServerlessConfig": {"MemorySizeInMB": memory_mb, "MaxConcurrency": max_concurrency},
    }
    if provisioned_concurrency is not None:
        variant["ServerlessConfig"]["ProvisionedConcurrency"] = provisioned_concurrency
    return variant


def asynchronous(
    *,
    output_uri: str,
    failure_uri: str,
    kms_key: str | None = None,
    max_concurrent_invocations: int | None = None,
    success_topic: str | None = None,
    error_topic: str | None = None,
    response_in: Sequence[Outcome] = (),
) -> AsyncInferenceConfigTypeDef:
    """The member AsyncInferenceConfig of a CreateEndpointConfig request.

    Args:
        output_uri: Folder for responses.
        failure_uri: Folder for the reasons of failures.
        kms_key: Key with which SageMaker encrypts responses; None for S3's own.
        max_concurrent_invocations: Requests that an instance processes at the same time; None lets SageMaker choose.
        success_topic: ARN of the SNS topic that is told of responses.
        error_topic: ARN of the SNS topic that is told of failures.
        response_in: The notifications that include the response.
    """
    output: AsyncInferenceOutputConfigTypeDef = {"S3OutputPath": output_uri, "S3FailurePath": failure_uri}
    if kms_key is not None:
        output["KmsKeyId"] = kms_key
    topics: AsyncInferenceNotificationConfigTypeDef = {}
    if success_topic is not None:
        topics["SuccessTopic"] = success_topic
    if error_topic is not None:
        topics["ErrorTopic"] = error_topic
    if response_in:
        names: dict[Outcome, AsyncNotificationTopicTypesType] = {
            "success": "SUCCESS_NOTIFICATION_TOPIC",
            "error": "ERROR_NOTIFICATION_TOPIC",
        }
        topics["IncludeInferenceResponseIn"] = [names[each] for each in response_in]
    if topics:
        output["NotificationConfig"] = topics
    config: AsyncInferenceConfigTypeDef = {"OutputConfig": output}
    if max_concurrent_invocations is not None:
        config["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": max_concurrent_invocations}
    return config


def data_capture(
    *, uri: str, percentage: int, captured: Sequence[Captured], kms_key: str | None = None
) -> DataCaptureConfigTypeDef:
    """The member DataCaptureConfig of a CreateEndpointConfig request.

    Args:
        uri: Folder for the captured requests and responses.
        percentage: Share of the requests that is captured, 0 to 100.
        captured: What is captured of each request.
        kms_key: Key with which SageMaker encrypts the files; None for S3's own.
    """
    modes: dict[Captured, CaptureOptionTypeDef] = {
        "input": {"CaptureMode": "Input"},
        "output": {"CaptureMode": "Output"},
    }
    config: DataCaptureConfigTypeDef = {
        "EnableCapture": True,
        "InitialSamplingPercentage": percentage,
        "DestinationS3Uri": uri,
        "CaptureOptions": [modes[each] for each in captured],
        "CaptureContentTypeHeader": {"JsonContentTypes": list(CAPTURED_AS_JSON)},
    }
    if kms_key is not None:
        config["KmsKeyId"] = kms_key
    return config


def endpoint_config(
    name: str,
    *,
    variants: Sequence[ProductionVariantTypeDef],
    asynchronous: AsyncInferenceConfigTypeDef | None = None,
    data_capture: DataCaptureConfigTypeDef | None = None,
    kms_key: str | None = None,
    tags: Mapping[str, str],
) -> CreateEndpointConfigInputTypeDef:
    """Members of a CreateEndpointConfig request.

    Args:
        name: Name of the endpoint configuration.
        variants: Its production variants.
        asynchronous: Makes the endpoint asynchronous.
        data_capture: What is captured of requests and responses; None for nothing.
        kms_key: Key for the volumes of the instances; for a serverless endpoint, for the copy of the image.
        tags: Tags for cost reports and clean-up.
    """
    request: CreateEndpointConfigInputTypeDef = {
        "EndpointConfigName": name,
        "ProductionVariants": list(variants),
        "Tags": tag_list(tags),
    }
    if asynchronous is not None:
        request["AsyncInferenceConfig"] = asynchronous
    if data_capture is not None:
        request["DataCaptureConfig"] = data_capture
    if kms_key is not None:
        request["KmsKeyId"] = kms_key
    return request


def endpoint(name: str, *, config_name: str, tags: Mapping[str, str]) -> CreateEndpointInputTypeDef:
    """Members of a CreateEndpoint request."""
    return {"EndpointName": name, "EndpointConfigName": config_name, "Tags": tag_list(tags)}
