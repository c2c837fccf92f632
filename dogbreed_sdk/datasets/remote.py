"""A data set on S3: its layout follows from the names of its objects; pictures are downloaded only when asked for."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.aws.storage import StoredFile, join, split_s3_uri
from dogbreed_sdk.aws.transfers import TransferCallback, transfer_printer
from dogbreed_sdk.errors import DatasetError
from dogbreed_sdk.session import Session
from training_scripts._util.atomic import write_atomically
from training_scripts._util.locking import file_lock
from training_scripts._util.number_text import counted
from training_scripts.data import ignore_list, split_folders
from training_scripts.data.class_folders import ClassPictures
from training_scripts.data.listing import PICTURE_SUFFIXES, UNSPLIT, Listing
from training_scripts.data.shards import files as shard_files

if TYPE_CHECKING:
    from training_scripts.data.image_folder import DataSet

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
# Beside the downloaded pictures: which data set they are. A folder without it is incomplete.
_RECORD = "download.json"


def open_folder(uri: str, session: Session) -> S3Folder:
    """Lists a folder on S3 and checks that a data set is in it; see `BreedDataset.from_s3`."""
    bucket, key = split_s3_uri(uri)
    uri = join(f"s3://{bucket}", key).rstrip("/")
    from dogbreed_sdk.aws.buckets import check_bucket  # noqa: PLC0415 - needs botocore

    # Local sessions have no S3; their jobs read it with the default credentials.
    reader = Session.aws() if session.is_local else session
    region = None if session.is_local else session.region
    check_bucket(reader.client, bucket, region=region, remedy=f"Correct the URI {uri}.")
    files = list(reader.storage.files(uri))
    pictures = [file for file in files if _is_picture(file.name)]
    if not pictures:
        raise DatasetError(_why_no_pictures(uri, files, reader))
    listed = ignore_list.FILE_NAME in {file.name for file in files}
    content = reader.storage.read_bytes(join(uri, ignore_list.FILE_NAME)) if listed else None
    folder = S3Folder(uri, reader, pictures, ignore_list.parse(content or b""))
    inner = _inner_data_set(pictures)
    if inner and not folder.split_folders:
        raise DatasetError(f"{uri} is not a data set, but {join(uri, inner)} looks like one; pass that folder")
    if not any("/" in file.name for file in pictures):
        raise DatasetError(f"{uri} contains no folders; expected train/<class>/<picture>, or <class>/<picture>")
    return folder


class S3Folder:
    """The pictures below a folder on S3.

    Args:
        uri: The folder, without a slash at the end.
        session: Whose storage reads it.
        pictures: The pictures, with names relative to the folder.
        ignored: The data set's ignore list: path -> reason. Its pictures are not listed, and not downloaded.

    Attributes:
        ignored_nothing: The paths in the ignore list that name no picture.
    """

    def __init__(
        self, uri: str, session: Session, pictures: Sequence[StoredFile], ignored: Mapping[str, str] | None = None
    ) -> None:
        self.uri = uri
        self._session = session
        self._pictures = {file.name: file for file in pictures}
        places = {name: self._place(name) for name in self._pictures}
        found, self.ignored_nothing = ignore_list.matching(ignored or {}, iter(places.values()))
        self._pictures = {
            name: file for name, file in self._pictures.items() if "/".join(filter(None, places[name])) not in found
        }

    def _place(self, name: str) -> tuple[str, str]:
        """The split of a picture, empty without splits, and its path below the split's folder."""
        folder, _, below = name.partition("/")
        return next(((split, below) for split, names in self.split_folders.items() if folder in names), ("", name))

    @property
    def channel_uri(self) -> str:
        """The URI for a job's channel, with a slash: as a mere prefix it would include a folder "dogs2" as well."""
        return f"{self.uri}/"

    @cached_property
    def split_folders(self) -> dict[str, tuple[str, ...]]:
        """Split -> the names of its folders below the URI; empty without splits. More than one is a mistake."""
        below = sorted({name.partition("/")[0] for name in self._pictures if "/" in name})
        named: dict[str, list[str]] = {}
        for folder in below:
            split = split_folders.split_of(folder)
            if split:
                named.setdefault(split, []).append(folder)
        candidates = {folder for alike in named.values() for folder in alike}
        # As on disk: a class may be called train or test; beside other classes, a folder without folders is a class.
        hold_folders = any(name.partition("/")[0] in candidates and name.count("/") > 1 for name in self._pictures)
        if len(candidates) < len(below) and not hold_folders:
            return {}
        return {split: tuple(named[split]) for split in split_folders.SPLITS if split in named}

    @property
    def total_bytes(self) -> int:
        """The size of all pictures, in bytes."""
        return sum(file.size for file in self._pictures.values())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the objects' names, sizes and ETags: different if any object is replaced."""
        digest = hashlib.sha256()
        for name, file in sorted(self._pictures.items()):
            digest.update(json.dumps([name, file.size, file.mark]).encode())
        return digest.hexdigest()

    @cached_property
    def copy(self) -> Path:
        """The folder of the downloaded copy, whether or not it exists."""
        return cache_root() / self.fingerprint[:24]

    @cached_property
    def listed(self) -> DataSet:
        """The data set by the objects' names, with the paths of the copy.

        Raises:
            DatasetError: Training would refuse it.
        """
        from training_scripts.data import image_folder  # noqa: PLC0415 - only needed with a data set at hand

        found = self.split_folders or {UNSPLIT: ("",)}
        splits = {split: self._classes(folders[0]) for split, folders in found.items()}
        folders = {split: tuple(self.copy / name for name in names) for split, names in found.items()}
        try:
            return image_folder.of_listing(Listing(folders, splits, (), ()))
        except image_folder.DataError as error:
            raise DatasetError(str(error).replace(str(self.copy), self.uri)) from error

    def ensure_trainable(self, needs: Sequence[str]) -> None:
        """See `BreedDataset.ensure_trainable`.

        Raises:
            DatasetError: A split is missing, or training would refuse the data.
        """
        from training_scripts.data import image_folder  # noqa: PLC0415 - only needed here

        opened = f"BreedDataset.from_s3({self.uri!r})"
        if not self.split_folders:
            raise DatasetError(
                f"{self.uri} has no folder named train, valid or test. Divide it with {opened}.split(DEST), and train "
                "on the result."
            )
        if "train" not in self.split_folders:
            raise DatasetError(
                f"{self.uri} has no folder named train. A data set needs train/<class>/<picture>, and valid and test "
                "alike."
            )
        missing = [split for split in needs if split not in self.split_folders]
        if missing:
            raise DatasetError(
                f"{self.uri} has no {' and no '.join(missing)} split (found: {', '.join(self.split_folders)}). Make "
                f"missing splits with {opened}.split_from_train(DEST), and train on the result."
            )
        try:
            image_folder.check_several_classes(self.listed.classes)
        except image_folder.DataError as error:
            raise DatasetError(f"{self.uri}: {error}") from error

    def download(self, transfer: TransferCallback | None = None) -> Path:
        """The folder of the copy; downloads it unless it is complete. An interrupted download resumes.

        Raises:
            AccessError: The credentials do not allow reading a picture.
        """
        if not self._is_complete():
            aside = self.copy.with_name(f".{self.copy.name}.incomplete")
            with file_lock(aside.with_suffix(".lock")):
                if not self._is_complete():
                    report = transfer or transfer_printer()
                    self._session.storage.download_files(self.uri, aside, names=self._pictures, transfer=report)
                    record = {"url": self.uri, "fingerprint": self.fingerprint}
                    write_atomically(aside / _RECORD, json.dumps(record))
                    aside.rename(self.copy)
        return self.copy

    def _is_complete(self) -> bool:
        return (self.copy / _RECORD).is_file()

    def _classes(self, folder: str) -> Mapping[str, ClassPictures]:
        """The classes of a split, with the pictures in the order in which they are listed on disk."""
        classes: dict[str, list[str]] = {}
        prefix = f"{folder}/" if folder else ""
        for name in self._pictures:
            if name.startswith(prefix) and "/" in (below := name[len(prefix) :]):
                class_folder, _, inside = below.partition("/")
                classes.setdefault(class_folder, []).append(inside)
        return {
            name: ClassPictures(str(self.copy / prefix / name), sorted(pictures, key=_order))
            for name, pictures in sorted(classes.items())
        }


