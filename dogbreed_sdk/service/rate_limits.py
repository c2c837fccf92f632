"""Rate limits: a rate as people write it, and a limiter that enforces it for each client."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.number_text import counted

_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_FORM = re.compile(r"^(\d{1,9})/(second|minute|hour)$")
# Clients remembered at the same time; only an attack comes from more addresses within one period.
_MOST_CLIENTS = 100_000


@dataclass(frozen=True)
class Rate:
    """A number of requests per period.

    Attributes:
        count: Requests per period, from 1; all of them may also come at once.
        seconds: Length of the period, from 1.

    Raises:
        ConfigurationError: A value is below 1.

    Examples:
        >>> from dogbreed_sdk.service import Rate
        >>> Rate.parse("60/minute")
        Rate(count=60, seconds=60)
    """

    count: int
    seconds: int

    def __post_init__(self) -> None:
        if self.count < 1 or self.seconds < 1:
            raise ConfigurationError(f"A rate must be at least one request per second or more, not {self}.")

    def __str__(self) -> str:
        return f"{self.count}/{_period(self)}"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Parses ``N/second``, ``N/minute`` or ``N/hour``.

        Raises:
            ConfigurationError: The text has another form.
        """
        match = _FORM.match(text.strip())
        if match is None or int(match[1]) < 1:
            raise ConfigurationError(f"{text!r} is not a rate; write it like 60/minute, 5/second or 1000/hour.")
        return cls(int(match[1]), _SECONDS[match[2]])


def in_words(rate: Rate, noun: str) -> str:
    """A rate for a sentence.

    >>> in_words(Rate(2, 60), "picture"), in_words(Rate(1, 90), "picture")
    ('2 pictures per minute', '1 picture per 90 seconds')
    """
    return f"{counted(rate.count, noun)} per {_period(rate)}"


def _period(rate: Rate) -> str:
    return next((name for name, seconds in _SECONDS.items() if seconds == rate.seconds), f"{rate.seconds} seconds")


class RateLimiter:
    """Limits each client to a rate; keeps one number per client and drops those of inactive clients.

    It is the generic cell rate algorithm (ITU-T I.371): each request moves the time at which the client's account is
    balanced by one interval, and is refused if that time is more than a period away.

    Args:
        rate: The rate of each client.
        clock: Monotonic seconds.
    """

    def __init__(self, rate: Rate, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = rate.seconds / rate.count
        self._period = float(rate.seconds)
        self._clock = clock
        self._free_at: dict[str, float] = {}

    def take(self, client: str) -> float:
        """Counts one request.

        Returns:
            0.0 if it is allowed; else the seconds after which the next one will be allowed.
        """
        now = self._clock()
        due = max(self._free_at.get(client, now), now) + self._interval
        # The tolerance keeps rounding errors from refusing the last request of a full burst.
        wait = due - now - self._period
        if wait > 1e-9:
            return wait
        self._remember(client, due, now)
        return 0.0

    def charge(self, client: str, requests: int) -> None:
        """Counts further requests after one was allowed, even beyond the rate: the client must then wait longer."""
        now = self._clock()
        due = max(self._free_at.get(client, now), now) + requests * self._interval
        self._remember(client, due, now)

    def _remember(self, client: str, due: float, now: float) -> None:
        if client not in self._free_at and len(self._free_at) >= _MOST_CLIENTS:
            self._free_at = {name: free_at for name, free_at in self._free_at.items() if free_at > now}
            if len(self._free_at) >= _MOST_CLIENTS:
                del self._free_at[next(iter(self._free_at))]
        self._free_at[client] = due
