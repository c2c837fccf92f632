"""Sets up and removes the autoscaling of an endpoint's production variants."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import autoscaling as requests
from dogbreed_sdk.aws.requests.tags import AUTOSCALED, tag_list
from dogbreed_sdk.endpoints.deletion import attempt_all, undone_after_an_error
from dogbreed_sdk.endpoints.kinds import Serverless
from dogbreed_sdk.endpoints.status import describe
from dogbreed_sdk.endpoints.tags import inherited_tags, resource_tags
from dogbreed_sdk.errors import AccessError, ConfigurationError, DogBreedError, EndpointError

if TYPE_CHECKING:
    from types_boto3_application_autoscaling.literals import ScalableDimensionType
    from types_boto3_application_autoscaling.type_defs import RegisterScalableTargetRequestTypeDef
    from types_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

    from dogbreed_sdk.aws.requests.autoscaling import Autoscaling
    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")

# The tag of an endpoint has the name of each scaled variant and what of it is scaled, without this beginning:
# "AllTraffic:DesiredInstanceCount".
_PREFIX = "sagemaker:variant:"


def apply(session: Session, endpoint_name: str, autoscaling: Autoscaling, *, variant: str | None = None) -> None:
    """Lets Application Auto Scaling change a variant's number of instances; replaces what was set up before.

    On local SageMaker this has no effect, and a warning says so.

    Args:
        session: The session that the endpoint belongs to.
        endpoint_name: Name of the endpoint, which is in service.
        autoscaling: The limits and the target.
        variant: Name of the variant. Default: the first one.

    Raises:
        EndpointNotFoundError: The endpoint does not exist.
        ConfigurationError: The target is not for this kind of endpoint, or the variant is unknown.
        EndpointError: AWS refused; nothing was set up.
    """
    described = describe(session, endpoint_name)
    names = [each["VariantName"] for each in described.get("ProductionVariants", ())]
    variant = names[0] if variant is None and names else variant
    if variant is None or variant not in names:
        raise ConfigurationError(f"Endpoint {endpoint_name} has no variant {variant}; its variants are {names}.")
    _check_kind(described, variant, autoscaling)
    if session.is_local:
        logger.warning(
            "Local SageMaker has one model server per variant: the autoscaling of endpoint %s has no effect here.",
            endpoint_name,
        )
        return
    target = requests.scalable_target(
        autoscaling, endpoint=endpoint_name, variant=variant, tags=inherited_tags(session, described)
    )
    scaled = target["ScalableDimension"]
    with (
        undone_after_an_error(f"the autoscaling of endpoint {endpoint_name}") as undo,
        translated(f"set up the autoscaling of endpoint {endpoint_name}", otherwise=EndpointError),
    ):
        # First of all: from the tag, `remove` knows that there is something to remove.
        arn = described["EndpointArn"]
        before = _scaled_variants(_tags(session, arn))
        _remember(session, arn, {**before, variant: scaled.removeprefix(_PREFIX)})
        undo.append(partial(_remember, session, arn, before))
        try:
            is_new = _register(session, target)
        except (ClientError, EndpointConnectionError, ConnectTimeoutError) as error:
            if not _is_refusal(error):
                undo.append(partial(_deregister, session, endpoint_name, variant, scaled))
            raise
        undo.append(partial(_deregister, session, endpoint_name, variant, scaled))
        if not is_new:
            undo.clear()  # what was set up before stays if the change fails
        policy = requests.scaling_policy(autoscaling, endpoint=endpoint_name, variant=variant)
        session.client("application-autoscaling").put_scaling_policy(**policy)
        if autoscaling.min_instances == 0:
            if is_new:
                undo.append(partial(_delete_wake_alarm, session, endpoint_name, variant))
            _set_up_waking(session, endpoint_name, variant, autoscaling, target.get("Tags", {}))
        elif not is_new:
            _delete_wake_alarm(session, endpoint_name, variant)  # an earlier one


def _is_refusal(error: ClientError | EndpointConnectionError | ConnectTimeoutError) -> bool:
    """Whether a request has certainly changed nothing: it was refused, or did not get there."""
    if not isinstance(error, ClientError):
        return True
    return error.response["ResponseMetadata"]["HTTPStatusCode"] < HTTPStatus.INTERNAL_SERVER_ERROR


def _remember(session: Session, arn: str, scaled: Mapping[str, str]) -> None:
    """Writes the endpoint's tag about its scaled variants.

    Raises:
        EndpointError: AWS refused.
        AccessError: A permission is missing.
    """
    with translated("change the tags of an endpoint", otherwise=EndpointError):
        if scaled:
            session.client("sagemaker").add_tags(ResourceArn=arn, Tags=tag_list(_as_tag(scaled)))
        else:
            session.client("sagemaker").delete_tags(ResourceArn=arn, TagKeys=[AUTOSCALED])


def _register(session: Session, target: RegisterScalableTargetRequestTypeDef) -> bool:
    """Registers a scalable target, or changes the limits of one that exists; returns whether it is new.

    Application Auto Scaling takes tags for a new target only, and refuses to change an existing one with them.
    """
    client = session.client("application-autoscaling")
    try:
        client.register_scalable_target(**target)
    except ClientError as error:
        if "already exists" not in str(error):
            raise
    else:
        return True
    tags = target.pop("Tags", {})
    client.tag_resource(ResourceARN=client.register_scalable_target(**target)["ScalableTargetARN"], Tags=tags)
    target["Tags"] = tags
    return False


def remove(session: Session, endpoint_name: str, tags: Mapping[str, str]) -> list[DogBreedError]:
    """Removes the autoscaling of an endpoint's variants, if its tags say that there is some; returns the errors.

    Args:
        session: The session that the endpoint belongs to.
        endpoint_name: Name of the endpoint.
        tags: Its tags.
    """
    return attempt_all(
        partial(deregister, session, endpoint_name, variant, cast("ScalableDimensionType", _PREFIX + dimension))
        for variant, dimension in _scaled_variants(tags).items()
    )


def _scaled_variants(tags: Mapping[str, str]) -> dict[str, str]:
    """Variant -> what of it is scaled, as the endpoint's tags say."""
    parted = (entry.partition(":") for entry in tags.get(AUTOSCALED, "").split())
    return {variant: dimension for variant, _, dimension in parted if dimension}


