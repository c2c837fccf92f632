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
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dogbreed_sdk.local.api import waiters
from dogbreed_sdk.local.api.async_invocations import invoke_async
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.handling import MAX_REQUEST_BYTES, Handler, guarded, read_body
from dogbreed_sdk.local.api.invocations import Invoker
from dogbreed_sdk.local.api.operations import perform
from dogbreed_sdk.local.api.other_services import OtherServices
from dogbreed_sdk.local.api.protocols import JSON, Protocol, protocol_of
from dogbreed_sdk.local.api.s3.app import S3
from dogbreed_sdk.local.api.wire import ApiError, fault_of, region_of
from dogbreed_sdk.local.hosting.async_starter import QueueStarter
from dogbreed_sdk.local.store import Store, StoreError
from training_scripts.data.limits import MAX_REALTIME_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

logger = logging.getLogger(__name__)

# SQLite and process starts block: they run in these threads, for which invocations never wait.
_CONTROL_THREADS = 16
_QUEUE_CHECK_SECONDS = 5.0


class _Handlers:
    """The handlers of SageMaker's requests.

    Args:
        store: The state.
        invoker: Calls real-time endpoints.
    """

    def __init__(self, store: Store, invoker: Invoker) -> None:
        self._store = store
        self._invoker = invoker
        self._starter = QueueStarter(store)
        self._limiter = anyio.CapacityLimiter(_CONTROL_THREADS)

    async def control(self, request: Request) -> Response:
        """An operation on resources."""
        body = await read_body(request, MAX_REQUEST_BYTES)
        context = Context(self._store, region_of(request.headers.get("authorization", "")))
        protocol = _protocol(request)

        def work() -> tuple[bytes, bool]:
            target, parameters = protocol.read(request.headers.get("x-amz-target", ""), request.url.path, body)
            members = perform(context, target, parameters)
            return protocol.answer(target, members, request.state.id), waiters.will_change(target, members)

        def answer() -> Awaitable[tuple[bytes, bool]]:
            return anyio.to_thread.run_sync(work, limiter=self._limiter)

        content, changing = await answer()
        if changing and protocol is JSON and waiters.is_waiter(request.headers.get("user-agent", "")):
            return StreamingResponse(waiters.held(content, answer), media_type=protocol.media_type)
        return Response(content, media_type=protocol.media_type, headers=dict(protocol.headers))

    async def invoke(self, request: Request) -> Response:
        """InvokeEndpoint."""
        body = await read_body(request, MAX_REALTIME_REQUEST_BYTES)
        answer, headers = await self._invoker.invoke(request.path_params["name"], request.headers, body)
        return Response(answer, headers=headers)

    async def queue(self, request: Request) -> Response:
        """InvokeEndpointAsync."""
        body = await read_body(request, MAX_REALTIME_REQUEST_BYTES)
        name = request.path_params["name"]
        answer, headers = await anyio.to_thread.run_sync(
            invoke_async, self._store, self._starter, name, request.headers, body, limiter=self._limiter
        )
        return Response(answer, status_code=HTTPStatus.ACCEPTED, headers=headers, media_type="application/json")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do the periodic work beside the requests."""
        tasks = [
            asyncio.create_task(_keep_queues_running(self._starter)),
            asyncio.create_task(self._invoker.capture.run()),
            asyncio.create_task(self._invoker.metrics.run()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await self._invoker.close()


def create_app(store: Store, *, invocation_seconds: float | None = None) -> Starlette:
    """The application over one store.

    Args:
        store: The state; other processes may share it.
        invocation_seconds: The timeout of invocations; default: AWS's 60 s.
    """
    invoker = Invoker(store) if invocation_seconds is None else Invoker(store, seconds=invocation_seconds)
    handlers, s3 = _Handlers(store, invoker), S3(store.root)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            async with handlers.running():
                yield
        finally:
            s3.close()

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, guarded(handler, _error_response), methods=methods or ["POST"])

    return Starlette(
        routes=[
            route("/", handlers.control),
            route("/service/{service}/operation/{operation}", handlers.control),
            route("/endpoints/{name}/invocations", handlers.invoke),
            route("/endpoints/{name}/async-invocations", handlers.queue),
            route("/endpoints/{name}/invocations-response-stream", _refuse_stream),
            route("/{path:path}", _unknown, "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
        ],
        middleware=[Middleware(OtherServices, s3=s3)],
        lifespan=lifespan,
    )


async def _refuse_stream(_request: Request) -> Response:
    raise ApiError(
        "ValidationError",
        "Local SageMaker's endpoints respond in one piece: call InvokeEndpoint instead of "
        "InvokeEndpointWithResponseStream.",
    )


async def _unknown(request: Request) -> Response:
    raise ApiError(
        "UnknownOperationException",
        f"Local SageMaker does not support {request.method} {request.url.path}.",
        status=404,
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
        headers["x-amzn-query-error"] = f"{error.code};{fault_of(error)}"
    content = protocol.refuse(error, request_id)
    return Response(content, status_code=error.status, headers=headers, media_type=protocol.media_type)
