"""Computes the numbers of many steps at once, from copies of their small tensors.

Between two steps, training displaces everything from the caches. A reduction of a few numbers then takes ten times as
long as when it is repeated; copying them takes little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.recorder.torch_reductions import Number
from training_scripts.recording.trial.records import Array

_ROWS = 64
# Copies of more shapes than this are not held; of arrays that `few` passes, they take at most 32 MB.
_MOST_SHAPES = 16

Reduce: TypeAlias = "Callable[..., Sequence[NDArray[Any]]]"
"""Takes arrays of as many rows as there are steps; returns the numbers of each step, one array for each name."""


class Bulk:
    """Steps whose numbers are computed later; each step's go to its own dictionary, with NaN until then."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[object, ...], _Rows] = {}

    def add(
        self, names: tuple[str, ...], reduce: Reduce, arrays: tuple[Array, ...], numbers: dict[str, Number]
    ) -> None:
        """Copies a step's arrays.

        Args:
            names: Of the numbers.
            reduce: Computes them.
            arrays: Of the step.
            numbers: Where the step's numbers go, by name.
        """
        key = (names, *((array.shape, array.dtype) for array in arrays))
        rows = self._waiting.get(key)
        if rows is None:
            if len(self._waiting) >= _MOST_SHAPES:  # sizes differ from step to step
                self.finish()
            rows = self._waiting[key] = _Rows(names, reduce, arrays)
        for name in names:
            numbers[name] = np.nan
        if rows.add(arrays, numbers):
            rows.finish()

    def finish(self) -> None:
        """Computes what is waiting."""
        for rows in self._waiting.values():
            rows.finish()
        if len(self._waiting) >= _MOST_SHAPES:
            self._waiting = {}


class _Rows:
    """Copies of arrays of the same shapes, a row for each step."""

    def __init__(self, names: tuple[str, ...], reduce: Reduce, arrays: tuple[Array, ...]) -> None:
        self._names, self._reduce = names, reduce
        self._columns = [np.empty((_ROWS, *array.shape), array.dtype) for array in arrays]
        self._numbers: list[dict[str, Number]] = []

    def add(self, arrays: tuple[Array, ...], numbers: dict[str, Number]) -> bool:
        """Returns whether there is no place for another step."""
        row = len(self._numbers)
        for column, array in zip(self._columns, arrays, strict=True):
            column[row] = array
        self._numbers.append(numbers)
        return row + 1 == _ROWS

    def finish(self) -> None:
        waiting, self._numbers = self._numbers, []
        if not waiting:
            return
        with np.errstate(all="ignore"):
            found = self._reduce(*(column[: len(waiting)] for column in self._columns))
        for name, values in zip(self._names, found, strict=True):
            for numbers, value in zip(waiting, values.tolist(), strict=True):
                numbers[name] = value


def mean_and_std(rows: Array) -> tuple[Array, Array]:
    """`torch_reductions.mean_and_std` of each row; float32, as they are written to disk."""
    flat = rows.reshape(len(rows), -1)
    size = flat.shape[1]
    mean = flat.sum(1).astype(np.float64) / size
    squares = np.einsum("ij,ij->i", flat, flat).astype(np.float64)
    return mean.astype(np.float32), np.sqrt(np.maximum(squares / size - mean * mean, 0.0)).astype(np.float32)


def bounds_and_mean(rows: Array) -> tuple[Array, Array, Array]:
    """The lowest and highest element of each row, and the mean."""
    flat = rows.reshape(len(rows), -1)
    return flat.min(1), flat.max(1), flat.sum(1) / np.float32(flat.shape[1])


def share_right(scores: Array, labels: Array) -> tuple[Array]:
    """The share of samples whose highest score is that of their label: scores [rows, n, classes], labels [rows, n]."""
    return ((scores.argmax(2) == labels).mean(1),)
