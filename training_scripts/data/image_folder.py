"""Reads an image-folder data set: its splits, its classes in index order, and its fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_scripts import ScriptError
from training_scripts.data import faults as data_faults
from training_scripts.data import fingerprints, listing
from training_scripts.data.faults import some
from training_scripts.data.samples import Sample, of_any
from training_scripts.data.shards import files as shard_files
from training_scripts.data.split_folders import SPLITS, locate, split_of

__all__ = ["SPLITS", "DataError", "DataSet", "Sample"]

_CHANNEL = "SM_CHANNEL_"


class DataError(ScriptError):
    """The data set, or the features computed from it, cannot be used as they are."""


@dataclass(frozen=True)
class DataSet:
    """Classes in index order, and the samples of each split ("train", and "valid" and "test" if present).

    Attributes:
        classes: The class folders.
        splits: Split -> its samples.
        ignored: What the data set's ignore list has left out, as lines for people; empty without a list.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Sample]]
    ignored: tuple[str, ...] = ()


def split_folders(environ: Mapping[str, str]) -> dict[str, Path]:
    """Finds the splits' folders from SageMaker's channel variables.

    Args:
        environ: Variables with a channel for each split, in any of its usual spellings (`SM_CHANNEL_TRAIN`,
            `SM_CHANNEL_VALIDATION`, `SM_CHANNEL_TEST`), or `SM_CHANNEL_TRAINING` with the split folders below it.

    Returns:
        The folder of each existing split; "train" always exists.

    Raises:
        DataError: No channel has a train split, or two channels have the same split.
    """
    channels = {name[len(_CHANNEL) :]: Path(folder) for name, folder in environ.items() if name.startswith(_CHANNEL)}
    found: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for channel, folder in sorted(channels.items()):
        split = split_of(channel)
        if split and channel != "TRAINING":
            found[split].append(folder)
    training = channels.get("TRAINING")
    if training is not None:
        # If another split has a channel too, the channel "training" is the train split itself, as its name says.
        alone = not any(found.values())
        below = {"train": training} if not alone and not _located(training) else find_splits(training)
        for split, folder in below.items():
            found[split].append(folder)
    if not found["train"]:
        names = ", ".join(sorted(channel.lower() for channel in channels))
        raise DataError(
            f"no training pictures: the job has {f'the channels {names}' if names else 'no channel'}. "
            "Pass a channel named train (and valid, test), or one named training that contains the folders train, "
            "valid and test."
        )
    return _one_each({split: tuple(folders) for split, folders in found.items() if folders})


