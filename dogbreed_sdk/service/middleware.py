"""The outermost layers of the application: request ids, security headers, access log, metrics, unexpected errors."""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from dogbreed_sdk.service.problems import MEDIA_TYPE, Problem, problem_from_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dogbreed_sdk.errors import DogBreedError
    from dogbreed_sdk.service.metrics import Metrics

access_log = logging.getLogger("dogbreed_sdk.service.access")
log = logging.getLogger("dogbreed_sdk.service")

# nginx's status for a client that disconnected before the response; there is no official one.
CLIENT_CLOSED_REQUEST = 499
NO_ROUTE = "(none)"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

_RAW_HEADERS = {name.lower().encode(): value.encode() for name, value in _HEADERS.items()}
# Ids need not be secret. Reading the system's randomness for each lets other threads run first, in the middle of a
# request.
_ids = random.Random(uuid.uuid4().int)  # noqa: S311


def problem_response(problem: Problem, request_id: str) -> JSONResponse:
    """The HTTP response for a problem."""
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    return JSONResponse(problem.to_dict(request_id), problem.status, headers, media_type=MEDIA_TYPE)


def logged_problem(error: DogBreedError, request_id: str) -> Problem:
    """The problem for an error of the SDK; the log gets the message, which the response may not show."""
    problem = problem_from_error(error)
    if problem.status >= 500:
        log.warning("request %s: %s: %s", request_id, type(error).__name__, error)
    return problem


class ObservabilityMiddleware:
    """Gives every request an id, every response its headers, and both a line in the log and a count."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope)
        scope.setdefault("state", {})["request_id"] = exchange.request_id

        async def counted_receive() -> Message:
            message = await receive()
            exchange.bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                _add_headers(message, exchange)
            exchange.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            exchange.seconds = time.perf_counter() - exchange.start
            self._metrics.request(exchange.route, exchange.status, exchange.seconds)
            _write(exchange)


@dataclass
class _Exchange:
    """One request and its response, for the log and the metrics."""

    scope: Scope
    request_id: str = field(default_factory=lambda: uuid.UUID(int=_ids.getrandbits(128), version=4).hex)
    start: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    status: int = CLIENT_CLOSED_REQUEST
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def route(self) -> str:
        """The route's template: a path could contain secrets, and each one would become a metric."""
        return getattr(self.scope.get("route"), "path", None) or NO_ROUTE


class ErrorMiddleware:
    """Turns an unexpected exception into a problem; its traceback goes to the log, with the request's id."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            request_id = scope["state"]["request_id"]
            log.exception("request %s failed", request_id)
            self._metrics.problem("internal")
            problem = Problem("internal", "The service failed; its log has the reason, under this request_id.")
            await problem_response(problem, request_id)(scope, receive, send)


def _add_headers(message: Message, exchange: _Exchange) -> None:
    """Adds what the response does not set itself; the request's id replaces one that it sets."""
    given = [header for header in message.get("headers", ()) if header[0].lower() != b"x-request-id"]
    names = {name.lower() for name, _ in given}
    given += [(name, value) for name, value in _RAW_HEADERS.items() if name not in names]
    given.append((b"x-request-id", exchange.request_id.encode()))
    if exchange.route.startswith("/v1/") and b"cache-control" not in names:
        given.append((b"cache-control", b"no-store"))
    message["headers"] = given


def _write(exchange: _Exchange) -> None:
    if not access_log.isEnabledFor(logging.INFO):
        return
    client, method = exchange.scope.get("client"), exchange.scope["method"]
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": "info",
        "event": "request",
        "request_id": exchange.request_id,
        "method": method if method in _METHODS else "other",
        "route": exchange.route,
        "status": exchange.status,
        "ms": round(exchange.seconds * 1e3, 1),
        "bytes_in": exchange.bytes_in,
        "bytes_out": exchange.bytes_out,
        "client": client[0] if client else None,
    }
    access_log.info("%s", json.dumps(line))
