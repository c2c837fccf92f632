"""Models and endpoint configurations: create, describe, list, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.local.api.common import (
    Context,
    Members,
    Operation,
    first_duplicate,
    request_members,
    require,
    tags_of,
)
from dogbreed_sdk.local.api.described_requests import container_members
from dogbreed_sdk.local.api.listing import ListRequest, Order, page_of
from dogbreed_sdk.local.api.wire import ApiError, validation_error
from dogbreed_sdk.local.states import State
from dogbreed_sdk.local.store import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    AlreadyExists,
    NotFound,
    Record,
    Request,
    resource_arn,
)

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        ContainerDefinitionTypeDef,
        CreateEndpointConfigInputTypeDef,
        CreateModelInputTypeDef,
        DeleteEndpointConfigInputTypeDef,
        DeleteModelInputTypeDef,
        DescribeEndpointConfigInputTypeDef,
        DescribeModelInputTypeDef,
        ProductionVariantUnionTypeDef,
    )


_NOUNS = {MODEL: "model", ENDPOINT_CONFIG: "endpoint configuration", ENDPOINT: "endpoint"}


def create_model(context: Context, request: CreateModelInputTypeDef) -> Members:
    """CreateModel."""
    _check_container(container_of(request))
    return {"ModelArn": create_hosting(context, MODEL, request["ModelName"], request, {}).arn}


def describe_model(context: Context, request: DescribeModelInputTypeDef) -> Members:
    """DescribeModel."""
    record = get_hosting(context, MODEL, request["ModelName"])
    primary, containers = record.request.get("PrimaryContainer"), record.request.get("Containers")
    return {
        "EnableNetworkIsolation": False,
        "DeploymentRecommendation": {"RecommendationStatus": "NOT_APPLICABLE", "RealTimeInferenceRecommendations": []},
        **request_members("DescribeModel", record.request),
        "PrimaryContainer": container_members(primary) if primary else None,
        "Containers": [container_members(container) for container in containers] if containers else None,
        "ModelName": record.name,
        "ModelArn": record.arn,
        "CreationTime": record.created,
    }


def list_models(context: Context, request: ListRequest) -> Members:
    """ListModels."""
    shown, token = page_of(context.store, MODEL, request, Order())
    models = [{"ModelName": r.name, "ModelArn": r.arn, "CreationTime": r.created} for r in shown]
    return {"Models": models, "NextToken": token}


def delete_model(context: Context, request: DeleteModelInputTypeDef) -> Members:
    """DeleteModel: endpoints that run it keep running, as on AWS."""
    return delete_hosting(context, MODEL, request["ModelName"])


def create_endpoint_config(context: Context, request: CreateEndpointConfigInputTypeDef) -> Members:
    """CreateEndpointConfig."""
    if request.get("AsyncInferenceConfig"):
        _check_async(request)
    if request.get("DataCaptureConfig"):
        _check_capture(request)
    variants = request["ProductionVariants"]
    duplicate = first_duplicate([variant["VariantName"] for variant in variants])
    if duplicate is not None:
        raise validation_error(f"Variant name {duplicate!r} is used more than once.")
    for number, variant in enumerate(variants, 1):
        _check_variant(context, variant, f"productionVariants.{number}.member.")
    _check_together(variants)
    record = create_hosting(context, ENDPOINT_CONFIG, request["EndpointConfigName"], request, {})
    return {"EndpointConfigArn": record.arn}


def describe_endpoint_config(context: Context, request: DescribeEndpointConfigInputTypeDef) -> Members:
    """DescribeEndpointConfig."""
    record = get_hosting(context, ENDPOINT_CONFIG, request["EndpointConfigName"])
    members = request_members("DescribeEndpointConfig", record.request)
    variants = [{"InitialVariantWeight": 1.0, **variant} for variant in record.request["ProductionVariants"]]
    return {
        "EnableNetworkIsolation": False,
        **members,
        "EndpointConfigName": record.name,
        "EndpointConfigArn": record.arn,
        "ProductionVariants": variants,
        "CreationTime": record.created,
    }


def list_endpoint_configs(context: Context, request: ListRequest) -> Members:
    """ListEndpointConfigs."""
    shown, token = page_of(context.store, ENDPOINT_CONFIG, request, Order())
    configs = [{"EndpointConfigName": r.name, "EndpointConfigArn": r.arn, "CreationTime": r.created} for r in shown]
    return {"EndpointConfigs": configs, "NextToken": token}


def delete_endpoint_config(context: Context, request: DeleteEndpointConfigInputTypeDef) -> Members:
    """DeleteEndpointConfig: one that an endpoint uses may be deleted, as on AWS."""
    return delete_hosting(context, ENDPOINT_CONFIG, request["EndpointConfigName"])


def container_of(model: CreateModelInputTypeDef) -> ContainerDefinitionTypeDef:
    """The container in a model's create request.

    Raises:
        ApiError: ValidationException if there is not exactly one.
    """
    primary, containers = model.get("PrimaryContainer"), list(model.get("Containers") or [])
    if (primary is None) == (not containers):
        raise validation_error("Give either PrimaryContainer or Containers, and not both.")
    if len(containers) > 1:
        raise validation_error(
            "Local SageMaker runs one container per model: create a model for each container instead of a pipeline."
        )
    # The stubs have another type for containers that AWS returned, which a request may also contain.
    return cast("ContainerDefinitionTypeDef", containers[0] if primary is None else primary)


def get_hosting(context: Context, kind: str, name: str) -> Record:
    """A model, endpoint configuration or endpoint.

    Raises:
        ApiError: ValidationException if it does not exist, as on AWS for these kinds.
    """
    try:
        return context.store.get(kind, name)
    except NotFound:
        raise _not_found(context, kind, name) from None


def create_hosting(context: Context, kind: str, name: str, request: Request, state: State) -> Record:
    """Create the record of a model, endpoint configuration or endpoint with its tags.

    Raises:
        ApiError: ValidationException if the name is taken.
    """
    tags = tags_of(request.get("Tags"))
    try:
        with context.store.transaction():
            record = context.store.create(kind, name, request, state, region=context.region)
            context.store.set_tags(record.arn, tags)
            return record
    except AlreadyExists:
        arn = resource_arn(kind, name, context.region)
        raise validation_error(f'Cannot create already existing {_NOUNS[kind]} "{arn}".') from None


def delete_hosting(context: Context, kind: str, name: str) -> Members:
    """Remove the record of a model, endpoint configuration or endpoint.

    Raises:
        ApiError: ValidationException if it does not exist.
    """
    try:
        context.store.delete(kind, name)
    except NotFound:
        raise _not_found(context, kind, name) from None
    return {}


def _not_found(context: Context, kind: str, name: str) -> ApiError:
    return validation_error(f'Could not find {_NOUNS[kind]} "{resource_arn(kind, name, context.region)}".')


def _check_container(container: ContainerDefinitionTypeDef) -> None:
    if not container.get("Image") and not container.get("ModelPackageName"):
        raise validation_error("A container needs an Image.")
    url = container.get("ModelDataUrl") or _data_source_uri(container)
    if url and url.startswith("file:") and not uri_to_path(url).exists():
        raise validation_error(f"Could not find model data at {url}.")


def _data_source_uri(container: ContainerDefinitionTypeDef) -> str | None:
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    return source["S3Uri"] if source else None


def _check_async(request: CreateEndpointConfigInputTypeDef) -> None:
    output = request["AsyncInferenceConfig"]["OutputConfig"]
    if not output.get("S3OutputPath"):
        raise validation_error("AsyncInferenceConfig.OutputConfig needs an S3OutputPath, where responses are written.")
    for name in ("S3OutputPath", "S3FailurePath"):
        if str(output.get(name, "")).startswith("https:"):
            raise validation_error(f"AsyncInferenceConfig.OutputConfig.{name} must be an s3:// or a file:// URI.")
    if any(variant.get("ServerlessConfig") for variant in request["ProductionVariants"]):
        raise validation_error("An asynchronous endpoint can't be serverless: leave ServerlessConfig out.")


def _check_capture(request: CreateEndpointConfigInputTypeDef) -> None:
    capture = request["DataCaptureConfig"]
    if not capture.get("EnableCapture", True):
        return
    if capture["DestinationS3Uri"].startswith("https:"):
        raise validation_error("DataCaptureConfig.DestinationS3Uri must be an s3:// or a file:// URI.")
    if request.get("AsyncInferenceConfig"):
        raise validation_error(
            "Asynchronous endpoints of local SageMaker capture no data; leave DataCaptureConfig out."
        )


def _check_variant(context: Context, variant: ProductionVariantUnionTypeDef, path: str) -> None:
    require(variant, "ModelName", path=path)
    if not variant.get("ServerlessConfig"):
        require(variant, "InstanceType", "InitialInstanceCount", path=path)
    elif variant.get("InstanceType") or variant.get("InitialInstanceCount"):
        raise validation_error(
            f"Variant {variant['VariantName']!r} is serverless: leave InstanceType and InitialInstanceCount out."
        )
    get_hosting(context, MODEL, variant["ModelName"])


def _check_together(variants: Sequence[ProductionVariantUnionTypeDef]) -> None:
    """Refuse variants that can't be in one endpoint configuration."""
    if len(variants) > 1 and any(variant.get("ServerlessConfig") for variant in variants):
        # Developer guide, "Deploy models with Amazon SageMaker Serverless Inference", feature exclusions.
        raise validation_error("A serverless endpoint has one production variant.")
    if not sum(variant.get("InitialVariantWeight", 1.0) for variant in variants):
        raise validation_error("At least one production variant must have an InitialVariantWeight above 0.")


OPERATIONS: dict[str, Operation] = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "ListModels": list_models,
    "DeleteModel": delete_model,
    "CreateEndpointConfig": create_endpoint_config,
    "DescribeEndpointConfig": describe_endpoint_config,
    "ListEndpointConfigs": list_endpoint_configs,
    "DeleteEndpointConfig": delete_endpoint_config,
}
