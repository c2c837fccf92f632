"""Reads picture files as upright RGB: the same pixels for training, features, serving and clients."""

from __future__ import annotations

import io
import itertools
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from training_scripts import ScriptError
from training_scripts.data import jpeg_end, jpeg_pixels, signatures
from training_scripts.data.formats import READ_FORMATS
from training_scripts.data.limits import JPEG_DRAFT_SIDE, MAX_JPEG_SCANS, MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np

_START_OF_SCAN = 0xDA
_SCAN = re.compile(rb"\xff(?=\xda)")

# This module refuses pictures above MAX_PIXELS, so Pillow's warning would only clutter the user's terminal. The filter
# is appended last, so a program that turns the warning into an error keeps that behavior. Pillow's warnings about
# damaged camera data do not matter here. Set once, at import, because warnings.catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = {turn for orientation, turn in _UPRIGHT.items() if orientation >= 5}
# What Pillow's decoders raise on broken files: that of AVIF a RuntimeError for some of libavif's results.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class PictureError(ScriptError):
    """A picture or a list of views cannot be used; the message gives the reason."""


def decode(data: bytes | Path) -> Image.Image:
    """Reads a picture as upright RGB.

    The EXIF orientation is applied; transparency becomes white; CMYK, palette, gray and 16-bit pixels are
    converted; only the first frame of an animation is used. Large JPEGs are decoded at a reduced scale
    (`JPEG_DRAFT_SIDE`). A JPEG may lack its end marker, but nothing else.

    Args:
        data: The file's content, or its path.

    Returns:
        The picture, in mode RGB.

    Raises:
        PictureError: It is empty, not a picture in a known format, truncated, or above `MAX_PIXELS`.
    """
    try:
        content = data if isinstance(data, bytes) else data.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    return _as_image(_decoded(content))


