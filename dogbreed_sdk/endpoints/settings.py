"""How an endpoint is to be created: what the callers of `deploy` choose, checked, and the requests that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.requests import hosting, instances
from dogbreed_sdk.aws.requests.tags import project_tags
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.client.argument_checks import check_number
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.model import StringShape
    from types_boto3_sagemaker.type_defs import (
        AsyncInferenceConfigTypeDef,
        CreateEndpointConfigInputTypeDef,
        CreateEndpointInputTypeDef,
        CreateModelInputTypeDef,
        DataCaptureConfigTypeDef,
        ProductionVariantTypeDef,
    )

    from dogbreed_sdk.endpoints.kinds import Asynchronous, DataCapture, Serverless
    from dogbreed_sdk.session import Session

# API reference, ProductionVariant.
_MAX_VOLUME_GB = 512
_TIMEOUT_SECONDS = (60, 3600)


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """What the callers of `deploy` choose, apart from names; `deploy` explains each."""

    instance_type: str | None = None
    instance_count: int = 1
    serverless: Serverless | None = None
    asynchronous: Asynchronous | None = None
    data_capture: DataCapture | None = None
    image_uri: str | None = None
    framework_version: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network_isolation: bool = False
    volume_size_gb: int | None = None
    download_timeout: int | None = None
    startup_timeout: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def hosting_instance_type(self) -> str:
        """The instance type; for a serverless endpoint the one whose image it uses."""
        return self.instance_type or defaults.SERVING_INSTANCE_TYPE


class EndpointRequests(NamedTuple):
    """The requests that create an endpoint, in the order in which they are sent."""

    model: CreateModelInputTypeDef
    config: CreateEndpointConfigInputTypeDef
    endpoint: CreateEndpointInputTypeDef


def check(settings: EndpointSettings, session: Session) -> None:
    """Refuses what SageMaker would refuse, or fail with minutes later.

    Raises:
        ConfigurationError: A value is out of range, or values exclude each other; the message says why, and what to do.
    """
    check_number("instance_count", settings.instance_count, least=1, whole=True)
    check_image(settings)
    if settings.serverless is not None:
        _check_serverless(settings, session)
        return
    check_instance_type(settings.instance_type, session)
    if settings.volume_size_gb is not None:
        _check_range("volume_size_gb", settings.volume_size_gb, 1, _MAX_VOLUME_GB)
        if instances.has_local_disks(settings.hosting_instance_type):
            raise ConfigurationError(
                f"{settings.hosting_instance_type} stores on its own disks, whose size is fixed: omit volume_size_gb."
            )
    for name in ("download_timeout", "startup_timeout"):
        if getattr(settings, name) is not None:
            _check_range(name, getattr(settings, name), *_TIMEOUT_SECONDS)
    if not session.is_local:
        _check_uris(settings)


def check_instance_type(instance_type: str | None, session: Session) -> None:
    """Refuses what cannot be the instance type of an endpoint; None is none. Nothing is sent.

    Raises:
        ConfigurationError: It does not exist.
    """
    if instance_type is not None:
        shape = session.client("sagemaker").meta.service_model.shape_for("ProductionVariantInstanceType")
        known = cast("StringShape", shape).enum
        instances.check_instance_type(instance_type, known=known, what="an endpoint")


def check_image(settings: EndpointSettings) -> None:
    """Refuses two choices of an image.

    Raises:
        ConfigurationError: Both were made.
    """
    if settings.image_uri and settings.framework_version:
        raise ConfigurationError(
            "image_uri and framework_version exclude each other: your image has its own PyTorch. Omit one of them."
        )


def requests(name: str, model_uri: str, settings: EndpointSettings, session: Session) -> EndpointRequests:
    """The requests that create an endpoint with its model and configuration, all of one name; sends nothing.

    Args:
        name: The name of all three.
        model_uri: URI of the ``model.tar.gz``.
        settings: Settings that `check` accepts.
        session: Whose role, keys and folders they name.
    """
    tags = project_tags(settings.tags)
    return EndpointRequests(
        model_request(name, model_uri, settings, session),
        config_request(name, [variant(name, settings)], settings, session),
        hosting.endpoint(name, config_name=name, tags=tags),
    )


def model_request(name: str, model_uri: str, settings: EndpointSettings, session: Session) -> CreateModelInputTypeDef:
    """The request that creates a model."""
    return hosting.model(
        name,
        image_uri=settings.image_uri
        or session.image_uri("inference", settings.hosting_instance_type, framework_version=settings.framework_version),
        model_uri=model_uri,
        role_arn=session.role_arn,
        environment=settings.environment,
        vpc=session.vpc,
        network_isolation=settings.network_isolation,
        tags=project_tags(settings.tags),
    )


def variant(model_name: str, settings: EndpointSettings) -> ProductionVariantTypeDef:
    """The production variant that serves a model."""
    if settings.serverless is not None:
        return hosting.serverless_variant(
            model_name,
            memory_mb=settings.serverless.memory_mb,
            max_concurrency=settings.serverless.max_concurrency,
            provisioned_concurrency=settings.serverless.provisioned_concurrency,
        )
    return hosting.instance_variant(
        model_name,
        instance_type=settings.hosting_instance_type,
        instance_count=settings.instance_count,
        volume_size_gb=settings.volume_size_gb,
        download_timeout=settings.download_timeout,
        startup_timeout=settings.startup_timeout,
    )


def config_request(
    name: str, variants: list[ProductionVariantTypeDef], settings: EndpointSettings, session: Session
) -> CreateEndpointConfigInputTypeDef:
    """The request that creates an endpoint configuration."""
    return hosting.endpoint_config(
        name,
        variants=variants,
        asynchronous=_asynchronous(name, settings, session),
        data_capture=None if settings.data_capture is None else capture_config(settings.data_capture, session),
        kms_key=_volume_key(settings, session),
        tags=project_tags(settings.tags),
    )


def _asynchronous(name: str, settings: EndpointSettings, session: Session) -> AsyncInferenceConfigTypeDef | None:
    chosen = settings.asynchronous
    if chosen is None:
        return None
    output_uri = chosen.output_uri or join(session.base_uri, "asynchronous", name)
    return hosting.asynchronous(
        output_uri=output_uri,
        failure_uri=chosen.failure_uri or join(output_uri, "failures"),
        kms_key=session.kms_key,
        max_concurrent_invocations=chosen.max_concurrent_invocations,
        success_topic=chosen.success_topic,
        error_topic=chosen.error_topic,
        response_in=chosen.response_in,
    )


def capture_config(chosen: DataCapture, session: Session) -> DataCaptureConfigTypeDef:
    """The member DataCaptureConfig of the request that creates an endpoint configuration."""
    # SageMaker adds the names of endpoint and variant.
    uri = chosen.uri or join(session.base_uri, "captured")
    return hosting.data_capture(
        uri=uri, percentage=chosen.percentage, captured=chosen.captured, kms_key=session.kms_key
    )


def _volume_key(settings: EndpointSettings, session: Session) -> str | None:
    """The session's key, which a serverless endpoint uses for its copy of the image.

    Disks inside a host are encrypted by its hardware, and a request with a key for them fails (API reference,
    CreateEndpointConfig, KmsKeyId; developer guide, "Create an endpoint configuration" of serverless endpoints).
    """
    if settings.serverless is None and instances.has_local_disks(settings.hosting_instance_type):
        return None
    return session.kms_key


def _check_serverless(settings: EndpointSettings, session: Session) -> None:
    """Source: developer guide, "Deploy models with Amazon SageMaker Serverless Inference", feature exclusions."""
    if session.vpc is not None:
        raise ConfigurationError(
            "A serverless endpoint cannot run in a VPC, and this session has one: deploy on instances, or with a "
            "session without vpc."
        )
    excluded = {
        "instance_type": settings.instance_type is not None,
        "instance_count": settings.instance_count != 1,
        "asynchronous": settings.asynchronous is not None,
        "data_capture": settings.data_capture is not None,
        "network_isolation": settings.network_isolation,
        "volume_size_gb": settings.volume_size_gb is not None,
        "download_timeout": settings.download_timeout is not None,
        "startup_timeout": settings.startup_timeout is not None,
    }
    stray = [name for name, given in excluded.items() if given]
    if stray:
        raise ConfigurationError(
            f"serverless=… excludes {' and '.join(f'{name}=…' for name in stray)}: omit "
            f"{'them' if len(stray) > 1 else 'it'}, or omit serverless=… to deploy on instances."
        )


def _check_range(name: str, value: object, least: int, most: int) -> None:
    check_number(name, value, least=least, whole=True)
    if value > most:  # type: ignore[operator]
        raise ConfigurationError(f"{name} must be between {least} and {most}, got {value}.")


def _check_uris(settings: EndpointSettings) -> None:
    """Folders must be on S3: AWS's own check names a pattern."""
    uris = {
        "Asynchronous(output_uri=…)": settings.asynchronous and settings.asynchronous.output_uri,
        "Asynchronous(failure_uri=…)": settings.asynchronous and settings.asynchronous.failure_uri,
        "DataCapture(uri=…)": settings.data_capture and settings.data_capture.uri,
    }
    for name, uri in uris.items():
        if uri and not uri.startswith("s3://"):
            raise ConfigurationError(f"{name} must be an s3:// URI for an endpoint on AWS, got {uri!r}.")
