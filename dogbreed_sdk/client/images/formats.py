"""Opens picture files, and explains why a file cannot be opened."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TypeVar

from PIL import Image, UnidentifiedImageError

from dogbreed_sdk.errors import UnsupportedImageError
from training_scripts.data import decoding, signatures
from training_scripts.data.formats import READ_FORMATS, VARIANTS
from training_scripts.data.limits import JPEG_DRAFT_SIDE, MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

_Pixels = TypeVar("_Pixels")

# The formats that servers read, and others that cameras, phones, scanners and the web write, which the client converts.
# Pillow knows thirty more, but photographs do not come in them, and each is another parser to trust (EPS even starts
# other programs).
_FORMATS = (*READ_FORMATS, *VARIANTS, "HEIF", "JPEG2000", "ICO", "QOI", "TGA", "PSD")
# What a file is that is not a picture, by its kind according to `signatures.other_kind`, and what to do with it.
_NO_PICTURE = {
    "PostScript": "is PostScript, which is not run; save it as JPEG or PNG",
    "a PDF": "is a PDF; export the picture in it as JPEG or PNG",
    "a ZIP archive (or an office document)": (
        "is a ZIP archive (or an office document); unpack it and pass a picture in it"
    ),
    "compressed with gzip": "is compressed with gzip; unpack it first",
    "a film": "is a film; save a frame of it as JPEG or PNG",
    "an SVG drawing": "is an SVG drawing; export it as PNG",
    "a web page or XML": (
        "is a web page or XML, not a picture: the link may lead to a page about the picture, or require a login"
    ),
}


def opened(data: bytes, source: str) -> Image.Image:
    """Opens a picture file and reads its header, but not its pixels.

    Raises:
        UnsupportedImageError: It is not a picture or too large; the message names the source and the reason.
    """
    if signatures.brand_of(data) in signatures.HEIC_BRANDS:
        _register_heif()
    formats = [name for name in _FORMATS if name in _known_formats()]
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise UnsupportedImageError(f"{source} {_why_unreadable(data)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnsupportedImageError(
            f"{source} has more than {MAX_PIXELS // 10**6} megapixels; reduce its size first"
        ) from None
    except Exception as error:  # Pillow's parsers raise many kinds of errors for broken headers
        raise UnsupportedImageError(f"{source} is broken: {_words(error)}") from error


def check_decodes(image: Image.Image, data: bytes, source: str) -> None:
    """Decodes a picture, to check that the server can.

    Raises:
        UnsupportedImageError: It cannot; the message names the source and the reason.
    """
    # The server's own function for JPEG, which bounds the scans and decodes large ones at a reduced scale.
    jpeg = image.format in ("JPEG", "MPO")
    pixels_of((lambda: decoding.decode(data)) if jpeg else image.load, source)


def completed(image: Image.Image, data: bytes) -> bytes | None:
    """Adds the end marker to a JPEG that lacks nothing else; None for other files.

    Browsers show such files, but servers other than ours may refuse them.
    """
    return decoding.completed(data) if image.format in ("JPEG", "MPO") else None


def reduced_as_by_server(image: Image.Image) -> Image.Image:
    """Sets a JPEG to be decoded at the scale at which the server would decode it."""
    image.draft(None, (JPEG_DRAFT_SIDE, JPEG_DRAFT_SIDE))
    return image


def pixels_of(decode: Callable[[], _Pixels], source: str) -> _Pixels:
    """Decodes pixels; errors name the source.

    Raises:
        UnsupportedImageError: Decoding failed.
    """
    try:
        return decode()
    except Exception as error:  # Pillow's decoders raise many kinds of errors for broken data
        raise UnsupportedImageError(f"{source} cannot be decoded: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _known_formats() -> dict[str, object]:
    Image.init()
    return Image.OPEN  # type: ignore[return-value]


def _register_heif() -> None:
    """Registers pillow-heif with Pillow, if it is installed: HEIC needs it."""
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - an extra
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _why_unreadable(data: bytes) -> str:
    brand = signatures.brand_of(data)
    if brand in signatures.HEIC_BRANDS:
        if "HEIF" in _known_formats():
            return "is broken: it begins as HEIC, but cannot be read"
        return "is HEIC, a format of phones: save it as JPEG, or install the package pillow-heif"
    if brand in signatures.AVIF_BRANDS:
        if "AVIF" in _known_formats():
            return "is broken: it begins as AVIF, but cannot be read"
        return "is AVIF, which needs Pillow 11.3 or newer: upgrade Pillow, or save the picture as JPEG"
    other = signatures.other_kind(data[:1024])
    if other:
        return _NO_PICTURE[other]
    if signatures.format_of(data) == "JPEG XL":
        return "is JPEG XL; save it as JPEG or PNG"
    if data.startswith((b"\xff\xd8", b"\x89PNG")):
        return "is broken or truncated: it begins as a picture, but its header cannot be read"
    return f"is not a picture in a supported format; it begins with {_shown(data[:12])}"


def _shown(beginning: bytes) -> str:
    """Bytes for messages: text in quotes, everything else as hexadecimal numbers.

    >>> _shown(b"GPS data"), _shown(bytes([0, 5, 255]))
    ('"GPS data"', '00 05 ff')
    """
    text = beginning.decode("ascii", "replace").strip()
    return f'"{text}"' if beginning.isascii() and text.isprintable() else beginning.hex(" ")