def channel_classes(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Lists the class folders of a job's train pictures, sorted; None if no channel has any.

    Raises:
        DataError: The channel for them is not a data set.
    """
    if not any(name.startswith(_CHANNEL) and split_of(name[len(_CHANNEL) :]) == "train" for name in environ):
        return None
    listed = listing.list_splits({"train": split_folders(environ)["train"]})
    if not listed.splits["train"]:
        raise _refused(data_faults.find(listed))
    return tuple(listed.splits["train"])


def check_same_classes(of_features: Sequence[str], of_pictures: Sequence[str]) -> None:
    """Refuses a job whose features and pictures have different classes.

    Raises:
        DataError: The classes differ; the message names the classes that only one of the two has.
    """
    differences = [
        f"only the {which} have {some(only)}"
        for which, only in (
            ("features", [name for name in of_features if name not in of_pictures]),
            ("pictures", [name for name in of_pictures if name not in of_features]),
        )
        if only
    ]
    if differences:
        raise DataError(
            f"the features channel and the picture channels have different classes: {'; '.join(differences)}. "
            "Remove one of the channels, or compute the features of these pictures."
        )


def find_splits(root: Path) -> dict[str, Path]:
    """Finds the split folders below a data set's folder, in any of their usual spellings.

    Args:
        root: The data set's folder.

    Returns:
        The folder of each existing split; "train" always exists.

    Raises:
        DataError: The train folder is missing, or a split has two folders.
    """
    folders = _located(root)
    if not folders:
        raise _refused([data_faults.no_splits(root)])
    if "train" not in folders:
        raise _refused([data_faults.no_train(root)])
    return _one_each(folders)


def _located(root: Path) -> Mapping[str, tuple[Path, ...]]:
    shards = shard_files.split_folders_of(shard_files.find(root))
    if shards:
        return {split: (folder,) for split, folder in shards.items()}
    try:
        return locate(root).folders
    except FileNotFoundError:
        raise DataError(f"{root} does not exist: a data set needs train/<class>/<picture>.") from None
    except OSError as error:
        raise _refused([data_faults.unread(error)]) from error


def _one_each(folders: Mapping[str, tuple[Path, ...]]) -> dict[str, Path]:
    clashes = [data_faults.two_folders(split, paths) for split, paths in folders.items() if len(paths) > 1]
    if clashes:
        raise _refused(clashes)
    return {split: paths[0] for split, paths in folders.items()}


def _refused(faults: Sequence[data_faults.Fault]) -> DataError:
    return DataError("\n".join(map(str, faults)))


def read_dataset(
    folders: Mapping[str, Path], gather: Callable[[listing.Names], list[listing.Names]] | None = None
) -> DataSet:
    """Lists the pictures of every split; the train split alone decides the classes and their order.

    Args:
        folders: Folder of each split, as `split_folders` or `find_splits` returns them.
        gather: Returns the names that all processes of a job list; the data set has the pictures of all of them.
            Default: those of this process.

    Returns:
        The data set; class `i` is the i-th folder name of the train split, sorted. A class that is
        missing in another split shifts no index.

    Raises:
        DataError: `faults.find` found a fault: a folder is missing, empty or unreadable, a class has no picture to
            train on, another split has a class that the train split lacks, ...
    """
    listed = listing.list_splits(folders)
    return of_listing(listing.with_others(listed, gather) if gather else listed)


def read_whole(folders: Mapping[str, Path]) -> DataSet:
    """As `read_dataset`, with the pictures of the ignore list, too.

    Raises:
        DataError: As for `read_dataset`.
    """
    return of_listing(listing.list_whole(folders))


def read_unsplit(root: Path) -> DataSet:
    """Lists a plain folder of classes, as one split named train.

    Raises:
        DataError: As for `read_dataset`.
    """
    return of_listing(listing.list_splits({listing.UNSPLIT: root}))


def of_listing(listed: listing.Listing) -> DataSet:
    """The data set that a listing describes.

    Raises:
        DataError: As for `read_dataset`.
    """
    faults = data_faults.find(listed)
    if faults:
        raise _refused(faults)
    index = {name: position for position, name in enumerate(listed.classes)}
    splits: dict[str, Sequence[Sample]] = {
        split: listing.samples_of(listed.splits[split], index)
        for split in (*SPLITS, listing.UNSPLIT)
        if split in listed.splits
    }
    if listing.UNSPLIT in splits:
        splits["train"] = splits.pop(listing.UNSPLIT)
    return DataSet(classes=tuple(index), splits=splits, ignored=tuple(data_faults.ignored(listed)))


def check_several_classes(classes: Sequence[str]) -> None:
    """Refuses to train on a single class: every prediction would be that class, and every accuracy 1.

    Raises:
        DataError: There are fewer than two classes.
    """
    if len(classes) < 2:
        raise _refused([data_faults.one_class(classes)])


def fingerprint(
    dataset: DataSet,
    *,
    is_mine: Callable[[str, Sample, int], bool] = lambda _split, _sample, _turn: True,
    gather: Callable[[fingerprints.Digests], list[fingerprints.Digests]] = lambda digests: [digests],
) -> str:
    """Identifies a data set by its content: the result does not depend on its location, and changes with any byte.

    Args:
        dataset: Result of `read_dataset`.
        is_mine: Whether this process reads a picture, given its split, itself and its place; default: all of them.
        gather: Returns the values of all processes.

    Returns:
        SHA-256, 64 hexadecimal digits, over split, name, size and content digest of every picture.

    Raises:
        DataError: A picture cannot be read.
    """
    return fingerprints.fingerprint(dataset.splits, read=read, is_mine=is_mine, gather=gather)


def runs(samples: Sequence[Sample]) -> list[range]:
    """Rows of a split that cost less when they are read together; empty if any order costs the same."""
    return of_any(samples).runs()


def read(sample: Sample) -> bytes:
    """Reads a picture of the data set; an error names it."""
    try:
        return sample.read()
    except OSError as error:
        raise _refused([data_faults.unread(error, sample.location)]) from error


def check_skipped(split: str, total: int, skipped: list[str]) -> None:
    """Refuses a split that has lost too many pictures.

    Args:
        split: Name of the split.
        total: How many pictures the split has, good and bad.
        skipped: One line for each picture that could not be read: its name and the reason.

    Raises:
        DataError: More than 5% of the split, and more than two pictures, could not be read; or none could.
    """
    fault = data_faults.too_many_skipped(split, total, skipped)
    if fault:
        raise _refused([fault])


def check_every_class(dataset: DataSet, skipped: Collection[str]) -> None:
    """Refuses a train split in which a class has lost every picture: a model could never predict it.

    Args:
        dataset: The data set.
        skipped: Names of the train split's pictures that could not be read.

    Raises:
        DataError: A class has no readable train picture.
    """
    learned = {sample.class_index for sample in dataset.splits["train"] if sample.name not in skipped}
    lost = [name for index, name in enumerate(dataset.classes) if index not in learned]
    if lost:
        raise _refused([data_faults.no_readable_train_picture(lost)])
