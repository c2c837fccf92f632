"""Tells whether a JPEG that lacks its end marker is otherwise complete, as browsers would show it, or truncated.

Compressed data does not record where it ends; only decoding shows that. So a file is completed twice, with different
filler bytes. If the data is complete, the decoder never reads the filler, and both pictures are equal. If the data is
truncated, the filler is decoded into pixels, and the two pictures differ.
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
# Matches neither a stuffed 0xFF in compressed data nor a restart marker, which has no length.
_SEGMENT = re.compile(rb"\xff([^\x00\xd0-\xd8\xff])")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Fillers without 0xFF that differ from the first bit on and are long enough to become many blocks of pixels.
_FILLINGS = (bytes(4096), bytes(range(250, 0, -1)) * 16)
# What Pillow raises on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError)


def segments(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The segments of a JPEG up to its end marker: marker, position after the segment, and content."""
    position = len(_START_OF_IMAGE)
    while (found := _SEGMENT.search(content, position)) and found[1][0] != _END_OF_JPEG:
        begin = found.end()
        position = begin + int.from_bytes(content[begin : begin + 2], "big")
        yield found[1][0], position, content[begin + 2 : position]


def completed(content: bytes, side: int) -> bytes | None:
    """A JPEG completed with its missing end marker; None if it has one, or if more is missing.

    Args:
        content: The file.
        side: The file is decoded at a reduced scale as long as its shorter side stays above this.
    """
    scan = _last_scan(content) if content.startswith(_START_OF_IMAGE) else None
    if scan is None:
        return None
    # Half of the marker may be present.
    known = content.rstrip(b"\xff")
    restarts = len(_RESTART.findall(known, scan))
    # In a file that was cut off at a restart marker, decoders search only for the next restart marker.
    restart = b"\xff%c" % (0xD0 + restarts % 8)
    decoded = {_pixels(known + filling + END, side) for filling in (*_FILLINGS, restart + _FILLINGS[1])}
    return known + END if len(decoded) == 1 and None not in decoded else None


def _last_scan(content: bytes) -> int | None:
    """Where the compressed data of the last scan begins; None if a marker follows it, or if scans are missing.

    No scan is missing if, according to the headers, every coefficient of each component is coded to its last bit.
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
    """A digest of the pixels; None if the file cannot be decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            image.draft(None, (side, side))
            return hashlib.sha256(image.tobytes()).digest()
    except _BROKEN:
        return None
