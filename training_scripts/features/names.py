"""The names of many pictures in two files: their bytes one after the other, and where each name ends."""

# ruff: noqa: PLC0415 - NumPy loads only when features are made or read

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from training_scripts._util.atomic import replacing
from training_scripts._util.relative_names import is_inside
from training_scripts.data.image_folder import DataError

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 65_536


class StoredNames(Sequence[str]):
    """Names that are read from their files when they are needed. Equal to any sequence of the same names.

    Reading one raises DataError if it leads out of the data set: pages show the pictures of a data set by these names,
    and a store may come from somebody else.
    """

    def __init__(self, path: Path) -> None:
        """Maps the files that `write` has written.

        Raises:
            DataError: The files are damaged.
        """
        self._path = path
        self._ends = mapped_integers(ends_path(path))
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                self._content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        except (OSError, ValueError) as error:
            raise DataError(f"the names in {path} cannot be read: {error}") from error
        if (self._ends[-1:] != size).any():
            raise DataError(f"the names in {path} are damaged: copy the features again.")

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[str, ...]: ...
    def __getitem__(self, key: int | slice) -> str | tuple[str, ...]:
        if isinstance(key, slice):
            return tuple(self[number] for number in range(*key.indices(len(self))))
        number = range(len(self))[key]
        return self._name(int(self._ends[number - 1]) if number else 0, int(self._ends[number]))

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for start in range(0, len(self), _BLOCK):
            for end in self._ends[start : start + _BLOCK].tolist():
                yield self._name(begin, end)
                begin = end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _name(self, begin: int, end: int) -> str:
        name = self._content[begin:end].decode("utf-8", "surrogateescape")
        if not is_inside(name):
            raise DataError(f"the features in {self._path.parent} name a picture outside of the data set: {name!r}.")
        return name


def write(path: Path, names: Iterable[str]) -> list[Path]:
    """Writes names atomically, in bounded memory.

    Args:
        path: The file for their bytes; where they end is written beside it.
        names: The names, which may be of any bytes, as the names of files are.

    Returns:
        The files.
    """
    import numpy as np

    ends: list[np.ndarray] = []
    position = 0
    waiting = iter(names)
    with replacing(path) as file:
        while block := [name.encode("utf-8", "surrogateescape") for name in itertools.islice(waiting, _BLOCK)]:
            file.write(b"".join(block))
            ends.append(position + np.cumsum([len(name) for name in block], dtype=np.int64))
            position = int(ends[-1][-1])
    write_array(ends_path(path), np.concatenate(ends) if ends else np.empty(0, np.int64))
    return [path, ends_path(path)]


def ends_path(path: Path) -> Path:
    """The file that says where the names in a file end."""
    return path.with_name(f"{path.name}.ends.npy")


def mapped_integers(path: Path) -> np.ndarray[Any, Any]:
    """An array int64 [n] that `write_array` has written, read from its file as it is indexed.

    Raises:
        DataError: The file is missing or damaged.
    """
    import numpy as np

    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Copy the features again.") from error
    if found.ndim != 1 or found.dtype != np.int64:
        raise DataError(f"{path} is damaged: copy the features again.")
    return found


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Writes an array atomically, sequentially: on a full disk, a memory map would end the process with SIGBUS."""
    import numpy as np

    with replacing(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)
