"""The pictures of class folders, compactly: a data set of millions of files has one object per class, not per file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import overload

from training_scripts.data.packed_names import PackedNames
from training_scripts.data.samples import Sample, Samples


class ClassPictures(Sequence[Path]):
    """The paths of a class folder's pictures.

    Args:
        folder: The class folder.
        names: The pictures' paths below it, in the order of the listing.

    Attributes:
        folder: The class folder.
        names: The pictures' paths below it.
    """

    __slots__ = ("folder", "names")

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names if isinstance(names, PackedNames) else PackedNames(names)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Path, ...]: ...

    def __getitem__(self, place: int | slice) -> Path | tuple[Path, ...]:
        if isinstance(place, slice):
            return tuple(Path(self.folder, name) for name in self.names[place])
        return Path(self.folder, self.names[place])

    def __iter__(self) -> Iterator[Path]:
        return (Path(self.folder, name) for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"ClassPictures({self.folder!r}, {self.names!r})"


class FolderSamples(Samples):
    """The pictures of a split in class folders, class after class.

    Args:
        classes: Class folder -> its pictures.
        index: Class folder -> its class index.
    """

    def __init__(self, classes: Mapping[str, ClassPictures], index: Mapping[str, int]) -> None:
        self._classes = [(f"{name}/", pictures, index[name]) for name, pictures in classes.items()]
        self._ends = list(accumulate(len(pictures) for _, pictures, _ in self._classes))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, row: int) -> Sample:
        """The picture in a row."""
        number = bisect_right(self._ends, row)
        prefix, pictures, index = self._classes[number]
        name = pictures.names[row - (self._ends[number - 1] if number else 0)]
        return Sample(f"{pictures.folder}/{name}", prefix + name, index)

    def __iter__(self) -> Iterator[Sample]:
        for prefix, pictures, index in self._classes:
            folder = f"{pictures.folder}/"
            for name in pictures.names:
                yield Sample(folder + name, prefix + name, index)

    def names(self) -> Iterator[str]:
        """The names of the pictures, in order."""
        for prefix, pictures, _ in self._classes:
            for name in pictures.names:
                yield prefix + name

    def by_name(self) -> Iterator[int]:
        """The rows in the order of their names; only the names of one class are in memory at a time."""
        for number in sorted(range(len(self._classes)), key=lambda number: self._classes[number][0]):
            names = list(self._classes[number][1].names)
            first = self._ends[number] - len(names)
            yield from (first + place for place in sorted(range(len(names)), key=names.__getitem__))

    def class_indices(self) -> Iterator[int]:
        """The class indices of the pictures, in order."""
        for _, pictures, index in self._classes:
            for _ in range(len(pictures)):
                yield index
