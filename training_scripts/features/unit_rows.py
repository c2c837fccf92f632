"""Stored features as directions: one view of each picture, scaled to length 1, for cosines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training_scripts.features.rows import IN_MEMORY_BYTES, FeatureRows

Rows = NDArray[np.float32]

# Rows that are read together where all are.
READ_ROWS = 16_384
_BLOCK = 2048


class UnitFeatures(Protocol):
    """Features of length 1 [n, width]: an array, or rows that are read as they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, width]."""

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, key: Any, /) -> Any:
        """Some of the rows, by a slice or an array of indices."""


class UnitRows:
    """One view of the stored features of several splits, scaled to length 1 as they are read.

    Attributes:
        shape: [n, width].
    """

    def __init__(self, splits: Sequence[tuple[FeatureRows, int]]) -> None:
        """Takes the features of the splits, one after the other, each with the view to use."""
        self._splits = list(splits)
        self._ends = np.cumsum([len(features) for features, _ in splits])
        self.shape: tuple[int, int] = (int(self._ends[-1]), splits[0][0].shape[2])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        if isinstance(key, slice):
            start, end, _ = key.indices(len(self))
            found = np.empty((max(0, end - start), self.shape[1]), np.float32)
            for first in range(start, end, _BLOCK):
                rows = np.arange(first, min(first + _BLOCK, end))
                found[rows - start] = self._read(rows)
            return found
        return self._read(np.asarray(key))

    def _read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.empty((len(rows), self.shape[1]), np.float32)
        of_split = np.searchsorted(self._ends, rows, side="right")
        for number, (features, view) in enumerate(self._splits):
            places = np.flatnonzero(of_split == number)
            if len(places):
                block = features[rows[places] - (self._ends[number] - len(features)), view]
                found[places] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
        return found


def unit_features(splits: Sequence[tuple[FeatureRows, int]]) -> UnitFeatures:
    """One view of the features of several splits, one after the other; an array unless that is too large for memory."""
    rows = UnitRows(splits)
    return rows[:] if 4 * len(rows) * rows.shape[1] <= IN_MEMORY_BYTES else rows


def blocks(features: UnitFeatures, rows: int = READ_ROWS) -> Iterator[tuple[slice, Rows]]:
    """The features in order, some rows at a time: which rows, and their features."""
    for start in range(0, len(features), rows):
        part = slice(start, min(start + rows, len(features)))
        yield part, features[part]
