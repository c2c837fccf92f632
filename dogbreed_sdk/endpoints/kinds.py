"""Serverless and asynchronous endpoints, and data capture, as immutable values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk.client.argument_checks import check_number, shown
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.aws.requests.hosting import Captured, Outcome

# API reference, ProductionVariantServerlessConfig.
_SERVERLESS_MEMORY_MB = tuple(range(1024, 6145, 1024))
_MAX_SERVERLESS_CONCURRENCY = 200
# API reference, AsyncInferenceClientConfig.
_MAX_ASYNCHRONOUS_CONCURRENCY = 1000


@dataclass(frozen=True)
class Serverless:
    """An endpoint without instances: it costs nothing while it is idle, and starts for the first request.

    Requests of up to 4 MiB; no GPU, VPC, network isolation or data capture.

    Attributes:
        memory_mb: 1024, 2048, 3072, 4096, 5120 or 6144 MB; CPU power grows with it.
        max_concurrency: Requests that are processed at the same time, 1 to 200; further ones are throttled. The default
            quota of all serverless endpoints of an account and region together is 10.
        provisioned_concurrency: The part of ``max_concurrency`` for which containers are kept warm, so that requests
            need not wait for a start. It is paid for by the hour, also while the endpoint is idle.

    Raises:
        ConfigurationError: A value is out of range.

    Examples:
        >>> Serverless(3072, max_concurrency=20)
        Serverless(memory_mb=3072, max_concurrency=20, provisioned_concurrency=None)
    """

    memory_mb: int = 2048
    max_concurrency: int = field(default=defaults.SERVERLESS_CONCURRENCY, kw_only=True)
    provisioned_concurrency: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.memory_mb not in _SERVERLESS_MEMORY_MB:
            raise ConfigurationError(
                f"The memory of a serverless endpoint must be {', '.join(map(str, _SERVERLESS_MEMORY_MB[:-1]))} or "
                f"{_SERVERLESS_MEMORY_MB[-1]} MB, got {shown(self.memory_mb)}."
            )
        _check_within("max_concurrency", self.max_concurrency, _MAX_SERVERLESS_CONCURRENCY)
        if self.provisioned_concurrency is not None:
            _check_within("provisioned_concurrency", self.provisioned_concurrency, self.max_concurrency)


@dataclass(frozen=True, kw_only=True)
class Asynchronous:
    """An endpoint that queues its requests, reads their bodies from S3, and writes its responses there.

    For bursts that may wait, and for pictures of up to 1 GB; autoscaling may reduce its instances to none.

    Attributes:
        output_uri: Folder for responses. Default: a separate folder for the endpoint in the session's bucket.
        failure_uri: Folder for the reasons of failures. Default: ``failures`` below ``output_uri``.
        max_concurrent_invocations: Requests that an instance processes at the same time, 1 to 1000. Default: SageMaker
            chooses.
        success_topic: ARN of an SNS topic that is notified of each response. Responses are then kept; otherwise a
            classifier deletes what it has read.
        error_topic: ARN of an SNS topic that is notified of each failure.
        response_in: The notifications that include the response, if it has up to 128 KB: "success", "error" or both.

    Raises:
        ConfigurationError: A value is out of range.

    Examples:
        >>> Asynchronous(max_concurrent_invocations=4).max_concurrent_invocations
        4
    """

    output_uri: str | None = None
    failure_uri: str | None = None
    max_concurrent_invocations: int | None = None
    success_topic: str | None = None
    error_topic: str | None = None
    response_in: Sequence[Outcome] = ()

    def __post_init__(self) -> None:
        _freeze_choices(self, "response_in", ("success", "error"))
        if self.max_concurrent_invocations is not None:
            _check_within("max_concurrent_invocations", self.max_concurrent_invocations, _MAX_ASYNCHRONOUS_CONCURRENCY)
        for outcome, topic in (("success", self.success_topic), ("error", self.error_topic)):
            if topic is not None and not topic.startswith("arn:"):
                raise ConfigurationError(
                    f"{outcome}_topic must be the ARN of an SNS topic, such as "
                    f"arn:aws:sns:us-east-1:123456789012:dogs, got {shown(topic)}."
                )
            if outcome in self.response_in and topic is None:
                raise ConfigurationError(f"response_in has {outcome!r}, so {outcome}_topic must name the SNS topic.")


@dataclass(frozen=True)
class DataCapture:
    """Stores requests and responses of an endpoint as files, for inspection later.

    Attributes:
        percentage: Share of the requests that is captured, 1 to 100.
        uri: Folder for the files. Default: a separate folder for the endpoint in the session's bucket.
        captured: "input" for requests, "output" for responses, or both.

    Raises:
        ConfigurationError: A value is out of range.

    Examples:
        >>> DataCapture(10, captured=["input"])
        DataCapture(percentage=10, uri=None, captured=('input',))
    """

    percentage: int = 100
    uri: str | None = field(default=None, kw_only=True)
    captured: Sequence[Captured] = field(default=("input", "output"), kw_only=True)

    def __post_init__(self) -> None:
        _check_within("percentage", self.percentage, 100)
        _freeze_choices(self, "captured", ("input", "output"))
        if not self.captured:
            raise ConfigurationError('captured must contain "input", "output" or both.')


def _check_within(name: str, value: object, most: int) -> None:
    check_number(name, value, least=1, whole=True)
    if value > most:  # type: ignore[operator]
        raise ConfigurationError(f"{name} must be at most {most}, got {shown(value)}.")


def _freeze_choices(target: object, name: str, choices: Sequence[str]) -> None:
    """Stores a sequence of distinct choices as a tuple, in the choices' own order."""
    given = getattr(target, name)
    if isinstance(given, str) or not set(given) <= set(choices):
        raise ConfigurationError(f"{name} must be a list of {' and '.join(map(repr, choices))}, got {shown(given)}.")
    object.__setattr__(target, name, tuple(choice for choice in choices if choice in given))
