"""Finds the split folders of a data set, in the usual spellings of train, valid and test."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "valid", "test")
_SPELLINGS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}

# Folders that operating systems, file managers and storage servers create beside people's files.
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "@recycle"}
)


def split_of(name: str) -> str | None:
    """The split that a folder or channel of this name holds: "train", "valid", "test", or None.

    Case does not matter, nor does "set" at the end.

    >>> split_of("Train"), split_of("validation"), split_of("test_set"), split_of("Boxer")
    ('train', 'valid', 'test', None)
    """
    key = re.sub(r"[\s_-]", "", name.casefold())
    return _SPELLINGS.get(key.removesuffix("set"))


def is_hidden(name: str) -> bool:
    """Whether a name is one that file managers hide (.DS_Store, ._x.jpg, .ipynb_checkpoints, .git)."""
    return name.startswith(".")


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name belongs to a system and not to the data (@eaDir, __MACOSX, lost+found)."""
    return name.casefold() in _SYSTEM_FOLDERS


def is_foreign(name: str) -> bool:
    """Whether a path of this name is not part of a data set."""
    return is_hidden(name) or is_system_folder(name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link that leads to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle, or through a folder that cannot be searched
        return False


def plain_folders(folder: Path) -> list[Path]:
    """The subfolders of a folder that may be splits or classes, by name.

    Raises:
        OSError: The folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if is_folder(entry) and not is_foreign(entry.name))


@dataclass(frozen=True)
class Layout:
    """The contents of a data set's folder, one level deep.

    Attributes:
        folders: Split -> the folders with its name; more than one is a mistake. Empty for a plain folder of
            classes.
        others: Every other path, except class folders.
    """

    folders: Mapping[str, tuple[Path, ...]]
    others: tuple[Path, ...]


def locate(root: Path) -> Layout:
    """Finds the split folders below a folder.

    A class may be called train or test: beside other class folders, a folder that has pictures but no subfolders is
    also a class, whatever its name.

    Raises:
        OSError: The folder cannot be listed.
    """
    paths = sorted(root.iterdir())
    # A broken link to a split counts as an unreadable split, not as a missing one.
    folders = sorted([*plain_folders(root), *(path for path in paths if split_of(path.name) and _is_broken(path))])
    named = _named_splits(folders)
    inside = {folder for alike in named.values() for folder in alike} or set(folders)
    return Layout(
        folders={split: tuple(named[split]) for split in SPLITS if split in named},
        others=tuple(path for path in paths if path not in inside),
    )


def is_divided(folder: Path) -> bool:
    """Whether a folder is a data set with a train split, rather than a split or a class.

    Raises:
        OSError: The folder cannot be listed.
    """
    named = _named_splits(plain_folders(folder))
    return "train" in named and any(_holds_folders(path) for paths in named.values() for path in paths)


def _named_splits(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Split -> those of the sibling folders that have its name."""
    named: dict[str, list[Path]] = {}
    for folder in folders:
        split = split_of(folder.name)
        if split:
            named.setdefault(split, []).append(folder)
    candidates = [folder for paths in named.values() for folder in paths]
    beside_classes = len(candidates) < len(folders)
    return {} if beside_classes and not any(map(_holds_folders, candidates)) else named


def _is_broken(link: Path) -> bool:
    return link.is_symlink() and not os.path.exists(link)  # noqa: PTH110 - Path's raises if a folder is not accessible


def _holds_folders(folder: Path) -> bool:
    """Whether a folder contains class folders; an unreadable folder counts, so that its error is reported."""
    try:
        return bool(plain_folders(folder))
    except OSError:
        return True
