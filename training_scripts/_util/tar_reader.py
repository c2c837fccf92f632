"""The file object through which tarfile reads an untrusted tar: forward only, with limits on sizes and headers."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

# tarfile reads a whole header into memory, whatever length it declares; honest headers contain a path or two. Contents
# are read in smaller pieces.
LARGEST_READ = 1 << 20
# Weights and pictures hardly compress: an archive that expands a hundredfold is a bomb. Below HARMLESS_BYTES it is
# harmless, and a tar of small text files may really compress that much.
MAX_GROWTH = 100
HARMLESS_BYTES = 64_000_000
# Before Python 3.13, `shutil.rmtree` cannot remove folders that are nested a thousand levels deep.
MAX_DEPTH = 100


def allowed_bytes(archive: Path) -> int:
    """The maximum total size of an archive's members, in bytes."""
    return max(HARMLESS_BYTES, archive.stat().st_size * MAX_GROWTH)


def decompressed(archive: Path) -> IO[bytes]:
    """The decompressed content of a gzip, bzip2 or xz file; any other file as it is."""
    with archive.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(archive))
    if start.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(archive))
    if start == b"\xfd7zXZ\x00":
        return cast("IO[bytes]", lzma.open(archive))
    return archive.open("rb")


class TarReader:
    """The readable file that `tarfile.TarFile` needs, over untrusted decompressed data.

    Args:
        plain: The decompressed tar.
        allowed: The maximum number of bytes to read from it.
        error: Creates the exception to raise, from a message, if there is more.
    """

    def __init__(self, plain: IO[bytes], allowed: int, *, error: Callable[[str], Exception]) -> None:
        self._plain = plain
        self._allowed = allowed
        self._error = error
        self._position = 0
        self._last = b""
        self._one_back = False

    def tell(self) -> int:
        """The position in the decompressed tar."""
        return self._position - self._one_back

    def read(self, size: int) -> bytes:
        """Reads up to `size` bytes, fewer only at the end.

        Raises:
            Exception: One read or all reads together exceed the limit; created by `error`.
        """
        if not 0 <= size <= LARGEST_READ:
            raise self._error(f"the archive has a header of {size:,} bytes: a bomb; it was not unpacked")
        start = self._last if self._one_back and size else b""
        self._one_back = self._one_back and not size
        data = self._plain.read(size - len(start))
        self._position += len(data)
        if self._position > self._allowed:
            raise self._error("the archive is a decompression bomb: its content is far too large; it was not unpacked")
        self._last = data[-1:] or self._last
        return start + data

    def seek(self, position: int) -> int:
        """Moves forward, or back by one byte, which tarfile does to check that a member is complete."""
        if position == self.tell():
            return position
        if position == self._position - 1 and self._last:
            self._one_back = True
            return position
        if position < self.tell():
            raise ValueError("its parts are out of order")
        self._skip(position)
        return self.tell()

    def drain(self) -> None:
        """Reads to the end, where decompressors verify the checksum."""
        while self.read(LARGEST_READ):
            pass

    def _skip(self, position: int) -> None:
        while (missing := position - self.tell()) and self.read(min(missing, LARGEST_READ)):
            pass
