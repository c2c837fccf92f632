"""Turns any kind of picture into the bytes of a request: the only module of the SDK that does.

The content types and formats are in `training_scripts.data.formats`, the limits in `training_scripts.data.limits`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from dogbreed_sdk import defaults
from dogbreed_sdk.client.images import jpeg, reading
from dogbreed_sdk.client.images.reading import is_url, path_of
from dogbreed_sdk.errors import UnsupportedImageError
from training_scripts.data.formats import SENT_AS_IS
from training_scripts.data.limits import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Payload", "Picture", "decoded", "is_url", "path_of", "to_payload", "to_payload_and_size"]

# What may be passed as a picture. NumPy arrays are uint8 [height, width] or [height, width, 1, 3 or 4], or uint16
# [height, width].
Picture: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | Any"


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body: a picture, or the URL of one.

    Attributes:
        body: The encoded picture, or JSON with the URL that the endpoint is to download.
        content_type: One of `training_scripts.data.formats`; "application/json" for a URL.
        source: Its origin for messages: the path of a file, a URL, or a description such as "file object".
    """

    body: bytes
    content_type: str
    source: str


def to_payload(
    picture: Picture,
    *,
    max_bytes: int = defaults.REALTIME_PAYLOAD_BYTES,
    allowed_hosts: Sequence[str] | None = None,
) -> Payload:
    """The bytes to send for a picture.

    A complete JPEG, PNG or WebP within the limit is sent byte for byte (the server applies the EXIF orientation).
    Other formats, PIL images and arrays are encoded, losslessly if a megapixel holds everything that the server would
    keep of them. A JPEG above the limit is reduced as the server would reduce it, so that the model sees the same
    pixels; if it is still too large, it is shrunk until it fits.

    Args:
        picture: A path, bytes, an open binary file, an http(s) or data: URL, a PIL image, or an array: uint8
            [height, width] or [height, width, 1, 3 or 4], or uint16 [height, width].
        max_bytes: Maximum size of the body. Default: the limit of real-time endpoints.
        allowed_hosts: The hosts of http(s) URLs, such as "images.example.com" or "*.example.com";
            `downloads.download` documents the default.

    Raises:
        UnsupportedImageError: It is not a picture, or it is empty, broken, truncated or too large to decode.
        PayloadTooLargeError: It does not fit even after shrinking.
        ImageDownloadError: The URL is refused, or the download failed.
        ImageError: The file cannot be read.
    """
    if max_bytes <= 0:
        raise ValueError(f"max_bytes must be positive, got {max_bytes}")
    image = reading.as_image(picture)
    if image is None:
        data, source = reading.read(picture, allowed_hosts=allowed_hosts)
        return _from_bytes(data, max_bytes=max_bytes, source=source)
    source = reading.name_of(picture)
    untouched = reading.file_behind(image)
    if untouched:
        return _from_bytes(untouched, max_bytes=max_bytes, source=source)
    return _from_image(image, max_bytes=max_bytes, source=source)


def to_payload_and_size(
    picture: Picture,
    *,
    max_bytes: int = defaults.REALTIME_PAYLOAD_BYTES,
    allowed_hosts: Sequence[str] | None = None,
) -> tuple[Payload, tuple[int, int]]:
    """The bytes to send for a picture, and the width and height of the picture itself, before it is turned upright.

    Those of the payload may be smaller. Arguments and errors are those of `to_payload`.
    """
    from dogbreed_sdk.client.images import formats  # noqa: PLC0415 - few callers need the size

    image = reading.as_image(picture)
    if image is not None:
        return to_payload(picture, max_bytes=max_bytes, allowed_hosts=allowed_hosts), image.size
    data, source = reading.read(picture, allowed_hosts=allowed_hosts)
    payload = _from_bytes(data, max_bytes=max_bytes, source=source)
    return payload, formats.opened(data, source).size


def decoded(payload: Payload) -> Image.Image:
    """The picture in a payload, upright and in RGB, as servers decode it.

    Raises:
        UnsupportedImageError: It cannot be decoded; the message names the source.
    """
    from training_scripts.data import decoding  # noqa: PLC0415 - most clients need no Pillow

    try:
        return decoding.decode(payload.body)
    except decoding.PictureError as error:
        raise UnsupportedImageError(f"{payload.source}: {error}") from error


def _from_bytes(data: bytes, *, max_bytes: int, source: str) -> Payload:
    if not data:
        raise UnsupportedImageError(f"{source} is empty (0 bytes)")
    try:
        size = jpeg.size_if_sound(data)
    except jpeg.BrokenJpegError as error:
        raise UnsupportedImageError(f"{source} {error}") from None
    if size and len(data) <= max_bytes:
        _check_pixels(size, source)
        return Payload(data, "image/jpeg", source)
    return _after_decoding(data, max_bytes=max_bytes, source=source)


def _after_decoding(data: bytes, *, max_bytes: int, source: str) -> Payload:
    """The payload of a file that must be decoded, to be checked or to be encoded again."""
    from dogbreed_sdk.client.images import formats  # noqa: PLC0415 - only some pictures need Pillow

    image = formats.opened(data, source)
    _check_pixels(image.size, source)
    whole = formats.completed(image, data)
    if whole is not None:
        return _from_bytes(whole, max_bytes=max_bytes, source=source)
    content_type = SENT_AS_IS.get(image.format or "")
    if content_type and len(data) <= max_bytes:
        formats.check_decodes(image, data, source)
        return Payload(data, content_type, source)
    if content_type == "image/jpeg":
        return _from_image(formats.reduced_as_by_server(image), max_bytes=max_bytes, source=source, exact=True)
    return _from_image(image, max_bytes=max_bytes, source=source)


def _from_image(image: Image.Image, *, max_bytes: int, source: str, exact: bool = False) -> Payload:
    from dogbreed_sdk.client.images import encoding  # noqa: PLC0415 - only some pictures need Pillow

    _check_pixels(image.size, source)
    body, content_type = encoding.encode(image, max_bytes=max_bytes, source=source, exact=exact)
    return Payload(body, content_type, source)


def _check_pixels(size: tuple[int, int], source: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise UnsupportedImageError(
            f"{source} is {width} x {height}, more than {MAX_PIXELS // 10**6} megapixels; reduce its size first"
        )
    if not width or not height:
        raise UnsupportedImageError(f"{source} is {width} x {height}: it has no pixels")
