"""Updates an endpoint without downtime: another model, a canary beside it, other weights.

SageMaker starts the new instances beside the old ones, and moves the requests once they are healthy. If they do not
become healthy, it keeps the old ones. Around that, this module creates the new model and configuration, and deletes
those that are no longer used. A process that is killed in between leaves nothing broken: the endpoint serves the old
or the new model, and the next update or `Deployment.delete` finds what is left over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.interruptions import EndsByException
from dogbreed_sdk._util.polling import poll_seconds
from dogbreed_sdk._util.progress import ProgressCallback
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names, updates
from dogbreed_sdk.aws.requests.hosting import SERVING_ENVIRONMENT
from dogbreed_sdk.aws.requests.instances import has_local_disks
from dogbreed_sdk.aws.requests.tags import AUTOSCALED
from dogbreed_sdk.endpoints import autoscaling, leftovers
from dogbreed_sdk.endpoints.current import Current, needed, read
from dogbreed_sdk.endpoints.deletion import (
    Deletion,
    attempt_all,
    cleaning_up,
    delete_endpoint_config,
    delete_model,
    is_in_progress,
    noted,
    undone_after_an_error,
    warn_of_something_left,
)
from dogbreed_sdk.endpoints.model_archive import check_code
from dogbreed_sdk.endpoints.own_code import PROGRAM, OwnCode, is_repacked, repacked_uri
from dogbreed_sdk.endpoints.settings import capture_config, check_instance_type
from dogbreed_sdk.endpoints.status import describe, log_tail, once_visible, wait_in_service
from dogbreed_sdk.endpoints.tags import resource_tags
from dogbreed_sdk.errors import AccessError, ConfigurationError, DogBreedError, EndpointError

if TYPE_CHECKING:
    from types_boto3_sagemaker.literals import VariantPropertyTypeType
    from types_boto3_sagemaker.type_defs import (
        CreateEndpointConfigInputTypeDef,
        CreateModelInputTypeDef,
        DescribeModelOutputTypeDef,
        ProductionVariantOutputTypeDef,
        ProductionVariantTypeDef,
    )

    from dogbreed_sdk.endpoints.kinds import DataCapture
    from dogbreed_sdk.session import Session

# For this long after an update was accepted, an unchanged description may be an old one.
_SETTLING_SECONDS = 60.0


class HasModel(Protocol):
    """What has a model artifact, such as a `TrainingJob`."""

    @property
    def model_uri(self) -> str:
        """URI of its ``model.tar.gz``."""
        ...


class BestModel(Protocol):
    """The best trial of a search."""

    @property
    def job(self) -> HasModel:
        """Its training job."""
        ...


class HasBest(Protocol):
    """What has a best model, such as a `TuningJob`."""

    @property
    def best(self) -> BestModel:
        """The best trial so far."""
        ...


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is different in the new model's variant; None keeps what the endpoint has."""

    instance_type: str | None = None
    instance_count: int | None = None
    image_uri: str | None = None
    environment: Mapping[str, str] | None = None
    data_capture: DataCapture | None = None
    code: OwnCode | None = None


def update(
    session: Session,
    name: str,
    model: HasModel | HasBest | str,
    changes: Changes,
    *,
    rollout: updates.Rollout | None,
    timeout: float | None,
    progress: ProgressCallback,
) -> None:
    """Replaces an endpoint's model; `Deployment.update` explains the arguments."""
    model_uri = _uri(model, session)
    check_instance_type(changes.instance_type, session)
    with EndsByException():
        current = read(session, name, progress)
        variant = current.only_variant("update")
        if changes.instance_type not in (None, variant.get("InstanceType")):
            _refuse_autoscaled(current)
        new_name = names.unique_name(name)
        new_model = _model(current, variant, new_name, model_uri, changes)
        changed = _changed(variant, new_name, changes)
        renewed: list[VariantPropertyTypeType] = [] if changes.instance_count is None else ["DesiredInstanceCount"]
        if timeout is None:
            rolling = 0.0 if rollout is None or session.is_local else float(rollout.longest_seconds)
            timeout = max(defaults.ENDPOINT_READY_TIMEOUT_SECONDS, rolling)
        config = _config(current, new_name, [changed])
        if changes.data_capture is not None:
            if "ServerlessConfig" in variant:
                raise EndpointError(f"Endpoint {name} is serverless, and such an endpoint captures no data.")
            renewed.append("DataCaptureConfig")
            config["DataCaptureConfig"] = capture_config(changes.data_capture, session)
        prepare = partial(_pack, session, changes.code, model_uri, new_name)
        _apply(
            current, [new_model], config, renewed, prepare=prepare, rollout=rollout, timeout=timeout, progress=progress
        )