def _as_tag(scaled: Mapping[str, str]) -> dict[str, str]:
    """The tag that `_scaled_variants` reads."""
    return {AUTOSCALED: " ".join(f"{variant}:{dimension}" for variant, dimension in scaled.items())}


def _tags(session: Session, arn: str) -> dict[str, str]:
    """The tags of an endpoint; none if the caller may not read them."""
    with suppress(AccessError), translated("read the tags of an endpoint", otherwise=EndpointError):
        return resource_tags(session, arn)
    return {}


def stop(session: Session, endpoint_name: str, *, variant: str | None = None) -> None:
    """Removes the autoscaling of an endpoint that stays; its number of instances stays as it is.

    Args:
        session: The session that the endpoint belongs to.
        endpoint_name: Name of the endpoint.
        variant: Only that of this variant; None for all.

    Raises:
        EndpointNotFoundError: The endpoint does not exist.
        EndpointError: AWS refused.
    """
    arn = describe(session, endpoint_name)["EndpointArn"]
    with translated(f"read the tags of endpoint {endpoint_name}", otherwise=EndpointError):
        scaled = _scaled_variants(resource_tags(session, arn))
    ending = {name: what for name, what in scaled.items() if variant in (None, name)}
    if not ending:
        return
    errors = remove(session, endpoint_name, _as_tag(ending))
    if errors:
        raise errors[0]
    staying = {name: what for name, what in scaled.items() if name not in ending}
    _remember(session, arn, staying)


