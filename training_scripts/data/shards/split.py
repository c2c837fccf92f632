"""The pictures of a split in shards: by class for counting, and in the order of the files for reading."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import overload

from training_scripts.data.samples import Sample, Samples
from training_scripts.data.shards.rows import Shard


@dataclass(frozen=True)
class Part:
    """The pictures of one shard.

    Attributes:
        name: The shard's name in its split.
        shard: Reads its pictures.
        names: The names of its pictures.
        codes: The class of each, as a place in the split's classes.
        rows: The rows in the shard, if some are left out; None for all.
    """

    name: str
    shard: Shard
    names: Sequence[str]
    codes: array[int]
    rows: array[int] | None = None

    def __len__(self) -> int:
        return len(self.codes) if self.rows is None else len(self.rows)

    def row(self, place: int) -> int:
        """The row in the shard."""
        return place if self.rows is None else self.rows[place]

    def runs(self) -> list[range]:
        """Places to be read together; empty if any order costs the same."""
        runs, rows = self.shard.runs(), self.rows
        if rows is None:
            return runs
        places = (range(bisect_left(rows, run.start), bisect_left(rows, run.stop)) for run in runs)
        return [run for run in places if run]

    def kept(self, keep: Callable[[int], bool]) -> Part:
        """The part with those rows of the shard that are kept."""
        rows = array("I", (row for row in map(self.row, range(len(self))) if keep(row)))
        return Part(self.name, self.shard, self.names, self.codes, rows)


class ShardPictures(Sequence[Path]):
    """The pictures of a class in shards, as paths that name them: the shard's, and below it the picture's."""

    def __init__(self, split: ShardSplit, rows: array[int]) -> None:
        self._split, self._rows = split, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Path, ...]: ...

    def __getitem__(self, place: int | slice) -> Path | tuple[Path, ...]:
        rows = self._rows[place]
        if isinstance(rows, int):
            return Path(self._split.location(rows))
        return tuple(Path(self._split.location(row)) for row in rows)


class ShardSplit(Mapping[str, Sequence[Path]]):
    """The pictures of a split in shards: class -> its pictures.

    Args:
        classes: The classes in index order.
        parts: The shards.

    Attributes:
        classes: The classes in index order.
        parts: The shards.
    """

    def __init__(self, classes: Sequence[str], parts: Sequence[Part]) -> None:
        self.classes = tuple(classes)
        self.parts = tuple(parts)
        self._ends = list(accumulate(map(len, self.parts)))
        self._rows: dict[str, array[int]] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, name: str) -> Sequence[Path]:
        if self._rows is None:
            self._rows = self._by_class()
        return ShardPictures(self, self._rows[name])

    def _by_class(self) -> dict[str, array[int]]:
        rows: list[array[int]] = [array("I") for _ in self.classes]
        for number, code in enumerate(self._codes()):
            rows[code].append(number)
        return dict(zip(self.classes, rows, strict=True))

    def _codes(self) -> Iterator[int]:
        for part in self.parts:
            yield from (part.codes[part.row(place)] for place in range(len(part)))

    @property
    def total(self) -> int:
        """The number of pictures."""
        return self._ends[-1] if self._ends else 0

    def place(self, number: int) -> tuple[Part, int]:
        """The shard of a picture, and its row there."""
        if not 0 <= number < self.total:
            raise IndexError(number)
        which = bisect_right(self._ends, number)
        part = self.parts[which]
        return part, part.row(number - (self._ends[which] - len(part)))

    def location(self, number: int) -> str:
        """The path under which people see a picture: its shard's path, followed by its name."""
        part, row = self.place(number)
        return f"{part.shard.path}/{part.names[row]}"

    def name(self, part: Part, row: int) -> str:
        """The name of a picture in the split."""
        return f"{part.name}/{part.names[row]}"

    def names(self) -> Iterator[str]:
        """The names of all pictures."""
        for part in self.parts:
            yield from (self.name(part, part.row(place)) for place in range(len(part)))

    def without(self, names: Mapping[str, str]) -> ShardSplit:
        """The split without pictures of these names."""
        return ShardSplit(self.classes, [part.kept(self._not_in(part, names)) for part in self.parts])

    def _not_in(self, part: Part, names: Mapping[str, str]) -> Callable[[int], bool]:
        return lambda row: self.name(part, row) not in names

    @classmethod
    def merged(cls, splits: Sequence[ShardSplit], folder: Path) -> ShardSplit:
        """The pictures of several processes, of which each has some shards.

        Args:
            splits: The split in each process.
            folder: Where the shards of other processes would be.
        """
        classes = splits[0].classes
        if any(split.classes != classes for split in splits):
            classes = tuple(sorted({name for split in splits for name in split.classes}, key=_natural))
        place = {name: number for number, name in enumerate(classes)}
        parts: dict[str, Part] = {}
        for split in splits:
            for part in split.parts:
                codes = array("i", (place[split.classes[code]] for code in part.codes))
                here = part.shard.at(str(folder / part.name))
                parts.setdefault(part.name, Part(part.name, here, part.names, codes, part.rows))
        return cls(classes, [parts[name] for name in sorted(parts)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShardSplit):
            return NotImplemented
        return self.classes == other.classes and list(self.names()) == list(other.names())

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_numbered(self) -> bool:
        """Whether its classes are numbers."""
        return all(name.isdecimal() for name in self.classes)

    def with_names(self, names: Sequence[str]) -> ShardSplit:
        """The split with names for classes that are numbers, if each number has one."""
        if not names or not self.is_numbered or any(int(name) >= len(names) for name in self.classes):
            return self
        index = [int(name) for name in self.classes]
        parts = [replace(part, codes=array("i", (index[code] for code in part.codes))) for part in self.parts]
        return ShardSplit(names, parts)

    def samples(self, index: Mapping[str, int]) -> ShardSamples:
        """The pictures in the order of the shards.

        Args:
            index: Class -> class index.
        """
        return ShardSamples(self, array("i", (index.get(name, -1) for name in self.classes)))


def _natural(name: str) -> tuple[bool, int, str]:
    """Numbers by value, before other names."""
    return (False, int(name), "") if name.isdecimal() else (True, 0, name)


class ShardSamples(Samples):
    """The pictures of a split in shards, in the order in which the shards are read.

    Args:
        split: The split.
        indices: The class index of each of its classes.
    """

    def __init__(self, split: ShardSplit, indices: array[int]) -> None:
        self._split, self._indices = split, indices

    def __len__(self) -> int:
        return self._split.total

    def at(self, row: int) -> Sample:
        """The picture in a row."""
        return self._sample(*self._split.place(row))

    def __iter__(self) -> Iterator[Sample]:
        for part in self._split.parts:
            yield from (self._sample(part, part.row(place)) for place in range(len(part)))

    def _sample(self, part: Part, row: int) -> Sample:
        index = self._indices[part.codes[row]]
        return Sample(f"{part.shard.path}/{part.names[row]}", self._split.name(part, row), index, part.shard, row)

    def identity_at(self, row: int) -> str:
        """The name of a picture behind its class, which is not a part of the name."""
        part, place = self._split.place(row)
        return f"{self._split.classes[part.codes[place]]}/{self._split.name(part, place)}"

    def total_bytes(self) -> int:
        """The bytes of all pictures."""
        return sum(part.shard.total_bytes() for part in self._split.parts)

    def runs(self) -> list[range]:
        """Rows that cost less when they are read together; empty if any order costs the same."""
        found, first, matters = [], 0, False
        for part in self._split.parts:
            runs = part.runs()
            matters = matters or bool(runs)
            found += [range(first + run.start, first + run.stop) for run in runs or [range(len(part))]]
            first += len(part)
        return found if matters else []
