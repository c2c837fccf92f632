"""Finds shards: which files of a folder they are, and to which split each belongs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_scripts.data import split_folders

TAR, PARQUET = ".tar", ".parquet"
SUFFIXES = (TAR, PARQUET)
# How compressed tars end, and what decompresses them into files that end in .tar.
_DECOMPRESS = {
    ".tar.gz": "gunzip",
    ".tgz": "gunzip",
    ".tar.bz2": "bunzip2",
    ".tar.xz": "unxz",
    ".tar.zst": "unzstd --rm",
}
# Hugging Face's repositories keep their shards in such folders.
_WRAPPERS = frozenset({"data", "default", "plain_text"})
_DEPTH = 3


@dataclass(frozen=True)
class ShardFile:
    """A shard.

    Attributes:
        path: Its path.
        name: Its path below the folder of its split, or below the data set's folder if the split has none.
        split: The split that its name or folder states; None if neither does.
    """

    path: Path
    name: str
    split: str | None

    @property
    def folder(self) -> Path:
        """The folder to which its name is relative."""
        return self.path.parents[self.name.count("/")]


def find(root: Path) -> dict[str | None, tuple[ShardFile, ...]]:
    """Finds the shards of a data set's folder.

    A folder with class folders is not a data set of shards, even if archives lie in it too.

    Args:
        root: The folder, with shards such as train-0000.tar, data/train-00000-of-00002.parquet or train/0000.tar.

    Returns:
        Split -> its shards by name; the key None has those whose split is not stated. Empty if it contains none.
    """
    found: list[ShardFile] = []
    if not root.is_dir() or not _collect(root, "", None, found, _DEPTH):
        return {}
    splits: dict[str | None, list[ShardFile]] = {}
    for shard in sorted(found, key=lambda shard: shard.name):
        splits.setdefault(shard.split, []).append(shard)
    return {split: tuple(shards) for split, shards in splits.items()}


def of_split(folder: Path, split: str) -> tuple[ShardFile, ...]:
    """The shards of one split's folder, such as a job's channel.

    Args:
        folder: The folder.
        split: The split, or "unsplit" for a data set without splits.

    Returns:
        Those that state the split, or all if none states any.
    """
    found = find(folder)
    return found.get(split) or (found.get(None, ()) if set(found) <= {None} else ())


def in_shard(path: Path) -> bool:
    """Whether a path leads into a shard, as the paths of its pictures do."""
    return any(parent.suffix.lower() in SUFFIXES for parent in path.parents)


def compressed(folder: Path) -> tuple[str, str] | None:
    """A folder's compressed tars, in words, and the command that decompresses them; None if it has none."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError:  # listing names it
        return None
    for suffix, command in _DECOMPRESS.items():
        tars = [name for name in names if name.lower().endswith(suffix)]
        if tars:
            shown = tars[0] if len(tars) == 1 else f"{tars[0]} and {len(tars) - 1:,} more"
            files = shlex.quote(f"{folder}/{tars[0]}") if len(tars) == 1 else f"{shlex.quote(str(folder))}/*{suffix}"
            return shown, f"{command} {files}"
    return None


def _collect(folder: Path, prefix: str, split: str | None, found: list[ShardFile], depth: int) -> bool:
    """Adds the shards of a folder; False if it has folders that cannot belong to shards."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # listing names it
        return False
    inner = [entry for entry in entries if not split_folders.is_foreign(entry.name) and entry.is_dir()]
    for entry in inner:
        named = split_folders.split_of(entry.name)
        wrapper = entry.name.casefold() in _WRAPPERS
        if not depth or not (named or wrapper):
            return False
        below = "" if named else f"{prefix}{entry.name}/"
        if not _collect(entry, below, named or split, found, depth - 1):
            return False
    shards = [entry for entry in entries if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".")]
    found.extend(ShardFile(path, prefix + path.name, split or split_in(path.name)) for path in shards if path.is_file())
    return bool(shards or inner)


def split_in(name: str) -> str | None:
    """The split that a shard's name states; the last one if there are several.

    >>> split_in("imagenet1k-train-0000.tar"), split_in("validation-00000-of-00014.parquet"), split_in("part-3.tar")
    ('train', 'valid', None)
    """
    stem = name.rpartition(".")[0]
    named = [split for word in re.split(r"[\W_\d]+", stem) if word and (split := split_folders.split_of(word))]
    return named[-1] if named else None


def split_folders_of(found: Mapping[str | None, Sequence[ShardFile]]) -> dict[str, Path]:
    """The splits that shards state, in the usual order, and the folder of each: its own, or that of all shards."""
    return {split: found[split][0].folder for split in split_folders.SPLITS if split in found}
