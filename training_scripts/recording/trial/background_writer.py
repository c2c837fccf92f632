"""Writes a trial in a thread of its own, so that a slow disk does not hold training up; a failure ends only that."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

Work = Callable[[], Any]


class Background:
    """Does what it is given, in order, in one thread, until something fails."""

    def __init__(self, failed: Callable[[Exception], Any]) -> None:
        """Starts no thread yet.

        Args:
            failed: Told of the first failure, in the thread; nothing is done after it.
        """
        self._failed = failed
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given = self._done = 0
        self._progress = threading.Condition()

    def do(self, work: Work) -> None:
        """Does it soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
            self._thread.start()
        self._given += 1
        self._waiting.put(work)

    def wait(self, seconds: float) -> bool:
        """Waits until all is done, at most so long; whether it is."""
        with self._progress:
            return self._progress.wait_for(lambda: self._done == self._given, timeout=seconds)

    def end(self, seconds: float) -> bool:
        """Waits as `wait` does, and ends the thread; whether all was done."""
        if self._thread is None:
            return True
        self._waiting.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        fine = True
        while (work := self._waiting.get()) is not None:
            try:
                if fine:
                    work()
            except Exception as error:  # noqa: BLE001 - whatever a disk may do, training goes on
                fine = False
                self._failed(error)
            with self._progress:
                self._done += 1
                self._progress.notify_all()
