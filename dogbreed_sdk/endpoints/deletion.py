"""Deletes endpoints, endpoint configurations and models; to delete one that does not exist is not an error."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.interruptions import finished_first
from dogbreed_sdk._util.polling import poll_seconds
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.endpoints import left_behind
from dogbreed_sdk.errors import DogBreedError, EndpointError

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")

Deletion = Callable[[], None]


def delete_endpoint(session: Session, name: str, *, timeout: float = defaults.ENDPOINT_READY_TIMEOUT_SECONDS) -> None:
    """Deletes an endpoint. While it is being created or updated SageMaker refuses; then waits, and tries again.

    Args:
        session: The session that the endpoint belongs to.
        name: Name of the endpoint.
        timeout: Seconds to wait at most.

    Raises:
        EndpointError: SageMaker refused, or the timeout expired.
        AccessError: Credentials or a permission are missing.
    """
    client, deadline, waits = session.client("sagemaker"), time.monotonic() + timeout, False
    with translated(f"delete endpoint {name}", otherwise=EndpointError), missing_ignored():
        while True:
            try:
                client.delete_endpoint(EndpointName=name)
            except ClientError as error:
                if not is_in_progress(error) or time.monotonic() >= deadline:
                    raise
            else:
                break
            if not waits:
                waits = True
                logger.warning(
                    "Endpoint %s is still being created or updated, and SageMaker deletes it only afterward. Waiting.",
                    name,
                )
            time.sleep(poll_seconds(local=session.is_local))
    left_behind.forget(session, name)


def delete_endpoint_config(session: Session, name: str) -> None:
    """Deletes an endpoint configuration.

    Raises:
        EndpointError: SageMaker refused.
        AccessError: Credentials or a permission are missing.
    """
    with translated(f"delete endpoint configuration {name}", otherwise=EndpointError), missing_ignored():
        session.client("sagemaker").delete_endpoint_config(EndpointConfigName=name)


def delete_model(session: Session, name: str) -> None:
    """Deletes a model.

    Raises:
        EndpointError: SageMaker refused.
        AccessError: Credentials or a permission are missing.
    """
    with translated(f"delete model {name}", otherwise=EndpointError), missing_ignored():
        session.client("sagemaker").delete_model(ModelName=name)


def attempt_all(deletions: Iterable[Deletion]) -> list[DogBreedError]:
    """Attempts all deletions, and returns the errors of those that failed."""
    errors: list[DogBreedError] = []
    for deletion in deletions:
        try:
            deletion()
        except DogBreedError as error:
            errors.append(error)
    return errors


@contextmanager
def cleaning_up(what: str) -> Iterator[None]:
    """Within the block, the first Ctrl-C does not end the clean-up; a second one does.

    Args:
        what: What is deleted, for the message: ``endpoint dogs``.
    """
    with finished_first(
        lambda: logger.warning("Still deleting %s. Interrupt again to leave it behind; it costs money.", what)
    ):
        yield


@contextmanager
def undone_after_an_error(what: str) -> Iterator[list[Deletion]]:
    """Runs the noted deletions, last first, if the block fails or is interrupted; the block's own error is raised."""
    undo: list[Deletion] = []
    try:
        yield undo
    except BaseException:
        with cleaning_up(what):
            for left in attempt_all(reversed(undo)):
                warn_of_something_left(left)
        raise


@contextmanager
def noted(undo: list[Deletion], deletion: Deletion, *, is_unique: bool) -> Iterator[None]:
    """Notes how to delete what the block creates, unless SageMaker refused to create it.

    If the response was lost, or SageMaker failed, the resource may exist. If its name is taken, the resource belongs to
    somebody else; but if nobody else can have the name, botocore has repeated a request whose response was lost.

    Args:
        undo: Where the deletion is noted.
        deletion: Deletes what the block creates.
        is_unique: Whether the name was generated for this resource.
    """
    undo.append(deletion)
    try:
        yield
    except ClientError as error:
        failed = error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR
        exists = is_unique and "already exist" in str(error)
        if error.operation_name.startswith("Create") and not failed and not exists:
            undo.remove(deletion)
        raise


def warn_of_something_left(error: DogBreedError) -> None:
    """Logs that a resource may remain, beside the error that matters more."""
    logger.warning("Cleaning up after an error failed; a resource that costs money may remain: %s", error)


@contextmanager
def missing_ignored() -> Iterator[None]:
    """Ignores AWS's error that a resource does not exist."""
    try:
        yield
    except ClientError as error:
        if not is_missing(error):
            raise


def is_in_progress(error: ClientError) -> bool:
    """Whether SageMaker refuses because the endpoint is being created, updated or deleted."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return "in-progress" in message or "is being deleted" in message
