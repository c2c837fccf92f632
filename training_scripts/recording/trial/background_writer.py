"""Writes a trial in a separate thread, so that neither a slow disk nor a write error stops training."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Work = Callable[[], object]


class BackgroundWriter:
    """Runs functions in order, in one thread, until one fails."""

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        """Starts no thread yet.

        Args:
            failed: Called in the thread with the first error; later functions are dropped.
        """
        self._failed = failed
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given = self._done = 0
        self._progress = threading.Condition()

    def do(self, work: Work) -> None:
        """Queues a function."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
            self._thread.start()
        self._given += 1
        self._waiting.put(work)

    def wait(self, seconds: float) -> bool:
        """Waits at most this many seconds until all functions have run; returns whether they have."""
        with self._progress:
            return self._progress.wait_for(lambda: self._done == self._given, timeout=seconds)

    def end(self, seconds: float) -> bool:
        """Waits like `wait`, then ends the thread; returns whether all functions have run."""
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
            except Exception as error:  # noqa: BLE001 - training continues, whatever the disk does
                fine = False
                self._failed(error)
            with self._progress:
                self._done += 1
                self._progress.notify_all()
