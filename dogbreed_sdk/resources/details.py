"""What a list does not say of a resource: the instances that it pays for, what it uses, when it expires."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import is_missing
from dogbreed_sdk.aws.prices import Use, total_hourly_price
from dogbreed_sdk.resources.discovery import Found

if TYPE_CHECKING:
    from types_boto3_sagemaker import SageMakerClient

# Endpoints in these states have no instances.
_WITHOUT_INSTANCES = {"Failed", "OutOfService", "Deleting"}


@dataclass(frozen=True)
class Details:
    """Facts from the description of a resource.

    Attributes:
        instances: Instance type -> number of instances that are paid for.
        use: What they do.
        unpriced: Whether it pays for something else than instances, whose price is not known.
        uses: Kind and name of the resources that it needs.
        expires_at: When SageMaker itself ends it.
    """

    instances: Mapping[str, int]
    use: Use = "hosting"
    unpriced: bool = False
    uses: frozenset[tuple[str, str]] = frozenset()
    expires_at: datetime | None = None

    def usd_per_hour(self, region: str) -> float | None:
        """The on-demand price; None if it is not known."""
        return None if self.unpriced else total_hourly_price(self.instances.items(), region=region, use=self.use)


NONE = Details({})


def details(client: SageMakerClient, found: Found) -> Details | None:
    """The details of a resource; None if it has been deleted meanwhile."""
    describe = _DESCRIPTIONS.get(found.kind)
    if describe is None:
        return NONE
    try:
        return describe(client, found)
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def _endpoint(client: SageMakerClient, found: Found) -> Details:
    described = client.describe_endpoint(EndpointName=found.name)
    config_name = described["EndpointConfigName"]
    try:
        config: Mapping[str, Any] = client.describe_endpoint_config(EndpointConfigName=config_name)
    except ClientError as error:
        if not is_missing(error):
            raise
        return Details({}, unpriced=found.status not in _WITHOUT_INSTANCES)
    running = {
        variant["VariantName"]: variant
        for variant in [*described.get("ProductionVariants", []), *described.get("ShadowProductionVariants", [])]
    }
    counts: dict[str, int] = {}
    unpriced = False
    for variant in _variants(config):
        current: Mapping[str, Any] = running.get(variant["VariantName"], {})
        if "ServerlessConfig" in variant:
            # Costs nothing while idle, unless capacity is reserved.
            unpriced = unpriced or "ProvisionedConcurrency" in variant["ServerlessConfig"]
        else:
            count = current.get("CurrentInstanceCount", variant.get("InitialInstanceCount", 0))
            kind = variant.get("InstanceType", "")
            counts[kind] = counts.get(kind, 0) + count
    uses = frozenset({("endpoint-config", config_name), *_models(config)})
    if found.status in _WITHOUT_INSTANCES:
        return Details({}, uses=uses)
    return Details(counts, unpriced=unpriced, uses=uses)


def _endpoint_config(client: SageMakerClient, found: Found) -> Details:
    return Details({}, uses=_models(client.describe_endpoint_config(EndpointConfigName=found.name)))


def _variants(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]


def _models(config: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(("model", variant["ModelName"]) for variant in _variants(config) if "ModelName" in variant)


def _training_job(client: SageMakerClient, found: Found) -> Details:
    return Details(_instances(client.describe_training_job(TrainingJobName=found.name)["ResourceConfig"]), "training")


def _warm_pool(client: SageMakerClient, found: Found) -> Details:
    described = client.describe_training_job(TrainingJobName=found.name)
    resources = described["ResourceConfig"]
    kept = timedelta(seconds=resources.get("KeepAlivePeriodInSeconds", 0))
    return Details(_instances(resources), "training", expires_at=described["TrainingEndTime"] + kept)


def _instances(resources: Mapping[str, Any]) -> dict[str, int]:
    groups = resources.get("InstanceGroups") or [resources]
    counts: dict[str, int] = {}
    for group in groups:
        counts[group["InstanceType"]] = counts.get(group["InstanceType"], 0) + group["InstanceCount"]
    return counts


def _transform_job(client: SageMakerClient, found: Found) -> Details:
    described = client.describe_transform_job(TransformJobName=found.name)
    model = frozenset({("model", described["ModelName"])})
    return Details(_instances(described["TransformResources"]), "transform", uses=model)


# Models use nothing, and the training jobs of a tuning job are listed themselves.
_DESCRIPTIONS: Mapping[str, Callable[[SageMakerClient, Found], Details]] = {
    "endpoint": _endpoint,
    "endpoint-config": _endpoint_config,
    "training-job": _training_job,
    "warm-pool": _warm_pool,
    "transform-job": _transform_job,
}
