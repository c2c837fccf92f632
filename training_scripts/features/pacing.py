"""Chooses how a pass is fed from what it measures: decoding threads, views per batch, pictures decoded ahead."""

# ruff: noqa: PLC0415 - torch loads only when a pass is made

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from training_scripts.models.engines.engine import Engine

# Decoding gets this many times the capacity that the network needs, because pictures differ in size.
_MARGIN = 1.25
# A pass is decoding-bound if the network waits for this share of the time.
_WAITING = 0.1
# Threads per core at most, if they wait for storage rather than compute.
_THREADS_PER_CORE = 4
# The largest picture that is accepted takes this much while it is decoded and converted.
_THREAD_BYTES = 512 << 20
_UNKNOWN_MEMORY = 4 << 30
# The limits of this process's container, of version 2 of control groups.
_CONTAINER = "/sys/fs/cgroup"
# Pictures and seconds before the first decision; later ones take more.
_FIRST_PICTURES, _FIRST_SECONDS = 32, 0.2
_SECONDS = 2.0

DEFAULT_BATCH_SIZE = 64
# Sizes are tried in turn, and the best time of each counts. On a CPU that takes 300 views, so it pays only in a pass of
# many more.
_ROUNDS = 2
_VIEWS_WORTH_MEASURING = {"cpu": 20_000, "cuda": 5_000}
_BATCH_SIZES = {"cpu": (16, 32, 64), "cuda": (64, 128, 256, 512)}
# A batch size other than the default must be faster by this share: neighbors on the machine disturb measurements, and
# the same pass should take the same one whenever it can.
_BETTER = 0.9


@dataclass
class Window:
    """What was measured since the last decision.

    Attributes:
        pictures: Pictures that were decoded and went through the network.
        seconds: Wall time.
        waiting: Seconds of it that the network waited for pictures.
        decoding: Seconds of decoding, summed over the threads.
        reading: Seconds of it in which the threads waited for storage.
    """

    pictures: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    decoding: float = 0.0
    reading: float = 0.0

    def add(self, pictures: int, *, seconds: float, waiting: float, decoding: float, reading: float) -> None:
        """Counts one batch."""
        self.pictures += pictures
        self.seconds += seconds
        self.waiting += waiting
        self.decoding += decoding
        self.reading += reading

    @property
    def is_decoding_bound(self) -> bool:
        """Whether the network waits for pictures for a large share of the time."""
        return self.waiting > _WAITING * self.seconds

    def bottleneck(self, workers: int) -> str:
        """What limits the speed, for the progress line; empty before anything was measured.

        >>> Window(100, seconds=2.0, waiting=0.5, decoding=3.9).bottleneck(2)
        'decoding limits: 2 threads busy 98%'
        >>> Window(100, seconds=2.0, waiting=0.5, decoding=3.9, reading=3.0).bottleneck(2)
        'reading limits: 2 threads busy 98%'
        >>> Window(100, seconds=2.0, waiting=0.1, decoding=1.0).bottleneck(2)
        'the network limits: 2 decoding threads busy 25%'
        """
        if self.seconds <= 0:
            return ""
        busy = min(1.0, self.decoding / (workers * self.seconds))
        threads = f"{workers} {{}}thread{'s' if workers > 1 else ''} busy {busy:.0%}"
        if self.is_decoding_bound:
            return f"{'reading' if self.reading > self.decoding / 2 else 'decoding'} limits: {threads.format('')}"
        return f"the network limits: {threads.format('decoding ')}"