def canary(
    session: Session,
    name: str,
    model: HasModel | HasBest | str,
    changes: Changes,
    *,
    variant_name: str,
    percent: float,
    progress: ProgressCallback,
) -> None:
    """Adds a variant with another model; `Deployment.canary` explains the arguments."""
    if not 0 <= percent < 100:
        raise ConfigurationError(f"percent must be 0 or more and below 100, not {percent}.")
    names.check_name(variant_name, what="production variant")
    model_uri = _uri(model, session)
    check_instance_type(changes.instance_type, session)
    with EndsByException():
        current = read(session, name, progress)
        base = current.only_variant("add a canary to")
        if "ServerlessConfig" in base:
            raise EndpointError(f"Endpoint {name} is serverless, and such an endpoint has one variant: use update().")
        if base["VariantName"] == variant_name:
            raise ConfigurationError(f"The variant of endpoint {name} is itself called {variant_name}: pass another.")
        new_name = names.unique_name(name)
        new_model = _model(current, base, new_name, model_uri, changes)
        counted = Changes(instance_type=changes.instance_type, instance_count=changes.instance_count or 1)
        beside = _changed(base, new_name, counted)
        beside["VariantName"], beside["InitialVariantWeight"] = variant_name, float(percent)
        kept = updates.changed_variant(base, {"InitialVariantWeight": 100.0 - percent})
        config = _config(current, new_name, [kept, beside])
        prepare = partial(_pack, session, changes.code, model_uri, new_name)
        _apply(current, [new_model], config, ["DesiredWeight"], prepare=prepare, progress=progress)


def keep_variant(session: Session, name: str, variant_name: str, *, promoted: bool, progress: ProgressCallback) -> None:
    """Ends a canary: all requests go to its model (promoted), or to that of the variant beside it.

    The remaining variant has the name of the one beside the canary, to which autoscaling is bound.
    """
    with EndsByException():
        current = read(session, name, progress)
        variants = current.variants
        others = [each for each in variants if each != variant_name]
        if variant_name not in variants or len(others) != 1:
            raise EndpointError(_no_canary(name, list(variants), variant_name))
        if not promoted:
            # The bad canary gets no more requests at once, not only after the update.
            shift(session, name, {others[0]: 1.0, variant_name: 0.0}, progress=progress)
            current = read(session, name, progress)
        with suppress(AccessError):  # SageMaker removes no variant that is scaled
            autoscaling.stop(session, name, variant=variant_name)
        base = variants[others[0]]
        count = base.get("InitialInstanceCount")
        kept = updates.changed_variant(
            variants[variant_name] if promoted else base,
            {"VariantName": others[0], "InitialVariantWeight": 1.0, "InitialInstanceCount": count},
        )
        config = _config(current, names.unique_name(name), [kept])
        _apply(current, [], config, ["DesiredWeight"], progress=progress)


def _no_canary(name: str, variants: Sequence[str], variant_name: str) -> str:
    """Why a canary cannot be ended: message of an error."""
    if variants == [variant_name]:
        return f"{variant_name} is the only variant of endpoint {name}, not a canary beside another one."
    has = f"the variants {', '.join(variants)}" if len(variants) > 1 else f"only the variant {variants[0]}"
    if variant_name in variants:
        return f"Endpoint {name} has {has}; a canary can be ended only if there is exactly one beside it."
    if len(variants) == 1:
        return f"Endpoint {name} has no canary named {variant_name}: it has {has}. Add one with canary() first."
    return f"Endpoint {name} has no variant {variant_name}: it has {has}. Pass variant=… of the canary."


def shift(session: Session, name: str, wanted: Mapping[str, float], *, progress: ProgressCallback) -> None:
    """Changes the weights of variants; `Deployment.shift` explains the arguments."""
    if not wanted or any(not 0 <= weight < math.inf for weight in wanted.values()):
        raise ConfigurationError(f"Weights must be finite numbers of 0 or more by variant, not {dict(wanted)}.")
    described = describe(session, name).get("ProductionVariants", ())
    variants = {each["VariantName"]: each.get("DesiredWeight", 0.0) for each in described}
    unknown = [each for each in wanted if each not in variants]
    if unknown:
        raise ConfigurationError(
            f"Endpoint {name} has no variant {', '.join(unknown)}; its variants are {', '.join(variants)}."
        )
    if not sum({**variants, **wanted}.values()) > 0:
        raise ConfigurationError(
            f"No variant of endpoint {name} would have a weight above 0, so none would answer: its variants are "
            f"{', '.join(variants)}."
        )
    with translated(f"shift requests of endpoint {name}", otherwise=EndpointError):
        session.client("sagemaker").update_endpoint_weights_and_capacities(**updates.weights(name, wanted))
    wait_in_service(session, name, timeout=defaults.ENDPOINT_READY_TIMEOUT_SECONDS, progress=progress)


