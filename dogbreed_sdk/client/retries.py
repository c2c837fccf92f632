"""The retry policy: transient failures are retried after random, growing pauses, within one deadline.

Its numbers, with their reasons, are in `dogbreed_sdk.defaults` (INVOKE_...). Each transport's `is_transient` decides
which errors are retried:

    endpoint      throttling, a model that is not loaded yet, SageMaker's own 5xx, the container's 429 and 503
    model server  429, 502, 503, 504
    both          lost connections, and connections that could not be opened in time
    bundle        nothing

A response that does not arrive in time is not retried, and neither is an error of the model itself.
"""

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
    """How often, and for how long, a call is attempted.

    Attributes:
        max_attempts: Maximum number of attempts, including the first.
        deadline: Seconds for all attempts and the pauses between them.
        read_timeout: Seconds that one attempt may take.
        first_pause: Maximum seconds before the second attempt; each further pause may be twice as long.
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
    minimum_pause: Callable[[BaseException], float] = lambda _: 0.0,
    cancelled: Event | None = None,
    start: float | None = None,
) -> T:
    """Calls a function until it succeeds, fails for good, or the policy allows no further attempt.

    Args:
        attempt: The function; its argument is the number of seconds that it may take.
        policy: Attempts, deadline and pauses.
        is_transient: Whether to retry after an error; other errors are raised at once.
        minimum_pause: Minimum seconds to wait after an error. If they exceed the deadline, the error is raised.
        cancelled: Stops pauses and further attempts when it is set.
        start: The value of `time.monotonic` at which the deadline started. Default: now.

    Raises:
        Exception: The error of the last attempt.
        CancelledError: The event was set before the first attempt.
    """
    if cancelled is not None and cancelled.is_set():
        raise CancelledError
    if start is None:
        start = time.monotonic()
    try:
        return attempt(_allowed(policy, start))
    except Exception as error:
        if policy.max_attempts < 2 or not is_transient(error):
            raise
        first = error
    return _retry(
        attempt,
        first,
        policy=policy,
        start=start,
        is_transient=is_transient,
        minimum_pause=minimum_pause,
        cancelled=cancelled,
    )


def _retry(
    attempt: Callable[[float], T],
    first: Exception,
    *,
    policy: RetryPolicy,
    start: float,
    is_transient: Callable[[BaseException], bool],
    minimum_pause: Callable[[BaseException], float],
    cancelled: Event | None,
) -> T:
    import tenacity  # noqa: PLC0415 - only failures need it

    def pause(seconds: float) -> None:
        (cancelled.wait if cancelled is not None else time.sleep)(seconds)

    at_random = tenacity.wait_random_exponential(
        multiplier=policy.first_pause, max=defaults.INVOKE_LONGEST_PAUSE_SECONDS
    )

    def wait(state: tenacity.RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome is not None else None
        # The sum: clients that were refused at the same moment should not all return at the same moment.
        return at_random(state) + (minimum_pause(failure) if failure is not None else 0.0)

    stops: list[tenacity.stop.stop_base] = [
        tenacity.stop_after_attempt(policy.max_attempts),
        # Before a pause that would exceed the deadline, not after it.
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
        return attempt(_allowed(policy, start))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=wait,
        stop=tenacity.stop_any(*stops),
        sleep=pause,
        reraise=True,
    )(next_attempt)


def _allowed(policy: RetryPolicy, start: float) -> float:
    """The seconds that an attempt may take: the rest of the deadline, but at least enough for a response."""
    left = start + policy.deadline - time.monotonic()
    return min(policy.read_timeout, policy.deadline, max(left, defaults.INVOKE_SHORTEST_TIMEOUT_SECONDS))
