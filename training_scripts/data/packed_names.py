"""Many names in little memory: UTF-8 in one piece, and where each name ends. A str takes fifty bytes more."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import overload

# Names that are decoded together while iterating.
_BLOCK = 4096


class PackedNames(Sequence[str]):
    """An immutable sequence of names, which may be bytes that are not UTF-8 (as in `os.fsdecode`).

    Args:
        names: The names.

    >>> names = PackedNames(["a.jpg", "ü.jpg"])
    >>> names[1], list(names), len(names)
    ('ü.jpg', ['a.jpg', 'ü.jpg'], 2)
    """

    __slots__ = ("_ends", "_text")

    def __init__(self, names: Iterable[str] = ()) -> None:
        listed = names if isinstance(names, (list, tuple)) else list(names)
        joined = "".join(listed)
        if joined.isascii():
            self._text = joined.encode()
            lengths = map(len, listed)
        else:
            encoded = [name.encode("utf-8", "surrogateescape") for name in listed]
            self._text = b"".join(encoded)
            lengths = map(len, encoded)
        # The names of a class fit in 4 GB; those of a shard too.
        self._ends = array("I", accumulate(lengths))

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[each] for each in range(*place.indices(len(self))))
        place = range(len(self))[place]
        end = self._ends[place]
        start = self._ends[place - 1] if place else 0
        return self._text[start:end].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        start = 0
        ends = iter(self._ends)
        while block := list(islice(ends, _BLOCK)):
            text = self._text[start : block[-1]]
            if text.isascii():
                decoded = text.decode("ascii")
                first = start
                for end in block:
                    yield decoded[start - first : end - first]
                    start = end
            else:
                for end in block:
                    yield self._text[start:end].decode("utf-8", "surrogateescape")
                    start = end

    def __len__(self) -> int:
        return len(self._ends)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedNames):
            return self._text == other._text and self._ends == other._ends
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"PackedNames({list(self)!r})"

    @property
    def nbytes(self) -> int:
        """The bytes that the names take."""
        return len(self._text) + self._ends.itemsize * len(self._ends)