def _uri(model: HasModel | HasBest | str, session: Session) -> str:
    """The URI of the model artifact.

    Raises:
        ConfigurationError: It is neither a job nor such a URI.
    """
    accepted = "a training job, a tuning job, or the URI of a model.tar.gz"
    if not isinstance(model, str):
        found = model.best.job if hasattr(model, "best") else model
        if not hasattr(found, "model_uri"):
            raise ConfigurationError(f"{model!r} has no model: pass {accepted}.")
        return found.model_uri
    schemes = ("s3://", "file://") if session.is_local else ("s3://",)
    if not model.startswith(schemes):
        raise ConfigurationError(
            f"{model!r} is not the URI of a model, which begins with {' or '.join(schemes)}: pass {accepted}. "
            "attach(name, session=session) finds a job by its name."
        )
    return model


def _model(
    current: Current,
    variant: ProductionVariantOutputTypeDef,
    name: str,
    model_uri: str,
    changes: Changes,
) -> CreateModelInputTypeDef:
    """The request that creates a model like a variant's, with other weights, and the new artifact's code or the given.

    The present program is left if it was packed into the present artifact: the new one may not have it.

    Raises:
        ConfigurationError: The new artifact cannot be served without the user's code.
    """
    old = variant["ModelName"]
    with needed(f"model {old}", current.name):
        described = current.session.client("sagemaker").describe_model(ModelName=old)
    code, program = changes.code, {}
    if code is not None:
        program = code.environment
    elif is_repacked(current.session, old, described.get("PrimaryContainer", {}).get("ModelDataUrl", "")):
        program = {PROGRAM: SERVING_ENVIRONMENT[PROGRAM]}
    request = updates.changed_model(
        described,
        name,
        model_uri=model_uri if code is None else repacked_uri(current.session, name),
        image_uri=changes.image_uri or _other_image(current.session, variant, described, changes.instance_type),
        environment={**program, **(changes.environment or {})},
        tags=current.tags,
    )
    if code is None:
        check_code(request, current.session)
    return request


def _pack(session: Session, code: OwnCode | None, model_uri: str, name: str, undo: list[Deletion]) -> None:
    """Repacks the artifact with the user's code, if there is any; notes how to delete the copy."""
    if code is not None:
        repacked = repacked_uri(session, name)
        undo.append(partial(session.storage.delete_file, repacked))
        code.add_to(model_uri, repacked=repacked, session=session)


def _refuse_autoscaled(current: Current) -> None:
    """SageMaker refuses another instance type for a variant that is scaled ("Update endpoints that use auto scaling").

    Raises:
        EndpointError: A variant is scaled.
    """
    with suppress(AccessError), translated(f"read the tags of endpoint {current.name}", otherwise=EndpointError):
        if AUTOSCALED in resource_tags(current.session, current.described["EndpointArn"]):
            raise EndpointError(
                f"Endpoint {current.name} is autoscaled, and SageMaker then allows no other instance type. Call "
                "stop_autoscaling() before the update, and autoscale() after it."
            )


def _other_image(
    session: Session,
    variant: ProductionVariantOutputTypeDef,
    described: DescribeModelOutputTypeDef,
    instance_type: str | None,
) -> str | None:
    """AWS's image for another kind of instance (CPU or GPU), if the model has AWS's image now."""
    before = variant.get("InstanceType")
    if instance_type is None or before is None or instance_type == before:
        return None
    is_default = updates.image_of(described) == session.image_uri("inference", before)
    return session.image_uri("inference", instance_type) if is_default else None


def _changed(variant: ProductionVariantOutputTypeDef, model_name: str, changes: Changes) -> ProductionVariantTypeDef:
    """A variant with another model.

    Raises:
        EndpointError: Instances were given for a serverless endpoint.
    """
    if "ServerlessConfig" in variant and (changes.instance_type or changes.instance_count):
        raise EndpointError("A serverless endpoint has no instances: omit instance_type and instance_count.")
    wanted = {"InstanceType": changes.instance_type, "InitialInstanceCount": changes.instance_count}
    changed = updates.changed_variant(variant, {"ModelName": model_name, **wanted})
    if has_local_disks(changed.get("InstanceType", "")):
        changed.pop("VolumeSizeInGB", None)  # such an instance has no volume
    return changed


