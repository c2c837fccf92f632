"""A WebDataset shard: a tar of pictures, each beside its label. An index is made in one pass; nothing is unpacked."""

from __future__ import annotations

import os
import re
import tarfile
import weakref
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, cast

from training_scripts._util.tar_reader import LARGEST_READ
from training_scripts.data import formats
from training_scripts.data.limits import MAX_FILE_BYTES
from training_scripts.data.packed_names import PackedNames
from training_scripts.data.shards import labels
from training_scripts.data.shards.labels import Label, LabelError
from training_scripts.data.shards.rows import IndexedShard, RowFault
from training_scripts.data.split_folders import split_of

_LARGEST_LABEL = 1 << 20
_OPEN_FILES = 64
# WebDataset's rule: the key ends at the first dot behind the last slash.
_KEY = re.compile(r"((?:.*/|)[^./][^./]*)\.([^/]+)", re.DOTALL)
_PICTURES = ("jpg", "jpeg", *sorted({suffix.removeprefix(".") for suffix in formats.SUFFIXES} - {"jpg", "jpeg"}))
_DOTTED = tuple(f".{extension}" for extension in _PICTURES)


@dataclass
class _Group:
    """The members of a sample: key, and extension -> name, offset and size."""

    key: str
    members: dict[str, tuple[str, int, int]] = field(default_factory=dict)


class TarShard:
    """Reads pictures of an indexed tar, in any order and from several threads.

    Args:
        path: The tar.
        offsets: Where the content of each picture begins.
        sizes: The bytes of each.
    """

    __slots__ = ("_offsets", "_sizes", "path")

    def __init__(self, path: str, offsets: array[int], sizes: array[int]) -> None:
        self.path = path
        self._offsets = offsets
        self._sizes = sizes

    def at(self, path: str) -> TarShard:
        """The same shard at another path."""
        return TarShard(path, self._offsets, self._sizes)

    def size(self, row: int) -> int:
        """The bytes of a picture."""
        return self._sizes[row]

    def total_bytes(self) -> int:
        """The bytes of all pictures."""
        return sum(self._sizes)

    def read(self, row: int) -> bytes:
        """The content of a picture.

        Raises:
            OSError: It is too large, or the file cannot be read.
        """
        size = self._sizes[row]
        if size > MAX_FILE_BYTES:
            raise OSError(0, f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} allowed", self.path)
        content = _FILES.read(self.path, self._offsets[row], size)
        if len(content) < size:
            raise OSError(0, "the shard has become shorter since it was listed", self.path)
        return content

    def runs(self) -> list[range]:
        """Rows to be read together; empty if any row costs the same."""
        return []


class _Handle:
    """An open file, closed when nothing uses it any more."""

    __slots__ = ("__weakref__", "descriptor")

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self.descriptor)


class _OpenFiles:
    """The files that were read last. One that stays open is read ahead, which matters where files are S3 objects."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: OrderedDict[str, _Handle] = OrderedDict()

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Reads part of a file; less only at its end."""
        with self._lock:
            handle = self._files.pop(path, None) or _Handle(path)
            self._files[path] = handle
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)
        parts = []
        while size > 0 and (part := os.pread(handle.descriptor, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def forget(self, path: str) -> None:
        """Closes a file, which may have been replaced."""
        with self._lock:
            self._files.pop(path, None)


_FILES = _OpenFiles()


def index(path: str) -> IndexedShard:
    """Lists the pictures of a tar and their labels, in one pass that skips the pictures.

    Raises:
        OSError: The file cannot be read, or is not a complete tar.
    """
    _FILES.forget(path)
    names: list[str] = []
    found: list[Label] = []
    faults: list[RowFault] = []
    offsets, sizes = array("Q"), array("Q")
    seen: set[str] = set()
    texts = 0
    with open(path, "rb") as file:  # noqa: PTH123 - many shards
        for group in _groups(path, file, faults):
            picture = _picture(group)
            if picture is None:
                continue
            name, offset, size = picture
            try:
                if name in seen:
                    raise LabelError("it appears twice")
                label, source = _label(group, file)
            except LabelError as fault:
                faults.append(RowFault(name, str(fault)))
                continue
            seen.add(name)
            names.append(name)
            found.append(label)
            texts += source == "txt"
            offsets.append(offset)
            sizes.append(size)
    return IndexedShard(TarShard(path, offsets, sizes), PackedNames(names), found, faults, texts=texts)


class _Bounded:
    """The file that `tarfile` reads: headers of any declared length would be read into memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int) -> bytes:
        """Reads up to `size` bytes.

        Raises:
            tarfile.ReadError: They are more than a header has.
        """
        if not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError(f"it has a header of {size:,} bytes")
        return self._file.read(size)


def _groups(path: str, file: IO[bytes], faults: list[RowFault]) -> Iterator[_Group]:
    """The samples of a tar: consecutive members with the same key."""
    group: _Group | None = None
    last = ""
    try:
        with tarfile.TarFile(path, "r", fileobj=cast("IO[bytes]", _Bounded(file))) as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # which would keep all headers
                last = member.name
                split = _KEY.fullmatch(member.name.removeprefix("./"))
                if split is None or not member.isreg() or member.issparse():
                    continue
                if reason := _unsafe(member.name.removeprefix("./")):
                    faults.append(RowFault(repr(member.name), reason))
                    continue
                key, extension = split[1], split[2].lower()
                if group is None or group.key != key:
                    if group is not None:
                        yield group
                    group = _Group(key)
                group.members[extension] = (member.name.removeprefix("./"), member.offset_data, member.size)
            # tarfile takes a file that ends within a header for one that ends there.
            if any(end := os.pread(file.fileno(), tarfile.BLOCKSIZE, tar.offset)) or len(end) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it ends without the blocks that end a tar")
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise OSError(0, f"it is not a complete tar (after {last or 'its beginning'}): {error}", path) from error
    if group is not None:
        yield group


def _unsafe(name: str) -> str:
    """Why a member's name is refused; empty if it is not. Nothing is unpacked, but reports contain names."""
    if name.startswith("/") or ".." in name.split("/") or "\\" in name:
        return "its name leads out of the shard"
    return "" if name.isprintable() else "its name is not printable"


def _picture(group: _Group) -> tuple[str, int, int] | None:
    """The picture of a sample; masks and the like, with names such as key.mask.png, count only if there is no other."""
    for extensions in (_PICTURES, sorted(each for each in group.members if each.endswith(_DOTTED))):
        for extension in extensions:
            if extension in group.members:
                return group.members[extension]
    return None


def _label(group: _Group, file: IO[bytes]) -> tuple[Label, str]:
    """The label of a sample, and its source: "cls", else "json", else "txt", else "" for the folder in its key.

    Raises:
        LabelError: It has none, or none that is a class.
    """
    for extension in ("cls", "json", "txt"):
        if extension not in group.members:
            continue
        _, offset, size = group.members[extension]
        if size > _LARGEST_LABEL:
            raise LabelError(f"its .{extension} has {size:,} bytes, more than the {_LARGEST_LABEL:,} allowed")
        content = os.pread(file.fileno(), size, offset)
        label = labels.from_json(content) if extension == "json" else labels.from_text(content)
        if label is not None:
            return label, extension
    folder = group.key.rpartition("/")[0].rpartition("/")[2]
    if folder and not split_of(folder):
        return labels.one_name(folder), ""
    raise LabelError("it has no label: neither a .cls, .json or .txt beside it, nor a class folder in its name")
