"""Whether the endpoint answers: known from requests that it answered, or asked with a tiny picture, once a second."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable

from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.service.problems import KINDS, Problem, of_error

# 8 x 8 grey pixels.
TINY_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="
)
# An endpoint that takes longer for so little is of no use; orchestrators give up a probe sooner than that.
PROBE_SECONDS = 5.0
_RETRY_SECONDS = 1

_log = logging.getLogger("dogbreed_sdk.service")


class Readiness:
    """The last answer to "does the endpoint answer?", asked anew when it has become too old.

    Args:
        probe: Asks the endpoint; raises where it does not answer.
        good_for: Seconds for which an answer counts.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]], *, good_for: float) -> None:
        self._probe = probe
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
                problem = await self._ask()
                self._known_at, self._problem = time.monotonic(), problem
            return self._problem

    async def _ask(self) -> Problem | None:
        try:
            await asyncio.wait_for(self._probe(), PROBE_SECONDS)
        except DogBreedError as error:
            _log.warning("not ready: %s", error)
            return _not_ready(of_error(error).kind)
        except (TimeoutError, asyncio.TimeoutError):
            return _not_ready("endpoint-timeout")
        return None


def _not_ready(kind: str) -> Problem:
    return Problem("endpoint-not-ready", f"{KINDS[kind].title}.", retry_after=_RETRY_SECONDS)
