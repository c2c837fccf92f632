"""Turns SIGTERM, SageMaker's request to stop, into a flag that is checked between two steps."""

from __future__ import annotations

import signal
from types import FrameType


class Stopped(Exception):  # noqa: N818 - a fulfilled request, not an error
    """The work ended early on request."""


class StopFlag:
    """Whether a stop was requested; `check` then ends the work."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Requests a stop; can serve as a signal handler."""
        self.requested = True

    def check(self) -> None:
        """Raises Stopped if a stop was requested."""
        if self.requested:
            raise Stopped


def on_sigterm() -> StopFlag:
    """Installs a SIGTERM handler that sets the returned flag.

    SageMaker kills a job 120 s after SIGTERM (API reference, StopTrainingJob).
    """
    flag = StopFlag()
    signal.signal(signal.SIGTERM, flag.request)
    return flag
