"""Admission control: how many pictures are processed, how many wait, and when a request is refused."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# Weight of the newest duration in the moving average from which Retry-After is computed.
_NEWEST = 0.1
_LONGEST_RETRY_AFTER = 30


class Overloaded(Exception):  # noqa: N818 - a state of the service, which clients wait out
    """All slots and all places in the queue are taken.

    Attributes:
        retry_after: Whole seconds after which a client should try again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests are waiting")
        self.retry_after = retry_after


class Admission:
    """A bounded number of slots, a bounded queue for them, and a bounded number of bytes in memory for both.

    For one event loop; no method blocks.

    Args:
        slots: Pictures that are processed at the same time.
        queue: Pictures that may wait for a slot.
        buffer: Bytes of request bodies in memory at the same time.
    """

    def __init__(self, *, slots: int, queue: int, buffer: int) -> None:
        self._slots = slots
        self._queue = queue
        self._buffer = buffer
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._seconds = 0.0
        self.active = 0
        self.held_bytes = 0

    @property
    def waiting(self) -> int:
        """Number of pictures that wait for a slot."""
        return len(self._waiters)

    @property
    def retry_after(self) -> int:
        """Seconds after which the current queue will have been processed, estimated from past durations."""
        seconds = self._seconds * (self.waiting + 1) / self._slots
        return max(1, min(_LONGEST_RETRY_AFTER, math.ceil(seconds)))

    def check(self) -> None:
        """Checks that there is a free slot or a free place in the queue.

        Raises:
            Overloaded: There is neither.
        """
        if self.active >= self._slots and self.waiting >= self._queue:
            raise Overloaded(self.retry_after)

    def hold(self, size: int) -> None:
        """Counts bytes that a request holds in memory; a negative size releases them.

        Raises:
            Overloaded: All requests together would hold too much; nothing is counted.
        """
        if size > 0 and self.held_bytes + size > self._buffer:
            raise Overloaded(self.retry_after)
        self.held_bytes += size

    @asynccontextmanager
    async def slot(self, *, admitted: bool = False) -> AsyncIterator[None]:
        """Waits for a slot for one picture, first come, first served, and holds it within the block.

        Args:
            admitted: Whether the picture belongs to a request that has been admitted: it then waits in any case.

        Raises:
            Overloaded: The queue is full.
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
        if self.active < self._slots and not self._waiters:
            self.active += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter  # `_leave` passes its slot on, so `active` stays the same
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._leave()  # the slot was passed on at the moment of the cancellation
            else:
                with suppress(ValueError):  # `_leave` may have removed it already
                    self._waiters.remove(waiter)
            raise

    def _leave(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.active -= 1
