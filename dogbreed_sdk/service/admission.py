"""Slots: how many pictures are under way, how many wait, and when there are too many."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# How much the newest duration counts in the running mean that Retry-After is made of.
_NEWEST = 0.1
_LONGEST_RETRY_AFTER = 30


class Overloaded(Exception):  # noqa: N818 - a state of the service that is answered, no fault of anybody
    """Everything is taken.

    Attributes:
        retry_after: Whole seconds after which trying again makes sense.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests are waiting")
        self.retry_after = retry_after


class Slots:
    """A bounded number of places, a bounded queue before them, and a bounded number of bytes behind both.

    For one event loop; no call blocks.

    Args:
        places: Pictures under way at a time.
        queue: Pictures that may wait for a place.
        buffer: Bytes of bodies held at a time.
    """

    def __init__(self, *, places: int, queue: int, buffer: int) -> None:
        self._places = places
        self._queue = queue
        self._buffer = buffer
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._seconds = 0.0
        self.active = 0
        self.held_bytes = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiters)

    @property
    def retry_after(self) -> int:
        """Seconds after which the queue of now will have been answered, going by how long answers took."""
        seconds = self._seconds * (self.waiting + 1) / self._places
        return max(1, min(_LONGEST_RETRY_AFTER, math.ceil(seconds)))

    def check(self) -> None:
        """Raises where one more would neither find a place nor be allowed to wait.

        Raises:
            Overloaded: There is no room.
        """
        if self.active >= self._places and self.waiting >= self._queue:
            raise Overloaded(self.retry_after)

    def hold(self, size: int) -> None:
        """Counts bytes that a request holds; to be given back with a negative size.

        Raises:
            Overloaded: All requests together would hold too much; nothing is counted.
        """
        if size > 0 and self.held_bytes + size > self._buffer:
            raise Overloaded(self.retry_after)
        self.held_bytes += size

    @asynccontextmanager
    async def place(self, *, admitted: bool = False) -> AsyncIterator[None]:
        """A place for one picture, in the order in which they were asked for.

        Args:
            admitted: Whether it is a further picture of a request that was let in: then it waits in any case.

        Raises:
            Overloaded: There is no room.
        """
        if not admitted:
            self.check()
        await self._enter()
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds += _NEWEST * (time.monotonic() - start - self._seconds)
            self._leave()

    async def _enter(self) -> None:
        if self.active < self._places and not self._waiters:
            self.active += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter  # the place is handed over: `active` stays as it is
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._leave()  # it was handed over in the very moment in which the client left
            else:
                with suppress(ValueError):  # `_leave` may have come by already
                    self._waiters.remove(waiter)
            raise

    def _leave(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.active -= 1
