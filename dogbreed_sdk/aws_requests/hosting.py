"""The requests that create a model, an endpoint configuration and an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker.core.shapes import ContainerDefinition, ProductionVariant, ProductionVariantServerlessConfig

from dogbreed_sdk.aws_requests import training

VARIANT_NAME = "AllTraffic"

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
) -> dict[str, Any]:
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
) -> dict[str, Any]:
    """Arguments for ``sagemaker.core.resources.EndpointConfig.create``.

    Args:
        name: Name of the endpoint configuration.
        model_name: The model that its one production variant serves.
        instance_type: Ignored by a serverless endpoint.
        instance_count: Ignored by a serverless endpoint.
        serverless_memory_mb: 1024 to 6144 in steps of 1024; None makes a real-time endpoint.
        tags: Tags for cost reports and clean-up.
    """
    if serverless_memory_mb is None:
        variant = ProductionVariant(
            variant_name=VARIANT_NAME,
            model_name=model_name,
            instance_type=instance_type,
            initial_instance_count=instance_count,
            initial_variant_weight=1.0,
        )
    else:
        variant = ProductionVariant(
            variant_name=VARIANT_NAME,
            model_name=model_name,
            initial_variant_weight=1.0,
            serverless_config=ProductionVariantServerlessConfig(
                memory_size_in_mb=serverless_memory_mb, max_concurrency=5
            ),
        )
    return {"endpoint_config_name": name, "production_variants": [variant], "tags": training.tags(tags)}


def endpoint(name: str, *, config_name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Arguments for ``sagemaker.core.resources.Endpoint.create``."""
    return {"endpoint_name": name, "endpoint_config_name": config_name, "tags": training.tags(tags)}
