"""Calls again what may well succeed in a moment, within one deadline. A call that succeeds at once pays nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from dogbreed_sdk import defaults

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call is tried.

    Attributes:
        max_attempts: At most, the first included.
        deadline: Seconds for all attempts and the pauses between them.
        read_timeout: Seconds that one attempt may wait for its answer.
        first_pause: Seconds before the second attempt, at most; each further pause may be twice as long.
    """

    max_attempts: int
    deadline: float
    read_timeout: float
    first_pause: float


def call(
    attempt: Callable[[float], T],
    *,
    policy: RetryPolicy,
    is_transient: Callable[[BaseException], bool],
    cancelled: Event | None = None,
) -> T:
    """What an attempt returns, after as many as it takes.

    Args:
        attempt: Does the work; it gets the seconds that it may wait for an answer.
        policy: How often and how long.
        is_transient: Whether an error may be gone in a moment; others are raised at once.
        cancelled: Ends pauses and further attempts when it is set.

    Raises:
        Exception: What the last attempt raised.
        CancelledError: The event was set before the first.
    """
    if cancelled is not None and cancelled.is_set():
        raise CancelledError
    start = time.monotonic()
    try:
        return attempt(min(policy.read_timeout, policy.deadline))
    except Exception as error:
        if policy.max_attempts < 2 or not is_transient(error):
            raise
        first = error
    return _again(attempt, first, policy=policy, start=start, is_transient=is_transient, cancelled=cancelled)


def _again(
    attempt: Callable[[float], T],
    first: Exception,
    *,
    policy: RetryPolicy,
    start: float,
    is_transient: Callable[[BaseException], bool],
    cancelled: Event | None,
) -> T:
    import tenacity  # noqa: PLC0415 - only failures need it

    def pause(seconds: float) -> None:
        (cancelled.wait if cancelled is not None else time.sleep)(seconds)

    stops: list[tenacity.stop.stop_base] = [
        tenacity.stop_after_attempt(policy.max_attempts),
        # Before a pause that would outlast the deadline, not after it.
        tenacity.stop_before_delay(max(0.0, start + policy.deadline - time.monotonic())),
    ]
    if cancelled is not None:
        stops.append(tenacity.stop_when_event_set(cancelled))
    failed = [first]

    def next_attempt() -> T:
        # The first attempt was made without tenacity; its failure counts as one.
        if failed:
            raise failed.pop()
        if cancelled is not None and cancelled.is_set():
            raise first
        return attempt(_fitting(policy.read_timeout, start + policy.deadline - time.monotonic()))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_random_exponential(multiplier=policy.first_pause, max=defaults.INVOKE_LONGEST_PAUSE_SECONDS),
        stop=tenacity.stop_any(*stops),
        sleep=pause,
        reraise=True,
    )(next_attempt)


def _fitting(timeout: float, left: float) -> float:
    """The timeout, halved until it fits what is left: few different ones, since each costs boto3 a client.

    >>> _fitting(70.0, 100.0), _fitting(70.0, 20.0)
    (70.0, 17.5)
    """
    while timeout > max(left, defaults.INVOKE_SHORTEST_TIMEOUT_SECONDS):
        timeout /= 2
    return timeout