def _config(
    current: Current, name: str, variants: Sequence[ProductionVariantTypeDef]
) -> CreateEndpointConfigInputTypeDef:
    operation = current.session.client("sagemaker").meta.service_model.operation_model("CreateEndpointConfig")
    assert operation.input_shape is not None
    made = updates.changed_config(
        current.config, name, variants=variants, members=operation.input_shape.members, tags=current.tags
    )
    if all(has_local_disks(variant.get("InstanceType", "")) for variant in variants):
        made.pop("KmsKeyId", None)  # their hardware encrypts them, and SageMaker refuses a key
    return made


def _apply(
    current: Current,
    models: Sequence[CreateModelInputTypeDef],
    config: CreateEndpointConfigInputTypeDef,
    renewed: Sequence[VariantPropertyTypeType],
    *,
    progress: ProgressCallback,
    prepare: Callable[[list[Deletion]], None] = lambda _: None,
    rollout: updates.Rollout | None = None,
    timeout: float = defaults.ENDPOINT_READY_TIMEOUT_SECONDS,
) -> None:
    """Creates models and configuration, switches to them, and deletes what is not used afterward."""
    session = current.session
    name, new = current.name, config["EndpointConfigName"]
    request = updates.update(name, config_name=new, renewed=renewed, rollout=rollout)
    client = session.client("sagemaker")
    updating = f"update endpoint {name}"
    with undone_after_an_error(f"the update of {name}") as undo, translated(updating, otherwise=EndpointError):
        prepare(undo)
        for model in models:
            with noted(undo, partial(delete_model, session, model["ModelName"]), is_unique=True):
                client.create_model(**model)
        with noted(undo, partial(delete_endpoint_config, session, new), is_unique=True):
            once_visible(lambda: client.create_endpoint_config(**config))
        # From here on the endpoint may use them, whatever happens to this process.
        created: list[Deletion] = list(undo)
        undo.clear()
        try:
            once_visible(lambda: client.update_endpoint(**request))
        except ClientError as error:
            if _is_refusal(error):
                undo.extend(created)
            raise
    _wait_switched(current, new, created, timeout=timeout, progress=progress)
    _delete_unused(session, name)


def _is_refusal(error: ClientError) -> bool:
    """Whether SageMaker has certainly not begun an update.

    If boto3 repeated a request whose response was lost, the endpoint is being updated already.
    """
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and not is_in_progress(error)


def _wait_switched(
    current: Current,
    config_name: str,
    created: Sequence[Deletion],
    *,
    timeout: float,
    progress: ProgressCallback,
) -> None:
    """Waits until the endpoint serves its new configuration.

    Raises:
        EndpointError: SageMaker went back to the old one; the new one has been deleted.
    """
    session, name = current.session, current.name
    settled = time.monotonic() + _SETTLING_SECONDS
    while True:
        wait_in_service(session, name, timeout=timeout, progress=progress)
        described = describe(session, name)
        if described["EndpointConfigName"] == config_name:
            return
        reason = described.get("FailureReason")
        if described["LastModifiedTime"] != current.described["LastModifiedTime"] or time.monotonic() >= settled:
            break
        time.sleep(poll_seconds(local=session.is_local))
    with cleaning_up(f"the update of endpoint {name}"):
        for left in attempt_all(reversed(created)):
            warn_of_something_left(left)
    raise EndpointError(
        f"Endpoint {name} could not be updated, and still serves what it served before: "
        f"{reason or 'SageMaker gave no reason.'}{log_tail(session, name)}"
    )


def _delete_unused(session: Session, name: str) -> None:
    """Deletes what the endpoint used before; the update has succeeded, so a failure here is only logged."""
    try:
        described = describe(session, name)
        config_name = described["EndpointConfigName"]
        with translated(f"read endpoint configuration {config_name}", otherwise=EndpointError):
            config = session.client("sagemaker").describe_endpoint_config(EndpointConfigName=config_name)
        models = [each["ModelName"] for each in config["ProductionVariants"]]
        deletions = leftovers.unused(session, name, configs_in_use=[config_name], models_in_use=models)
    except DogBreedError as error:
        warn_of_something_left(error)
        return
    with cleaning_up(f"the replaced model of endpoint {name}"):
        for left in attempt_all(deletions):
            warn_of_something_left(left)
