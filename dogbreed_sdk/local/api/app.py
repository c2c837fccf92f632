"""The HTTP application: AWS's JSON 1.1 protocol at /, the SageMaker runtime at /endpoints/{name}/…, S3, STS and IAM."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dogbreed_sdk._util.sockets import is_loopback
from dogbreed_sdk.local.api import waiters
from dogbreed_sdk.local.api.async_invocations import invoke_async
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.invocations import Invoker
from dogbreed_sdk.local.api.operations import perform
from dogbreed_sdk.local.api.other_services import ErrorResponse, Handler, OtherServices
from dogbreed_sdk.local.api.protocols import JSON, Protocol, protocol_of
from dogbreed_sdk.local.api.s3.app import S3
from dogbreed_sdk.local.api.wire import ApiError, new_request_id, region_of
from dogbreed_sdk.local.hosting.async_starter import QueueStarter
from dogbreed_sdk.local.store import Store, StoreError
from training_scripts.data.limits import MAX_REALTIME_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

logger = logging.getLogger(__name__)

# The largest CreateTrainingJob that the model allows (100 hyperparameters, 100 variables, 20 channels) is below 1 MB.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
# The rest of a body that is too large is read up to here: the client sees a response, not a broken connection.
_MAX_DISCARDED_BYTES = 16 * MAX_REALTIME_REQUEST_BYTES
# SQLite and process starts block: they run in these threads, for which invocations never wait.
_CONTROL_THREADS = 16
_QUEUE_CHECK_SECONDS = 5.0
_CLIENT_CLOSED_REQUEST = 499  # nginx's number; there is no official one


def create_app(store: Store, *, invocation_seconds: float | None = None) -> Starlette:
    """The application over one store.

    Args:
        store: The state; other processes may share it.
        invocation_seconds: The timeout of invocations; default: AWS's 60 s.
    """
    invoker = Invoker(store) if invocation_seconds is None else Invoker(store, seconds=invocation_seconds)
    starter = QueueStarter(store)
    limiter = anyio.CapacityLimiter(_CONTROL_THREADS)
    s3 = S3(store.root)

    async def control(request: Request) -> Response:
        body = await _read(request, MAX_REQUEST_BYTES)
        context = Context(store, region_of(request.headers.get("authorization", "")))
        protocol = _protocol(request)

        def work() -> tuple[bytes, bool]:
            target, parameters = protocol.read(request.headers.get("x-amz-target", ""), request.url.path, body)
            members = perform(context, target, parameters)
            return protocol.answer(target, members, request.state.id), waiters.will_change(target, members)

        def answer() -> Awaitable[tuple[bytes, bool]]:
            return anyio.to_thread.run_sync(work, limiter=limiter)

        content, changing = await answer()
        if changing and protocol is JSON and waiters.is_waiter(request.headers.get("user-agent", "")):
            return StreamingResponse(waiters.held(content, answer), media_type=protocol.media_type)
        return Response(content, media_type=protocol.media_type, headers=dict(protocol.headers))

    async def invoke(request: Request) -> Response:
        body = await _read(request, MAX_REALTIME_REQUEST_BYTES)
        answer, headers = await invoker.invoke(request.path_params["name"], request.headers, body)
        return Response(answer, headers=headers)

    async def queue(request: Request) -> Response:
        body = await _read(request, MAX_REALTIME_REQUEST_BYTES)
        name, headers = request.path_params["name"], request.headers
        answer, of_answer = await anyio.to_thread.run_sync(
            invoke_async, store, starter, name, headers, body, limiter=limiter
        )
        return Response(answer, status_code=202, headers=of_answer, media_type="application/json")

    async def refuse_stream(_request: Request) -> Response:
        raise ApiError(
            "ValidationError",
            "Local SageMaker's endpoints respond in one piece: call InvokeEndpoint instead of "
            "InvokeEndpointWithResponseStream.",
        )

    async def unknown(request: Request) -> Response:
        raise ApiError(
            "UnknownOperationException",
            f"Local SageMaker does not support {request.method} {request.url.path}.",
            status=404,
        )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_keep_queues_running(starter)), asyncio.create_task(invoker.capture.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await invoker.close()
            s3.close()

    return Starlette(
        routes=[
            Route("/", _guarded(control), methods=["POST"]),
            Route("/service/{service}/operation/{operation}", _guarded(control), methods=["POST"]),
            Route("/endpoints/{name}/invocations", _guarded(invoke), methods=["POST"]),
            Route("/endpoints/{name}/async-invocations", _guarded(queue), methods=["POST"]),
            Route("/endpoints/{name}/invocations-response-stream", _guarded(refuse_stream), methods=["POST"]),
            Route("/{path:path}", _guarded(unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ],
        middleware=[Middleware(OtherServices, s3=s3, guard=_guarded)],
        lifespan=lifespan,
    )


async def _keep_queues_running(starter: QueueStarter) -> None:
    """Start the processes of queues that have lost theirs, now and every few seconds."""
    while True:
        try:
            await asyncio.to_thread(starter.start_all)
        except (OSError, StoreError, subprocess.SubprocessError) as error:
            logger.error("the queues of asynchronous endpoints could not be checked: %s", error)
        await asyncio.sleep(_QUEUE_CHECK_SECONDS)


def _protocol(request: Request) -> Protocol:
    return protocol_of(request.url.path, request.headers.get("content-type", ""))


def _error_response(request: Request, error: ApiError, request_id: str) -> Response:
    protocol = _protocol(request)
    headers = {**protocol.headers, "x-amzn-ErrorType": error.code}
    if request.headers.get("x-amzn-query-mode") == "true":
        side = "Sender" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
        headers["x-amzn-query-error"] = f"{error.code};{side}"
    content = protocol.refuse(error, request_id)
    return Response(content, status_code=error.status, headers=headers, media_type=protocol.media_type)


def _guarded(handler: Handler, error_response: ErrorResponse = _error_response) -> Handler:
    """A handler that always responds: errors in AWS's form, and each response with a request id."""

    async def guarded(request: Request) -> Response:
        request_id = request.state.id = new_request_id()
        try:
            _refuse_web_pages(request)
            response = await handler(request)
        except ClientDisconnect:
            # For instance Ctrl-C during an upload: no client reads this response.
            response = Response(status_code=_CLIENT_CLOSED_REQUEST)
        except ApiError as error:
            response = error_response(request, error, request_id)
        except StoreError as error:
            logger.error("request %s failed: %s", request_id, error)
            response = error_response(request, ApiError("InternalFailure", str(error), status=500), request_id)
        except Exception as error:
            logger.exception("request %s failed", request_id)
            message = f"{type(error).__name__}: {error} (local SageMaker's log has more, request id {request_id})"
            response = error_response(request, ApiError("InternalFailure", message, status=500), request_id)
        response.headers["x-amzn-RequestId"] = response.headers["x-amz-request-id"] = request_id
        return response

    return guarded


def _refuse_web_pages(request: Request) -> None:
    """Refuse requests from web pages: browsers send an origin, and a rebound DNS name is not loopback.

    Raises:
        ApiError: AccessDeniedException.
    """
    if "origin" in request.headers:
        raise ApiError("AccessDeniedException", "Local SageMaker accepts no requests from web pages.", status=403)
    host = request.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if not is_loopback(name.strip("[]")):
        raise ApiError(
            "AccessDeniedException",
            f"Local SageMaker is available on loopback only, not as {host[:128]!r}.",
            status=403,
        )


async def _read(request: Request, limit: int) -> bytes:
    """The request's body.

    Raises:
        ApiError: The body is larger than the limit: code "413", as from AWS's front end.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
        if size > _MAX_DISCARDED_BYTES:
            break
    if size > limit:
        raise ApiError("413", f"HTTP content length exceeded {limit} bytes.", status=413)
    return b"".join(chunks)
