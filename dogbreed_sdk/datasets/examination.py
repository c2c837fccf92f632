"""Examines picture files: reads, hashes and decodes each one, in threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.datasets import near_copies

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PictureFacts:
    """The result of examining one file.

    Attributes:
        digest: SHA-256 of the content in hexadecimal; empty if the file could not be read.
        size: Width and height in pixels.
        problem: Why the picture cannot be used; empty if it can.
        thumbnail: Pixels for `near_copies.group`.
    """

    digest: str
    size: tuple[int, int]
    problem: str
    thumbnail: bytes = b""


def examine_all(
    paths: list[Path], *, progress: Progress | None = None, workers: int | None = None
) -> dict[Path, PictureFacts]:
    """Examines files in threads (reading, hashing and decoding all release the interpreter's lock)."""
    facts: dict[Path, PictureFacts] = {}
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        try:
            for path, fact in zip(paths, pool.map(examine, paths), strict=True):
                facts[path] = fact
                if progress is not None:
                    progress(len(facts), len(paths))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return facts


def examine(path: Path) -> PictureFacts:
    """Reads and fully decodes one file, with the decoder that training uses."""
    from training_scripts.data import preprocessing  # noqa: PLC0415 - imports Pillow

    try:
        content = path.read_bytes()
    except OSError as error:
        return PictureFacts("", (0, 0), error.strerror or str(error))
    digest = hashlib.sha256(content).hexdigest()
    try:
        image = preprocessing.decode(content)
        return PictureFacts(digest, image.size, "", near_copies.thumbnail(image))
    except preprocessing.PictureError as error:
        return PictureFacts(digest, (0, 0), str(error))
