"""The requests that create a model, an endpoint configuration and an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from sagemaker.core.shapes import ContainerDefinition

from dogbreed_sdk.aws.requests import training

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import ProductionVariantInstanceTypeType
    from types_boto3_sagemaker.type_defs import CreateEndpointConfigInputTypeDef, ProductionVariantTypeDef

VARIANT_NAME = "AllTraffic"

# Concurrent invocations of a serverless endpoint; the default quota is 10 per account and region.
SERVERLESS_CONCURRENCY = 5

# What AWS's PyTorch serving container reads (sagemaker-inference toolkit, environment.py): without both, an
# inference.py inside the model artifact is silently ignored.
SERVING_ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}


def model(
    name: str,
    *,
    image_uri: str,
    model_uri: str,
    role_arn: str,
    environment: Mapping[str, str],
    tags: Mapping[str, str],
) -> dict[str, object]:
    """Arguments for ``sagemaker.core.resources.Model.create``."""
    return {
        "model_name": name,
        "primary_container": ContainerDefinition(
            image=image_uri, model_data_url=model_uri, environment={**SERVING_ENVIRONMENT, **environment}
        ),
        "execution_role_arn": role_arn,
        "tags": training.tags(tags),
    }


def endpoint_config(
    name: str,
    *,
    model_name: str,
    instance_type: str,
    instance_count: int,
    serverless_memory_mb: int | None,
    tags: Mapping[str, str],
) -> CreateEndpointConfigInputTypeDef:
    """Members of a CreateEndpointConfig request, for boto3.

    Not for `sagemaker.core`, whose 2.27 spells a serverless variant's MemorySizeInMB so that AWS refuses it.

    Args:
        name: Name of the endpoint configuration.
        model_name: The model that its one production variant serves.
        instance_type: Ignored by a serverless endpoint.
        instance_count: Ignored by a serverless endpoint.
        serverless_memory_mb: 1024 to 6144 in steps of 1024; None makes a real-time endpoint.
        tags: Tags for cost reports and clean-up.
    """
    variant: ProductionVariantTypeDef = {
        "VariantName": VARIANT_NAME,
        "ModelName": model_name,
        "InitialVariantWeight": 1.0,
    }
    if serverless_memory_mb is None:
        variant["InstanceType"] = cast("ProductionVariantInstanceTypeType", instance_type)
        variant["InitialInstanceCount"] = instance_count
    else:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": serverless_memory_mb,
            "MaxConcurrency": SERVERLESS_CONCURRENCY,
        }
    return {
        "EndpointConfigName": name,
        "ProductionVariants": [variant],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def endpoint(name: str, *, config_name: str, tags: Mapping[str, str]) -> dict[str, object]:
    """Arguments for ``sagemaker.core.resources.Endpoint.create``."""
    return {"endpoint_name": name, "endpoint_config_name": config_name, "tags": training.tags(tags)}
