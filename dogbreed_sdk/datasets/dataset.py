"""BreedDataset: a folder of pictures with one sub-folder per class; draw, download, check, split and upload it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk._util.paths import full_path
from dogbreed_sdk.errors import ConfigurationError, DatasetError
from dogbreed_sdk.labels import LabelMap
from training_scripts._util.atomic import building, temporary_folder
from training_scripts.data import split_folders
from training_scripts.data.ignore_list import FILE_NAME as IGNORE_LIST
from training_scripts.data.shards import files as shard_files
from training_scripts.data.shards.labels import CLASS_FILES

if TYPE_CHECKING:
    from dogbreed_sdk.aws.transfers import TransferCallback
    from dogbreed_sdk.datasets.examination import Progress
    from dogbreed_sdk.datasets.layouts import Layout
    from dogbreed_sdk.datasets.remote import S3Folder
    from dogbreed_sdk.datasets.report import DatasetReport
    from dogbreed_sdk.session import Session
    from training_scripts.data.image_folder import DataSet, Sample


# The 133 dog breeds (8,351 pictures, 1.1 GB) that courses and examples use; the publisher states no digest.
DOG_BREEDS_URL = "https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip"


@dataclass(frozen=True, slots=True)
class LabeledPicture:
    """One picture of a split: its path, its class folder, and the index of the class.

    The path of a picture in a shard continues that of the shard and cannot be opened; `read` reads any picture.
    """

    path: Path
    class_folder: str
    index: int
    sample: Sample | None = field(default=None, compare=False, repr=False)

    @property
    def readable(self) -> Path | bytes:
        """What a classifier reads: the path of a file, or the content of a picture in a shard.

        Raises:
            DatasetError: The shard cannot be read.
        """
        return self.path if self.sample is None or self.sample.shard is None else self.read()

    def read(self) -> bytes:
        """The content of the picture's file.

        Raises:
            DatasetError: It cannot be read.
        """
        try:
            return self.path.read_bytes() if self.sample is None else self.sample.read()
        except OSError as error:
            raise DatasetError(f"cannot read {self.path}: {error.strerror or error}") from error


class BreedDataset:
    """Pictures on disk or on S3, as ``train/<class>/<picture>``, and likewise for valid and test.

    Create one with `from_folder`, `from_s3`, `sample`, `download` or `split`. Only file names are kept in memory.
    Pictures that its folder's dogbreed-ignore.txt lists are not part of it; `dogbreed_sdk.review` proposes such a list.

    Args:
        root: The folder, whose splits are looked for; `from_folder` also checks it.
        remote: The folder on S3 that it stands for; `from_s3` finds it.

    Examples:
        >>> dataset = BreedDataset.sample("few-dogs", breeds=2, per_breed=12)
        >>> dataset.splits, dataset.check().ok
        ({'train': 16, 'valid': 4, 'test': 4}, True)
        >>> dataset.classes
        ('002.Basset_hound', '003.Beagle')
    """

    def __init__(self, root: str | os.PathLike[str], *, remote: S3Folder | None = None) -> None:
        self._root = Path(root)
        self._remote = remote

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> BreedDataset:
        """The data set in a folder.

        Args:
            path: A folder that contains train, valid and test, in any of their usual spellings, each with one folder
                per class; or only class folders, which `split` then divides.

        Raises:
            DatasetError: The folder does not exist or contains no folders.
        """
        root = _folder(path)
        if shard_files.find(root):
            return cls(root)
        with _listing(root):
            below = split_folders.plain_folders(root)
            inner = [] if split_folders.locate(root).folders else _data_sets_in(below)
            if not below or inner:
                _refuse_other_layout(root)
        if not below:
            from training_scripts.data import faults  # noqa: PLC0415 - only needed for an error

            if fault := faults.compressed(root):
                raise DatasetError(str(fault))
            raise DatasetError(f"{root} contains no folders; expected train/<class>/<picture>, or <class>/<picture>")
        if inner:
            raise DatasetError(f"{root} is not a data set, but {inner[0]} looks like one; pass that folder")
        return cls(root)

    @classmethod
    def from_s3(cls, uri: str, *, session: Session | None = None) -> BreedDataset:
        """The data set in a folder on S3. Jobs read it where it is: nothing is downloaded, and nothing uploaded again.

        Its layout, classes and splits follow from the names of its objects, of which those with a picture's suffix
        count. `pictures`, `check`, `split` and whatever else needs the pictures themselves download them, once, as
        `materialize` does.

        Args:
            uri: s3://bucket/folder, laid out like a folder for `from_folder`; or a file:// URI.
            session: Whose credentials list the folder, and whose region it must be in. Default: `Session.default()`.
                Local SageMaker reads S3 with your default AWS credentials.

        Raises:
            DatasetError: The folder is empty, an archive, or has no class folders; S3's names cannot be a data set.
            ConfigurationError: It is not such a URI, or its bucket does not exist or is in another region.
            AccessError: The credentials do not allow listing it.
        """
        from dogbreed_sdk import container  # noqa: PLC0415 - only needed here
        from dogbreed_sdk.aws.storage import is_file_uri  # noqa: PLC0415 - likewise

        if is_file_uri(uri):
            return cls.from_folder(container.uri_to_path(uri))
        from dogbreed_sdk.datasets import remote  # noqa: PLC0415 - likewise
        from dogbreed_sdk.session import Session  # noqa: PLC0415 - likewise

        folder = remote.open_folder(uri, session or Session.default())
        return cls(folder.copy, remote=folder)

    @classmethod
    def open(cls, place: str | os.PathLike[str], *, session: Session | None = None) -> BreedDataset:
        """The data set at a path or at an s3:// or file:// URI; see `from_folder` and `from_s3`.

        Args:
            place: A path, or an s3:// or file:// URI.
            session: As for `from_s3`.
        """
        if isinstance(place, str) and place.startswith(("s3:", "file:")):
            return cls.from_s3(place, session=session)
        return cls.from_folder(place)

    @classmethod
    def sample(
        cls,
        dest: str | os.PathLike[str],
        *,
        breeds: int = 8,
        per_breed: int = 36,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> BreedDataset:
        """Draws a sample data set of dogs, to try everything with: no download, no license, takes seconds.

        Args:
            dest: The folder to create. A folder that already contains exactly this sample is used as it is.
            breeds: Number of classes, 2 to 12.
            per_breed: Pictures per class, at least 6: two thirds for training, a sixth each for validation and test.
            seed: Seed of the drawings.
            progress: Called with (drawn pictures, all pictures).

        Raises:
            ConfigurationError: A number is out of range.
            DatasetError: The folder contains something else, or cannot be written.
        """
        from dogbreed_sdk.datasets.sample import sample  # noqa: PLC0415 - imports Pillow

        root = full_path(dest)
        plan = sample.plan(breeds=breeds, per_breed=per_breed, seed=seed)
        if sample.is_at(root, plan):
            return cls(root)
        with _built_aside(root) as aside:
            sample.draw(plan, aside, progress=progress)
        return cls(root)

    @classmethod
    def download(
        cls,
        url: str = DOG_BREEDS_URL,
        dest: str | os.PathLike[str] = "dogImages",
        *,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> BreedDataset:
        """Downloads a data set as a zip or tar archive. The next call resumes an interrupted download.

        Args:
            url: http:// or https://. Default: 8,351 pictures of 133 dog breeds, 1.1 GB.
            dest: The folder to create; a folder that wraps the data set inside the archive is removed. A folder that
                already contains a download from this URL, or of this digest, is used as it is.
            sha256: Expected SHA-256 of the archive, 64 hexadecimal digits. Without it, only TLS authenticates the
                content.
            progress: Called with (received bytes, total bytes; 0 if the server does not send the size).

        Raises:
            DatasetError: The archive cannot be downloaded, is not the expected file, is not an archive or is a
                malicious one; or the folder contains something else.
        """
        from dogbreed_sdk.datasets import archives, download_record  # noqa: PLC0415 - imports requests

        root = full_path(dest)
        if download_record.is_at(root, url, sha256):
            return cls(root)
        with _built_aside(root) as aside:
            archive = archives.fetch(url, root.parent, sha256=sha256, progress=progress)
            try:
                archives.extract(archive, aside)
                _unwrap(aside)
                cls.from_folder(aside)
                download_record.write(aside, url, archive)
            except (DatasetError, OSError) as error:
                # Delete a bad archive; keep one for which there was no space, so that the next call can unpack it.
                if getattr(error, "errno", None) != errno.ENOSPC:
                    archive.unlink()
                raise
        archive.unlink()
        return cls(root)

    @classmethod
    def convert(
        cls,
        source: str | os.PathLike[str],
        dest: str | os.PathLike[str],
        *,
        labels: str | os.PathLike[str] | None = None,
        folders: Mapping[str, str] | None = None,
        valid: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> BreedDataset:
        """Converts a layout in which data sets are commonly published; the source is not changed.

        Recognizes the Python batches of CIFAR-10 and CIFAR-100; pictures beside a CSV file with their classes
        (Kaggle); pictures with the class in the file name, "Abyssinian_100.jpg" (Oxford-IIIT Pet, including its
        trainval.txt and test.txt; Dogs vs. Cats); class folders beside annotations or inside other folders (Stanford
        Dogs); and splits with other names. Missing splits are taken from train, as `split` does. Files that cannot be
        decoded are omitted.

        Args:
            source: The download: an unpacked folder, or its zip or tar archive, such as cifar-10-python.tar.gz.
            dest: The folder to create. Its files are hard links if the file system supports them.
            labels: The CSV file with a column of file names and one of classes, if it is not in `source` or there are
                several.
            folders: Split -> name of its folder in `source`, for splits with other names.
            valid: Share of the validation split if it is missing; 0 for none.
            test: Share of the test split if it is missing; 0 for none.
            seed: Seed of the assignment to splits.
            progress: Called with (examined pictures, all pictures).

        Raises:
            ConfigurationError: The shares leave nothing for train.
            DatasetError: The folder does not exist or cannot be listed, or the archive must not be unpacked; the
                layout needs no conversion, is not recognized, or needs `folders`; or `dest` is not empty.

        Examples:
            Class folders inside another folder, without splits, as Stanford Dogs has them:

            >>> import shutil
            >>> source = shutil.copytree("dogs/train", "published/Images")
            >>> BreedDataset.convert("published", "converted").splits
            {'train': 36, 'valid': 6, 'test': 6}
        """
        from dogbreed_sdk.datasets import splitting  # noqa: PLC0415 - only needed here

        root = full_path(dest)
        table = None if labels is None else full_path(labels)
        with _built_aside(root) as aside, _unpacked(source, root) as origin:
            layout = cls._layout_to_convert(origin, table, folders)
            splitting.build(layout.pictures, aside, valid=valid, test=test, seed=seed, progress=progress)
        return cls(root)

    @classmethod
    def _layout_to_convert(cls, origin: Path, labels: Path | None, folders: Mapping[str, str] | None) -> Layout:
        """The layout of a folder that must be converted.

        Raises:
            DatasetError: It needs no conversion, is not recognized, or needs `folders`.
        """
        from dogbreed_sdk.datasets import layouts  # noqa: PLC0415 - only needed here

        with _listing(origin):
            layout = layouts.recognize(origin, labels=labels, folders=folders)
        if layout is None:
            cls.from_folder(origin)  # raises if something is wrong with it
            raise DatasetError(
                f"{origin} needs no conversion. Divide class folders with split() or `dogbreed data split`; create "
                "missing splits with split_from_train() or `dogbreed data split --from-train`."
            )
        if layout.guessed:
            raise DatasetError(
                f"{origin} has {layout}, judging by their sizes. Confirm them with folders={dict(layout.guessed)}."
            )
        return layout

    @property
    def root(self) -> Path:
        """The data set's folder, absolute. For one on S3, its copy, which is downloaded first."""
        return self.materialize()._root

    @cached_property
    def folders(self) -> dict[str, Path]:
        """Split ("train", and "valid" and "test" if they exist) -> its folder below `root`; empty without splits."""
        shards = shard_files.split_folders_of(shard_files.find(self.root))
        if shards:
            return shards
        return {split: paths[0] for split, paths in split_folders.locate(self.root).folders.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """The class folders in index order, as in the train split.

        Raises:
            DatasetError: The data cannot be trained on; `check` explains why.
        """
        return tuple(self._listed.classes)

    @property
    def labels(self) -> LabelMap:
        """The classes with their display names."""
        return LabelMap(self.classes)

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of pictures; empty without splits."""
        existing = self._remote.split_folders if self._remote else self.folders
        return {split: len(samples) for split, samples in self._listed.splits.items() if split in existing}

    def __len__(self) -> int:
        return sum(len(samples) for samples in self._listed.splits.values())

    @property
    def total_bytes(self) -> int:
        """The size of all pictures, in bytes."""
        from training_scripts.data.samples import of_any  # noqa: PLC0415 - only needed with a data set at hand

        if self._remote:
            return self._remote.total_bytes
        return sum(of_any(samples).total_bytes() for samples in self._listed.splits.values())

    def __repr__(self) -> str:
        return f"BreedDataset.from_s3({self._remote.uri!r})" if self._remote else f"BreedDataset({str(self._root)!r})"

    def pictures(self, split: str | None = None) -> tuple[LabeledPicture, ...]:
        """The pictures of a split, in a fixed order.

        Args:
            split: "train", "valid" or "test", in any of their usual spellings; None for the pictures of a folder
                without splits.

        Raises:
            DatasetError: The split does not exist.
        """
        split = split and (split_folders.split_of(split) or split)
        if split not in (self.folders or {None}):
            existing = ", ".join(self.folders) or "none"
            raise DatasetError(f"{self._root} has no {split} split; existing splits: {existing}")
        classes = self.classes
        return tuple(
            LabeledPicture(sample.path, classes[sample.class_index], sample.class_index, sample)
            for sample in self._listed.splits[split or "train"]
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents: independent of the data set's location, different if any byte differs.

        It reads every file once and is then cached; create a new BreedDataset after changing files. For a data set on
        S3 it follows from the objects' names, sizes and ETags instead, and nothing is read.
        """
        if self._remote:
            return self._remote.fingerprint
        from training_scripts.data import image_folder  # noqa: PLC0415 - only needed with a data set at hand

        with _as_dataset_errors(self._root):
            return image_folder.fingerprint(self._listed)

    @cached_property
    def fingerprint_with_ignored(self) -> str | None:
        """The fingerprint that the data set would have without its ignore list; None if that changes nothing.

        For a data set on S3 it is None, too.
        """
        if self._remote or not self.folders or not self._listed.ignored:
            return None
        from training_scripts.data import image_folder  # noqa: PLC0415 - only needed with a data set at hand

        with _as_dataset_errors(self._root):
            whole = image_folder.read_whole(image_folder.find_splits(self._root))
            return None if whole.splits == self._listed.splits else image_folder.fingerprint(whole)

    @property
    def listed(self) -> DataSet:
        """The pictures as training reads them."""
        return self._listed

    @cached_property
    def _listed(self) -> DataSet:
        """The folder as training reads it."""
        if self._remote:
            return self._remote.listed
        from training_scripts.data import image_folder  # noqa: PLC0415 - only needed with a data set at hand

        with _as_dataset_errors(self._root):
            if not self.folders:
                return image_folder.read_unsplit(self._root)
            return image_folder.read_dataset(image_folder.find_splits(self._root))

    def ensure_trainable(self, needs: Sequence[str] = ("train",)) -> None:
        """Checks for the splits that a job needs, and for whatever the job would refuse; decodes no picture.

        Args:
            needs: Splits that must exist.

        Raises:
            DatasetError: A split is missing, or the data cannot be trained on.
        """
        from dogbreed_sdk.datasets import layouts  # noqa: PLC0415 - only needed here
        from training_scripts.data import faults, image_folder  # noqa: PLC0415 - likewise

        if self._remote:
            self._remote.ensure_trainable(needs)
            return
        if not self.folders:
            raise DatasetError(str(layouts.fault(self._root) or faults.no_splits(self._root)))
        if "train" not in self.folders:
            raise DatasetError(str(faults.no_train(self._root)))
        missing = [split for split in needs if split not in self.folders]
        if missing:
            raise DatasetError(
                f"{self._root} has no {' and no '.join(missing)} split. {faults.made_from_train(self._root)}"
            )
        try:
            image_folder.check_several_classes(self.classes)
        except image_folder.DataError as error:
            raise DatasetError(f"{self._root}: {error}") from error

    def materialize(self, *, transfer: TransferCallback | None = None) -> BreedDataset:
        """The data set in a folder of this machine: this one, or a copy of one on S3 below ``~/.cache/dogbreed``.

        The copy is downloaded once; an interrupted download resumes.

        Args:
            transfer: Called with the progress of a download in files and bytes. Default: prints it.

        Raises:
            AccessError: The credentials do not allow reading a picture.
        """
        return BreedDataset(self._remote.download(transfer)) if self._remote else self

    def check(self, *, progress: Progress | None = None, workers: int | None = None) -> DatasetReport:
        """Reads and decodes every picture, and reports problems for training or its metrics.

        It finds missing and unknown splits and classes, broken, tiny and unsupported files, the same picture in two
        splits or classes, too few pictures, imbalance, and confusing names. Whatever training refuses is an error, with
        the same message.

        Args:
            progress: Called with (examined pictures, all pictures).
            workers: Number of threads; default: the number of processors, at most 8.
        """
        from dogbreed_sdk.datasets import checks  # noqa: PLC0415 - only needed here

        ignored_nothing = self._remote.ignored_nothing if self._remote else ()
        return checks.check(self.root, ignored_nothing=ignored_nothing, progress=progress, workers=workers)

    def split(
        self,
        dest: str | os.PathLike[str] | None = None,
        *,
        valid: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> BreedDataset:
        """Divides class folders into train, valid and test, in a new folder; this one is not changed.

        Each class is divided in the same shares. The assignment depends on a picture's content and the seed, not on
        file names; copies of a picture, resized and re-encoded ones included, stay together, in train. Files that
        cannot be decoded are omitted.

        Args:
            dest: The folder to create; default: ``<name>-split`` beside this one. Its files are hard links if the file
                system supports them, so that they take no space.
            valid: Share of the validation split.
            test: Share of the test split.
            seed: Seed of the assignment.
            progress: Called with (examined pictures, all pictures).

        Raises:
            ConfigurationError: The shares leave nothing for train.
            DatasetError: The data set already has splits, or the folder is not empty.
        """
        if self.folders:
            raise DatasetError(f"{self._root} already has splits: {', '.join(self.folders)}. {self._how_to_complete()}")
        return self._divided(dest, valid=valid, test=test, seed=seed, progress=progress)

    def split_from_train(
        self,
        dest: str | os.PathLike[str] | None = None,
        *,
        valid: float = 0.15,
        test: float = 0.15,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> BreedDataset:
        """Takes missing splits from train, in a new folder; existing splits are kept as they are.

        Args:
            dest: As for `split`.
            valid: Share of train's pictures for the validation split, if it is missing.
            test: Share of train's pictures for the test split, if it is missing.
            seed: Seed of the assignment.
            progress: Called with (examined pictures, all pictures).

        Raises:
            ConfigurationError: The shares leave nothing for train.
            DatasetError: The data set has no train split, no split is missing, or the folder is not empty.
        """
        if "train" not in self.folders:
            from training_scripts.data import faults  # noqa: PLC0415 - only needed for an error

            fault = faults.no_train(self._root) if self.folders else faults.no_splits(self._root)
            raise DatasetError(str(fault))
        if {"valid", "test"} <= set(self.folders):
            raise DatasetError(f"{self._root} already has train, valid and test; no split is missing")
        return self._divided(dest, valid=valid, test=test, seed=seed, progress=progress)

    def _how_to_complete(self) -> str:
        from training_scripts.data import faults  # noqa: PLC0415 - only needed for an error

        complete = {"train", "valid", "test"} <= set(self.folders)
        return "It can be used as it is." if complete else faults.made_from_train(self._root)

    def _divided(
        self,
        dest: str | os.PathLike[str] | None,
        *,
        valid: float,
        test: float,
        seed: int,
        progress: Progress | None,
    ) -> BreedDataset:
        from dogbreed_sdk.datasets import layouts, splitting  # noqa: PLC0415 - only needed here

        if dest is None and self._remote:
            raise ConfigurationError(f"{self._remote.uri} is on S3: pass the folder in which to create the splits.")
        root = full_path(dest) if dest else self._root.with_name(f"{self._root.name}-split")
        pictures = [
            layouts.SourcePicture(split, picture.class_folder, *self._source(split, picture))
            for split in self.folders or (None,)
            for picture in self.pictures(split)
        ]
        with _built_aside(root) as aside:
            splitting.build(pictures, aside, valid=valid, test=test, seed=seed, progress=progress)
        return BreedDataset(root)

    def _source(self, split: str | None, picture: LabeledPicture) -> tuple[str, Path | Callable[[], bytes]]:
        """A picture's name in its class folder, and its content."""
        from dogbreed_sdk.datasets import packing  # noqa: PLC0415 - only needed here

        if picture.sample is not None and picture.sample.shard is not None:
            return packing.file_name(picture.sample, picture.read()), picture.read
        folder = self.folders.get(split or "", self._root) / picture.class_folder
        return picture.path.relative_to(folder).as_posix(), picture.path

    def pack(
        self,
        dest: str | os.PathLike[str],
        *,
        format: Literal["webdataset", "parquet"] = "webdataset",  # noqa: A002 - as in the command's option
        shard_mb: int = 256,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> BreedDataset:
        """Packs the pictures into shards: a few large files, which S3 and network disks read much faster than many.

        The shards of a split are named after it (train-00000.tar). Pictures keep their content; they are shuffled, so
        that training may read shard after shard.

        Args:
            dest: The folder to create.
            format: "webdataset" for tar files that hold each picture with the index of its class, and a file
                classes.txt; "parquet" for files as Hugging Face publishes them, with the class names inside.
            shard_mb: Megabytes of pictures per shard.
            seed: Seed of the order.
            progress: Called with (packed pictures, all pictures).

        Raises:
            ConfigurationError: The extra of the format ("webdataset" or "parquet") is not installed, or an argument
                is invalid.
            DatasetError: A picture cannot be read, or the folder is not empty.
        """
        from dogbreed_sdk.datasets import packing  # noqa: PLC0415 - only needed here

        root, splits = full_path(dest), list(self.folders)
        with _built_aside(root) as aside:
            packing.pack(
                self._local, aside, splits=splits, format=format, shard_mb=shard_mb, seed=seed, progress=progress
            )
        return BreedDataset(root)

    def unpack(self, dest: str | os.PathLike[str], *, progress: Progress | None = None) -> BreedDataset:
        """Writes the pictures of shards as files in class folders.

        Args:
            dest: The folder to create.
            progress: Called with (written pictures, all pictures).

        Raises:
            DatasetError: The data set is not in shards, a picture cannot be read, or the folder is not empty.
        """
        from dogbreed_sdk.datasets import packing  # noqa: PLC0415 - only needed here

        if not shard_files.find(self.root):
            raise DatasetError(f"{self._root} has no shards (.tar, .parquet); its pictures are files already")
        root, splits = full_path(dest), list(self.folders)
        with _built_aside(root) as aside:
            packing.unpack(self._local, aside, splits=splits, progress=progress)
        return BreedDataset(root)

    @property
    def _local(self) -> DataSet:
        """The pictures with their files on this machine."""
        return self.materialize()._listed

    def s3_folder(self, split: str | None = None) -> str | None:
        """The s3:// URI of the data set, or of one of its splits; None for a data set on this machine.

        Args:
            split: "train", "valid" or "test", in any of their usual spellings; None for the whole data set.

        Raises:
            DatasetError: The split does not exist.
        """
        if self._remote is None or split is None:
            return self._remote.uri if self._remote else None
        folders = self._remote.split_folders.get(split_folders.split_of(split) or split)
        if not folders:
            existing = ", ".join(self._remote.split_folders) or "none"
            raise DatasetError(f"{self._remote.uri} has no {split} split; existing splits: {existing}")
        return f"{self._remote.uri}/{folders[0]}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """The packages that a job installs to read the data set; only parquet files need any."""
        shards = () if self._remote else (shard for each in shard_files.find(self._root).values() for shard in each)
        needs_pyarrow = any(shard.path.suffix.lower() == shard_files.PARQUET for shard in shards)
        return ("pyarrow>=18",) if needs_pyarrow else ()

    def upload(
        self,
        session: Session,
        *,
        progress: Progress | None = None,
        transfer: TransferCallback | None = None,
    ) -> str:
        """Uploads the pictures, and only those, to where the session's jobs read them.

        An interrupted upload resumes; files that are there with the same content are skipped, and S3 checks the SHA-256
        of each file before it stores it.

        Args:
            session: On AWS the files are stored in its bucket, under the data set's fingerprint. Local jobs read the
                folder itself, and all jobs a data set on S3 where it is.
            progress: Called with (finished files, all files).
            transfer: Called with the progress in files and bytes, and the throughput. Default: prints a line per
                second, unless there is another callback.

        Returns:
            The URI of the folder, s3:// or file://.
        """
        from dogbreed_sdk import container  # noqa: PLC0415
        from dogbreed_sdk.aws.storage import join  # noqa: PLC0415
        from dogbreed_sdk.aws.transfers import transfer_printer  # noqa: PLC0415

        if self._remote:
            return self._remote.channel_uri
        if session.is_local:
            return container.path_to_uri(self._root)
        uri = join(session.base_uri, "datasets", self.fingerprint[:16])
        shown = transfer or (None if progress else transfer_printer())
        session.storage.upload_files(self._files(), uri, progress=progress, transfer=shown)
        return uri

    def _files(self) -> dict[str, Path]:
        """The files that training reads: name below the data set's folder -> path. Links to folders are followed.

        Splits have their usual names: the fingerprint, and therefore the URI, does not depend on their spelling.

        Raises:
            DatasetError: S3 cannot store a name.
        """
        from training_scripts.data import faults  # noqa: PLC0415 - only needed with a data set at hand

        shards = shard_files.find(self._root)
        if shards:
            return self._shard_files(shards)
        files = {
            f"{split}/{sample.name}" if self.folders else sample.name: sample.path
            for split, samples in self._listed.splits.items()
            for sample in samples
        }
        odd = [path for name, path in files.items() if not faults.is_text(name)]
        if odd:
            raise DatasetError(f"the name of {odd[0]} is not UTF-8, which S3 cannot store; rename it")
        return files

    def _shard_files(self, shards: Mapping[str | None, Sequence[shard_files.ShardFile]]) -> dict[str, Path]:
        """The shards as they are, with the files beside them that name classes and pictures to ignore."""
        _ = self._listed  # raises if training would refuse them
        files = [shard.path for each in shards.values() for shard in each]
        beside = [folder / name for folder in {path.parent for path in files} | {self._root} for name in CLASS_FILES]
        beside.append(self._root / IGNORE_LIST)
        listed = [*files, *(path for path in beside if path.is_file())]
        return {path.relative_to(self._root).as_posix(): path for path in sorted(listed)}


def _folder(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a folder that exists."""
    root = full_path(path)
    if not root.is_dir():
        raise DatasetError(f"{root} {'is a file' if root.exists() else 'does not exist'}; pass a data set's folder")
    return root


@contextmanager
def _unpacked(source: str | os.PathLike[str], root: Path) -> Iterator[Path]:
    """A folder, or the content of an archive, which is unpacked beside `root` as long as the context lasts."""
    path = full_path(source)
    if not path.is_file():
        yield _folder(path)
        return
    from dogbreed_sdk.datasets import archives  # noqa: PLC0415 - imports requests

    with temporary_folder(root.parent, f"{root.name}.source") as folder:
        archives.extract(path, folder)
        yield folder


def _data_sets_in(folders: list[Path]) -> list[Path]:
    """The folders that are whole data sets, also if unpacking has wrapped them in further folders.

    Raises:
        OSError: A folder cannot be listed.
    """
    found = [folder for folder in folders if split_folders.is_divided(folder)]
    if not found and len(folders) == 1:
        return _data_sets_in(split_folders.plain_folders(folders[0]))
    return found


def _refuse_other_layout(root: Path) -> None:
    """Raises if the folder has another layout, which must be converted."""
    from dogbreed_sdk.datasets import layouts  # noqa: PLC0415 - only needed here

    fault = layouts.fault(root)
    if fault is not None:
        raise DatasetError(str(fault))


@contextmanager
def _listing(root: Path) -> Iterator[None]:
    """Turns errors of listing inside the block into the SDK's, with training's message."""
    from training_scripts.data import faults  # noqa: PLC0415 - only needed for an error

    try:
        yield
    except OSError as error:
        raise DatasetError(str(faults.unread(error, error.filename or root))) from error


@contextmanager
def _as_dataset_errors(root: Path) -> Iterator[None]:
    """Turns the training scripts' errors into the SDK's; another layout is reported first, as it causes others."""
    from training_scripts.data import image_folder  # noqa: PLC0415

    try:
        yield
    except image_folder.DataError as error:
        _refuse_other_layout(root)
        raise DatasetError(str(error)) from error


@contextmanager
def _built_aside(root: Path) -> Iterator[Path]:
    """An empty folder beside `root` that replaces it when the block succeeds and is deleted when it fails."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(f"{root} already exists and is not empty; delete it or choose another folder")
    try:
        with building(root) as aside:
            yield aside
    except OSError as error:
        raise DatasetError(f"cannot create {root}: {error.strerror or error} ({error.filename or root})") from error


def _unwrap(folder: Path) -> None:
    """Moves a data set out of the single folder that archives often wrap it in."""
    while not split_folders.locate(folder).folders:
        below = [entry for entry in folder.iterdir() if not split_folders.is_foreign(entry.name)]
        holds_folders = len(below) == 1 and below[0].is_dir() and any(entry.is_dir() for entry in below[0].iterdir())
        if not holds_folders:
            return
        wrapped = below[0].rename(folder / f".{below[0].name}.unwrapped")
        for entry in list(wrapped.iterdir()):
            entry.rename(folder / entry.name)
        wrapped.rmdir()
