"""The queues of asynchronous endpoints: a record per unanswered request, and a process per endpoint that answers them.

A request is Pending until the queue's process (`async_worker`) takes it, Running while the model has it, and Delivering
from the moment its outcome is on this disk until it has been written where the client expects it. Then its record is
removed. A process that takes over from one that was killed fails the requests that were Running, since the model may
have processed them, and delivers those that were Delivering. So each request reaches the model once at most, and each
gets one outcome.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from dogbreed_sdk.local.hosting.objects import joined
from dogbreed_sdk.local.store import ASYNC_INVOCATION, Filters, Record, Store

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import AsyncInferenceConfigOutputTypeDef

# API reference, InvokeEndpointAsync: the defaults of RequestTTLSeconds and InvocationTimeoutSeconds.
REQUEST_SECONDS = 21_600
INVOCATION_SECONDS = 900


class QueuedRequest(TypedDict):
    """A request as it waits.

    Attributes:
        endpoint: The endpoint's name.
        endpoint_created: When the endpoint was created: another one may get its name.
        inference_id: The id that the client gave or was told.
        input: The URI of the body; None if it came with the request.
        body: The body that came with the request, in base 64.
        headers: The headers for the model.
        output: The URI for the response.
        failure: The URI for the reason of a failure; None if the endpoint's log alone gets it.
        expires_after: Seconds after which it is no longer processed.
        timeout: Seconds that the model may take.
    """

    endpoint: str
    endpoint_created: float
    inference_id: str
    input: str | None
    body: str | None
    headers: dict[str, str]
    output: str
    failure: str | None
    expires_after: int
    timeout: int


@dataclass(frozen=True)
class Invocation:
    """A request to an asynchronous endpoint, as a client sends it.

    Attributes:
        input: The URI of the body, or the body itself.
        headers: The headers for the model.
        inference_id: The client's id for it.
        path: A path that is appended to the endpoint's S3OutputPath.
        filename: The name of the output in it; default: a unique one.
        expires_after: Seconds after which it is no longer processed.
        timeout: Seconds that the model may take.
    """

    input: str | bytes
    headers: Mapping[str, str]
    inference_id: str | None = None
    path: str | None = None
    filename: str | None = None
    expires_after: int = REQUEST_SECONDS
    timeout: int = INVOCATION_SECONDS


def enqueue(
    store: Store, endpoint: Record, config: AsyncInferenceConfigOutputTypeDef, invocation: Invocation
) -> QueuedRequest:
    """Add a request to an endpoint's queue; it is on disk when this returns."""
    identifier = str(uuid.uuid4())
    locations = config["OutputConfig"]
    failures = locations.get("S3FailurePath")
    output = joined(locations["S3OutputPath"], invocation.path, invocation.filename or f"{identifier}.out")
    body = invocation.input if isinstance(invocation.input, bytes) else None
    request: QueuedRequest = {
        "endpoint": endpoint.name,
        "endpoint_created": endpoint.created,
        "inference_id": invocation.inference_id or identifier,
        "input": None if isinstance(invocation.input, bytes) else invocation.input,
        "body": None if body is None else base64.b64encode(body).decode("ascii"),
        "headers": dict(invocation.headers),
        "output": output,
        "failure": joined(failures, invocation.path, f"{identifier}-error.out") if failures else None,
        "expires_after": invocation.expires_after,
        "timeout": invocation.timeout,
    }
    state = {"status": "Pending", "endpoint": endpoint.name}
    store.create(ASYNC_INVOCATION, identifier, request, state, region=endpoint.region)  # type: ignore[arg-type]
    return request


def waiting(store: Store, endpoint: str, status: str, *, limit: int | None = None) -> list[Record]:
    """The requests of an endpoint in a status, oldest first."""
    return store.page(ASYNC_INVOCATION, Filters(parent=endpoint, status=status), limit=limit)
