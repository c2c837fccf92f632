"""What an endpoint is now, with everything that an update must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.aws.requests.tags import ENDPOINT
from dogbreed_sdk.endpoints.status import describe, wait_in_service
from dogbreed_sdk.endpoints.tags import inherited_tags
from dogbreed_sdk.errors import EndpointError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeEndpointConfigOutputTypeDef,
        DescribeEndpointOutputTypeDef,
        ProductionVariantOutputTypeDef,
    )

    from dogbreed_sdk.session import Session


@dataclass(frozen=True)
class Current:
    """What an endpoint is now.

    Attributes:
        session: The session that it belongs to.
        described: SageMaker's description of the endpoint.
        config: That of its configuration.
        tags: The tags that parts of it are created with.
    """

    session: Session
    described: DescribeEndpointOutputTypeDef
    config: DescribeEndpointConfigOutputTypeDef
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the endpoint."""
        return self.described["EndpointName"]

    @property
    def variants(self) -> dict[str, ProductionVariantOutputTypeDef]:
        """Its production variants by name, with their current weights and numbers of instances."""
        found = {each["VariantName"]: each.copy() for each in self.config["ProductionVariants"]}
        for now in self.described.get("ProductionVariants", ()):
            variant = found[now["VariantName"]]
            if "DesiredWeight" in now:
                variant["InitialVariantWeight"] = now["DesiredWeight"]
            if now.get("DesiredInstanceCount") and "InitialInstanceCount" in variant:
                variant["InitialInstanceCount"] = now["DesiredInstanceCount"]
        return found

    def only_variant(self, doing: str) -> ProductionVariantOutputTypeDef:
        """The one production variant.

        Raises:
            EndpointError: There are several.
        """
        variants = list(self.variants.values())
        if len(variants) > 1:
            raise EndpointError(
                f"Endpoint {self.name} has the variants {', '.join(self.variants)}, so you cannot {doing} it. "
                "Call promote() or roll_back() first."
            )
        return variants[0]


def read(session: Session, name: str, progress: ProgressCallback) -> Current:
    """What an endpoint is now; an update in progress, for instance one whose client was killed, is awaited first.

    Raises:
        EndpointNotFoundError: The endpoint does not exist.
        EndpointError: It has failed, or its configuration was deleted.
    """

    def unless_in_service(step: JobProgress) -> None:
        if step.status != "InService":  # it would look as if the change that follows was done
            progress(step)

    wait_in_service(session, name, timeout=defaults.ENDPOINT_READY_TIMEOUT_SECONDS, progress=unless_in_service)
    described = describe(session, name)
    config_name = described["EndpointConfigName"]
    with needed(f"endpoint configuration {config_name}", name):
        config = session.client("sagemaker").describe_endpoint_config(EndpointConfigName=config_name)
    return Current(session, described, config, {**inherited_tags(session, described), ENDPOINT: name})


@contextmanager
def needed(what: str, endpoint_name: str) -> Iterator[None]:
    """Reads a part of an endpoint that has the settings which an update keeps.

    Raises:
        EndpointError: It was deleted.
    """
    with translated(f"read {what}", otherwise=EndpointError):
        try:
            yield
        except ClientError as error:
            if not is_missing(error):
                raise
            raise EndpointError(
                f"The {what} was deleted, and with it the settings of endpoint {endpoint_name} that an update would "
                "keep. Deploy a new endpoint instead."
            ) from error
