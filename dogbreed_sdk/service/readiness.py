"""Readiness: whether the endpoint responds, known from requests, or from a tiny picture sent at most once a second."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import DogBreedError, EndpointTimeoutError
from dogbreed_sdk.service.problems import KINDS, Problem, problem_from_error

if TYPE_CHECKING:
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier

# 8 x 8 gray pixels.
_TINY_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="
)
# An endpoint that takes longer for this is not usable; orchestrators time out even sooner.
_PROBE_SECONDS = 5.0
_RETRY_SECONDS = 1

_log = logging.getLogger("dogbreed_sdk.service")


async def probe(classifier: AsyncBreedClassifier) -> None:
    """Classifies a tiny picture, without retries.

    Raises:
        DogBreedError: The endpoint failed, or did not respond within a few seconds.
    """
    impatient = classifier.with_options(deadline=_PROBE_SECONDS, read_timeout=_PROBE_SECONDS, max_attempts=1)
    try:
        # While all threads are busy, the request does not start, and neither does its own deadline.
        await asyncio.wait_for(impatient.classify(_TINY_PICTURE, top_k=1), _PROBE_SECONDS)
    except asyncio.TimeoutError:
        raise EndpointTimeoutError(f"There was no response within {_PROBE_SECONDS:.0f} s.") from None


class Readiness:
    """Remembers whether the endpoint responds, and probes it again when that is too long ago.

    Args:
        probe: Calls the endpoint; raises a DogBreedError if it does not respond.
        good_for: Seconds for which a result is valid.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], *, good_for: float) -> None:
        self._probe = probe
        self._good_for = good_for
        self._probing = asyncio.Lock()
        self._known_at = float("-inf")
        self._problem: Problem | None = None

    def record_success(self) -> None:
        """Notes that the endpoint has just responded to a request."""
        self._known_at, self._problem = time.monotonic(), None

    def record_failure(self) -> None:
        """Notes that the endpoint has just failed: the next call of `problem` probes it."""
        self._known_at = float("-inf")

    async def problem(self) -> Problem | None:
        """Why the endpoint does not respond, or None if it does."""
        async with self._probing:
            if time.monotonic() - self._known_at >= self._good_for:
                self._problem = await self._probed()
                self._known_at = time.monotonic()
            return self._problem

    async def _probed(self) -> Problem | None:
        try:
            await self._probe()
        except DogBreedError as error:
            _log.warning("not ready: %s", error)
            detail = f"{KINDS[problem_from_error(error).kind].title}."
            return Problem("endpoint-not-ready", detail, retry_after=_RETRY_SECONDS)
        return None
