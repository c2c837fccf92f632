"""Reads a picture from a path, URL, buffer, file object, PIL image or array."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import unquote_to_bytes

from dogbreed_sdk.errors import ImageDownloadError, ImageError, UnsupportedImageError
from training_scripts._util.safe_text import redacted
from training_scripts.data.limits import MAX_FILE_BYTES, MAX_URL_LENGTH

if TYPE_CHECKING:
    from PIL import Image

_BYTES = "the picture given as bytes"
_LONGEST_PATH = 4096  # PATH_MAX of Linux
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(//)?", re.IGNORECASE)
_SHARDS = (".tar", ".parquet")
_WHITE_SPACE = re.compile(rb"[ \t\r\n]+")


def is_url(picture: object) -> TypeGuard[str]:
    """Whether a picture is given as an http(s) URL.

    >>> is_url("https://example.com/dog.jpg"), is_url("dog.jpg"), is_url(b"https://")
    (True, False, False)
    """
    return isinstance(picture, str) and picture[:8].lower().startswith(("http://", "https://"))


def path_of(picture: object) -> str | None:
    """The path of a picture that is given as one, which `read` has read; None for anything else.

    >>> path_of("dog.jpg"), path_of("https://example.com/dog.jpg"), path_of(b"")
    ('dog.jpg', None, None)
    """
    if isinstance(picture, str):
        return None if is_url(picture) or picture[:5].lower() == "data:" else picture
    return os.fsdecode(picture) if isinstance(picture, os.PathLike) else None


def read(picture: object, *, allowed_hosts: Sequence[str] | None) -> tuple[bytes, str]:
    """The encoded bytes of a path, URL, buffer or file object, and their origin for messages."""
    if isinstance(picture, str):
        return _read_text(picture, allowed_hosts)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return _bounded(bytes(picture), _BYTES), _BYTES
    if isinstance(picture, os.PathLike):
        return _read_file(Path(os.fsdecode(picture)))
    if hasattr(picture, "read"):
        return _read_stream(picture, name_of(picture))
    raise UnsupportedImageError(
        f"a value of type {type(picture).__name__} is not a picture; "
        "pass a path, bytes, a binary file, a URL, a PIL image or a uint8 array"
    )


def name_of(picture: object) -> str:
    """The origin of an open file, PIL image or array for messages: the file's path if it has one."""
    path = getattr(picture, "filename", None) or getattr(picture, "name", None)
    if isinstance(path, (str, bytes, os.PathLike)) and path:
        return os.fsdecode(path)
    return "file object" if hasattr(picture, "read") else type(picture).__name__


def as_image(picture: object) -> Image.Image | None:
    """The PIL image itself, or that of an array; None for everything else."""
    # Looked up on the type: reading the attribute of a PIL image would copy all its pixels.
    if not hasattr(type(picture), "__array_interface__"):
        return None
    from PIL import Image  # noqa: PLC0415 - importing the SDK must stay cheap

    if isinstance(picture, Image.Image):
        return picture
    array: Any = picture
    described = array.__array_interface__
    shape, kind = tuple(described["shape"]), described["typestr"]
    if kind == "|u1" and len(shape) == 3 and shape[2] == 1:
        array, shape = array[:, :, 0], shape[:2]
    as_bytes = kind == "|u1" and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4)))
    if not as_bytes and not (kind == "<u2" and len(shape) == 2):
        raise UnsupportedImageError(
            f"cannot convert an array of shape {shape} and type {kind} to a picture; pass uint8 values of shape "
            "[height, width] or [height, width, 1, 3 or 4], or uint16 values of shape [height, width]"
        )
    if 0 in shape:
        raise UnsupportedImageError(f"an array of shape {shape} has no pixels")
    return Image.fromarray(array)


def file_behind(image: Image.Image) -> bytes | None:
    """The file's bytes of a JPEG that Pillow opened but has not decoded; None for other images.

    They are better than its pixels: the server decodes a JPEG at the scale that it needs.
    """
    # Decoding empties `tile`; `draft` and `thumbnail` set `decoderconfig`.
    unread = getattr(image, "tile", None) and not getattr(image, "decoderconfig", None)
    file: Any = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or not unread or file is None or file.closed or image.tell():
        return None
    position = file.tell()
    try:
        file.seek(0)
        data: bytes = file.read(MAX_FILE_BYTES + 1)
    finally:
        file.seek(position)
    # A picture inside a larger file does not begin at the start of the file.
    return data if data.startswith(b"\xff\xd8") else None


