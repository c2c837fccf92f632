"""JPEGs without their end marker: whole where only that is missing, as every browser shows them; else cut off.

Nothing in the compressed data says where they end but the pixels themselves. So a file is completed twice, with other
bytes in place of those that may be missing: behind complete data nothing reads them, and in data that were cut off
they become pixels, other ones each time.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator

from PIL import Image

from training_scripts.data.limits import MAX_JPEG_SCANS

END = b"\xff\xd9"
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_JPEG, _START_OF_SCAN = 0xD9, 0xDA
_PROGRESSIVE = 0xC2
_WHOLE_SPECTRUM = set(range(64))
# Neither a stuffed 0xFF of compressed data nor a restart marker, which stands alone.
_SEGMENT = re.compile(rb"\xff([^\x00\xd0-\xd8\xff])")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Of no 0xFF, different from the first bit on, and long enough to become many blocks of pixels.
_FILLINGS = (bytes(4096), bytes(range(250, 0, -1)) * 16)
# What Pillow raises on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError)


def segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The segments of a JPEG up to its end marker: marker, position behind the segment, and what it holds."""
    position = len(_START_OF_IMAGE)
    while (found := _SEGMENT.search(content, position)) and found[1][0] != _END_OF_JPEG:
        begin = found.end()
        position = begin + int.from_bytes(content[begin : begin + 2], "big")
        yield found[1][0], position, content[begin + 2 : position]


def completed(content: bytes, side: int) -> bytes | None:
    """A JPEG with the end marker that it lacks; None where it has one, or lacks more.

    Args:
        content: The file.
        side: It is decoded at a reduced scale while its shorter side stays above this.
    """
    scan = _last_scan(content) if content.startswith(_START_OF_IMAGE) else None
    if scan is None:
        return None
    # Half of a marker may be there.
    known = content.rstrip(b"\xff")
    restarts = len(_RESTART.findall(known, scan))
    # Where it was cut off at a restart marker, decoders look for the next one and for nothing else.
    restart = b"\xff%c" % (0xD0 + restarts % 8)
    decoded = {_pixels(known + filling + END, side) for filling in (*_FILLINGS, restart + _FILLINGS[1])}
    return known + END if len(decoded) == 1 and None not in decoded else None


def _last_scan(content: bytes) -> int | None:
    """Where the compressed data of the last scan begin; None unless it lacks a marker behind it, and all is there.

    All are the coefficients of each component, the last bit of them included, as far as the headers tell.
    """
    progressive, components, end, scans = False, b"", (0, 0), 0
    exact: dict[int, set[int]] = {}
    for marker, position, segment in segments(content):
        end, scans = (marker, position), scans + (marker == _START_OF_SCAN)
        if scans > MAX_JPEG_SCANS:
            return None
        if marker == _START_OF_SCAN and segment:
            count, (first, last, approximation) = segment[0], (segment[-3:] + bytes(3))[:3]
            if approximation & 15 == 0 or not progressive:
                for component in segment[1 : 1 + 2 * count : 2]:
                    exact.setdefault(component, set()).update(range(first, min(last, 63) + 1))
        elif marker in (0xC0, 0xC1, _PROGRESSIVE):
            progressive, components = marker == _PROGRESSIVE, segment[6::3]
    marker, position = end
    if marker != _START_OF_SCAN or position >= len(content) or _SEGMENT.search(content, position):
        return None
    whole = bool(components) and all(exact.get(component, set()) == _WHOLE_SPECTRUM for component in components)
    return position if whole else None


def _pixels(content: bytes, side: int) -> bytes | None:
    """A digest of its pixels; None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            image.draft(None, (side, side))
            return hashlib.sha256(image.tobytes()).digest()
    except _BROKEN:
        return None
