"""The HTTP interface of a loaded model: GET /ping, GET /execution-parameters, and POST /invocations with its limits."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dogbreed_sdk.model_server.batching import ModelRunner
from dogbreed_sdk.model_server.context import RequestContext
from dogbreed_sdk.model_server.handlers import ModelRequest, ModelResponse
from dogbreed_sdk.model_server.settings import Settings

MAXIMUM_WAITING = 64
# 64 photographs fit many times over; of the largest bodies, ten may wait.
MAXIMUM_WAITING_BODIES = 10
# SageMaker's own limit for a whole real-time request.
_BODY_SECONDS = 60.0
# Between a request's 504 and the end of the hung process, so that the 504 reaches its client.
_LAST_RESPONSE_SECONDS = 1.0
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnected; no client receives it

_log = logging.getLogger(__name__)


class ModelApp:
    """Admits invocations and responds to them.

    Args:
        runner: Runs the model.
        settings: Model folder, default Accept and time limit.
    """

    def __init__(self, runner: ModelRunner, settings: Settings) -> None:
        self._runner = runner
        self._settings = settings
        self._waiting = 0
        self._waiting_bytes = 0
        self._last_use = time.monotonic()

    def routes(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/execution-parameters", self._execution_parameters),
                Route("/invocations", self._invocations, methods=["POST"]),
            ]
        )

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last invocation ended; 0 during one."""
        return 0.0 if self._waiting else time.monotonic() - self._last_use

    @property
    def is_stuck(self) -> bool:
        """Whether a call of the model has lasted for a second longer than SAGEMAKER_MODEL_SERVER_TIMEOUT."""
        return self._runner.call_seconds() > self._settings.timeout_seconds + _LAST_RESPONSE_SECONDS

    async def _ping(self, _request: Request) -> Response:
        return Response(status_code=200)

    async def _execution_parameters(self, _request: Request) -> Response:
        """What a batch transform job uses if its request says nothing else; the other values are AWS's defaults."""
        return JSONResponse(
            {"MaxConcurrentTransforms": self._runner.concurrency, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
        )

    async def _invocations(self, request: Request) -> Response:
        declared = request.headers.get("content-length", "")
        # A body of unknown length may become as large as is allowed.
        limit = self._settings.request_bytes
        size = int(declared) if declared.isdecimal() else limit
        if size > limit:
            return _too_large(limit)
        if self._waiting >= MAXIMUM_WAITING or self._waiting_bytes + size > MAXIMUM_WAITING_BODIES * limit:
            message = f"{self._waiting} requests are already waiting; try again later."
            return PlainTextResponse(message, 503, headers={"retry-after": "1"})
        self._waiting += 1
        self._waiting_bytes += size
        try:
            return await self._admitted(request)
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size
            self._last_use = time.monotonic()

    async def _admitted(self, request: Request) -> Response:
        try:
            body = await asyncio.wait_for(_read(request, self._settings.request_bytes), _BODY_SECONDS)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except asyncio.TimeoutError:
            return PlainTextResponse(f"The body did not arrive within {_BODY_SECONDS:.0f} s.", 408)
        if body is None:
            return _too_large(self._settings.request_bytes)
        model_request = self._model_request(request, body)
        del body
        try:
            response = await self._run(request, model_request)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except Exception as error:  # noqa: BLE001 - an exception of the model's code fails this request alone
            return _failure(error)
        if response is None:
            return PlainTextResponse(f"The model did not answer within {self._settings.timeout_seconds:g} s.", 504)
        headers = {**response.headers, "content-type": response.content_type}
        return Response(response.body, status_code=response.status, headers=headers)

    def _model_request(self, request: Request, body: bytes) -> ModelRequest:
        accept = request.headers.get("accept") or "*/*"
        return ModelRequest(
            body=body,
            content_type=request.headers.get("content-type", "application/octet-stream"),
            accept=self._settings.default_accept if accept == "*/*" else accept,
            context=RequestContext(self._settings.model_dir, request.headers),
        )

    async def _run(self, request: Request, model_request: ModelRequest) -> ModelResponse | None:
        """The model's response, or None after the time limit; a request whose client disconnects is cancelled."""
        work = asyncio.ensure_future(self._runner.run(model_request))
        gone = asyncio.ensure_future(_disconnection(request))
        timeout = self._settings.timeout_seconds
        try:
            await asyncio.wait(
                {work, gone}, timeout=None if timeout == float("inf") else timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                return work.result()
            if gone.done():
                raise ClientDisconnect
            return None
        finally:
            work.cancel()
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


async def _read(request: Request, limit: int) -> bytes | None:
    """The body; None if it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _disconnection(request: Request) -> None:
    """Returns when the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _too_large(limit: int) -> Response:
    return PlainTextResponse(f"The body is larger than {limit >> 20} MiB, the limit of a request.", 413)


def _failure(error: Exception) -> Response:
    """A response with the message and the status of an error; the log gets the traceback."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return PlainTextResponse(str(error), status)
    _log.error("An invocation failed:\n%s", "".join(traceback.format_exception(error)).rstrip())
    return PlainTextResponse(f"{type(error).__name__}: {error}", 500)