def _set_up_waking(
    session: Session, endpoint_name: str, variant: str, autoscaling: Autoscaling, tags: Mapping[str, str]
) -> None:
    policy = session.client("application-autoscaling").put_scaling_policy(
        **requests.wake_policy(autoscaling, endpoint=endpoint_name, variant=variant)
    )
    alarm = requests.wake_alarm(endpoint=endpoint_name, variant=variant, policy_arn=policy["PolicyARN"], tags=tags)
    session.client("cloudwatch").put_metric_alarm(**alarm)


def deregister(session: Session, endpoint_name: str, variant: str, scaled: ScalableDimensionType) -> None:
    """Deregisters a variant with its policies; deletes the alarm that wakes it, whether or not there is one.

    Raises:
        EndpointError: AWS refused.
        AccessError: A permission is missing.
    """
    _deregister(session, endpoint_name, variant, scaled)
    _delete_wake_alarm(session, endpoint_name, variant)


def _deregister(session: Session, endpoint_name: str, variant: str, scaled: ScalableDimensionType) -> None:
    """Deregisters a variant with its policies."""
    with translated(f"remove the autoscaling of endpoint {endpoint_name}", otherwise=EndpointError):
        try:
            session.client("application-autoscaling").deregister_scalable_target(
                **requests.deregistration(endpoint=endpoint_name, variant=variant, scaled=scaled)
            )
        except ClientError as error:
            if "No scalable target found" not in str(error):
                raise


def _delete_wake_alarm(session: Session, endpoint_name: str, variant: str) -> None:
    """Deletes the alarm; one that does not exist is not an error (API reference, DeleteAlarms)."""
    with translated(f"remove the autoscaling of endpoint {endpoint_name}", otherwise=EndpointError):
        session.client("cloudwatch").delete_alarms(AlarmNames=[requests.wake_alarm_name(endpoint_name, variant)])


def _check_kind(described: DescribeEndpointOutputTypeDef, variant: str, autoscaling: Autoscaling) -> None:
    [summary] = [each for each in described.get("ProductionVariants", ()) if each["VariantName"] == variant]
    found = summary.get("CurrentServerlessConfig")
    serverless = None
    if found is not None:
        serverless = Serverless(
            found["MemorySizeInMB"],
            max_concurrency=found["MaxConcurrency"],
            provisioned_concurrency=found.get("ProvisionedConcurrency"),
        )
    check(
        autoscaling,
        described["EndpointName"],
        serverless=serverless,
        is_asynchronous=bool(described.get("AsyncInferenceConfig")),
    )


def check(
    autoscaling: Autoscaling, endpoint_name: str, *, serverless: Serverless | None, is_asynchronous: bool
) -> None:
    """Refuses limits and targets that are not for this kind of endpoint, which need not exist yet.

    Raises:
        ConfigurationError: They do not fit.
    """
    name = endpoint_name
    if serverless is None and autoscaling.provisioned_utilization is not None:
        raise ConfigurationError(f"Endpoint {name} is not serverless, so provisioned_utilization is not its target.")
    if autoscaling.backlog_per_instance is not None and not is_asynchronous:
        raise ConfigurationError(f"Endpoint {name} is not asynchronous and has no backlog: choose another target.")
    if serverless is None:
        return
    if autoscaling.provisioned_utilization is None:
        raise ConfigurationError(f"Endpoint {name} is serverless, so its target must be provisioned_utilization.")
    if not serverless.provisioned_concurrency:
        raise ConfigurationError(
            f"Endpoint {name} has no provisioned concurrency to scale: deploy with "
            "Serverless(provisioned_concurrency=…). Without it, SageMaker scales a serverless endpoint by itself."
        )
    if autoscaling.max_instances > serverless.max_concurrency:
        raise ConfigurationError(
            f"Endpoint {name} processes {serverless.max_concurrency} requests at a time (max_concurrency), so its "
            f"provisioned concurrency cannot grow to max_instances={autoscaling.max_instances}."
        )
