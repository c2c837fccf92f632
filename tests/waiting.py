"""Waiting for what other processes and threads do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], seconds: float = 60.0, *, state: Callable[[], Any] = lambda: None) -> T:
    """The first true answer of `condition`; the failure says the `state` in which it did not come true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{condition} was not met in {seconds:g} s; state: {state()}")
