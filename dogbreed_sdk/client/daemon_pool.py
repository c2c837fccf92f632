"""A pool of daemon threads, so that Ctrl-C does not wait for a request that hangs.

Python joins the threads of a ThreadPoolExecutor before it exits, so that one stalled response delays the end of the
program until its timeout. Daemon threads are not joined; they end with the process.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import ParamSpec, TypeVar

from dogbreed_sdk.errors import DogBreedError

P = ParamSpec("P")
T = TypeVar("T")

_Task = Callable[[], None]
_numbers = itertools.count(1)


class DaemonPool(Executor):
    """Runs functions in daemon threads, which are started when they are needed.

    Args:
        width: Maximum number of threads.
        name: Prefix of the threads' names.
    """

    def __init__(self, width: int, *, name: str) -> None:
        self._width = width
        self._name = name
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._threads: list[Thread] = []
        self._tasks: SimpleQueue[tuple[_Task, Future[object]] | None] = SimpleQueue()
        self._lock = Lock()
        self._unfinished = 0

    @property
    def unfinished(self) -> int:
        """Number of functions that are waiting or running."""
        return self._unfinished

    def thread_ids(self) -> list[int]:
        """The threads' identifiers, as `threading.get_ident` returns them."""
        return [thread.ident for thread in self._threads if thread.ident is not None]

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls a function in one of the threads.

        Raises:
            RuntimeError: The pool was shut down.
        """
        future: Future[T] = Future()

        def task() -> None:
            try:
                result = fn(*args, **kwargs)
            except DogBreedError as error:
                future.set_exception(_without_frames(error))
            except BaseException as error:  # noqa: BLE001 - the future raises it in the caller
                future.set_exception(error)
            else:
                future.set_result(result)

        if self._process != os.getpid():
            self._begin()  # a forked process does not inherit its parent's threads
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool was shut down")
            if self._unfinished >= len(self._threads) and len(self._threads) < self._width:
                self._start_thread()
            self._unfinished += 1
            self._tasks.put((task, future))  # type: ignore[arg-type]
        return future

    def _start_thread(self) -> None:
        thread = Thread(target=self._work, name=f"{self._name}-{next(_numbers)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system's limit of threads is reached: the existing ones do the work
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the threads when all submitted functions have completed.

        Args:
            wait: Whether to wait for the threads to end.
            cancel_futures: Whether to cancel the functions that have not started.
        """
        with self._lock:
            first, self._closed = not self._closed, True
        if cancel_futures:
            self._cancel_waiting()
        if first:
            for _ in self._threads:
                self._tasks.put(None)
        if wait:
            self.join(None)

    def join(self, seconds: float | None) -> bool:
        """Waits until all threads have ended, at most this many seconds in total; None waits without a limit.

        Returns:
            Whether all have ended.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _cancel_waiting(self) -> None:
        with suppress(Empty):
            while True:
                waiting = self._tasks.get_nowait()
                if waiting is None:
                    self._tasks.put(None)
                    return
                self._finish()
                waiting[1].cancel()
                waiting[1].set_running_or_notify_cancel()

    def _work(self) -> None:
        while (taken := self._tasks.get()) is not None:
            task, future = taken
            try:
                if future.set_running_or_notify_cancel():
                    task()
            finally:
                self._finish()
            del taken, task, future  # otherwise a picture stays in memory until the next one arrives

    def _finish(self) -> None:
        with self._lock:
            self._unfinished -= 1


def _without_frames(error: DogBreedError) -> DogBreedError:
    """The error without its stack frames, which would keep the picture in memory; its message is complete."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
