"""How often pictures of one class were classified as another: the confusion matrix without its empty cells.

Of 20,000 classes, the whole matrix would take 3.2 GB, and hardly any of its cells has a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Confusion:
    """Counts of pictures by their class and by the class that was predicted.

    Attributes:
        totals: Pictures of each class, int64 [classes].
        right: Those of them that were classified correctly.
        called: Predictions of each class.
        cells: The cells with pictures, ascending: true class x classes + predicted class, int64 [cells].
        counts: The pictures of each.
    """

    totals: Integers
    right: Integers
    called: Integers
    cells: Integers
    counts: Integers

    @classmethod
    def of(cls, labels: Integers, predictions: Integers, *, classes: int = 0) -> Confusion:
        """Counts labels and predictions [n, n at least 1].

        Args:
            labels: Class indices.
            predictions: Class indices of the same pictures.
            classes: The least number of classes; default: as many as occur.
        """
        classes = max(classes, int(max(labels.max(), predictions.max())) + 1)
        cells, counts = np.unique(labels * classes + predictions, return_counts=True)
        return cls(
            totals=np.bincount(labels, minlength=classes),
            right=np.bincount(labels[labels == predictions], minlength=classes),
            called=np.bincount(predictions, minlength=classes),
            cells=cells,
            counts=counts.astype(np.int64),
        )

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.totals)

    def __getitem__(self, cell: tuple[int, int]) -> int:
        """The pictures of a class that were classified as another."""
        key = cell[0] * len(self) + cell[1]
        place = int(np.searchsorted(self.cells, key))
        return int(self.counts[place]) if place < len(self.cells) and self.cells[place] == key else 0

    def mistakes(self) -> Iterator[tuple[int, int, int]]:
        """Yields the cells of wrong predictions, by rows: true class, predicted class, pictures."""
        for cell, count in zip(self.cells.tolist(), self.counts.tolist(), strict=True):
            label, prediction = divmod(cell, len(self))
            if label != prediction:
                yield label, prediction, count
