"""Classifies many pictures concurrently, with results in input order and a bounded number of pictures in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sized
from concurrent.futures import Future
from threading import Event
from typing import Generic, Literal, TypeVar

from dogbreed_sdk.client import argument_checks
from dogbreed_sdk.client.daemon_pool import DaemonPool
from dogbreed_sdk.errors import ConfigurationError, DogBreedError

Item = TypeVar("Item")
Result = TypeVar("Result")

OnError = Literal["raise", "return"]
Progress = Callable[[int, "int | None"], None]

# Pictures taken from the iterator without a result yet, per worker: one in progress and one waiting.
_PENDING_PER_WORKER = 2
# Results that may wait behind a slow one before them, per worker: about a kilobyte each, since a picture is released
# as soon as it has a result. A picture that is retried takes as long as fifty that are not.
AHEAD_PER_WORKER = 64
# Longest wait for workers whose requests cannot be aborted; such a worker ends with its request's timeout.
SHUTDOWN_SECONDS = 2.0
# Counted, not timed: a machine that stands still for a while must not use them up.
SHUTDOWN_ROUNDS = 40


def check(
    pictures: object, max_concurrency: int, on_error: str, progress: object, *, asynchronous: bool = False
) -> None:
    """Checks the arguments of classify_many.

    Raises:
        ConfigurationError: An argument is invalid.
    """
    argument_checks.check_pictures(pictures, asynchronous=asynchronous)
    argument_checks.check_number("max_concurrency", max_concurrency, least=1, whole=True)
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f'on_error must be "raise" or "return", got {argument_checks.shown(on_error)}.')
    if progress is not None and not callable(progress):
        raise ConfigurationError("progress must be a function of (number of results so far, total number or None).")


def in_order(
    process: Callable[[Item, Event], Result],
    items: Iterable[Item],
    *,
    max_concurrency: int,
    on_error: OnError,
    progress: Progress | None,
    abort: Callable[[Collection[int]], None],
) -> Generator[Result | DogBreedError, None, None]:
    """Yields one result per item, in input order; items are taken in the thread that consumes the results.

    Args:
        process: Makes the result of an item, in a worker thread; the event is set when the result is no longer wanted.
        items: Any number of items.
        max_concurrency: Maximum number of items in progress.
        on_error: Whether a DogBreedError is raised or yielded in place of the result; other errors are always raised.
        progress: Called after each result with the number of results and the total number of items, if known.
        abort: Aborts the requests of the given threads, whose results are no longer wanted.
    """
    total = len(items) if isinstance(items, Sized) else None
    window = _Window(process, iter(items), max_concurrency)
    complete = False
    try:
        for done, future in enumerate(window, start=1):
            result = outcome(future, on_error, done)
            if progress is not None:
                progress(done, total)
            yield result
        complete = True
    finally:
        window.close(None if complete else abort)


def outcome(future: Future[Result], on_error: OnError, position: int) -> Result | DogBreedError:
    """The result of a completed future, or its error: returned or raised, with the picture's position in front."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, DogBreedError):
        if on_error == "return":
            return error
        error.args = (f"picture {position}: {error}",)
    raise error


class _Window(Generic[Item, Result]):
    """The items between the next result and the last item that was taken from the iterator."""

    def __init__(self, process: Callable[[Item, Event], Result], items: Iterator[Item], width: int) -> None:
        self._process = process
        self._items = items
        self._width = width
        self._workers = DaemonPool(width, name="classify-many")
        self._cancelled = Event()
        self._futures: deque[Future[Result]] = deque()
        self._exhausted = False
        # The future whose result is next, and an event that is set when there may be something to do.
        self._awaited: Future[Result] | None = None
        self._wake = Event()

    def __iter__(self) -> Iterator[Future[Result]]:
        futures = self._futures
        yielded_in_a_row = 0
        while futures or not self._exhausted:
            self._wake.clear()
            self._awaited = futures[0] if futures else None
            ready = self._awaited is not None and self._awaited.done()
            # Results are yielded at once, since the iterator may be slow, but not for so long that workers run idle.
            if self._has_room() and not (ready and yielded_in_a_row < self._width):
                yielded_in_a_row = 0
                self._take()
            elif ready:
                yielded_in_a_row += 1
                yield futures.popleft()
            elif futures:
                self._wake.wait()

    def _finished(self, future: Future[Result]) -> None:
        """Wakes the consumer, from a worker, when the next result is ready or workers run out of items."""
        if future is self._awaited or self._workers.unfinished <= self._width + 1:
            self._wake.set()

    def close(self, abort: Callable[[Collection[int]], None] | None) -> None:
        """Ends the workers; with `abort`, also the requests in progress."""
        self._cancelled.set()
        self._workers.shutdown(wait=False, cancel_futures=True)
        for _ in range(SHUTDOWN_ROUNDS):
            # More than once: a thread may have been about to start a request.
            if abort is not None and self._workers.unfinished:
                abort(self._workers.thread_ids())
            if self._workers.join(SHUTDOWN_SECONDS / SHUTDOWN_ROUNDS):
                return

    def _has_room(self) -> bool:
        return (
            not self._exhausted
            and len(self._futures) < AHEAD_PER_WORKER * self._width
            and self._workers.unfinished < _PENDING_PER_WORKER * self._width
        )

    def _take(self) -> None:
        try:
            item = next(self._items)
        except StopIteration:
            self._exhausted = True
            return
        future = self._workers.submit(self._process, item, self._cancelled)
        self._futures.append(future)
        future.add_done_callback(self._finished)
