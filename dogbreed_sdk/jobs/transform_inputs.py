"""The pictures of a batch transform job: found on this machine and uploaded, or found where they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dogbreed_sdk import container
from dogbreed_sdk._util.paths import full_path
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError, DatasetError
from training_scripts.data import formats, signatures, split_folders

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session


class TransformInput(NamedTuple):
    """The pictures of a job.

    Attributes:
        uri: The folder that contains them, with a slash at its end.
        sizes: Name below the folder -> size in bytes.
    """

    uri: str
    sizes: Mapping[str, int]


def stored_input(
    pictures: BreedDataset | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    split: str | None,
    *,
    folder: str,
    session: Session,
) -> TransformInput:
    """Finds the pictures, and uploads those of this machine.

    Args:
        pictures: What `transform` accepts.
        split: A split of the data set, or None for all of it.
        folder: URI of the folder to which files of this machine are uploaded.
        session: Where they are stored.

    Raises:
        ConfigurationError: There are no pictures, or ``split`` does not apply.
        DatasetError: A file or split does not exist, or a folder cannot be listed.
        AccessError: Storing or listing is not allowed.
    """
    if isinstance(pictures, str) and pictures.startswith("s3://"):
        if split is not None:
            pictures, split = join(pictures, split), None
        return _existing(pictures, session)
    if isinstance(pictures, BreedDataset) and (uri := pictures.s3_folder(split)):
        return _existing(uri, session)
    if isinstance(pictures, str) and pictures.startswith("file:"):
        pictures = container.uri_to_path(pictures)
    files = _files(pictures, split)
    if not files:
        raise ConfigurationError(f"There are no pictures in {pictures}: pass a folder, a data set or an s3:// folder.")
    session.storage.upload_files(files, folder)
    return TransformInput(f"{folder}/", {name: path.stat().st_size for name, path in files.items()})


def _existing(uri: str, session: Session) -> TransformInput:
    if session.is_local and uri.startswith("s3://"):
        raise ConfigurationError(
            f"{uri} is on S3, and batch transform on local SageMaker takes pictures of this machine: download them and "
            "pass their folder, or transform on AWS."
        )
    uri = uri.rstrip("/") + "/"
    sizes = session.storage.sizes(uri)
    if not sizes:
        raise ConfigurationError(f"There are no files below {uri}; pass an s3:// folder with pictures.")
    return TransformInput(uri, sizes)


def _files(
    pictures: BreedDataset | str | os.PathLike[str] | Iterable[str | os.PathLike[str]], split: str | None
) -> dict[str, Path]:
    """Name -> path of each picture; names are the paths below the folder that contains all of them."""
    if isinstance(pictures, BreedDataset):
        return _of_data_set(pictures, split)
    if isinstance(pictures, (str, os.PathLike)):
        root = full_path(pictures)
        if split is not None:
            return _of_data_set(BreedDataset.from_folder(root), split)
        if root.is_dir():
            return {path.relative_to(root).as_posix(): path for path in _pictures_below(root)}
        return _of_paths([root])
    if split is not None:
        raise ConfigurationError("split selects a part of a data set; a list of pictures has none.")
    return _of_paths([full_path(path) for path in pictures])


def _of_data_set(dataset: BreedDataset, split: str | None) -> dict[str, Path]:
    splits: Iterable[str | None] = [split] if split is not None else list(dataset.folders) or [None]
    pictures = [picture for each in splits for picture in dataset.pictures(each)]
    if any(picture.sample is not None and picture.sample.shard is not None for picture in pictures):
        raise ConfigurationError(
            f"{dataset.root} has its pictures in shards, and a transform job reads files: unpack it with "
            f"BreedDataset.unpack(), or on the command line with `dogbreed data unpack`."
        )
    found = [picture.path for picture in pictures]
    return {path.relative_to(dataset.root).as_posix(): path for path in found}


def _of_paths(paths: list[Path]) -> dict[str, Path]:
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise DatasetError(f"{missing} is not a file; pass the paths of pictures, or one folder.")
    if not paths:
        return {}
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return {path.relative_to(root).as_posix(): path for path in paths}


def _pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures of a folder and its sub-folders, without what file managers hide and other programs put there."""

    def fail(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be listed: {error.strerror}") from error

    for place, folders, names in os.walk(folder, onerror=fail, followlinks=False):
        folders[:] = sorted(name for name in folders if not split_folders.is_foreign(name))
        for name in sorted(names):
            path = Path(place, name)
            if not split_folders.is_foreign(name) and path.is_file() and _is_picture(path):
                yield path


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() in formats.SUFFIXES:
        return True
    with path.open("rb") as file:
        return signatures.format_of(file.read(signatures.LENGTH)) in formats.READ_FORMATS
