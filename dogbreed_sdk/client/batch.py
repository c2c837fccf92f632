"""Answers many questions at a time, in their order, without ever holding more than a few of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sized
from concurrent.futures import Future
from threading import Event
from typing import Generic, Literal, TypeVar

from dogbreed_sdk.client import argument_checks
from dogbreed_sdk.client.daemon_pool import Workers
from dogbreed_sdk.errors import ConfigurationError, DogBreedError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

OnError = Literal["raise", "return"]
Progress = Callable[[int, "int | None"], None]

# Pictures taken from the iterator and not answered yet, per worker: one in hand and one waiting.
_WAITING_PER_WORKER = 2
# Answers that may wait behind a slow one before it, per worker: about a kilobyte each, since pictures are let go when
# answered. A picture that is tried again takes as long as fifty that are not.
AHEAD_PER_WORKER = 64
# A worker that hangs in a request which cannot be cut off is not waited for longer; it ends with its timeout.
GOODBYE_SECONDS = 2.0


def check(
    pictures: object, max_concurrency: int, on_error: str, progress: object, *, asynchronous: bool = False
) -> None:
    """Refuses arguments that are wrong.

    Raises:
        ConfigurationError: One is.
    """
    argument_checks.check_pictures(pictures, asynchronous=asynchronous)
    argument_checks.check_number("max_concurrency", max_concurrency, least=1, whole=True)
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f'on_error must be "raise" or "return", got {argument_checks.shown(on_error)}.')
    if progress is not None and not callable(progress):
        raise ConfigurationError("progress must be a function of (results so far, pictures in all or None).")


def in_order(
    ask: Callable[[Item, Event], Answer],
    items: Iterable[Item],
    *,
    max_concurrency: int,
    on_error: OnError,
    progress: Progress | None,
    abort: Callable[[Collection[int]], None],
) -> Generator[Answer | DogBreedError, None, None]:
    """One answer an item, in order; items are taken in the thread that takes the answers.

    Args:
        ask: Answers one item, in a thread of this call's own; the event tells that nobody waits any more.
        items: Any number.
        max_concurrency: How many are asked at a time.
        on_error: Whether a DogBreedError is raised or stands in the answer's place; other errors are always raised.
        progress: Called after each answer with how many there are, and how many there will be if that is known.
        abort: Cuts off what these threads wait for, when nobody waits for them any more.
    """
    total = len(items) if isinstance(items, Sized) else None
    window = _Window(ask, iter(items), max_concurrency)
    complete = False
    try:
        for done, future in enumerate(window, start=1):
            answer = outcome(future, on_error, done)
            if progress is not None:
                progress(done, total)
            yield answer
        complete = True
    finally:
        window.close(None if complete else abort)


def outcome(future: Future[Answer], on_error: OnError, position: int) -> Answer | DogBreedError:
    """A finished question's answer, or its error as the caller wants it; one that is raised tells its position."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, DogBreedError):
        if on_error == "return":
            return error
        error.args = (f"picture {position}: {error}",)
    raise error


class _Window(Generic[Item, Answer]):
    """The questions between the first that has no answer yet and the last that was taken from the iterator."""

    def __init__(self, ask: Callable[[Item, Event], Answer], items: Iterator[Item], width: int) -> None:
        self._ask = ask
        self._items = items
        self._width = width
        self._workers = Workers(width, name="classify-many")
        self._cancelled = Event()
        self._futures: deque[Future[Answer]] = deque()
        self._exhausted = False
        # The future that is given next, and what is set when there may be something to do.
        self._awaited: Future[Answer] | None = None
        self._moved = Event()

    def __iter__(self) -> Iterator[Future[Answer]]:
        futures = self._futures
        given_in_a_row = 0
        while futures or not self._exhausted:
            self._moved.clear()
            self._awaited = futures[0] if futures else None
            ready = self._awaited is not None and self._awaited.done()
            # What is ready is given at once, since the iterator may be slow; but not for so long that workers starve.
            if self._has_room() and not (ready and given_in_a_row < self._width):
                given_in_a_row = 0
                self._take()
            elif ready:
                given_in_a_row += 1
                yield futures.popleft()
            elif futures:
                self._moved.wait()

    def _finished(self, future: Future[Answer]) -> None:
        """Wakes who waits, in the thread that answered: for the next answer, or since workers run out of questions."""
        if future is self._awaited or self._workers.unfinished <= self._width + 1:
            self._moved.set()

    def close(self, abort: Callable[[Collection[int]], None] | None) -> None:
        """Ends the threads; with `abort`, also what they are doing."""
        self._cancelled.set()
        self._workers.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + GOODBYE_SECONDS
        while abort is not None and self._workers.unfinished and time.monotonic() < deadline:
            # More than once: a thread may have been on its way into a request.
            abort(self._workers.thread_ids())
            self._workers.join(GOODBYE_SECONDS / 40)
        self._workers.join(max(0.0, deadline - time.monotonic()))

    def _has_room(self) -> bool:
        return (
            not self._exhausted
            and len(self._futures) < AHEAD_PER_WORKER * self._width
            and self._workers.unfinished < _WAITING_PER_WORKER * self._width
        )

    def _take(self) -> None:
        try:
            item = next(self._items)
        except StopIteration:
            self._exhausted = True
            return
        future = self._workers.submit(self._ask, item, self._cancelled)
        self._futures.append(future)
        future.add_done_callback(self._finished)
