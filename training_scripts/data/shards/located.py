"""Finds the picture that a path names, in a shard if need be: reports and pages know pictures by their paths."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from training_scripts.data.samples import Sample
from training_scripts.data.shards import reading
from training_scripts.data.shards.files import SUFFIXES
from training_scripts.data.shards.rows import Shard

_SHARDS_IN_MEMORY = 8


def sample(path: Path) -> Sample:
    """The picture at a path: a file, or a picture in a shard, whose path continues that of the shard.

    A path below a split ("train/train-0000.tar/1.jpg") also names the picture of a shard that lies beside it.
    """
    if not path.is_file():
        for place, part in enumerate(path.parts):
            if not part.lower().endswith(SUFFIXES):
                continue
            inside = "/".join(path.parts[place + 1 :])
            for shard in _candidates(path.parts[: place + 1]):
                found = _find(shard, inside)
                if found is not None:
                    return Sample(str(path), path.name, 0, *found)
    return Sample(str(path), path.name, 0)


def why_not_found(path: Path) -> str:
    """Why no picture was found at a path that leads into a shard, as text that may follow a colon."""
    shard = next(parent for parent in path.parents if parent.suffix.lower() in SUFFIXES and parent.is_file())
    try:
        content = reading.index(str(shard))
    except OSError as error:
        return error.strerror or str(error)
    if not content.names:
        return "the shard has no pictures with labels"
    return f"the shard has no picture of this name (its first one is {content.names[0]})"


def _candidates(parts: tuple[str, ...]) -> list[Path]:
    whole = [parts, *(parts[:leave] + parts[leave + 1 :] for leave in range(len(parts) - 2, 0, -1))]
    return [path for path in (Path(*each) for each in whole) if path.is_file()]


def _find(shard: Path, name: str) -> tuple[Shard, int] | None:
    try:
        status = os.stat(shard)  # noqa: PTH116 - as a key
        content, rows = _indexed(str(shard), status.st_mtime_ns, status.st_size)
    except OSError:
        return None
    row = rows.get(name)
    return None if row is None else (content, row)


@functools.lru_cache(maxsize=_SHARDS_IN_MEMORY)
def _indexed(path: str, changed: int, size: int) -> tuple[Shard, dict[str, int]]:
    del changed, size  # another file is another key
    content = reading.index(path)
    return content.shard, {name: row for row, name in enumerate(content.names)}
