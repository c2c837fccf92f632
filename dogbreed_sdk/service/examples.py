"""Example pictures for the web page: re-encoded from a folder when the service starts."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError
from training_scripts.data.formats import SUFFIXES
from training_scripts.data.limits import MAX_FILE_BYTES

MOST = 8
# Enough for any backbone, and 100 kB each.
_LONGEST_SIDE = 900
_QUALITY = 88


@dataclass(frozen=True)
class Example:
    """One picture: its name for people, and its content, a JPEG."""

    name: str
    content: bytes


def load(folder: Path) -> tuple[Example, ...]:
    """The first pictures of a folder, by name: at most `MOST`; of a folder of class folders, one of each class.

    Raises:
        ConfigurationError: The folder does not exist, or none of its pictures can be read.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a directory; pass one that contains example pictures.")
    found: list[Example] = []
    for path in _candidates(folder):
        content = _encoded(path)
        if content is not None:
            found.append(Example(path.stem.replace("_", " "), content))
        if len(found) == MOST:
            break
    if not found:
        raise ConfigurationError(
            f"No picture in {folder} can be read; pass a directory that contains example pictures."
        )
    return tuple(found)


def _candidates(folder: Path) -> list[Path]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    pictures = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
    below = [sorted(each.iterdir()) for each in entries if each.is_dir()]
    firsts = [[path for path in paths if path.suffix.lower() in SUFFIXES][:1] for paths in below]
    return [path for path in [*pictures, *(first for each in firsts for first in each)] if path.is_file()]


def _encoded(path: Path) -> bytes | None:
    """A picture as a JPEG without camera data; None if it cannot be read."""
    from training_scripts.data.decoding import PictureError, decode  # noqa: PLC0415 - imports Pillow

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return None
        image = decode(path).copy()
    except (PictureError, OSError):
        return None
    image.info = {}
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
