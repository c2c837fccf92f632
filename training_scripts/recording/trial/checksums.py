"""Checksums of a trial's event files, stored beside them: the ones that smdebug writes do not depend on the content.

`checksums/<step>_<worker>.crc32` contains the CRC-32 and the length of the frame of every record of an event file, in
order (little-endian, 4 bytes each), followed by the CRC-32 of all of these. smdebug ignores the file. The lengths let a
reader continue after a record whose length field is damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training_scripts.recording.trial import layout

_LAST = struct.Struct("<I")
# Checksums of a million records.
_MOST_BYTES = 8 << 20


def encode(content: bytes | bytearray, lengths: Iterable[int]) -> bytes:
    """Encodes the checksums of an event file.

    Args:
        content: The event file's content.
        lengths: Lengths of its frames, in order.
    """
    sums, offset = [], 0
    with memoryview(content) as view:
        for length in lengths:
            sums += [zlib.crc32(view[offset : offset + length]), length]
            offset += length
    return _sealed(np.array(sums, dtype="<u4").tobytes())


def shortened(sums: Sequence[tuple[int, int]], end: int) -> bytes:
    """Encodes the checksums of an event file that is truncated to `end` bytes."""
    kept: list[int] = []
    for crc, length in sums:
        end -= length
        if end < 0:
            break
        kept += [crc, length]
    return _sealed(np.array(kept, dtype="<u4").tobytes())


def read(path: Path) -> list[tuple[int, int]]:
    """Reads CRC-32 and length of every frame of an event file; empty without a file of checksums.

    Raises:
        ValueError: The file of checksums is damaged.
        OSError: The file cannot be read.
    """
    try:
        with layout.opened(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    body = content[: -_LAST.size]
    if len(content) > _MOST_BYTES or len(body) % 8 or content[len(body) :] != _LAST.pack(zlib.crc32(body)):
        raise ValueError("the checksums themselves are damaged")
    pairs: list[list[int]] = np.frombuffer(body, dtype="<u4").reshape(-1, 2).tolist()
    return [(crc, length) for crc, length in pairs]


def _sealed(body: bytes) -> bytes:
    return body + _LAST.pack(zlib.crc32(body))
