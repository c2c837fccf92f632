"""The pictures of a data set's splits: where each one is, its name, its class and its content."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from training_scripts.data.shards.rows import Shard


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture.

    Attributes:
        location: Its path, as text: a Path takes five times the memory, and data sets have millions of pictures.
        name: Its name inside the split ("001.Affenpinscher/x.jpg").
        class_index: Its class.
        shard: The archive that contains it, whose path `location` begins with; None for a file.
        row: Its row in the shard.
    """

    location: str
    name: str
    class_index: int
    shard: Shard | None = field(default=None, compare=False, repr=False)
    row: int = field(default=0, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """Its path. That of a picture in a shard names it, and cannot be opened."""
        return Path(self.location)

    def exists(self) -> bool:
        """Whether its file, or its shard, exists on this machine."""
        return os.path.isfile(self.shard.path if self.shard else self.location)  # noqa: PTH113 - many pictures

    def size(self) -> int:
        """The bytes of its content; a mean where a shard does not list them.

        Raises:
            OSError: It does not exist.
        """
        if self.shard is not None:
            return self.shard.size(self.row)
        return os.stat(self.location).st_size  # noqa: PTH116 - without a Path for each picture

    def read(self) -> bytes:
        """The picture's content, still encoded.

        Raises:
            OSError: It cannot be read.
        """
        if self.shard is not None:
            return self.shard.read(self.row)
        with open(self.location, "rb", buffering=0) as file:  # noqa: PTH123 - without a Path for each picture
            return file.read()


class Samples(Sequence[Sample], ABC):
    """The pictures of a split, made when they are asked for: a data set of millions of them fits in memory."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def at(self, row: int) -> Sample:
        """The picture in a row."""

    @overload
    def __getitem__(self, place: int) -> Sample: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Sample]: ...

    def __getitem__(self, place: int | slice) -> Sample | Sequence[Sample]:
        rows = range(len(self))[place]
        return self.at(rows) if isinstance(rows, int) else SomeSamples(self, rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Samples, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def total_bytes(self) -> int:
        """The bytes of all pictures."""
        return sum(sample.size() for sample in self)

    def runs(self) -> list[range]:
        """Rows that cost less when they are read together; empty if any order costs the same."""
        return []

    def identity_at(self, row: int) -> str:
        """What identifies a picture and its class besides its content: its name, if that contains the class."""
        return self.at(row).name

    def names(self) -> Iterator[str]:
        """The names of the pictures, in order."""
        return (sample.name for sample in self)

    def by_name(self) -> Iterable[int]:
        """The rows in the order of their names."""
        names = list(self.names())
        return sorted(range(len(names)), key=names.__getitem__)

    def class_indices(self) -> Iterator[int]:
        """The class indices of the pictures, in order."""
        return (sample.class_index for sample in self)


class SomeSamples(Samples):
    """Some of the pictures of a split.

    Args:
        whole: The pictures.
        rows: The rows of those that are meant.
    """

    def __init__(self, whole: Samples, rows: Sequence[int]) -> None:
        self._whole = whole
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, row: int) -> Sample:
        """The picture in a row."""
        return self._whole.at(self._rows[row])


class _Listed(Samples):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def at(self, row: int) -> Sample:
        """The picture in a row."""
        return self._samples[row]


def of_any(samples: Sequence[Sample]) -> Samples:
    """Pictures in a sequence of any kind."""
    return samples if isinstance(samples, Samples) else _Listed(samples)
