"""Features that are read a few rows at a time, from the shards of a store."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from training_scripts.data.image_folder import DataError

Rows = npt.NDArray[np.float32]

# Features of up to this size are kept in memory: once the page cache cannot hold a file, each random row costs a seek.
IN_MEMORY_BYTES = 4 << 30
# Mapped shards: a mapping costs no memory of its own, but a process may have 65,530 of them (vm.max_map_count).
_MAPPED = 4096
# Large enough to be read at the speed of a disk.
_READ_BYTES = 16 << 20
# Of rows that are further apart than this, each is read alone.
_SPARSE = 8


class FeatureRows(Protocol):
    """Features [n, views, width]: a NumPy array, or the shards of a store.

    Indexing works as in NumPy, reads only what is asked for, and gives a float32 array, or a number.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, views, width]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers that indexing gives."""

    @property
    def nbytes(self) -> int:
        """Bytes that all rows take as they are stored."""

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, key: Any, /) -> Any:
        """Some of the rows, views or numbers."""


@dataclass(frozen=True)
class Shard:
    """A file in NumPy's format with consecutive rows of a split.

    Attributes:
        path: The file.
        rows: The number of rows in it.
    """

    path: Path
    rows: int


class ShardedRows:
    """The rows of several shards, one after the other, as one array. Files are opened when they are read.

    Attributes:
        shape: [n, views, width].
        stored: The type of the numbers in the files: float32 or float16.
        dtype: float32.
    """

    def __init__(self, shards: Sequence[Shard], *, views: int, width: int, stored: str) -> None:
        """Takes what the store's manifest says; nothing is read.

        Args:
            shards: The files, in order.
            views: Views of each row.
            width: The width of the features.
            stored: The type of the numbers: "float32" or "float16".
        """
        self.shape: tuple[int, int, int] = (sum(shard.rows for shard in shards), views, width)
        self.stored = np.dtype(stored).newbyteorder("<")
        self.dtype = np.dtype(np.float32)
        self._shards = tuple(shards)
        self._ends = np.cumsum([shard.rows for shard in shards], dtype=np.int64)
        self._mapped = lru_cache(_MAPPED)(self._map)

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers in the files."""
        return len(self) * self.row_bytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if isinstance(rows, slice):
            return self._slice(rows, rest)
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        if chosen.ndim == 0:
            return self._gather(chosen[None], rest)[0]
        return self._gather(chosen, rest)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = np.asarray(self[:], dtype)
        if copy is False:
            raise ValueError("features in files cannot become an array without a copy")
        return found

    def load(self) -> npt.NDArray[Any]:
        """Reads everything, in the type that is stored: half the memory of an array if that is float16."""
        return self._filled(0, len(self), (slice(None),), self.stored)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the files, over all views."""
        return int(self.shape[1] * self.shape[2] * self.stored.itemsize)

    def read(self, start: int, end: int) -> npt.NDArray[Any]:
        """Reads consecutive rows from the files, in the type that is stored, without mapping anything.

        Raises:
            DataError: A file has become shorter.
        """
        found = np.empty((end - start, *self.shape[1:]), self.stored)
        for number, first, last in self._pieces(start, end):
            at = int(self._begin(number)) + first - start
            found[at : at + last - first] = self._read(number, first, last)
        return found

    def _begin(self, number: int) -> int:
        return int(self._ends[number]) - self._shards[number].rows

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Each shard with some of the rows: its number, and the first and last row, counted in the shard."""
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < end:
            begin, stop = self._begin(number), min(end, int(self._ends[number]))
            if stop > start:
                yield number, start - begin, stop - begin
            start, number = max(start, stop), number + 1

    def _read(self, number: int, first: int, last: int) -> npt.NDArray[Any]:
        mapped = self._mapped(number)
        numbers = (last - first) * self.shape[1] * self.shape[2]
        path = self._shards[number].path
        found = np.fromfile(path, self.stored, numbers, offset=mapped.offset + first * self.row_bytes)
        if len(found) != numbers:
            raise DataError(f"{path} became shorter while it was read: copy the features again.")
        return found.reshape(last - first, *self.shape[1:])

    def _slice(self, rows: slice, rest: tuple[Any, ...]) -> Rows:
        start, end, step = rows.indices(len(self))
        if step != 1:
            return self._gather(np.arange(start, end, step), rest)
        return self._filled(start, max(start, end), (slice(None), *rest), self.dtype)

    def _filled(self, start: int, end: int, key: tuple[Any, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Consecutive rows, or what a key gives of them, read a block at a time, so that nothing is twice in memory."""
        found = np.empty((end - start, *np.empty((1, *self.shape[1:]))[key].shape[1:]), dtype)
        step = max(1, _READ_BYTES // self.row_bytes)
        for first in range(start, end, step):
            last = min(first + step, end)
            found[first - start : last - start] = self.read(first, last)[key]
        return found

    def _gather(self, rows: npt.NDArray[Any], rest: tuple[Any, ...]) -> Rows:
        rows = rows.astype(np.int64)
        if len(rows) and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        rows = np.where(rows < 0, rows + len(self), rows)
        numbers = np.searchsorted(self._ends, rows, side="right")
        nothing = (rows[:0], *(_at(each, slice(0)) for each in rest))
        found = np.empty((len(rows), *np.empty((1, *self.shape[1:]))[nothing].shape[1:]), np.float32)
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            local = rows[places] - self._begin(number)
            first, last = int(local.min()), int(local.max()) + 1
            if last - first <= _SPARSE * len(local):
                part, local = self._read(number, first, last), local - first
            else:
                part = self._mapped(number)
            key = (local, *(_at(each, places) for each in rest))
            found[places] = part[key]
        return found

    def _map(self, number: int) -> np.memmap[Any, Any]:
        shard = self._shards[number]
        shape = (shard.rows, *self.shape[1:])
        try:
            mapped = np.lib.format.open_memmap(shard.path, mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{shard.path} cannot be read: {error}") from error
        if (mapped.shape, mapped.dtype, mapped.flags.c_contiguous) != (shape, self.stored, True):
            raise DataError(
                f"{shard.path} has features {mapped.shape} of {mapped.dtype}, not {shape} of {self.stored} as the "
                "manifest says: copy the features again."
            )
        # Single rows are read through it, so that reading ahead would read in vain.
        if isinstance(mapped.base, mmap.mmap):
            mapped.base.madvise(mmap.MADV_RANDOM)
        return mapped


def _at(index: Any, places: Any) -> Any:
    """An index along another axis for some of the rows: NumPy pairs index arrays with the rows."""
    return index[places] if isinstance(index, np.ndarray) and index.ndim else index
