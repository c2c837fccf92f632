"""Small pictures for HTML pages: data: URLs of re-encoded JPEGs, so that a page has no byte of the original."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from training_scripts.data.limits import MAX_FILE_BYTES

if TYPE_CHECKING:
    from PIL import Image

# The longer side in pixels: about 5 kB as JPEG, 7 kB in a page.
SIZE = 160
_QUALITY = 78

# Shown for what cannot be read: gray enough for light and dark pages.
PLACEHOLDER = "data:image/svg+xml," + quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3" width="160" height="120"><path fill="#8884" '
    'd="M0 0h4v3H0z"/><path d="M1.6 1.1l.8.8m0-.8l-.8.8" stroke="#888" stroke-width=".08"/></svg>',
    safe="/:=,'",
)


def thumbnail(picture: Path | str | bytes, *, size: int = SIZE) -> str:
    """A picture as the data: URL of a small JPEG; of a placeholder if it cannot be read.

    Args:
        picture: Its path, or the content of its file.
        size: The longer side in pixels; smaller pictures keep their size.
    """
    return small_picture(picture, size=size) or PLACEHOLDER


def small_picture(picture: Path | str | bytes, *, size: int = SIZE) -> str | None:
    """A picture as the data: URL of a small JPEG; None if it cannot be read.

    The whole picture is shown, upright and on white where it is transparent, as the model sees it. Files that are not
    pictures, are broken, or are larger than the project's limits (`training_scripts.data.limits`) give None.
    """
    from training_scripts.data.decoding import PictureError, decode  # noqa: PLC0415 - imports Pillow

    try:
        content = picture if isinstance(picture, bytes) else _content(Path(picture))
        return None if content is None else of_image(decode(content), size=size)
    except (PictureError, OSError):
        return None


def of_image(image: Image.Image, *, size: int = SIZE) -> str:
    """An opened picture as the data: URL of a small JPEG."""
    small = image.convert("RGB") if image.mode != "RGB" else image.copy()
    small.info = {}  # comments, profiles and camera data would be written, too
    small.thumbnail((size, size))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"


def _content(path: Path) -> bytes | None:
    """A file's content; None for folders, pipes and files that are too large."""
    if path.is_file():
        return path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else None
    if path.exists():
        return None
    from training_scripts.data.shards import located  # noqa: PLC0415 - few data sets are in shards

    return located.sample(path).read()
