"""Reads an image-folder data set: its splits, its classes in index order, and its fingerprint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_scripts import ScriptError

SPLITS = ("train", "valid", "test")
SPLIT_FOLDERS = {"train": ("train",), "valid": ("valid", "validation", "val"), "test": ("test",)}
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})

# A split may lose this share of its pictures, or two where that is more: small splits should survive a stray file.
MAX_SKIPPED_SHARE = 0.05
MAX_SKIPPED_ALWAYS_ALLOWED = 2
SKIPPED_RULE = (
    f"Up to {100 * MAX_SKIPPED_SHARE:.0f} % of a split may be unreadable, or {MAX_SKIPPED_ALWAYS_ALLOWED} where that "
    "is more, and not all"
)


class DataError(ScriptError):
    """The data set, or the features made of it, cannot be used as they are."""


@dataclass(frozen=True)
class Sample:
    """One picture: where it lies, its name inside the split ("001.Affenpinscher/x.jpg"), its class index."""

    path: Path
    name: str
    label: int


@dataclass(frozen=True)
class DataSet:
    """Classes in index order, and the samples of each split ("train", and "valid", "test" where present)."""

    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Sample, ...]]


def split_folders(environ: Mapping[str, str]) -> dict[str, Path]:
    """Finds the splits' folders from SageMaker's channel variables.

    Args:
        environ: Holds `SM_CHANNEL_TRAIN`, `SM_CHANNEL_VALID` (or `..._VALIDATION`, `..._VAL`) and
            `SM_CHANNEL_TEST`, or `SM_CHANNEL_TRAINING` with the three folders below it.

    Returns:
        The folder of each split that is there; "train" always is.

    Raises:
        DataError: No channel holds a train split.
    """
    found: dict[str, Path] = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in names:
            if f"SM_CHANNEL_{name.upper()}" in environ:
                _add(found, split, Path(environ[f"SM_CHANNEL_{name.upper()}"]))
    if "train" in found:
        return found
    if "SM_CHANNEL_TRAINING" in environ:
        return find_splits(Path(environ["SM_CHANNEL_TRAINING"])) | found
    channels = ", ".join(sorted(name[len("SM_CHANNEL_") :].lower() for name in environ if _is_channel(name)))
    raise DataError(
        f"no training pictures: the job has {f'the channels {channels}' if channels else 'no channel'}. "
        "Give it a channel named train (and valid, test), or one named training with the folders train, "
        "valid and test below it."
    )


def channel_classes(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Lists the class folders of a job's train pictures, sorted; None where no channel holds any.

    Raises:
        DataError: There is a channel for them, but it is no data set.
    """
    if not {"SM_CHANNEL_TRAIN", "SM_CHANNEL_TRAINING"} & set(environ):
        return None
    return tuple(_class_folders(split_folders(environ)["train"], "train"))


def check_same_classes(of_features: Sequence[str], of_pictures: Sequence[str]) -> None:
    """Refuses features and pictures, both given to one job, whose classes differ.

    Raises:
        DataError: Names the classes that only one of them has.
    """
    differences = [
        f"only the {which} have {_some(only)}"
        for which, only in (
            ("features", [name for name in of_features if name not in of_pictures]),
            ("pictures", [name for name in of_pictures if name not in of_features]),
        )
        if only
    ]
    if differences:
        raise DataError(
            f"the features channel and the picture channels have different classes: {'; '.join(differences)}. "
            "Leave one of the channels out, or compute the features of these pictures."
        )


def _is_channel(variable: str) -> bool:
    return variable.startswith("SM_CHANNEL_")


def _add(found: dict[str, Path], split: str, folder: Path) -> None:
    if split in found:
        raise DataError(f"two folders for the {split} split: {found[split]} and {folder}. Keep one of them.")
    found[split] = folder


def find_splits(root: Path) -> dict[str, Path]:
    """Finds the folders train, valid (or validation, val) and test below a data set's folder.

    Args:
        root: The data set's folder.

    Returns:
        The folder of each split that is there; "train" always is.

    Raises:
        DataError: There is no train folder, or two for one split.
    """
    found: dict[str, Path] = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in names:
            if (root / name).is_dir():
                _add(found, split, root / name)
    if "train" not in found:
        there = "does not exist" if not root.exists() else "has no folder named train"
        raise DataError(f"{root} {there}: a data set needs train/<class>/<picture>, and valid and test alike.")
    return found


