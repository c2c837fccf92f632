"""`many` for asyncio: the questions are asked in threads, and awaited in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Sized
from concurrent.futures import Future
from threading import Event
from typing import Generic, TypeVar

from dogbreed_sdk.client.batch import AHEAD_PER_WORKER, GOODBYE_SECONDS, OnError, Progress, outcome
from dogbreed_sdk.client.daemon_pool import Workers
from dogbreed_sdk.errors import DogBreedError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def awaited(future: Future[Answer], cancelled: Event) -> Answer:
    """A thread's result; sets the event when nobody waits for it any more."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def cut_off(workers: Workers, abort: Callable[[Collection[int]], None]) -> None:
    """Ends what these threads are doing; one that hangs where nothing can be cut off is not waited for."""
    deadline = time.monotonic() + GOODBYE_SECONDS
    while workers.unfinished and time.monotonic() < deadline:
        # More than once: a thread may have been on its way into a request.
        abort(workers.thread_ids())
        await asyncio.sleep(GOODBYE_SECONDS / 40)


async def in_order(
    submit: Callable[[Item, Event], Future[Answer]],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    max_concurrency: int,
    on_error: OnError,
    progress: Progress | None,
) -> AsyncGenerator[Answer | DogBreedError, None]:
    """One answer an item, in order. An item is taken when there is room for it.

    Args:
        submit: Has one item answered in a thread; the event tells that nobody waits any more.
        items: Any number.
        max_concurrency: How many are asked at a time.
        on_error: Whether a DogBreedError is raised or stands in the answer's place; other errors are always raised.
        progress: Called after each answer with how many there are, and how many there will be if that is known.
    """
    total = len(items) if isinstance(items, Sized) else None
    window = _Window(submit, items, max_concurrency)
    done = 0
    try:
        while (future := await window.next()) is not None:
            done += 1
            answer = outcome(future, on_error, done)
            if progress is not None:
                progress(done, total)
            yield answer
    finally:
        window.close()


class _Window(Generic[Item, Answer]):
    """The questions between the first that has no answer yet and the last that was taken from the iterator."""

    def __init__(
        self,
        submit: Callable[[Item, Event], Future[Answer]],
        items: Iterable[Item] | AsyncIterable[Item],
        width: int,
    ) -> None:
        self._submit = submit
        self._width = width
        self._asynchronous = aiter(items) if isinstance(items, AsyncIterable) else None
        self._plain = None if isinstance(items, AsyncIterable) else iter(items)
        self._taking: asyncio.Future[Item] | None = None
        self._exhausted = False
        self._futures: deque[Future[Answer]] = deque()
        self._unanswered = 0
        self._cancelled = Event()
        # Set whenever a question was answered or an item has come.
        self._moved = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def next(self) -> Future[Answer] | None:
        """The next question, answered; None after the last."""
        while True:
            self._moved.clear()
            self._fill()
            if self._futures and self._futures[0].done():
                return self._futures.popleft()
            if self._exhausted and not self._futures:
                return None
            await self._moved.wait()

    def close(self) -> None:
        """Cancels what has not begun; attempts that are under way are the last of their question."""
        self._cancelled.set()
        if self._taking is not None:
            self._taking.cancel()
        for future in self._futures:
            future.cancel()

    def _fill(self) -> None:
        """Takes items while there is room: all that a plain iterator has, or the one that an async one gave."""
        while (
            not self._exhausted
            and self._unanswered < self._width
            and len(self._futures) < AHEAD_PER_WORKER * self._width
        ):
            if self._plain is not None:
                try:
                    self._ask(next(self._plain))
                except StopIteration:
                    self._exhausted = True
            elif self._taking is None:
                assert self._asynchronous is not None
                self._taking = asyncio.ensure_future(anext(self._asynchronous))
                self._taking.add_done_callback(lambda _: self._moved.set())
            elif self._taking.done():
                taken, self._taking = self._taking, None
                try:
                    self._ask(taken.result())
                except StopAsyncIteration:
                    self._exhausted = True
            else:
                return

    def _ask(self, item: Item) -> None:
        self._unanswered += 1
        future = self._submit(item, self._cancelled)
        self._futures.append(future)
        future.add_done_callback(self._answered_in_thread)

    def _answered_in_thread(self, _: Future[Answer]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._answered)

    def _answered(self) -> None:
        self._unanswered -= 1
        self._moved.set()
