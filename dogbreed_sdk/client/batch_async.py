"""`batch` for asyncio: items are processed in threads and awaited in the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Sized
from concurrent.futures import Future
from threading import Event
from typing import Generic, TypeVar

from dogbreed_sdk.client.batch import AHEAD_PER_WORKER, SHUTDOWN_ROUNDS, SHUTDOWN_SECONDS, OnError, Progress, outcome
from dogbreed_sdk.client.daemon_pool import DaemonPool
from dogbreed_sdk.errors import DogBreedError

Item = TypeVar("Item")
Result = TypeVar("Result")


async def awaited(future: Future[Result], cancelled: Event) -> Result:
    """Awaits a worker's result; sets the event when the result is no longer wanted."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def abort_requests(workers: DaemonPool, abort: Callable[[Collection[int]], None]) -> None:
    """Aborts the workers' requests, waiting a short time for those that cannot be aborted."""
    for _ in range(SHUTDOWN_ROUNDS):
        if not workers.unfinished:
            return
        # More than once: a thread may have been about to start a request.
        abort(workers.thread_ids())
        await asyncio.sleep(SHUTDOWN_SECONDS / SHUTDOWN_ROUNDS)


async def in_order(
    submit: Callable[[Item, Event], Future[Result]],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    max_concurrency: int,
    on_error: OnError,
    progress: Progress | None,
) -> AsyncGenerator[Result | DogBreedError, None]:
    """Yields one result per item, in input order. Items are taken as others complete.

    Args:
        submit: Processes an item in a worker thread; the event is set when its result is no longer wanted.
        items: Any number of items.
        max_concurrency: Maximum number of items in progress.
        on_error: Whether a DogBreedError is raised or yielded in place of the result; other errors are always raised.
        progress: Called after each result with the number of results and the total number of items, if known.
    """
    total = len(items) if isinstance(items, Sized) else None
    window = _Window(submit, items, max_concurrency)
    done = 0
    try:
        while (future := await window.next()) is not None:
            done += 1
            result = outcome(future, on_error, done)
            if progress is not None:
                progress(done, total)
            yield result
    finally:
        window.close()


class _Window(Generic[Item, Result]):
    """The items between the next result and the last item that was taken from the iterator."""

    def __init__(
        self,
        submit: Callable[[Item, Event], Future[Result]],
        items: Iterable[Item] | AsyncIterable[Item],
        width: int,
    ) -> None:
        self._submit = submit
        self._width = width
        self._asynchronous = aiter(items) if isinstance(items, AsyncIterable) else None
        self._plain = None if isinstance(items, AsyncIterable) else iter(items)
        self._taking: asyncio.Future[Item] | None = None
        self._exhausted = False
        self._futures: deque[Future[Result]] = deque()
        self._in_progress = 0
        self._cancelled = Event()
        # Set whenever an item is done or a new one has arrived.
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def next(self) -> Future[Result] | None:
        """The next completed future; None after the last."""
        while True:
            self._wake.clear()
            self._fill()
            if self._futures and self._futures[0].done():
                return self._futures.popleft()
            if self._exhausted and not self._futures:
                return None
            await self._wake.wait()

    def close(self) -> None:
        """Cancels items that have not started; attempts in progress are not followed by others."""
        self._cancelled.set()
        if self._taking is not None:
            self._taking.cancel()
        for future in self._futures:
            future.cancel()

    def _fill(self) -> None:
        """Takes items while there is room: from a plain iterator, or the one that an async iterator has produced."""
        while (
            not self._exhausted
            and self._in_progress < self._width
            and len(self._futures) < AHEAD_PER_WORKER * self._width
        ):
            if self._plain is not None:
                try:
                    self._start(next(self._plain))
                except StopIteration:
                    self._exhausted = True
            elif self._taking is None:
                assert self._asynchronous is not None
                self._taking = asyncio.ensure_future(anext(self._asynchronous))
                self._taking.add_done_callback(lambda _: self._wake.set())
            elif self._taking.done():
                taken, self._taking = self._taking, None
                try:
                    self._start(taken.result())
                except StopAsyncIteration:
                    self._exhausted = True
            else:
                return

    def _start(self, item: Item) -> None:
        self._in_progress += 1
        future = self._submit(item, self._cancelled)
        self._futures.append(future)
        future.add_done_callback(self._done_in_thread)

    def _done_in_thread(self, _: Future[Result]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._done)

    def _done(self) -> None:
        self._in_progress -= 1
        self._wake.set()
