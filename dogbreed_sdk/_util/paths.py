"""Paths that people type: made absolute to work with, and shown as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def full_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path of what was typed, with ``~`` replaced and without ``..``; links stay, unless ``..`` follows.

    >>> print(full_path("/data/./dogs"))
    /data/dogs
    """
    full = Path(path).expanduser().absolute()
    return full.resolve() if ".." in full.parts else full


def shown_path(path: Path) -> str:
    """A path as people write it: relative if it is below the current folder.

    >>> shown_path(Path.cwd() / "data" / "dogs"), shown_path(Path("/nowhere/dogs"))
    ('data/dogs', '/nowhere/dogs')
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the current folder was deleted
        return str(path)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
