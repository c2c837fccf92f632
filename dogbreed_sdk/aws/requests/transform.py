"""The request that creates a batch transform job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from dogbreed_sdk.aws.requests.tags import tag_list

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import TransformInstanceTypeType
    from types_boto3_sagemaker.type_defs import (
        CreateTransformJobRequestTypeDef,
        TransformOutputTypeDef,
        TransformResourcesTypeDef,
    )

# API reference, CreateTransformJob: MaxPayloadInMB, and its product with MaxConcurrentTransforms.
MAX_MEGABYTES = 100


def transform_job(
    name: str,
    *,
    model_name: str,
    input_uri: str,
    output_uri: str,
    content_type: str,
    accept: str,
    instance_type: str,
    instance_count: int,
    max_concurrency: int,
    max_payload_mb: int,
    output_key: str | None,
    volume_key: str | None,
    tags: Mapping[str, str],
) -> CreateTransformJobRequestTypeDef:
    """Members of a CreateTransformJob request in which each file below a folder is one record.

    Args:
        name: Name of the job.
        model_name: The model.
        input_uri: The folder with the files; it ends in a slash, so that no other folder begins with it.
        output_uri: The folder for the outputs.
        content_type: Content type of each request to the model.
        accept: Content types of the responses, preferred ones first.
        instance_type: For example ``ml.m5.xlarge``.
        instance_count: Number of instances, which share the files.
        max_concurrency: Requests that are sent to an instance at the same time.
        max_payload_mb: Size of the largest file, in MB.
        output_key: KMS key for the outputs; None for S3's own.
        volume_key: KMS key for the volumes of the instances; None for SageMaker's own.
        tags: Tags for cost reports and clean-up.
    """
    output: TransformOutputTypeDef = {"S3OutputPath": output_uri, "Accept": accept, "AssembleWith": "None"}
    if output_key is not None:
        output["KmsKeyId"] = output_key
    resources: TransformResourcesTypeDef = {
        "InstanceType": cast("TransformInstanceTypeType", instance_type),
        "InstanceCount": instance_count,
    }
    if volume_key is not None:
        resources["VolumeKmsKeyId"] = volume_key
    return {
        "TransformJobName": name,
        "ModelName": model_name,
        "MaxConcurrentTransforms": max_concurrency,
        "MaxPayloadInMB": max_payload_mb,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": input_uri}},
            "ContentType": content_type,
            "SplitType": "None",
        },
        "TransformOutput": output,
        "TransformResources": resources,
        "Tags": tag_list(tags),
    }
