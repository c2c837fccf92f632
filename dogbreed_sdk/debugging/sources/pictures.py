"""Finds the validation pictures of a recorded run on this machine, so that a report can show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dogbreed_sdk import container
from training_scripts._util.relative_names import is_inside
from training_scripts.data.split_folders import plain_folders, split_of

# Some pictures may have been deleted since; if none of these is there, it is another folder.
_TRIED = 20


def validation_folder(names: Sequence[str], places: Sequence[Path]) -> Path | None:
    """The folder that contains the validation pictures; None if no place does.

    Args:
        names: The recorded names of the pictures, relative to the folder.
        places: The validation split itself, or a data set that has one.
    """
    wanted = [name for name in names[:_TRIED] if is_inside(name)]
    for folder in (each for place in places for each in _candidates(place)):
        if any((folder / name).is_file() for name in wanted):
            return folder
    return None


def located(folder: Path, name: Path) -> Path | None:
    """The file of a picture; None if it is not there, or its name leads out of the folder."""
    return folder / name if is_inside(str(name)) and (folder / name).is_file() else None


def channel_folders(job: Mapping[str, Any]) -> Iterator[Path]:
    """The folders on this machine from which a training job read its channels, by its description."""
    for channel in job.get("InputDataConfig", ()):
        uri = channel.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", "")
        if uri.startswith("file:"):
            try:
                yield container.uri_to_path(uri)
            except ValueError:
                continue


def _candidates(place: Path) -> Iterator[Path]:
    yield place
    try:
        inside = plain_folders(place)
    except OSError:
        return
    yield from (folder for folder in inside if split_of(folder.name) == "valid")
