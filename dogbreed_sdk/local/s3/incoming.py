"""Content that arrives: written aside, with its checksums computed on the way; no part of it stays in memory."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from training_scripts._util.atomic import temporary_file

BLOCK_BYTES = 1024 * 1024
_MOST_COPIED_BYTES = 1024 * 1024 * 1024


class ChecksumError(ValueError):
    """Content does not have the checksum that its sender named."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# The algorithms that are computed here. Others (CRC32C, CRC64NVME, XXHASH…) would need more packages: their
# values are kept as given, and the client that reads the object verifies them.
_ALGORITHMS: dict[str, Callable[[], _Hash]] = {
    "CRC32": _Crc32,
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
}


class Incoming:
    """One piece of content that is being received: an object, or a part of one.

    Attributes:
        size: Bytes received so far.
    """

    def __init__(self, path: Path, file: BinaryIO, algorithms: Iterable[str]) -> None:
        self._path = path
        self.size = 0
        self._file = file
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hashes: dict[str, _Hash] = {name: _ALGORITHMS[name]() for name in algorithms if name in _ALGORITHMS}

    def write(self, data: bytes) -> None:
        """Append data."""
        self._file.write(data)
        self._md5.update(data)
        for one in self._hashes.values():
            one.update(data)
        self.size += len(data)

    def append(self, source: BinaryIO, start: int = 0, length: int | None = None) -> None:
        """Append a range of a file."""
        source.seek(start)
        left = length if length is not None else os.fstat(source.fileno()).st_size - start
        while left > 0 and (block := source.read(min(left, BLOCK_BYTES))):
            self.write(block)
            left -= len(block)

    def append_unread(self, source: BinaryIO) -> None:
        """Append a file without computing the MD5 and checksums: for content that gets others.

        The system copies it, on some file systems by reference alone.
        """
        self._file.flush()  # what follows is behind Python's buffer
        self.size += os.fstat(source.fileno()).st_size
        with contextlib.suppress(OSError, AttributeError):  # only Linux has it, and not for every file system
            while os.copy_file_range(source.fileno(), self._file.fileno(), _MOST_COPIED_BYTES):
                pass
        shutil.copyfileobj(source, self._file, BLOCK_BYTES)  # the rest: nothing, or everything

    def move(self, place: Path) -> None:
        """Move the file, with everything that was received, to its place.

        Raises:
            OSError: The place can't have a file; it may be moved elsewhere.
        """
        self._file.flush()
        self._path.replace(place)

    @property
    def mark(self) -> str:
        """Identifies the content once it is complete; see `mark_of`."""
        self._file.flush()
        return mark_of(os.fstat(self._file.fileno()))

    @property
    def etag(self) -> str:
        """The MD5 of what was received, in hexadecimal."""
        return self._md5.hexdigest()

    def checksums(self, given: Mapping[str, str], *, content_md5: str | None = None) -> dict[str, str]:
        """Verify what the sender named, and complete it.

        Args:
            given: The values in base64 by their algorithms, as far as they were sent.
            content_md5: The value of Content-MD5.

        Returns:
            The checksums as members: ChecksumCRC32, ….

        Raises:
            ChecksumError: One does not match.
        """
        computed = {name: base64.b64encode(one.digest()).decode() for name, one in self._hashes.items()}
        for name, value in given.items():
            if computed.get(name, value) != value:
                raise ChecksumError(f"Value for x-amz-checksum-{name.lower()} header is invalid.")
        if content_md5 is not None and content_md5 != base64.b64encode(self._md5.digest()).decode():
            raise ChecksumError("The Content-MD5 you specified did not match what we received.")
        return {f"Checksum{name}": value for name, value in {**given, **computed}.items()}


@contextmanager
def receiving(folder: Path, algorithms: Iterable[str] = ()) -> Iterator[Incoming]:
    """A place for content, which is removed at the end unless its file was moved away.

    Args:
        folder: Where it is written, on the file system of its destination.
        algorithms: The checksums to compute beside the MD5: "CRC32", "SHA256", ….
    """
    with temporary_file(folder, "content") as file:
        yield Incoming(Path(file.name), file, algorithms)


def mark_of(found: os.stat_result) -> str:
    """Identifies the content of a file, as far as its size and the time of its last change do."""
    return f"{found.st_size}:{found.st_mtime_ns}"


def composite(values: Iterable[str]) -> str:
    """The checksum of a multipart upload from those of its parts: of their bytes, with their number.

    >>> composite(["YWJjZA=="])
    '7YLNEQ==-1'
    """
    parts = [binascii.a2b_base64(value) for value in values]
    width = len(parts[0]) if parts else 0
    made: _Hash = next((h() for h in _ALGORITHMS.values() if len(h().digest()) == width), _Crc32())
    for part in parts:
        made.update(part)
    return f"{base64.b64encode(made.digest()).decode()}-{len(parts)}"
