"""boto3 clients of one session: made on first use, shared by threads, typed by their service's name."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Final, Literal, cast, overload

from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.config import Config
    from types_boto3_application_autoscaling import ApplicationAutoScalingClient
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_iam import IAMClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_pricing import PricingClient
    from types_boto3_s3 import S3Client
    from types_boto3_sagemaker import SageMakerClient
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from types_boto3_scheduler import EventBridgeSchedulerClient
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_sts import STSClient


WITHOUT_AWS: Final = "or work without AWS through session=Session.local()."
SET_REGION: Final = f"Pass session=Session.aws(region=…) or set AWS_DEFAULT_REGION, {WITHOUT_AWS}"
NO_REGION: Final = f"No AWS region is configured. {SET_REGION}"


class Clients:
    """Gives the client of a service: ``clients("sagemaker")``.

    Args:
        boto3_session: Gives the boto3 session; called when the first client is made.
    """

    def __init__(self, boto3_session: Callable[[], boto3.Session]) -> None:
        self._boto3_session = boto3_session
        self._made: dict[str, BaseClient] = {}
        self._lock = RLock()

    @overload
    def __call__(self, service: Literal["sagemaker"]) -> SageMakerClient: ...
    @overload
    def __call__(self, service: Literal["sagemaker-runtime"]) -> SageMakerRuntimeClient: ...
    @overload
    def __call__(self, service: Literal["logs"]) -> CloudWatchLogsClient: ...
    @overload
    def __call__(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def __call__(self, service: Literal["iam"]) -> IAMClient: ...
    @overload
    def __call__(self, service: Literal["sts"]) -> STSClient: ...
    @overload
    def __call__(self, service: Literal["application-autoscaling"]) -> ApplicationAutoScalingClient: ...
    @overload
    def __call__(self, service: Literal["cloudwatch"]) -> CloudWatchClient: ...
    @overload
    def __call__(self, service: Literal["pricing"]) -> PricingClient: ...
    @overload
    def __call__(self, service: Literal["scheduler"]) -> EventBridgeSchedulerClient: ...
    @overload
    def __call__(self, service: Literal["service-quotas"]) -> ServiceQuotasClient: ...
    @overload
    def __call__(self, service: str) -> BaseClient: ...

    def __call__(self, service: str) -> BaseClient:
        """A boto3 client of this session, made once and shared.

        Args:
            service: boto3's name of the service, for example ``sagemaker``.

        Raises:
            ConfigurationError: No region is configured.
        """
        from botocore.exceptions import NoRegionError  # noqa: PLC0415 - imports of the SDK are quick

        with self._lock:
            if service not in self._made:
                # boto3's stubs know a service by a literal name only.
                boto3_session = self._boto3_session()
                make = cast("Callable[..., BaseClient]", boto3_session.client)
                elsewhere = {"region_name": _pricing_region(boto3_session.region_name)} if service == "pricing" else {}
                try:
                    self._made[service] = make(service, config=_config(service), **elsewhere)
                except NoRegionError as error:
                    raise ConfigurationError(NO_REGION) from error
            return self._made[service]

    def clear(self) -> None:
        """Forgets the clients; the next call makes new ones."""
        with self._lock:
            self._made.clear()


def _pricing_region(region: str | None) -> str:
    """The nearest region with an endpoint of the Pricing API (AWS General Reference, "Price List Query API")."""
    nearest = {"eu": "eu-central-1", "me": "eu-central-1", "af": "eu-central-1", "ap": "ap-south-1"}
    return nearest.get((region or "").partition("-")[0], "us-east-1")


def _config(service: str) -> Config:
    from botocore.config import Config  # noqa: PLC0415

    from dogbreed_sdk import defaults  # noqa: PLC0415

    if service == "s3":
        # Transfers use up to 40 connections; more threads than connections would open and close them all the time.
        return Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=48, tcp_keepalive=True)
    if service != "sagemaker-runtime":
        return Config(retries={"mode": "standard", "max_attempts": 5})
    return Config(
        connect_timeout=defaults.INVOKE_CONNECT_TIMEOUT_SECONDS,
        read_timeout=defaults.INVOKE_READ_TIMEOUT_SECONDS,
        # BreedClassifier retries, within one deadline; retrying here as well would multiply the attempts.
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=64,
        tcp_keepalive=True,
    )