def decode_small(content: bytes, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Reads a picture as `decode` does, and refuses the same files, but decodes a JPEG at a smaller scale.

    libjpeg reads all of the data whatever the scale, but spends less on turning it into pixels.

    Args:
        content: The file.
        side: A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side stays above this.

    Returns:
        The picture, in mode RGB, and the width and height of the whole picture.

    Raises:
        PictureError: `decode` refuses it.
    """
    decoded, size = _decoded_at(content, side)
    return _as_image(decoded), size


def _decoded(content: bytes) -> Image.Image | np.ndarray:
    """What `decode` reads: a picture in mode RGB, or uint8 [h, w, 3], whichever costs no copy."""
    return _decoded_at(content, JPEG_DRAFT_SIDE)[0]


def _decoded_at(content: bytes, side: int) -> tuple[Image.Image | np.ndarray, tuple[int, int]]:
    """A picture as from `_decoded`, and the width and height that it has, upright, at its whole size."""
    if not content:
        raise PictureError("empty file")
    if (plain := jpeg_pixels.plain(content, side)) is not None:
        return plain
    with _opened(content) as image:
        jpeg, size = image.format in ("JPEG", "MPO"), image.size
        if jpeg:
            _check_scans(content)
        image.draft(None, (side, side))
        if jpeg and (pixels := jpeg_pixels.decoded(content, image, size)) is not None:
            turn = _turn(image)
            if turn is None:
                return pixels, size
            return Image.fromarray(pixels).transpose(turn), _turned(size, turn)
        try:
            rgb = upright_rgb(image)
        except PictureError:
            whole = completed(content) if jpeg else None
            if whole is None:
                raise
            return _decoded_at(whole, side)
        size = _turned(size, _turn(image)) if jpeg else rgb.size
        # The image that Pillow opened loses its pixels when the file is closed.
        return rgb.copy() if rgb is image else rgb, size


class Readable(Protocol):
    """A picture of a data set, such as a `samples.Sample`.

    Attributes:
        name: Its name; it seeds the rectangles of crop views.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    def read(self) -> bytes:
        """The picture's content; raises OSError if it cannot be read."""


def decode_sample(sample: Readable) -> Image.Image:
    """Reads a picture of a data set as upright RGB; see `decode`.

    Raises:
        PictureError: It cannot be read, or `decode` refuses it.
    """
    return _as_image(decode_pixels(sample))


def decode_pixels(sample: Readable) -> Image.Image | np.ndarray:
    """What `decode_sample` reads: a picture in mode RGB, or uint8 [h, w, 3], whichever costs no copy."""
    try:
        content = sample.read()
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    return _decoded(content)


def _as_image(decoded: Image.Image | np.ndarray) -> Image.Image:
    return decoded if isinstance(decoded, Image.Image) else Image.fromarray(decoded)


def from_pixels(pixels: np.ndarray) -> Image.Image:
    """A picture from uint8 [h, w, 3].

    Raises:
        PictureError: It is above `MAX_PIXELS`.
    """
    height, width, _ = pixels.shape
    _check_size(width, height)
    return Image.fromarray(pixels)


def completed(content: bytes) -> bytes | None:
    """A JPEG completed with its end marker, if only that is missing; None for every other file."""
    return jpeg_end.completed(content, JPEG_DRAFT_SIDE)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turns and converts an opened picture as `decode` does.

    Returns:
        A picture in mode RGB: the same object if nothing had to be changed.

    Raises:
        PictureError: The data is broken or truncated, or the pixels are floating-point numbers.
    """
    try:
        image.load()
        turn = _turn(image)  # read after loading: Pillow itself turns TIFFs as it loads them
        rgb = _as_rgb(image)
    except PictureError:
        raise
    except _BROKEN as error:
        raise PictureError(f"broken or truncated picture: {error}") from error
    return rgb.transpose(turn) if turn is not None else rgb


def _opened(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=READ_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"more than the {MAX_PIXELS // 10**6} megapixels allowed") from error
    except _BROKEN as error:
        raise PictureError(_why_unknown(content)) from error
    _check_size(image.width, image.height)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(f"{width} x {height} are more than the {MAX_PIXELS // 10**6} megapixels allowed")


def _why_unknown(content: bytes) -> str:
    found = signatures.format_of(content[: signatures.LENGTH])
    if found in READ_FORMATS and found not in Image.OPEN:
        return f"a {found} picture, which needs a newer Pillow: update Pillow, or save the picture as JPEG"
    if found and found not in READ_FORMATS:
        return f"a {found} picture, which is not read here: save it as JPEG or PNG"
    if found:
        return f"a broken {found} picture: its header cannot be read"
    other = signatures.other_kind(content[:1024])
    if other:
        return f"not a picture but {other}"
    return f"not a picture in a known format ({', '.join(READ_FORMATS)})"


def _check_scans(content: bytes) -> None:
    # Those of previews and of appended films included. A search for one byte is faster than counting two.
    found = itertools.islice(_SCAN.finditer(content), MAX_JPEG_SCANS + 1)
    if sum(1 for _ in found) <= MAX_JPEG_SCANS:
        return
    scans = 0
    for marker, _, _ in jpeg_end.segments(content):
        scans += marker == _START_OF_SCAN
        if scans > MAX_JPEG_SCANS:
            raise PictureError(f"it has more than the {MAX_JPEG_SCANS} scans allowed: save the picture again")


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except _BROKEN:  # damaged camera data does not mean damaged pixels
        return None


def _turned(size: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    return size[::-1] if turn in _ON_ITS_SIDE else size


def _as_rgb(image: Image.Image) -> Image.Image:
    transparent = "transparency" in image.info or (image.palette is not None and image.palette.mode == "RGBA")
    if image.mode == "RGB" and not transparent:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode == "F":
        raise PictureError("floating-point pixels are not supported: save the picture with 8 bits per channel")
    if image.mode == "La":  # Pillow has no other conversion for it
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or transparent:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    # Pillow's conversion clips 16-bit values at 255.
    deep = image.convert("I")
    if int(deep.getextrema()[1]) > 255:  # type: ignore[arg-type]
        deep = deep.point(lambda value: value * (1 / 256))
    return deep.convert("L").convert("RGB")
