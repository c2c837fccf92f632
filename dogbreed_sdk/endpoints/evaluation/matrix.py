"""The confusion matrix, of which only the cells with pictures take memory: of 20,000 classes hardly any has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload


class ConfusionMatrix(Sequence[tuple[int, ...]]):
    """Numbers of pictures by true class and predicted class; reads like a tuple of rows, which are tuples of numbers.

    Args:
        cells: (row, column) -> number of pictures; empty cells may be missing.
        size: Number of classes.

    >>> matrix = ConfusionMatrix({(0, 0): 3, (0, 1): 1}, size=2)
    >>> matrix[0][1], matrix == ((3, 1), (0, 0)), list(matrix.cells())
    (1, True, [(0, 0, 3), (0, 1, 1)])
    """

    def __init__(self, cells: Mapping[tuple[int, int], int], *, size: int) -> None:
        self._size = size
        self._rows: dict[int, dict[int, int]] = {}
        for (row, column), number in sorted(cells.items()):
            if number:
                self._rows.setdefault(row, {})[column] = number

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, row: int) -> tuple[int, ...]: ...

    @overload
    def __getitem__(self, row: slice) -> tuple[tuple[int, ...], ...]: ...

    def __getitem__(self, row: int | slice) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
        if isinstance(row, slice):
            return tuple(self[index] for index in range(self._size)[row])
        numbers = [0] * self._size
        for column, number in self.row(range(self._size)[row]).items():
            numbers[column] = number
        return tuple(numbers)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ConfusionMatrix):
            return self._size == other._size and self._rows == other._rows
        return isinstance(other, (tuple, list)) and len(other) == self._size and all(map(_same, self, other))

    def __hash__(self) -> int:
        return hash((self._size, tuple(self.cells())))

    def __repr__(self) -> str:
        return f"ConfusionMatrix of {self._size} classes"

    def row(self, index: int) -> Mapping[int, int]:
        """The cells with pictures of one true class: predicted class -> number, in the order of the classes."""
        return self._rows.get(index, {})

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """Yields the cells with pictures, row by row: row, column, number."""
        for row, numbers in self._rows.items():
            for column, number in numbers.items():
                yield row, column, number


def _same(row: Sequence[int], other: object) -> bool:
    return isinstance(other, (tuple, list)) and row == tuple(other)
