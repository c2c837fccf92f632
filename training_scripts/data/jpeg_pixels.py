"""Decodes JPEGs with simplejpeg, a fifth faster than Pillow, where its pixels are known to equal Pillow's.

Both contain libjpeg-turbo, but not necessarily versions with the same arithmetic, so the first use compares the two.
Every picture that simplejpeg does not decode without a warning is left to Pillow, which decides what is readable.
"""

# ruff: noqa: PLC0415 - simplejpeg is optional, and it needs NumPy

from __future__ import annotations

import functools
import io
import random
import struct
import sys
from typing import TYPE_CHECKING

from PIL import Image

from training_scripts.data import jpeg_end
from training_scripts.data.limits import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np

# Huffman-coded frames: baseline, extended and progressive. Other decoders may not know the others, or read them only in
# part when, as in Pillow, the file comes in pieces.
_HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _START_OF_SCAN = 0xC0, 0xDA
# The segments of a plain JPEG's header: tables, restart interval, comment, and application data without camera data
# (which may turn the picture), profiles or further pictures: JFIF's and Adobe's.
_PLAIN_SEGMENTS = {_BASELINE, 0xC4, 0xDB, 0xDD, 0xFE, 0xE0, 0xEE}
_PLAIN_START = b"\xff\xd8\xff"
# Sides that are no multiples of a block, and every way in which cameras and editors store color.
_PROBE_SIZE = (52, 39)
_SCALES = (8, 4, 2, 1)


def decoded(content: bytes, image: Image.Image, whole: tuple[int, int]) -> np.ndarray | None:
    """Decodes a JPEG at the size to which Pillow would decode it.

    Args:
        content: The file.
        image: The same file, opened by Pillow (which checks its header) but not loaded; `draft` may have reduced it.
        whole: The size of the file's picture, before `draft`.

    Returns:
        uint8 [h, w, 3], equal to Pillow's pixels; None if Pillow has to decode this file.
    """
    if image.mode != "RGB" or not is_used() or _frame(content) not in _HUFFMAN_FRAMES:
        return None
    return _decode(content, image.size, whole)


def plain(content: bytes, side: int) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Decodes a baseline JPEG in color whose header has nothing else to tell, without Pillow, which takes 20 us more.

    Args:
        content: The file.
        side: The picture is decoded at the scale that Pillow's `draft` takes for this shorter side.

    Returns:
        uint8 [h, w, 3], equal to Pillow's pixels, and the width and height of the whole picture; None for every other
        file, and if Pillow has to decode this one.
    """
    if not is_used() or (whole := _plain_size(content)) is None:
        return None
    width, height = whole
    if width * height > min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS):
        return None
    scale = next((each for each in _SCALES if min(whole) >= each * side), 1)
    pixels = _decode(content, (-(-width // scale), -(-height // scale)), whole)
    return None if pixels is None else (pixels, whole)


def _plain_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a plain JPEG, by a header that Pillow is certain to open; None for every other file."""
    if not content.startswith(_PLAIN_START):
        return None
    size, position = None, 2
    while position + 4 < len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == _START_OF_SCAN:
            # With all components in the first scan, libjpeg allows no other.
            return size if content[position + 4] == 3 else None
        if marker not in _PLAIN_SEGMENTS:
            return None
        if marker == _BASELINE:
            bits, height, width, components = struct.unpack_from(">BHHB", content.ljust(position + 10), position + 4)
            if size or (bits, components) != (8, 3) or not width * height:
                return None
            size = width, height
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return None


def is_used() -> bool:
    """Whether simplejpeg is installed and decodes as Pillow does.

    It is not used before something else has loaded NumPy: that would take longer than decoding a hundred pictures.
    """
    return "numpy" in sys.modules and _is_equal()


def _decode(content: bytes, size: tuple[int, int], whole: tuple[int, int]) -> np.ndarray | None:
    import simplejpeg

    width, height = size
    # It takes the smallest scale whose sides are at least these; 0: the whole size.
    least = {"min_width": width, "min_height": height} if size != whole else {}
    try:
        # Strict: whatever libjpeg warns of is an error.
        pixels: np.ndarray = simplejpeg.decode_jpeg(content, strict=True, **least)
    except (ValueError, RuntimeError, MemoryError):
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _frame(content: bytes) -> int | None:
    """The marker of a JPEG's frame header, which says how it is coded."""
    return next((marker for marker, _, _ in jpeg_end.segments(content) if marker in _FRAMES), None)


@functools.cache
def _is_equal() -> bool:
    """Compares simplejpeg with Pillow on small pictures in every subsampling, at every scale; takes milliseconds."""
    try:
        import simplejpeg  # noqa: F401
    except Exception:  # noqa: BLE001 - missing, or built for another NumPy: Pillow decodes everything
        return False
    size = _PROBE_SIZE[0] // 4, _PROBE_SIZE[1] // 4
    noise = random.Random(0).randbytes(size[0] * size[1] * 3)  # noqa: S311 - a picture, no secret
    picture = Image.frombytes("RGB", size, noise).resize(_PROBE_SIZE, Image.Resampling.BICUBIC)
    return all(
        _same(_encoded(picture, subsampling=subsampling, progressive=progressive), scale)
        for subsampling in ("4:4:4", "4:2:2", "4:2:0")
        for progressive in (False, True)
        for scale in _SCALES
    )


def _encoded(picture: Image.Image, *, subsampling: str, progressive: bool) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
    return content.getvalue()


def _same(content: bytes, scale: int) -> bool:
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        image.draft(None, (image.width // scale, image.height // scale))
        pixels = _decode(content, image.size, _PROBE_SIZE)
        return pixels is not None and pixels.tobytes() == image.tobytes()
