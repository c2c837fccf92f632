"""Turns SIGTERM, SageMaker's request to stop, into a flag that the work looks at between two steps."""

from __future__ import annotations

import signal
from types import FrameType


class Stopped(Exception):  # noqa: N818 - a wish that was granted, no error
    """The work ended early because it was asked to."""


class StopFlag:
    """Whether a stop was asked for; `check` ends the work where it was."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask for a stop; fits as a signal handler."""
        self.requested = True

    def check(self) -> None:
        """Go on, or raise Stopped."""
        if self.requested:
            raise Stopped


def on_sigterm() -> StopFlag:
    """A flag that SIGTERM raises; SageMaker kills a job 120 s after it (API reference, StopTrainingJob)."""
    flag = StopFlag()
    signal.signal(signal.SIGTERM, flag.request)
    return flag
