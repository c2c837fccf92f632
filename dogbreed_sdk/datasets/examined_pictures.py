"""The pictures of a listing with the results of examining them, row by row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from dogbreed_sdk.datasets.examination import Facts, Progress, examine_all
from training_scripts.data.listing import Listing
from training_scripts.data.samples import Sample, Samples


class ExaminedPictures:
    """The pictures of a data set, and what examining them found.

    Args:
        listing: The data set.
        progress: Called with (examined pictures, all pictures).
        workers: Number of threads.

    Attributes:
        listing: The data set.
        facts: The result for each picture; those of a split are consecutive.
    """

    def __init__(self, listing: Listing, *, progress: Progress | None = None, workers: int | None = None) -> None:
        self.listing = listing
        self._samples = listing.samples()
        self._splits = list(self._samples)
        self._classes = {split: tuple(classes) for split, classes in listing.splits.items()}
        self._ends = list(accumulate(map(len, self._samples.values())))
        self.facts: Facts = examine_all(self, progress=progress, workers=workers)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def place(self, row: int) -> tuple[str, str, Path]:
        """The split, class folder and path of the picture in a row."""
        split, sample = self._located(row)
        return split, self._classes[split][sample.class_index], sample.path

    def split(self, name: str) -> tuple[range, Samples]:
        """The rows of a split, and its pictures."""
        number = self._splits.index(name)
        first = self._ends[number - 1] if number else 0
        return range(first, self._ends[number]), self._samples[name]

    def __iter__(self) -> Iterator[Sample]:
        for samples in self._samples.values():
            yield from samples

    def _located(self, row: int) -> tuple[str, Sample]:
        number = bisect_right(self._ends, row)
        split = self._splits[number]
        return split, self._samples[split].at(row - (self._ends[number - 1] if number else 0))
