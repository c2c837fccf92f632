"""Has a request answered: tries again what may pass, waits for a model that is not ready, makes errors the SDK's."""

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
    from dogbreed_sdk.client.transports import Answer, Transport


class Asker:
    """Asks one model, with the patience of one classifier's options. Thread-safe.

    Args:
        transport: Carries requests to the model.
        options: How long and how often each is tried.
    """

    def __init__(self, transport: Transport, options: ClassifierOptions) -> None:
        self._transport = transport
        self._connect_timeout = options.connect_timeout
        self._wait_ready = options.wait_ready
        self._policy = retries.RetryPolicy(
            options.max_attempts, options.deadline, options.read_timeout, transport.first_pause
        )

    def ask(self, payload: Payload, accept: str, cancelled: Event | None, start: float) -> tuple[Answer, float]:
        """The answer, and the seconds that passed before the model was ready, which the deadline leaves out.

        Args:
            payload: What is sent.
            accept: The forms of answer that are understood, preferred ones first.
            cancelled: Ends pauses and further attempts when it is set.
            start: The moment of `time.monotonic` at which the deadline began to run.

        Raises:
            DogBreedError: There is no answer.
            CancelledError: The event was set before the first attempt.
        """
        try:
            return self._tried(payload, accept, cancelled, start), 0.0
        except (EndpointNotFoundError, EndpointNotReadyError):
            if not self._wait_ready:
                raise
            # AWS calls an endpoint that is still being created "not found", too: asking for its status tells.
            self._transport.wait_until_ready(self._wait_ready)
            ready = time.monotonic()
            return self._tried(payload, accept, cancelled, ready), ready - start

    def _tried(self, payload: Payload, accept: str, cancelled: Event | None, start: float) -> Answer:
        transport = self._transport
        allowed = 0.0

        def attempt(read_timeout: float) -> Answer:
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
                least_pause=transport.least_pause,
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
        """Says in a time-out which option ended the wait, if one did; `allowed` is what the attempt might take."""
        if error.limit is None:
            return
        if error.limit == "connect_timeout" and self._connect_timeout <= allowed:
            seconds = self._connect_timeout
        elif allowed < self._policy.read_timeout:
            error.limit, seconds = "deadline", self._policy.deadline
        else:
            error.limit, seconds = "read_timeout", self._policy.read_timeout
        error.args = (
            f"{error} The limit was {error.limit}={number_text(seconds)} seconds; give a larger one if it needs more.",
        )
