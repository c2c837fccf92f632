"""Any picture a caller may hold -> bytes that are fit to send: the SDK's one coercion function."""

from __future__ import annotations

import base64
import binascii
import functools
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias
from urllib.parse import unquote_to_bytes

from dogbreed_sdk import defaults
from dogbreed_sdk.errors import ImageError, PayloadTooLargeError, UnsupportedImageError
from dogbreed_sdk.redaction import redacted

if TYPE_CHECKING:
    from PIL import Image

# What may be passed as a picture; numpy arrays are uint8, [height, width] or [height, width, 3 or 4].
Picture: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | Any"

# A file is read whole; what is larger than this is no photograph.
MAX_SOURCE_BYTES = 512_000_000
_LONGEST_PATH = 4096  # PATH_MAX of Linux
# What the server decodes (training_scripts.pictures.MAX_PIXELS): Pillow warns of decompression bombs from here.
MAX_PIXELS = 89_478_485

# Formats that every endpoint of ours decodes: they go out byte for byte.
# Cameras' MPO is a JPEG with more pictures behind the first.
_SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# Up to here lossless is affordable, and the model sees exactly the caller's pixels.
_LOSSLESS_PIXELS = 1_000_000
# Shorter side and JPEG quality, tried in turn. Models look at 224 to 300 pixels: size is given up first, down
# to twice that, where the model sees nothing of it, then quality, and only then what it would notice.
_SHRINKING = (
    (2048, 92),
    (1536, 92),
    (1024, 92),
    (768, 92),
    (600, 90),
    (600, 80),
    (448, 80),
    (320, 75),
    (256, 70),
)


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body that holds one picture.

    Attributes:
        body: The encoded picture.
        content_type: "image/jpeg", "image/png" or "image/webp".
        source: What it was made from, for messages: a file's path, or words such as "bytes".
    """

    body: bytes
    content_type: str
    source: str


def to_payload(picture: Picture, *, max_bytes: int = defaults.REALTIME_PAYLOAD_BYTES) -> Payload:
    """The bytes to send for a picture.

    A valid JPEG, PNG or WebP within the limit goes out byte for byte (the server applies EXIF orientation).
    Other formats, PIL images and arrays are encoded, without loss up to a megapixel. What is too large shrinks.

    Args:
        picture: A path, bytes, an open binary file, a PIL image, a uint8 array, or a data: URL.
        max_bytes: The most the body may hold; default: what real-time endpoints take.

    Raises:
        UnsupportedImageError: No picture, or one that is empty, broken, truncated or too large to decode.
        PayloadTooLargeError: It does not fit even after shrinking.
        ImageError: The file cannot be read, or the picture is an http(s) URL.
    """
    if max_bytes <= 0:
        raise ValueError(f"max_bytes must be positive, got {max_bytes}")
    image = _as_image(picture)
    if image is not None:
        return _encode(image, max_bytes=max_bytes, source=type(picture).__name__)
    data, source = _read(picture)
    return _from_bytes(data, max_bytes=max_bytes, source=source)


def _read(picture: Picture) -> tuple[bytes, str]:
    """The encoded bytes that a path, URL, buffer or file object stands for, and what to call them."""
    if isinstance(picture, str) and picture.startswith("data:"):
        return _decode_data_url(picture), "data: URL"
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        raise ImageError(
            f"pictures behind a URL are not fetched: download {redacted(picture)} and pass its bytes or path"
        )
    if isinstance(picture, str) and len(picture) > _LONGEST_PATH:
        raise UnsupportedImageError(
            f"a string of {len(picture):,} characters is no path; base64 text goes into a data: URL"
        )
    if isinstance(picture, (str, os.PathLike)):
        return _read_file(Path(picture)), os.fspath(picture)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture), "bytes"
    if hasattr(picture, "read"):
        source = str(getattr(picture, "name", "file object"))
        data = picture.read(MAX_SOURCE_BYTES + 1)
        if not isinstance(data, bytes):
            raise UnsupportedImageError(f"{source} was opened as text; open it in binary mode (mode 'rb')")
        return _bounded(data, source), source
    raise UnsupportedImageError(
        f"cannot make a picture of a {type(picture).__name__}; "
        "pass a path, bytes, a binary file, a PIL image or a uint8 array"
    )


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _bounded(file.read(MAX_SOURCE_BYTES + 1), str(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"cannot read the picture {path}: {reason}") from error


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > MAX_SOURCE_BYTES:
        raise UnsupportedImageError(f"{source} is larger than {MAX_SOURCE_BYTES // 1_000_000} MB: no photograph is")
    return data


def _decode_data_url(url: str) -> bytes:
    header, comma, content = url.partition(",")
    if not comma:
        raise UnsupportedImageError("the data: URL has no comma, so no content")
    if not header.endswith(";base64"):
        return unquote_to_bytes(content)
    try:
        return base64.b64decode(unquote_to_bytes(content), validate=True)
    except binascii.Error as error:
        raise UnsupportedImageError(f"the data: URL's content is no base64: {error}") from error


def _from_bytes(data: bytes, *, max_bytes: int, source: str) -> Payload:
    """The payload for encoded bytes, which are checked by decoding them."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - importing the SDK must stay cheap

    _silence_pillow()
    if not data:
        raise UnsupportedImageError(f"{source} is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise UnsupportedImageError(f"{source} {_why_unreadable(data)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnsupportedImageError(
            f"{source} has more than {MAX_PIXELS // 10**6} megapixels; make it smaller first"
        ) from None
    except Exception as error:  # Pillow's parsers raise whatever a broken header leads to
        raise UnsupportedImageError(f"{source} is broken: {error}") from error
    if image.format == "EPS":  # Pillow would start Ghostscript on it
        raise UnsupportedImageError(f"{source} is PostScript, which is not run; save it as JPEG or PNG")
    _check_pixels(image, source)
    content_type = _SENT_AS_THEY_ARE.get(image.format or "")
    if content_type and len(data) <= max_bytes:
        if content_type == "image/jpeg":
            # At an eighth of the size libjpeg still reads every coefficient, so it finds what a full
            # decode finds, in half the time for small pictures and a quarter for large ones.
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
        _load(image, source)
        return Payload(data, content_type, source)
    return _encode(image, max_bytes=max_bytes, source=source)


@functools.cache
def _silence_pillow() -> None:
    """Ends Pillow's warning of large pictures, which are refused here anyway.

    Once and for all: warnings.catch_warnings is not safe among threads.
    """
    from PIL import Image  # noqa: PLC0415 - importing the SDK must stay cheap

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _why_unreadable(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1"):
        return "is HEIC, as phones write it: save it as JPEG, or register the package pillow-heif with Pillow"
    return f"is no picture that can be read; it begins with {data[:12]!r}"


def _check_pixels(image: Image.Image, source: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnsupportedImageError(
            f"{source} is {width} x {height}, more than {MAX_PIXELS // 10**6} megapixels; make it smaller first"
        )
    if not width or not height:
        raise UnsupportedImageError(f"{source} is {width} x {height}: it has no pixels")


def _load(image: Image.Image, source: str) -> None:
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise whatever broken data leads to
        raise UnsupportedImageError(f"{source} is broken or cut off: {error}") from error


def _as_image(picture: Picture) -> Image.Image | None:
    """The PIL image that the caller passed, or that an array amounts to; None for everything else."""
    # Asked of the type: reading the attribute of a PIL image would copy all its pixels.
    if not hasattr(type(picture), "__array_interface__"):
        return None
    from PIL import Image  # noqa: PLC0415 - importing the SDK must stay cheap

    if isinstance(picture, Image.Image):
        return picture
    array: Any = picture
    described = array.__array_interface__
    shape, kind = described["shape"], described["typestr"]
    if kind != "|u1" or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)):
        raise UnsupportedImageError(
            f"cannot make a picture of an array of shape {shape} and type {kind}; "
            "pass uint8 values of shape [height, width] or [height, width, 3 or 4]"
        )
    return Image.fromarray(array)


def _encode(image: Image.Image, *, max_bytes: int, source: str) -> Payload:
    """The picture encoded anew: without loss if small, else as JPEG that is shrunk until it fits."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - importing the SDK must stay cheap

    _check_pixels(image, source)
    _load(image, source)
    rgb = _to_rgb(ImageOps.exif_transpose(image))
    if rgb.width * rgb.height <= _LOSSLESS_PIXELS:
        body = _saved(rgb, "PNG", compress_level=3)
        if len(body) <= max_bytes:
            return Payload(body, "image/png", source)
    shorter = min(rgb.size)
    body = _saved(rgb, "JPEG", quality=95, subsampling=0)
    for target, quality in _SHRINKING:
        if len(body) <= max_bytes:
            break
        scale = min(1.0, target / shorter)
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        body = _saved(rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), "JPEG", quality=quality)
    if len(body) > max_bytes:
        raise PayloadTooLargeError(
            f"{source} needs {len(body):,} bytes even after shrinking to a shorter side of {min(size)}; "
            f"the limit is {max_bytes:,}"
        )
    return Payload(body, "image/jpeg", source)


def _saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB with transparency on white and 16 bits scaled to 8, as the server converts pictures."""
    from PIL import Image  # noqa: PLC0415 - importing the SDK must stay cheap

    if image.mode == "F":
        raise UnsupportedImageError(
            "pixels that are floating-point numbers have no agreed white: give 8 bits a channel"
        )
    if image.mode.startswith("I;16") or image.mode == "I":
        deep = image.convert("I")
        scale = 1 / 256 if int(deep.getextrema()[1]) > 255 else 1  # type: ignore[arg-type]
        image = deep.point(lambda value: value * scale).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