def _order(name: str) -> tuple[str, ...]:
    """Sorts as listing on disk does: the pictures of a folder first, then those of the folders below it."""
    *folders, file = name.split("/")
    return (*(f"1{folder}" for folder in folders), f"0{file}")


def _is_picture(name: str) -> bool:
    """Whether an object's name is that of a picture; on S3 the content is not looked at."""
    parts = name.split("/")
    if any(split_folders.is_foreign(part) or part in ("", "..") for part in parts):
        return False
    return posixpath.splitext(parts[-1])[1].lower() in PICTURE_SUFFIXES


def _why_no_pictures(uri: str, files: Sequence[StoredFile], session: Session) -> str:
    if uri.lower().endswith(_ARCHIVES):
        return f"{uri} is an archive. Unpack it, upload the folder that contains train, and pass that folder's URI."
    shards = [file.name for file in files if file.name.lower().endswith(shard_files.SUFFIXES)]
    if any(shard_files.split_in(name) or name.lower().endswith(shard_files.PARQUET) for name in shards):
        return (
            f"{uri} contains shards, such as {shards[0]}, with their labels inside. Download them, for example with "
            f"`aws s3 sync {uri} DIR`, and pass that folder; jobs that you start on it upload it once."
        )
    archives = [file.name for file in files if file.name.lower().endswith(_ARCHIVES)]
    if archives:
        return (
            f"{uri} contains the archive {archives[0]} and no pictures. Unpack it, upload the folder that contains "
            "train, and pass that folder's URI."
        )
    if files:
        return f"{uri} contains {counted(len(files), 'file')}, but no picture, such as {files[0].name}"
    if split_s3_uri(uri)[1] and session.storage.exists(uri):
        return f"{uri} is a file; pass a data set's folder"
    return f"{uri} contains nothing. Check the spelling: names on S3 distinguish upper and lower case"


def _inner_data_set(pictures: Sequence[StoredFile]) -> str | None:
    """A folder, also inside others, that has a train split with class folders; None if none is found."""
    for file in pictures:
        parts = file.name.split("/")
        for depth in range(1, len(parts) - 2):
            if split_folders.split_of(parts[depth]) == "train":
                return "/".join(parts[:depth])
    return None


def cache_root() -> Path:
    """The folder for copies of data sets on S3."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogbreed" / "datasets"
