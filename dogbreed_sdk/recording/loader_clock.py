"""Measures how long a loop waits for its data, in the iterators of torch's DataLoader.

The class of these iterators is patched while at least one recorder is open: a loop's own code between two steps can
then not be mistaken for a wait, and no line has to be added around the loader.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

_clocks: list[LoaderClock] = []
_original: Any = None


class LoaderClock:
    """The last wait for a batch.

    Attributes:
        begin: When the wait began, in `time.perf_counter`'s seconds; 0 before the first.
        end: When the batch was ready.
        workers: Worker processes of the loader; None before the first batch.
    """

    def __init__(self) -> None:
        self.begin = self.end = 0.0
        self.workers: int | None = None

    def start(self) -> None:
        """Begins to measure."""
        _clocks.append(self)
        if len(_clocks) == 1:
            _patch()

    def stop(self) -> None:
        """Ends measuring. Later calls do nothing."""
        if self in _clocks:
            _clocks.remove(self)
            if not _clocks:
                _restore()


def _patch() -> None:
    global _original  # noqa: PLW0603 - a class has one state
    from torch.utils.data.dataloader import _BaseDataLoaderIter  # noqa: PLC0415 - torch is the caller's

    original = _BaseDataLoaderIter.__next__

    def timed(iterator: Any) -> Any:
        begin = perf_counter()
        batch = original(iterator)
        end = perf_counter()
        for clock in _clocks:
            clock.begin, clock.end = begin, end
            clock.workers = getattr(iterator, "_num_workers", None)
        return batch

    _original = original
    _BaseDataLoaderIter.__next__ = timed  # type: ignore[method-assign,assignment]


def _restore() -> None:
    from torch.utils.data.dataloader import _BaseDataLoaderIter  # noqa: PLC0415

    if _BaseDataLoaderIter.__next__.__module__ == __name__:  # else another tool has patched it, too, and calls ours
        _BaseDataLoaderIter.__next__ = _original  # type: ignore[method-assign]
