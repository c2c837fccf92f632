"""The files of a folder that stands for a prefix of S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder and its sub-folders in the order of their paths.

    Links are followed, except to a folder that contains them. Broken links, pipes and devices are left out.
    """
    return _files(folder, frozenset())


def _files(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path, above | {real})
        elif path.is_file():
            yield path