def _read_text(picture: str, allowed_hosts: Sequence[str] | None) -> tuple[bytes, str]:
    if picture[:5].lower() == "data:":
        return _bounded(_decode_data_url(picture), "data: URL"), "data: URL"
    if is_url(picture):
        from dogbreed_sdk.client import downloads  # noqa: PLC0415 - most pictures come from elsewhere

        if len(picture) > MAX_URL_LENGTH:
            raise ImageError(f"a URL of {len(picture):,} characters is too long; the limit is {MAX_URL_LENGTH:,}")
        return downloads.download(picture, allowed_hosts=allowed_hosts), redacted(picture)
    if len(picture) > _LONGEST_PATH:
        raise UnsupportedImageError(
            f"a string of {len(picture):,} characters is not a path; pass base64 text as a data: URL"
        )
    scheme = _SCHEME.match(picture)
    if scheme and scheme[2] and not Path(picture).exists():
        instead = "; pass the path" if scheme[1].lower() == "file" else f", not {scheme[1]}"
        raise ImageDownloadError(f"cannot download {redacted(picture)}: URLs must be http or https{instead}")
    if not picture:
        raise ImageError("the path of the picture is empty")
    return _read_file(Path(picture))


def _read_file(path: Path) -> tuple[bytes, str]:
    try:
        with path.open("rb") as file:
            # Python reserves memory for all that it is asked to read, and that takes longer than most files.
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_FILE_BYTES) + 1)
            if len(data) > size:  # of pipes and devices the size is not known
                data += file.read(MAX_FILE_BYTES + 1 - len(data))
            return _bounded(data, str(path)), str(path)
    except (OSError, ValueError) as error:
        if any(parent.suffix.lower() in _SHARDS and parent.is_file() for parent in path.parents):
            return _read_in_shard(path), str(path)
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"cannot read the picture {path}: {reason}") from error


def _read_in_shard(path: Path) -> bytes:
    """The picture in a shard that a path names, as reports name it: "test-0000.tar/1.jpg", "test.parquet/row-3"."""
    from training_scripts.data.shards import located  # noqa: PLC0415 - most pictures are files

    try:
        sample = located.sample(path)
        if sample.shard is None:
            raise ImageError(f"cannot read the picture {path}: {located.why_not_found(path)}")
        return sample.read()
    except OSError as error:
        raise ImageError(f"cannot read the picture {path}: {error.strerror or error}") from error


def _read_stream(stream: Any, source: str) -> tuple[bytes, str]:
    """The rest of a file object; a raw one may return less at a time than requested."""
    parts: list[bytes] = []
    left = MAX_FILE_BYTES + 1
    try:
        while left > 0:
            part = stream.read(left)
            if part is not None and not isinstance(part, bytes):
                raise UnsupportedImageError(f"{source} was opened as text; open it in binary mode (mode 'rb')")
            if not part:
                break
            parts.append(part)
            left -= len(part)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read the picture {source}: {error}") from error
    if not parts and hasattr(stream, "seekable") and stream.seekable() and stream.tell():
        raise UnsupportedImageError(f"{source} is at its end: call seek(0) after writing it")
    return _bounded(parts[0] if len(parts) == 1 else b"".join(parts), source), source


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > MAX_FILE_BYTES:
        raise UnsupportedImageError(
            f"{source} is larger than {MAX_FILE_BYTES // 1_000_000} MB, the limit for a picture"
        )
    return data


def _decode_data_url(url: str) -> bytes:
    header, comma, content = url.partition(",")
    if not comma:
        raise UnsupportedImageError("the data: URL has no comma, so it has no content")
    try:
        quoted = unquote_to_bytes(content)
        if not header.lower().endswith(";base64"):
            return quoted
        # Mail and shells wrap base64 at 76 columns.
        return base64.b64decode(_WHITE_SPACE.sub(b"", quoted), validate=True)
    except binascii.Error as error:
        raise UnsupportedImageError(f"the content of the data: URL is not base64: {error}") from error
    except UnicodeEncodeError:
        raise UnsupportedImageError("the data: URL contains characters that cannot be encoded") from None
