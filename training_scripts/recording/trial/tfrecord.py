"""TFRecord frames as smdebug writes them: length, checksum of the length, payload, and a constant footer."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator

HEADER_BYTES, FOOTER_BYTES = 12, 4
# Above this size, checking a payload's checksum in Python takes too long.
CHECKED_BYTES = 1 << 20
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected: RFC 3720, appendix B.4


class FrameError(ValueError):
    """The bytes at `offset` are not a complete frame; `truncated` if the file merely ends within it."""

    def __init__(self, message: str, *, offset: int, truncated: bool = False) -> None:
        super().__init__(message)
        self.offset = offset
        self.truncated = truncated


def crc32c(data: bytes | memoryview) -> int:
    """Computes the CRC-32C.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """TFRecord's masked CRC-32C: rotated and shifted, for data that contains checksums itself."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        crc = entry
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        entries.append(crc)
    return tuple(entries)


FOOTER = struct.pack("<I", masked_crc32c(b"0x12345678"))
"""The footer that smdebug writes after every payload: the checksum of these literal bytes."""


@functools.lru_cache(maxsize=4096)
def header(length: int) -> bytes:
    """The frame's first twelve bytes."""
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc32c(packed))


def frame(payload: bytes) -> bytes:
    """Frames a payload as smdebug does."""
    return header(len(payload)) + payload + FOOTER


def frames(data: bytes | memoryview, offset: int = 0) -> Iterator[tuple[int, int]]:
    """Yields begin and end of every payload from an offset on.

    Args:
        data: A file's content, complete or not.
        offset: Offset of a frame.

    Raises:
        FrameError: A frame is truncated or damaged; the frames before it have been yielded.
    """
    size = len(data)
    while offset < size:
        begin = offset + HEADER_BYTES
        if begin > size:
            raise FrameError("it ends within a record's header", offset=offset, truncated=True)
        found = bytes(data[offset:begin])
        (length,) = struct.unpack_from("<Q", found)
        if (length < 1 << 40 and found != header(length)) or length >= 1 << 40:
            raise FrameError("a record's header is damaged (its checksum is wrong)", offset=offset)
        end = begin + length
        if end + FOOTER_BYTES > size:
            raise FrameError("it ends within a record", offset=offset, truncated=True)
        footer = bytes(data[end : end + FOOTER_BYTES])
        if footer != FOOTER and not _is_payloads_own(footer, data, begin, end):
            raise FrameError("a record's content is damaged (its checksum is wrong)", offset=offset)
        yield begin, end
        offset = end + FOOTER_BYTES


def _is_payloads_own(footer: bytes, data: bytes | memoryview, begin: int, end: int) -> bool:
    """Whether the footer is the payload's own checksum, as TensorFlow and other writers write it."""
    return end - begin > CHECKED_BYTES or footer == struct.pack("<I", masked_crc32c(data[begin:end]))
