"""Sends a request: retries transient failures, waits for a model that is not ready, translates errors."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from threading import Event
from typing import TYPE_CHECKING

from dogbreed_sdk.client import retries
from dogbreed_sdk.errors import DogBreedError, EndpointNotFoundError, EndpointNotReadyError, EndpointTimeoutError
from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    from dogbreed_sdk.client.images import Payload
    from dogbreed_sdk.client.options import ClassifierOptions
    from dogbreed_sdk.client.transports import Response, Transport


class Invoker:
    """Sends requests to one model, with the timeouts and retries of one classifier's options. Thread-safe.

    Args:
        transport: Carries requests to the model.
        options: Timeouts and retries.
    """

    def __init__(self, transport: Transport, options: ClassifierOptions) -> None:
        self._transport = transport
        self._connect_timeout = options.connect_timeout
        self._wait_ready = options.wait_ready
        self._policy = retries.RetryPolicy(
            options.max_attempts, options.deadline, options.read_timeout, transport.first_pause
        )

    def invoke(self, payload: Payload, accept: str, cancelled: Event | None, start: float) -> tuple[Response, float]:
        """Sends a request.

        Args:
            payload: The body to send.
            accept: Content types of responses that can be parsed, preferred ones first.
            cancelled: Stops pauses and further attempts when it is set.
            start: The value of `time.monotonic` at which the deadline started.

        Returns:
            The response, and the seconds spent waiting for the model to be ready, which the deadline excludes.

        Raises:
            DogBreedError: All attempts failed.
            CancelledError: The event was set before the first attempt.
        """
        try:
            return self._with_retries(payload, accept, cancelled, start), 0.0
        except (EndpointNotFoundError, EndpointNotReadyError):
            if not self._wait_ready:
                raise
            # AWS also says "not found" of an endpoint that is being created: only its status distinguishes the two.
            self._transport.wait_until_ready(self._wait_ready)
            ready = time.monotonic()
            return self._with_retries(payload, accept, cancelled, ready), ready - start

    def _with_retries(self, payload: Payload, accept: str, cancelled: Event | None, start: float) -> Response:
        transport = self._transport
        allowed = 0.0

        def attempt(read_timeout: float) -> Response:
            nonlocal allowed
            allowed = read_timeout
            return transport.invoke(
                payload.body,
                payload.content_type,
                accept,
                connect_timeout=self._connect_timeout,
                read_timeout=read_timeout,
            )

        try:
            return retries.call(
                attempt,
                policy=self._policy,
                is_transient=transport.is_transient,
                minimum_pause=transport.minimum_pause,
                cancelled=cancelled,
                start=start,
            )
        except (DogBreedError, CancelledError):
            raise
        except Exception as error:
            translated = transport.translate(error)
            if isinstance(translated, EndpointTimeoutError):
                self._name_limit(translated, allowed)
            raise translated from error

    def _name_limit(self, error: EndpointTimeoutError, allowed: float) -> None:
        """Names the option that caused a timeout, if one did; `allowed` is the time that the attempt was given."""
        if error.limit is None:
            return
        if error.limit == "connect_timeout" and self._connect_timeout <= allowed:
            seconds = self._connect_timeout
        elif allowed < self._policy.read_timeout:
            error.limit, seconds = "deadline", self._policy.deadline
        else:
            error.limit, seconds = "read_timeout", self._policy.read_timeout
        error.args = (
            f"{error} The limit was {error.limit}={number_text(seconds)} s; pass a larger one if it needs more.",
        )
