"""The thumbnails of a review's page: each picture is encoded once, and no more of them than the page may hold."""

from __future__ import annotations

from pathlib import Path

from dogbreed_sdk.pages.thumbnails import thumbnail

# A page with more is slow to open on a phone.
MAX_BYTES = 8_000_000


class Thumbnails:
    """Encodes thumbnails until they take as many bytes as the page may have.

    Args:
        root: The folder to which the pictures' paths are relative.
        max_bytes: For all thumbnails together.
    """

    def __init__(self, root: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._root = root
        self._left = max_bytes
        self._made: dict[tuple[str, int], str] = {}

    @property
    def is_full(self) -> bool:
        """Whether no more pictures fit."""
        return self._left <= 0

    def source(self, picture: str, *, size: int) -> str:
        """A picture as a data: URL.

        Args:
            picture: Its path relative to the folder.
            size: The longer side in pixels.
        """
        # The page contains it each time that it is shown.
        key = (picture, size)
        if key not in self._made:
            self._made[key] = thumbnail(self._root / picture, size=size)
        self._left -= len(self._made[key])
        return self._made[key]
