"""Copies many files at a time, and reports how far it is in files and bytes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import Generic, TypeVar

from dogbreed_sdk._util.notebook import show_line
from training_scripts._util.number_text import counted
from training_scripts._util.safe_text import safe_line

# Small objects wait for the network, not for the CPU: at 50 ms per request, 32 at a time are 640 files per second.
TRANSFER_THREADS = 32
# A large data set has hundreds of files per second.
_REPORT_SECONDS = 1.0

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferProgress:
    """How far a transfer is.

    Attributes:
        doing: What is done: Uploading or Downloading.
        files: Files that are done, including unchanged ones.
        total_files: All files.
        bytes: Bytes of the files that are done, and of the parts of others, including unchanged ones.
        total_bytes: Bytes of all files.
        unchanged_files: Files that were not copied, because the same content was already there.
        bytes_per_second: Copied bytes per second since the beginning.
        seconds: Since the beginning.
    """

    doing: str
    files: int
    total_files: int
    bytes: int
    total_bytes: int
    unchanged_files: int
    bytes_per_second: float
    seconds: float

    @property
    def done(self) -> bool:
        """Whether all files are done."""
        return self.files == self.total_files

    @property
    def summary(self) -> str:
        """Files, bytes and throughput, as "12 of 40 files, 1.2 of 4.0 MB, 0.8 MB/s"."""
        unchanged = f", {self.unchanged_files:,} unchanged" if self.unchanged_files else ""
        return (
            f"{self.files:,} of {counted(self.total_files, 'file')}{unchanged}, {self.bytes / 1e6:,.1f} of "
            f"{self.total_bytes / 1e6:,.1f} MB, {self.bytes_per_second / 1e6:,.1f} MB/s"
        )

    def __str__(self) -> str:
        return safe_line(f"{self.doing}  {self.summary}, {self.seconds:.1f} s")


TransferCallback = Callable[[TransferProgress], None]


def in_seconds(show: TransferCallback) -> TransferCallback:
    """A callback for one transfer that passes on a step per second, and one at the end if anything was copied."""
    last = time.monotonic()

    def report(step: TransferProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS or (step.done and step.unchanged_files < step.files):
            last = now
            show(step)

    return report


def transfer_printer() -> TransferCallback:
    """A callback that shows one transfer on standard error, or as one line of a notebook; see `in_seconds`."""
    return in_seconds(_show)


def _show(step: TransferProgress) -> None:
    fraction = step.bytes / step.total_bytes if step.total_bytes else None
    if not show_line(step.doing, str(step), fraction=fraction):
        print(step, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Running:
    """What the copying of one item reports to, from any thread.

    Attributes:
        copied: Called with the number of bytes that were copied just now.
        unchanged: Called with the number of bytes that were there already.
        cancelled: Set when the transfer fails elsewhere; long copies look at it and stop.
    """

    copied: Callable[[int], None]
    unchanged: Callable[[int], None]
    cancelled: Event


class Cancelled(Exception):  # noqa: N818 - it is not an error
    """A copy stopped because the whole transfer did."""


class Transfer(Generic[Item]):
    """Copies items in threads.

    Args:
        doing: Uploading or Downloading.
        copy: Copies one item and returns whether anything had to be copied.
        size: The size of an item, in bytes.
        report: Called in the thread of `run`, after each file or part.
    """

    def __init__(
        self,
        doing: str,
        copy: Callable[[Item, Running], bool],
        size: Callable[[Item], int],
        report: TransferCallback | None = None,
    ) -> None:
        self._doing, self._copy, self._size, self._report = doing, copy, size, report
        self._events: SimpleQueue[_Event | BaseException] = SimpleQueue()
        self._begin = time.monotonic()
        self._files = self._bytes = self._unchanged_files = self._copied_bytes = 0

    def run(self, items: Sequence[Item], alone: Sequence[Item] = ()) -> int:
        """Copies all items and returns how many had to be copied.

        Args:
            items: Copied many at a time.
            alone: Copied one after the other, because each is copied in parts by many threads.

        Raises:
            Exception: What the first failing copy raised; the others are stopped.
        """
        total = (len(items) + len(alone), sum(map(self._size, items)) + sum(map(self._size, alone)))
        running = Running(
            lambda count: self._events.put(_Event(copied=count)),
            lambda count: self._events.put(_Event(unchanged=count)),
            Event(),
        )
        with ThreadPoolExecutor(TRANSFER_THREADS) as many, ThreadPoolExecutor(1) as one:
            try:
                for item in items:
                    many.submit(self._guarded, item, running)
                for item in alone:
                    one.submit(self._guarded, item, running)
                while self._files < total[0]:
                    self._take(self._events.get(), total)
            except BaseException:
                running.cancelled.set()
                for pool in (many, one):
                    pool.shutdown(wait=False, cancel_futures=True)
                raise
        return self._files - self._unchanged_files

    def _guarded(self, item: Item, running: Running) -> None:
        try:
            self._events.put(_Event(files=1, unchanged_files=int(not self._copy(item, running))))
        except BaseException as error:  # noqa: BLE001 - `run` raises it
            self._events.put(error)

    def _take(self, event: _Event | BaseException, total: tuple[int, int]) -> None:
        if isinstance(event, BaseException):
            raise event
        self._files += event.files
        self._unchanged_files += event.unchanged_files
        self._copied_bytes += event.copied
        self._bytes += event.copied + event.unchanged
        if self._report is not None:
            seconds = time.monotonic() - self._begin
            self._report(
                TransferProgress(
                    doing=self._doing,
                    files=self._files,
                    total_files=total[0],
                    bytes=min(self._bytes, total[1]),
                    total_bytes=total[1],
                    unchanged_files=self._unchanged_files,
                    bytes_per_second=self._copied_bytes / max(seconds, 1e-6),
                    seconds=seconds,
                )
            )


@dataclass(frozen=True, slots=True)
class _Event:
    files: int = 0
    unchanged_files: int = 0
    copied: int = 0
    unchanged: int = 0
