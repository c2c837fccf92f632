"""What every kind of shard has: rows with pictures, their names and labels, and rows that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from training_scripts.data.shards.labels import Label


class Shard(Protocol):
    """Reads the pictures of a shard."""

    @property
    def path(self) -> str:
        """The file."""

    def at(self, path: str) -> Shard:
        """The same shard at another path."""

    def read(self, row: int) -> bytes:
        """The content of a picture; raises OSError if it cannot be read."""

    def size(self, row: int) -> int:
        """The bytes of a picture."""

    def total_bytes(self) -> int:
        """The bytes of all pictures, or nearly so."""

    def runs(self) -> list[range]:
        """Rows to be read together; empty if any row costs the same."""


class RowFault(NamedTuple):
    """A row that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class IndexedShard:
    """The contents of a shard.

    Attributes:
        shard: Reads its pictures.
        names: The names of its pictures, unique in the shard.
        labels: The label of each.
        faults: Rows that cannot be used.
        class_names: The class names in index order that the shard states; empty if it states none.
        texts: How many of the labels are those of .txt members, which are often captions.
    """

    shard: Shard
    names: Sequence[str]
    labels: Sequence[Label]
    faults: Sequence[RowFault]
    class_names: tuple[str, ...] = ()
    texts: int = 0
