"""The requests that change what an endpoint serves: another model, other variants, other weights.

Everything that is not changed is copied from what SageMaker describes, so that an update keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from dogbreed_sdk.aws.requests.tags import tag_list
from dogbreed_sdk.errors import ConfigurationError, EndpointError

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import VariantPropertyTypeType
    from types_boto3_sagemaker.type_defs import (
        ContainerDefinitionOutputTypeDef,
        CreateEndpointConfigInputTypeDef,
        CreateModelInputTypeDef,
        DeploymentConfigUnionTypeDef,
        DescribeEndpointConfigOutputTypeDef,
        DescribeModelOutputTypeDef,
        ProductionVariantOutputTypeDef,
        ProductionVariantTypeDef,
        TrafficRoutingConfigTypeDef,
        UpdateEndpointInputTypeDef,
        UpdateEndpointWeightsAndCapacitiesInputTypeDef,
    )

RolloutKind = Literal["all_at_once", "canary", "linear"]

# API reference, BlueGreenUpdatePolicy, TrafficRoutingConfig and AutoRollbackConfig.
_LONGEST_WAIT_SECONDS = 3600
_LARGEST_CANARY_PERCENT = 50
_LINEAR_PERCENT = (10, 50)
_MOST_ALARMS = 10
_MAXIMUM_EXECUTION_SECONDS = (600, 28_800)
# How long SageMaker may take to start the new instances, beside the waits: its own advice for large models is an hour.
_START_SECONDS = 3600


@dataclass(frozen=True)
class Rollout:
    """How SageMaker moves requests to the new model while it updates an endpoint; local SageMaker moves them at once.

    Attributes:
        kind: "canary" first moves a part of the requests, and all others after a wait; "linear" moves equal parts with
            a wait after each; "all_at_once" moves all, and waits before it removes the old instances.
        percent: The part, in percent of the capacity: 1 to 50 for "canary", 10 to 50 for "linear".
        wait_seconds: The wait, at most an hour. An alarm in this time brings the old model back.
        keep_old_seconds: Seconds that the old instances are kept after the last wait.
        alarms: Names of up to 10 CloudWatch alarms, for instance on the endpoint's errors.

    Raises:
        ConfigurationError: A number is out of range.

    Examples:
        >>> rollout = Rollout("linear", percent=20, wait_seconds=120, alarms=["dog-breeds-errors"])
        >>> rollout.longest_seconds
        4200
    """

    kind: RolloutKind = "canary"
    _: KW_ONLY
    percent: int = 10
    wait_seconds: int = 300
    keep_old_seconds: int = 0
    alarms: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "alarms", tuple(self.alarms))
        least, most = (1, _LARGEST_CANARY_PERCENT) if self.kind == "canary" else _LINEAR_PERCENT
        if self.kind not in ("all_at_once", "canary", "linear"):
            raise ConfigurationError(f'kind must be "all_at_once", "canary" or "linear", not {self.kind!r}.')
        if self.kind != "all_at_once" and not least <= self.percent <= most:
            raise ConfigurationError(f"percent must be {least} to {most} for kind={self.kind!r}, not {self.percent}.")
        for name in ("wait_seconds", "keep_old_seconds"):
            if not 0 <= getattr(self, name) <= _LONGEST_WAIT_SECONDS:
                raise ConfigurationError(f"{name} must be 0 to {_LONGEST_WAIT_SECONDS}, not {getattr(self, name)}.")
        if len(self.alarms) > _MOST_ALARMS:
            raise ConfigurationError(f"alarms may name up to {_MOST_ALARMS} alarms, not {len(self.alarms)}.")

    @property
    def longest_seconds(self) -> int:
        """How long SageMaker may take; longer updates are rolled back."""
        steps = -(-100 // self.percent) if self.kind == "linear" else 2
        least, most = _MAXIMUM_EXECUTION_SECONDS
        return min(max(steps * self.wait_seconds + self.keep_old_seconds + _START_SECONDS, least), most)


def deployment_config(rollout: Rollout) -> DeploymentConfigUnionTypeDef:
    """The member DeploymentConfig of an UpdateEndpoint request."""
    kinds: dict[RolloutKind, Literal["ALL_AT_ONCE", "CANARY", "LINEAR"]] = {
        "all_at_once": "ALL_AT_ONCE",
        "canary": "CANARY",
        "linear": "LINEAR",
    }
    routing: TrafficRoutingConfigTypeDef = {
        "Type": kinds[rollout.kind],
        "WaitIntervalInSeconds": rollout.wait_seconds,
    }
    if rollout.kind == "canary":
        routing["CanarySize"] = {"Type": "CAPACITY_PERCENT", "Value": rollout.percent}
    elif rollout.kind == "linear":
        routing["LinearStepSize"] = {"Type": "CAPACITY_PERCENT", "Value": rollout.percent}
    config: DeploymentConfigUnionTypeDef = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": rollout.keep_old_seconds,
            "MaximumExecutionTimeoutInSeconds": rollout.longest_seconds,
        }
    }
    if rollout.alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in rollout.alarms]}
    return config


def changed_model(
    described: DescribeModelOutputTypeDef,
    name: str,
    *,
    model_uri: str,
    image_uri: str | None,
    environment: Mapping[str, str],
    tags: Mapping[str, str],
) -> CreateModelInputTypeDef:
    """The members of a CreateModel request for a model like another one, with other weights.

    Args:
        described: The other one.
        name: Name of the new model.
        model_uri: URI of its ``model.tar.gz``.
        image_uri: Its serving image; None keeps the other's.
        environment: Environment variables that are added, or replace the other's.
        tags: Tags for cost reports and clean-up.

    Raises:
        EndpointError: The other one is a pipeline of several containers.
    """
    before = _container(described)
    container: dict[str, Any] = {key: value for key, value in before.items() if key != "ModelDataSource"}
    container["ModelDataUrl"] = model_uri
    container["Environment"] = {**before.get("Environment", {}), **environment}
    if image_uri is not None:
        container["Image"] = image_uri
    request = {
        "ModelName": name,
        "PrimaryContainer": container,
        "ExecutionRoleArn": described.get("ExecutionRoleArn"),
        "VpcConfig": described.get("VpcConfig"),
        "EnableNetworkIsolation": described.get("EnableNetworkIsolation"),
        "Tags": tag_list(tags),
    }
    return cast("CreateModelInputTypeDef", {key: value for key, value in request.items() if value})


def image_of(described: DescribeModelOutputTypeDef) -> str:
    """A model's serving image.

    Raises:
        EndpointError: It is a pipeline of several containers.
    """
    return _container(described).get("Image", "")


def changed_config(
    described: DescribeEndpointConfigOutputTypeDef,
    name: str,
    *,
    variants: Sequence[ProductionVariantTypeDef],
    members: Collection[str],
    tags: Mapping[str, str],
) -> CreateEndpointConfigInputTypeDef:
    """The members of a CreateEndpointConfig request for a configuration like another one, with other variants.

    Args:
        described: The other one.
        name: Name of the new configuration.
        variants: Its production variants.
        members: The members that the request can have: what SageMaker describes beside these is not repeated.
        tags: Tags for cost reports and clean-up.
    """
    kept = {key: value for key, value in described.items() if key in members and value}
    return cast(
        "CreateEndpointConfigInputTypeDef",
        {**kept, "EndpointConfigName": name, "ProductionVariants": list(variants), "Tags": tag_list(tags)},
    )


def changed_variant(
    described: ProductionVariantOutputTypeDef, changes: Mapping[str, object]
) -> ProductionVariantTypeDef:
    """A production variant like another one; members whose new value is None stay as they are."""
    given = {key: value for key, value in changes.items() if value is not None}
    return cast("ProductionVariantTypeDef", {**described, **given})


def update(
    endpoint_name: str,
    *,
    config_name: str,
    renewed: Sequence[VariantPropertyTypeType] = (),
    rollout: Rollout | None = None,
) -> UpdateEndpointInputTypeDef:
    """The members of an UpdateEndpoint request.

    Args:
        endpoint_name: Name of the endpoint.
        config_name: Name of its new configuration.
        renewed: The properties that are taken from the new configuration. Others stay as they are now, which may
            differ from both configurations: autoscaling changes the number of instances, `weights` the weights.
        rollout: How requests move to the new model; None: all at once.
    """
    request: UpdateEndpointInputTypeDef = {
        "EndpointName": endpoint_name,
        "EndpointConfigName": config_name,
        "RetainAllVariantProperties": True,
    }
    if renewed:
        request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": each} for each in renewed]
    if rollout is not None:
        request["DeploymentConfig"] = deployment_config(rollout)
    return request


def weights(endpoint_name: str, wanted: Mapping[str, float]) -> UpdateEndpointWeightsAndCapacitiesInputTypeDef:
    """The members of an UpdateEndpointWeightsAndCapacities request.

    Args:
        endpoint_name: Name of the endpoint.
        wanted: The new weights by variant.
    """
    return {
        "EndpointName": endpoint_name,
        "DesiredWeightsAndCapacities": [
            {"VariantName": name, "DesiredWeight": float(weight)} for name, weight in wanted.items()
        ],
    }


def _container(described: DescribeModelOutputTypeDef) -> ContainerDefinitionOutputTypeDef:
    containers = [described["PrimaryContainer"]] if described.get("PrimaryContainer") else described.get("Containers")
    if not containers or len(containers) != 1:
        raise EndpointError(
            f"The model {described['ModelName']} has {len(containers or ())} containers, and only a model with one "
            "can be updated. Deploy a new endpoint instead."
        )
    return containers[0]
