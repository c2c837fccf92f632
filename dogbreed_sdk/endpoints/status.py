"""The status of an endpoint: describes it, and waits until it is in service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk import container
from dogbreed_sdk._util.polling import poll_seconds
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.aws.logs import LogReader
from dogbreed_sdk.errors import EndpointError, EndpointNotFoundError, EndpointNotReadyError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

    from dogbreed_sdk.session import Session

_LAST_LOG_LINES = 15
# API reference, DescribeEndpoint: neither can be updated any more.
_FAILED = ("Failed", "UpdateRollbackFailed")

# SageMaker looks up a new configuration in a database that may not show it yet, and recommends to repeat the request
# (API reference, CreateEndpoint).
_VISIBLE_ATTEMPTS = 4
_VISIBLE_PAUSE_SECONDS = 2.0


def describe(session: Session, name: str) -> DescribeEndpointOutputTypeDef:
    """SageMaker's description of an endpoint.

    Raises:
        EndpointNotFoundError: The endpoint does not exist.
        EndpointError: It cannot be described for another reason.
    """
    with translated(f"read endpoint {name}", otherwise=EndpointError):
        try:
            return session.client("sagemaker").describe_endpoint(EndpointName=name)
        except ClientError as error:
            if not is_missing(error):
                raise
            raise EndpointNotFoundError(
                f"The endpoint {name} does not exist in {session!r}. 'dogbreed endpoints' lists the endpoints."
            ) from error


def once_visible(create: Callable[[], object]) -> None:
    """Creates what refers to something that was created a moment ago, and may not be visible to SageMaker yet."""
    for attempt in range(1, _VISIBLE_ATTEMPTS + 1):
        try:
            create()
        except ClientError as error:
            if attempt == _VISIBLE_ATTEMPTS or not is_missing(error):
                raise
            time.sleep(_VISIBLE_PAUSE_SECONDS)
        else:
            return


def wait_in_service(session: Session, name: str, *, timeout: float, progress: ProgressCallback) -> None:
    """Waits until an endpoint is in service.

    Args:
        session: The session that the endpoint belongs to.
        name: Name of the endpoint.
        timeout: Seconds to wait at most.
        progress: Called whenever the status changes.

    Raises:
        EndpointError: Its creation failed; with SageMaker's reason and the last lines of its log.
        EndpointNotReadyError: The timeout expired.
    """
    start = time.monotonic()
    shown = ""
    while True:
        described = describe(session, name)
        status = str(described["EndpointStatus"])
        elapsed = time.monotonic() - start
        if status != shown:
            shown = status
            progress(JobProgress(name, status, f"endpoint {name}", elapsed))
        if status == "InService":
            return
        if status in _FAILED:
            reason = described.get("FailureReason", "")
            raise EndpointError(f"Endpoint {name} failed: {reason}{log_tail(session, name)}")
        if elapsed > timeout:
            raise EndpointNotReadyError(
                f"Endpoint {name} is still {status} after {timeout:.0f} s; call wait() again or delete()."
            )
        time.sleep(poll_seconds(local=session.is_local))


def log_tail(session: Session, name: str) -> str:
    """The last lines of an endpoint's log, to be appended to a message; empty if it has none."""
    reader = LogReader(session.client("logs"), container.ENDPOINT_LOG_GROUP_PREFIX + name, "")
    lines = list(reader.new_lines(required=False))[-_LAST_LOG_LINES:]
    return "\n".join(["", "The end of its log:", *lines]) if lines else ""