@dataclass
class Threads:
    """Chooses the number of decoding threads from the first pictures, and adds some whenever the network waits.

    Attributes:
        cores: Cores of this process.
        memory: Bytes of memory that are available.
        count: Threads now.
    """

    cores: int
    memory: int
    count: int
    _window: Window = field(default_factory=Window)
    _decided: bool = False

    def measured(self, pictures: int, *, seconds: float, waiting: float, decoding: float, reading: float) -> bool:
        """Counts one batch.

        Returns:
            Whether `count` has changed.
        """
        window = self._window
        window.add(pictures, seconds=seconds, waiting=waiting, decoding=decoding, reading=reading)
        if not self._is_due() or not window.pictures:
            return False
        needed = window.decoding / max(window.seconds - window.waiting, 1e-6)
        wanted = min(self._most(), max(1, math.ceil(needed * _MARGIN)))
        before, decided = self.count, self._decided
        if not decided or (window.is_decoding_bound and wanted > self.count):
            self.count, self._decided = wanted, True
        self._window = Window()
        return self.count != before

    def _is_due(self) -> bool:
        if self._decided:
            return self._window.seconds >= _SECONDS
        return self._window.pictures >= _FIRST_PICTURES and self._window.seconds >= _FIRST_SECONDS

    def _most(self) -> int:
        share = min(self._window.reading / max(self._window.decoding, 1e-6), 1 - 1 / _THREADS_PER_CORE)
        return max(1, min(int(self.cores / (1 - share)), self.memory // _THREAD_BYTES))


def feeds_ahead(pictures_per_feed: int, picture_bytes: int, workers: int, memory: int) -> int:
    """How many feeds are decoded ahead of the network: two, or as many as keep all threads busy.

    Args:
        pictures_per_feed: Pictures that go through the network together.
        picture_bytes: Bytes of the pixels of a picture's views.
        workers: Threads that decode.
        memory: Bytes of memory that are available; an eighth of it is used at most.
    """
    feeds = max(2, math.ceil(2 * workers / pictures_per_feed))
    return max(1, min(feeds, memory // 8 // max(1, pictures_per_feed * picture_bytes)))


def available_memory() -> int:
    """Bytes of memory that this process may still take: the machine's or its container's, whichever is less."""
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else []
    for line in _lines("/proc/meminfo"):  # unlike the pages above, this counts what the page cache would give back
        if line.startswith("MemAvailable:"):
            free = [int(line.split()[1]) << 10]
    limit, used, kinds = (_lines(f"{_CONTAINER}/memory.{name}") for name in ("max", "current", "stat"))
    if limit and used and limit[0].isdecimal() and used[0].isdecimal():
        # What is used includes the page cache, which a data set that is read fills, and which would be given back.
        cached = sum(int(line.split()[1]) for line in kinds if line.startswith(("active_file ", "inactive_file ")))
        free.append(max(0, int(limit[0]) - int(used[0]) + cached))
    return min(free, default=_UNKNOWN_MEMORY)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []


def batch_size(engine: Engine, *, side: int, views: int, report: Callable[[str], object]) -> int:
    """Chooses how many views go through the network at a time, by trying sizes if the pass is long.

    Args:
        engine: Runs the backbone.
        side: Side of its pictures.
        views: Views of the whole pass.
        report: Takes one line of log.
    """
    device = "cpu" if engine.device == "cpu" else "cuda"
    if views < _VIEWS_WORTH_MEASURING[device]:
        return DEFAULT_BATCH_SIZE
    began = time.perf_counter()
    seconds: dict[int, float] = {}
    for number in range(1 + _ROUNDS):
        for size in _BATCH_SIZES[device]:
            spent = _seconds_per_view(engine, size, side)
            if spent is not None and number > 0:  # the first round only prepares
                seconds[size] = min(spent, seconds.get(size, math.inf))
    chosen = fastest(seconds)
    rates = ", ".join(f"{size}: {1 / spent:.0f}/s" for size, spent in seconds.items())
    report(f"features: {counted(chosen, 'view')} at a time ({rates}; measured in {time.perf_counter() - began:.1f} s)")
    return chosen


def fastest(seconds: Mapping[int, float]) -> int:
    """The smallest of the best batch sizes, given the seconds per view; the default unless another is clearly better.

    >>> fastest({16: 0.0100, 32: 0.0098, 64: 0.0101}), fastest({64: 0.0010, 128: 0.0007, 256: 0.00069})
    (64, 128)
    """
    best = min(seconds.values(), default=0.0)
    if seconds.get(DEFAULT_BATCH_SIZE, math.inf) * _BETTER <= best or not seconds:
        return DEFAULT_BATCH_SIZE
    return min(size for size, spent in seconds.items() if spent * _BETTER <= best)


def _seconds_per_view(engine: Engine, size: int, side: int) -> float | None:
    """Seconds per view of a batch; None if it does not fit into memory."""
    import torch

    batch = torch.rand(size, 3, side, side).contiguous(memory_format=torch.channels_last)
    began = time.perf_counter()
    try:
        engine.run(batch)
    except RuntimeError:  # torch.OutOfMemoryError is one
        return None
    return (time.perf_counter() - began) / size