def read_dataset(folders: Mapping[str, Path]) -> DataSet:
    """Lists the pictures of every split; the train split alone decides the classes and their order.

    Args:
        folders: Folder of each split, as `split_folders` or `find_splits` give them.

    Returns:
        The data set; class `i` is the i-th folder name of the train split, sorted. A class that is
        missing in another split shifts no index.

    Raises:
        DataError: A folder is missing or empty, a class has no picture to train on, or another split
            holds a class that the train split lacks.
    """
    classes = _class_folders(folders["train"], "train")
    index = {name: position for position, name in enumerate(classes)}
    splits = {}
    for split in SPLITS:
        if split not in folders:
            continue
        there = _class_folders(folders[split], split)
        unknown = [name for name in there if name not in index]
        if unknown:
            raise DataError(
                f"the {split} split has classes that the train split lacks: {_some(unknown)} "
                f"(in {folders[split]}). Add them to the train split or remove them."
            )
        splits[split] = tuple(sample for name in there for sample in _samples(folders[split], name, index[name]))
        if not splits[split]:
            raise DataError(f"the {split} split has no picture: {folders[split]}.")
    taught = {sample.label for sample in splits["train"]}
    empty = [name for name in classes if index[name] not in taught]
    if empty:
        raise DataError(
            f"classes without a picture in the train split: {_some(empty)}. Add pictures or remove the folders."
        )
    return DataSet(classes=tuple(classes), splits=splits)


def check_several_classes(classes: Sequence[str]) -> None:
    """Refuses to train on a single class: every answer would be that class, and every accuracy 1.

    Raises:
        DataError: There are fewer than two.
    """
    if len(classes) < 2:
        raise DataError(
            f"the train split has a single class, {_some(list(classes))}: a classifier needs at least two. "
            "Add a folder with pictures of something else."
        )


def _class_folders(folder: Path, split: str) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"the {split} split's folder {folder} does not exist.")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    # A class may be called train; folders that are all called like splits are a data set.
    if "train" in names and set(names) <= {name for split in SPLIT_FOLDERS.values() for name in split}:
        raise DataError(
            f"{folder} holds a folder named train: it is a whole data set, not its {split} split. "
            "Pass it as the channel named training."
        )
    if not names:
        raise DataError(f"the {split} split {folder} has no class folders: expected <class>/<picture>.")
    return names


def _samples(split_folder: Path, class_name: str, label: int) -> Iterator[Sample]:
    for folder, below, files in os.walk(split_folder / class_name):
        below.sort()
        for file in sorted(files):
            path = Path(folder, file)
            if path.suffix.lower() in PICTURE_SUFFIXES and not file.startswith("."):
                yield Sample(path=path, name=path.relative_to(split_folder).as_posix(), label=label)


def _some(names: list[str], limit: int = 5) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def fingerprint(dataset: DataSet) -> str:
    """Identifies a data set by its content: the same wherever it lies, another when a byte differs.

    Args:
        dataset: What `read_dataset` returned.

    Returns:
        SHA-256, 64 hexadecimal digits, over split, name, size and content digest of every picture.

    Raises:
        DataError: A picture cannot be read.
    """
    digest = hashlib.sha256()
    for split in sorted(dataset.splits):
        for sample in sorted(dataset.splits[split], key=lambda sample: sample.name):
            content = read_bytes(sample.path)
            line = f"{split}\0{sample.name}\0{len(content)}\0{hashlib.sha256(content).hexdigest()}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def read_bytes(path: Path) -> bytes:
    """Reads a file of the data set, and says which one where that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error


def check_skipped(split: str, total: int, skipped: list[str]) -> None:
    """Refuses a split that has lost too many pictures.

    Args:
        split: Name of the split.
        total: How many pictures the split has, good and bad.
        skipped: One line for each picture that could not be read: its name and the reason.

    Raises:
        DataError: More than 5 % of the split, and more than two pictures, could not be read; or none could.
    """
    allowed = max(MAX_SKIPPED_ALWAYS_ALLOWED, MAX_SKIPPED_SHARE * total)
    if len(skipped) <= allowed and len(skipped) < total:
        return
    raise DataError(
        f"{len(skipped)} or more of the {total} pictures of the {split} split cannot be read. {SKIPPED_RULE}. "
        f"Replace or delete them: {_some(skipped)}."
    )


def check_taught(dataset: DataSet, skipped: Collection[str]) -> None:
    """Refuses a train split in which a class has lost every picture: a model could never answer with it.

    Args:
        dataset: The data set.
        skipped: Names of the train split's pictures that could not be read.

    Raises:
        DataError: Of a class, not one train picture could be read.
    """
    taught = {sample.label for sample in dataset.splits["train"] if sample.name not in skipped}
    lost = [name for label, name in enumerate(dataset.classes) if label not in taught]
    if lost:
        raise DataError(
            f"no picture of these classes in the train split can be read: {_some(lost)}. "
            "Replace their pictures or remove the classes."
        )
