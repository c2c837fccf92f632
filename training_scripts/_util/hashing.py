"""Files whose content is hashed while it is written: what is large is neither held in memory nor read again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

_BLOCK_BYTES = 1 << 20


class HashingWriter:
    """Writes to a file and computes the digest of what is written.

    Attributes:
        digest: The SHA-256 so far.
        error: Why the last write failed; None if it did not.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Writes some bytes; returns their number."""
        self.digest.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Flushes the file."""
        self._file.flush()


def sha256(file: IO[bytes]) -> str:
    """The SHA-256 of a file from its present position on, which is then at its end."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file at a path."""
    with path.open("rb") as file:
        return sha256(file)


def save_tensors(content: object, file: BinaryIO) -> str:
    """Writes with torch.save straight to a file; returns the SHA-256 of what was written.

    Raises:
        OSError: The disk is full; torch itself hides that behind a RuntimeError about positions in its archive.
    """
    import torch  # noqa: PLC0415 - where tensors are written, torch is loaded

    writer = HashingWriter(file)
    try:
        torch.save(content, cast("IO[Any]", writer))
    except RuntimeError as error:
        raise (writer.error or error) from None
    return writer.digest.hexdigest()
