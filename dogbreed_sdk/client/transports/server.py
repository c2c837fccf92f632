"""Requests to a server that speaks SageMaker's hosting contract on a URL of its own: /ping and /invocations."""

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
from dogbreed_sdk.client import argument_checks
from dogbreed_sdk.client.transports import Answer, Transport, deadlines, seconds_asked, sentence
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
# How `dogbreed serve` says no.
_SERVICES_PROBLEM = b'{"type":"/problems/'
# A server's own faults that pass: 500 is the model's code, which would fail again.
_TRANSIENT_STATUS = frozenset({429, 502, 503, 504})


class RefusalError(Exception):
    """A server answered with another status than 200."""

    def __init__(
        self, status: int, message: str, request_id: str | None, pause: float = 0.0, *, by_service: bool = False
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.request_id = request_id
        self.pause = pause
        self.by_service = by_service


class ServerTransport(Transport):
    """Posts to /invocations over connections that are kept. Proxies of the environment are not used.

    Args:
        url: Where the server listens, such as http://127.0.0.1:8080.

    Raises:
        ConfigurationError: It is no http or https URL, or it carries a password or a query.
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
    ) -> Answer:
        """Sends one request; no retries.

        Raises:
            RefusalError: The server answered with another status than 200.
            HTTPError: No answer came, or only a part of it.
        """
        timeout = urllib3.Timeout(connect=connect_timeout, read=read_timeout)
        with deadlines.Limited(read_timeout):
            return self._posted(body, content_type, accept, timeout)

    def _posted(self, body: bytes, content_type: str, accept: str, timeout: urllib3.Timeout) -> Answer:
        response = self._pool.request(
            "POST",
            f"{self.url}/invocations",
            body=body,
            headers={"Content-Type": content_type, "Accept": accept},
            timeout=timeout,
            redirect=False,  # the picture is for this server alone
            preload_content=False,
        )
        try:
            content = response.read(MAX_RESPONSE_BYTES + 1, decode_content=False)
            if response.length_remaining and len(content) <= MAX_RESPONSE_BYTES:
                raise ProtocolError(f"{response.length_remaining} bytes of the answer are missing")
        except BaseException:
            response.close()
            raise
        if len(content) > MAX_RESPONSE_BYTES:
            response.close()
            raise RefusalError(response.status, "an answer of more than 25 MB", None)
        response.release_conn()
        response.close()  # an answer that lasts to the connection's end is not known to be complete
        request_id = next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), None)
        if response.status != 200:
            pause = seconds_asked(response.headers.get("Retry-After"))
            by_service = content.startswith(_SERVICES_PROBLEM)
            raise RefusalError(response.status, _message(content), request_id, pause, by_service=by_service)
        if not content:
            # A connection lost among the headers looks like an answer without a body: HTTP's parser takes the end
            # of the stream for the end of the headers.
            raise ProtocolError("the answer is empty")
        return Answer(content, response.headers.get("Content-Type", ""), request_id)

    def is_transient(self, error: BaseException) -> bool:
        """Overload, a gateway's fault, or a lost connection."""
        if isinstance(error, RefusalError):
            return error.status in _TRANSIENT_STATUS
        return isinstance(error, (NewConnectionError, ConnectTimeoutError, ProtocolError))

    def least_pause(self, error: BaseException) -> float:
        """The seconds of a refusal's Retry-After."""
        return error.pause if isinstance(error, RefusalError) else 0.0

    def translate(self, error: Exception) -> DogBreedError:
        """The SDK's error, with the server's message."""
        doing = f"Could not ask {self.name}"
        if isinstance(error, RefusalError):
            return self._refused(error)
        if isinstance(error, NewConnectionError):
            return EndpointNotReadyError(f"{doing}: it accepts no connection. Check the URL, and that the server runs.")
        if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
            limit = "connect_timeout" if isinstance(error, ConnectTimeoutError) else "read_timeout"
            return EndpointTimeoutError(f"{doing}: no answer in time.", limit=limit)
        if isinstance(error, ProtocolError):
            return EndpointError(f"{doing}: it closed the connection before its answer was complete.")
        return EndpointError(f"{doing}: {redacted(str(error))}")

    def wait_until_ready(self, seconds: float) -> None:
        """Asks /ping until it answers 200."""
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
        with deadlines.Limited(_PING_SECONDS):
            url = f"{self.url}/ping"
            response = self._pool.request("GET", url, timeout=_PING_SECONDS, redirect=False, preload_content=False)
            response.close()  # whatever it says beside its status
            return response.status

    def abort(self, thread_ids: Collection[int]) -> None:
        """Ends the connections that these threads use."""
        deadlines.cut(thread_ids)

    def widen(self, connections: int) -> None:
        """Keeps so many connections from now on."""
        if connections > self._connections:
            self._pool, self._connections = _pool(connections), connections

    def close(self) -> None:
        """Closes connections that are not in use."""
        self._pool.clear()

    def _refused(self, error: RefusalError) -> DogBreedError:
        if error.by_service and 400 < error.status < 500:
            return EndpointNotFoundError(
                f"{self.url} is the HTTP service, no model server: POST pictures to its /v1/classify, or give the "
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
                f"{self.name} has no /invocations: is this the address of a model server?", request_id=error.request_id
            )
        if error.status == 413:
            return PayloadTooLargeError(
                f"{self.name} takes no request so large: {sentence(error.message)} Give max_payload_bytes.",
                request_id=error.request_id,
            )
        return ModelError(
            f"The model behind {self.name} answered {error.status}: {error.message}", request_id=error.request_id
        )


@functools.lru_cache(maxsize=16)
def _restored(url: str, connections: int) -> ServerTransport:
    """An unpickled transport, shared: a process pool unpickles one with every task, and would connect each time."""
    transport = ServerTransport(url)
    transport.widen(connections)
    return transport


def _pool(connections: int) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(num_pools=1, maxsize=connections, retries=False)
    manager.pool_classes_by_scheme = deadlines.traceable(manager.pool_classes_by_scheme)
    return manager


def _checked(url: str) -> str:
    if not isinstance(url, str):
        raise ConfigurationError(
            f"url must be a text such as 'http://127.0.0.1:8080', got {argument_checks.shown(url)}."
        )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{redacted(url)!r} is no address of a model server; give one such as http://127.0.0.1:8080."
        )
    return url.rstrip("/").removesuffix("/invocations")


def _message(content: bytes) -> str:
    """What a server says of its refusal: plain text, or the "message" or "detail" of a JSON object."""
    text = content[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace").strip()
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        text = str(told.get("message") or told.get("detail") or text)
    return text[:_LONGEST_MESSAGE] or "it gave no reason"
