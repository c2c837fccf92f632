"""Sends the requests of a batch transform job to its model server, and retries those that fail."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from dogbreed_sdk._util.processes import is_alive
from dogbreed_sdk._util.text import retry_after_seconds, shorten
from dogbreed_sdk.local.hosting.model_client import Answer, ModelClient, ServerGoneError
from dogbreed_sdk.local.states import Server
from dogbreed_sdk.local.transform.request import TransformRequest

# Responses stay in memory until those before them are written.
_MAX_RESPONSE_BYTES = 1 << 30
_BACKOFF_SECONDS = 0.1
_TOO_MANY_REQUESTS = 429
# A process that was killed closes its connections a moment before it has ended.
_DYING_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_MAX_MESSAGE_CHARACTERS = 4000
_MAX_MESSAGE_LINES = 40

FailureKind = Literal["ClientError", "AlgorithmError", "InternalServerError"]


class RequestFailure(Exception):  # noqa: N818 - a job has failures, as on AWS
    """The model did not process a request.

    Args:
        kind: Whose fault it is: what FailureReason begins with.
        problem: What happened, in the words of AWS's data log.
        details: The model's explanation.
    """

    def __init__(self, kind: FailureKind, problem: str, details: str = "") -> None:
        super().__init__(f"{problem}: {details}" if details else problem)
        self.kind: FailureKind = kind
        self.lines = [problem, *(["", "Message:", *details.splitlines()[:_MAX_MESSAGE_LINES]] if details else [])]


class ModelServerEnded(Exception):  # noqa: N818
    """The model server ended during the job."""


class Sender:
    """Sends requests to one model server.

    Args:
        server: The server.
        request: Headers, time limit and retries.
    """

    def __init__(self, server: Server, request: TransformRequest) -> None:
        self._server = server
        self._request = request
        self._client = ModelClient(max_response_bytes=_MAX_RESPONSE_BYTES)

    async def send(self, body: bytes) -> bytes:
        """The model's response to a request.

        Raises:
            RequestFailure: The model refuses it, or fails with every retry.
            ModelServerEnded: The server is gone.
        """
        for attempt in range(self._request.retries + 1):
            try:
                return await self._attempt(body)
            except _Transient as error:
                failure = error.failure
                if attempt < self._request.retries:
                    await asyncio.sleep(max(error.delay, _BACKOFF_SECONDS * 2**attempt))
        raise failure

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, body: bytes) -> bytes:
        seconds = self._request.timeout_seconds
        try:
            exchange = self._client.exchange(self._server, self._request.headers, body)
            answer = await asyncio.wait_for(exchange, seconds)
        except asyncio.TimeoutError:
            message = f"Model server did not respond to /invocations request within {seconds:g} seconds"
            raise _Transient(RequestFailure("AlgorithmError", message)) from None
        except ServerGoneError as error:
            if not await self._is_alive():
                raise ModelServerEnded from error
            failure = RequestFailure("InternalServerError", "Unable to get response from algorithm", str(error))
            raise _Transient(failure) from error
        if answer.is_success:
            return answer.body
        if 400 <= answer.status < 500 and answer.status != _TOO_MANY_REQUESTS:
            raise RequestFailure("ClientError", f"ClientError: {answer.status}", _text(answer))
        problem = f"Bad HTTP status received from algorithm: {answer.status}"
        delay = retry_after_seconds(answer.headers.get("retry-after"))
        raise _Transient(RequestFailure("AlgorithmError", problem, _text(answer)), delay)

    async def _is_alive(self) -> bool:
        deadline = time.monotonic() + _DYING_SECONDS
        while is_alive(self._server):
            if time.monotonic() >= deadline:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False


class _Transient(Exception):  # noqa: N818
    """A failure that a retry may overcome, and the seconds to wait before it."""

    def __init__(self, failure: RequestFailure, delay: float = 0.0) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.delay = delay


def _text(answer: Answer) -> str:
    return shorten(answer.text, _MAX_MESSAGE_CHARACTERS)
