"""Waiting for what other processes and threads do, and measuring in spite of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# While a machine stands still, what is waited for cannot happen either: a step counts at most this many seconds.
_LONGEST_STEP = 1.0


def wait_for(condition: Callable[[], T | None], seconds: float = 60.0, *, state: Callable[[], Any] = lambda: None) -> T:
    """The first true answer of `condition`; the failure says the `state` in which it did not come true."""
    left = seconds
    while left > 0:
        began = time.monotonic()
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
        left -= min(time.monotonic() - began, _LONGEST_STEP)
    raise AssertionError(f"{condition} was not met in {seconds:g} s; state: {state()}")


def script_until(path: Path) -> str:
    """The beginning of a script that waits for a file, so that the test decides when the rest of it runs."""
    return f"import pathlib, time\nwhile not pathlib.Path({str(path)!r}).exists(): time.sleep(0.02)\n"


def least_cpu_seconds(work: Callable[[], object], tries: int = 5) -> float:
    """The CPU time of the quickest of some tries: a standstill affects one of them, not all."""
    spent = []
    for _ in range(tries):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)
