"""Requests to a server that follows SageMaker's hosting contract: /ping and /invocations."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Collection
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from dogbreed_sdk import defaults
from dogbreed_sdk._util.text import retry_after_seconds, sentence
from dogbreed_sdk.client import argument_checks
from dogbreed_sdk.client.transports import Response, Transport, deadlines
from dogbreed_sdk.errors import (
    ConfigurationError,
    DogBreedError,
    EndpointError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointTimeoutError,
    ModelError,
    PayloadTooLargeError,
    ThrottledError,
)
from training_scripts._util.safe_text import redacted
from training_scripts.data.limits import MAX_RESPONSE_BYTES

_LONGEST_MESSAGE = 1200
# SageMaker's own limit for an answer to /ping is 2 s (developer guide, "How containers respond to health checks").
_PING_SECONDS = 5.0
_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-requestid")
# How error responses of `dogbreed serve` begin.
_SERVICES_PROBLEM = b'{"type":"/problems/'
# Transient faults of a server. 500 is not one: it comes from the model's code, which would fail again.
_TRANSIENT_STATUS = frozenset({429, 502, 503, 504})


class RefusalError(Exception):
    """A server answered with a status other than 200."""

    def __init__(
        self, status: int, message: str, request_id: str | None, pause: float = 0.0, *, by_service: bool = False
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.request_id = request_id
        self.pause = pause
        self.by_service = by_service


class ModelServerUnreachableError(EndpointNotReadyError):
    """A model server does not accept connections."""


class ServerTransport(Transport):
    """Posts to /invocations over persistent connections. Proxies in the environment are not used.

    Args:
        url: Address of the server, such as http://127.0.0.1:8080.

    Raises:
        ConfigurationError: It is not an http or https URL, or it has a password or a query.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.name = f"the model server at {self.url}"
        self._pool = _pool(defaults.INVOKE_CONNECTIONS)
        self._connections = defaults.INVOKE_CONNECTIONS

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self.url, self._connections)

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        """Sends one request; no retries.

        Raises:
            RefusalError: The server answered with a status other than 200.
            HTTPError: The response is missing or incomplete.
        """
        timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        with deadlines.Deadline(read_timeout):
            return self._posted(body, content_type, accept, timeout)

    def _posted(self, body: bytes, content_type: str, accept: str, timeout: urllib3.Timeout) -> Response:
        response = self._pool.request(
            "POST",
            f"{self.url}/invocations",
            body=body,
            headers={"Content-Type": content_type, "Accept": accept},
            timeout=timeout,
            redirect=False,  # the picture is meant for this server only
            preload_content=False,
        )
        try:
            content = response.read(MAX_RESPONSE_BYTES + 1, decode_content=False)
            if response.length_remaining and len(content) <= MAX_RESPONSE_BYTES:
                raise ProtocolError(f"{response.length_remaining} bytes of the response are missing")
        except BaseException:
            response.close()
            raise
        if len(content) > MAX_RESPONSE_BYTES:
            response.close()
            raise RefusalError(response.status, f"a response of more than {MAX_RESPONSE_BYTES // 2**20} MiB", None)
        response.release_conn()
        response.close()  # a response that ends with the connection may be incomplete
        request_id = next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), None)
        if response.status != 200:
            pause = retry_after_seconds(response.headers.get("Retry-After"))
            by_service = content.startswith(_SERVICES_PROBLEM)
            raise RefusalError(response.status, _message(content), request_id, pause, by_service=by_service)
        if not content:
            # A connection lost within the headers looks like a response without a body: the HTTP parser takes the
            # end of the stream for the end of the headers.
            raise ProtocolError("the response is empty")
        return Response(content, response.headers.get("Content-Type", ""), request_id)

    def is_transient(self, error: BaseException) -> bool:
        """True for overload, a gateway's fault, or a lost connection."""
        if isinstance(error, RefusalError):
            return error.status in _TRANSIENT_STATUS
        return isinstance(error, (NewConnectionError, ConnectTimeoutError, ProtocolError))

    def minimum_pause(self, error: BaseException) -> float:
        """The seconds of the response's Retry-After."""
        return error.pause if isinstance(error, RefusalError) else 0.0

    def translate(self, error: Exception) -> DogBreedError:
        """The SDK's error, with the server's message."""
        doing = f"Could not invoke {self.name}"
        if isinstance(error, RefusalError):
            return self._refused(error)
        if isinstance(error, NewConnectionError):
            return ModelServerUnreachableError(
                f"{doing}: it does not accept connections. Check the URL, and that the server is running."
            )
        if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
            connecting = isinstance(error, ConnectTimeoutError)
            what, limit = ("the connection", "connect_timeout") if connecting else ("the response", "read_timeout")
            return EndpointTimeoutError(f"{doing}: {what} timed out.", limit=limit)
        if isinstance(error, ProtocolError):
            return EndpointError(f"{doing}: it closed the connection before the response was complete.")
        return EndpointError(f"{doing}: {redacted(str(error))}")

    def wait_until_ready(self, seconds: float) -> None:
        """Polls /ping until it answers 200."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self._ping() == 200:
                    return
            except HTTPError:
                pass
            if time.monotonic() >= deadline:
                raise EndpointNotReadyError(f"{self.name} is not ready after {seconds:.0f} s. Is it running?")
            time.sleep(defaults.LOCAL_POLL_SECONDS)

    def _ping(self) -> int:
        with deadlines.Deadline(_PING_SECONDS):
            url = f"{self.url}/ping"
            response = self._pool.request("GET", url, timeout=_PING_SECONDS, redirect=False, preload_content=False)
            response.close()  # only the status matters
            return response.status

    def abort(self, thread_ids: Collection[int]) -> None:
        """Shuts down the connections that these threads use."""
        deadlines.abort(thread_ids)

    def widen(self, connections: int) -> None:
        """Keeps up to this many connections from now on."""
        if connections > self._connections:
            self._pool, self._connections = _pool(connections), connections

    def close(self) -> None:
        """Closes idle connections."""
        self._pool.clear()

    def _refused(self, error: RefusalError) -> DogBreedError:
        if error.by_service and 400 < error.status < 500:
            return EndpointNotFoundError(
                f"{self.url} is the HTTP service, not a model server: POST pictures to its /v1/classify, or pass the "
                "address of the model server behind it.",
                request_id=error.request_id,
            )
        if error.status in (429, 503):
            return ThrottledError(
                f"{self.name} is overloaded: {sentence(error.message)} Try again in a moment.",
                request_id=error.request_id,
            )
        if error.status == 404:
            return EndpointNotFoundError(
                f"{self.name} has no /invocations. Check that this is the address of a model server.",
                request_id=error.request_id,
            )
        if error.status == 413:
            return PayloadTooLargeError(
                f"The request is too large for {self.name}: {sentence(error.message)} Set max_payload_bytes.",
                request_id=error.request_id,
            )
        return ModelError(
            f"The model behind {self.name} answered {error.status}: {error.message}", request_id=error.request_id
        )


@functools.lru_cache(maxsize=16)
def _restored(url: str, connections: int) -> ServerTransport:
    """An unpickled transport, shared: a process pool unpickles one per task, which would otherwise connect again."""
    transport = ServerTransport(url)
    transport.widen(connections)
    return transport


def _pool(connections: int) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(num_pools=1, maxsize=connections, retries=False)
    manager.pool_classes_by_scheme = deadlines.with_deadlines(manager.pool_classes_by_scheme)
    return manager


def _checked(url: str) -> str:
    if not isinstance(url, str):
        raise ConfigurationError(
            f"url must be a string such as 'http://127.0.0.1:8080', got {argument_checks.shown(url)}."
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{redacted(url)!r} is not the address of a model server; pass one such as http://127.0.0.1:8080."
        )
    return url.rstrip("/").removesuffix("/invocations")


def _message(content: bytes) -> str:
    """The reason in an error response: plain text, or the "message" or "detail" of a JSON object."""
    text = content[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        text = str(document.get("message") or document.get("detail") or text)
    return text[:_LONGEST_MESSAGE] or "no reason given"
