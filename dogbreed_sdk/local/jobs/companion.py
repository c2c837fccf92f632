"""A thread that works beside a job's scripts, and has something to finish when they have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

_LOOK_SECONDS = 0.2


class Companion(threading.Thread):
    """Its `run` ends soon after `_stopping` is set.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._stopping = threading.Event()

    def finish(self, abandoned: Callable[[], bool]) -> None:
        """Let it finish its work, and wait for that.

        Args:
            abandoned: Called several times a second; if it returns True, the work is not waited for.
        """
        self._stopping.set()
        while self.is_alive() and not abandoned():
            self.join(_LOOK_SECONDS)
