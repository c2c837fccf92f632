"""Whether the endpoint answers: known from requests that it answered, or asked with a tiny picture, once a second."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import DogBreedError, EndpointTimeoutError
from dogbreed_sdk.service.problems import KINDS, Problem, of_error

if TYPE_CHECKING:
    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier

# 8 x 8 grey pixels.
_TINY_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="
)
# An endpoint that takes longer for so little is of no use; orchestrators give up a probe sooner than that.
_PROBE_SECONDS = 5.0
_RETRY_SECONDS = 1

_log = logging.getLogger("dogbreed_sdk.service")


async def probe(classifier: AsyncBreedClassifier) -> None:
    """Asks about a tiny picture, once.

    Raises:
        DogBreedError: There was no answer, or none within a few seconds.
    """
    shortly = classifier.with_options(deadline=_PROBE_SECONDS, read_timeout=_PROBE_SECONDS, max_attempts=1)
    try:
        # Where all threads are taken, the question itself does not begin, nor does its deadline.
        await asyncio.wait_for(shortly.classify(_TINY_PICTURE, top_k=1), _PROBE_SECONDS)
    except asyncio.TimeoutError:
        raise EndpointTimeoutError(f"There was no answer within {_PROBE_SECONDS:.0f} s.") from None


class Readiness:
    """The last answer to "does the endpoint answer?", asked anew when it has become too old.

    Args:
        ask: Asks the endpoint; raises a DogBreedError where it does not answer.
        good_for: Seconds for which an answer counts.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]], *, good_for: float) -> None:
        self._ask = ask
        self._good_for = good_for
        self._asking = asyncio.Lock()
        self._known_at = float("-inf")
        self._problem: Problem | None = None

    def answered(self) -> None:
        """Notes that the endpoint has just answered somebody."""
        self._known_at, self._problem = time.monotonic(), None

    def doubted(self) -> None:
        """Notes that the endpoint has just failed somebody: the next who wants to know has it asked."""
        self._known_at = float("-inf")

    async def problem(self) -> Problem | None:
        """Why the endpoint does not answer, or None where it does."""
        async with self._asking:
            if time.monotonic() - self._known_at >= self._good_for:
                self._problem = await self._found()
                self._known_at = time.monotonic()
            return self._problem

    async def _found(self) -> Problem | None:
        try:
            await self._ask()
        except DogBreedError as error:
            _log.warning("not ready: %s", error)
            detail = f"{KINDS[of_error(error).kind].title}."
            return Problem("endpoint-not-ready", detail, retry_after=_RETRY_SECONDS)
        return None
