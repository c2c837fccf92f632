"""Why a data set cannot be trained on: `check` reports the errors that training raises, in the same words."""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_scripts.data import split_folders
from training_scripts.data.ignore_list import FILE_NAME as IGNORE_LIST
from training_scripts.data.listing import UNSPLIT, Listing, Unreadable
from training_scripts.data.shards import files as shard_files

# A split may lose this share of its pictures, or two pictures if that is more: a stray file should not break a small
# split.
MAX_SKIPPED_SHARE = 0.05
MAX_SKIPPED_ALWAYS_ALLOWED = 2
SKIPPED_RULE = (
    f"Up to {100 * MAX_SKIPPED_SHARE:.0f}% of a split, or {MAX_SKIPPED_ALWAYS_ALLOWED} pictures if that is more, may "
    "be unreadable, but never all of them"
)


@dataclass(frozen=True)
class Fault:
    """A reason why training refuses a data set.

    Attributes:
        code: A short, stable name, such as "unknown-class".
        message: What is wrong, and where, as a sentence.
        paths: The files or folders concerned.
        remedy: What to do, as a sentence.
    """

    code: str
    message: str
    paths: tuple[Path, ...]
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


def find(listing: Listing) -> list[Fault]:
    """Lists the faults for which training refuses a listing; empty if training accepts it."""
    if UNSPLIT not in listing.splits and "train" not in listing.splits:
        root = next(folder.parent for paths in listing.folders.values() for folder in paths)
        return [*_clashes(listing), no_train(root), *_unreadable(listing)]
    # The consequences of these faults are not reported: in the wrong folder, every class is unknown.
    misplaced = [*_clashes(listing), *_nested(listing)]
    if misplaced:
        return [*misplaced, *_unreadable(listing)]
    return [
        *_unreadable(listing),
        *_without_classes(listing),
        *_names(listing),
        *_unknown_classes(listing),
        *_empty(listing),
    ]


def no_splits(root: Path) -> Fault:
    """The fault of a folder of classes without splits."""
    if fault := compressed(root):
        return fault
    command = shlex.join(["dogbreed", "data", "split", str(root), "DEST"])
    divide = "BreedDataset.split(), or on the command line with"
    shards = [shard.name for shard in shard_files.find(root).get(None, ())]
    if shards:
        message = f"{root} has no shards of a split: the names of its shards state none ({some(shards, limit=3)})."
        example = f"train-0000{Path(shards[0]).suffix}"
        remedy = f"Rename them by their splits ({example}, and likewise valid and test), or divide them with {divide}"
        return Fault("no-splits", message, (root,), f"{remedy} `{command}`.")
    message = f"{root} has no folder named train, valid or test."
    return Fault("no-splits", message, (root,), f"Divide it with {divide} `{command}`.")


def compressed(folder: Path) -> Fault | None:
    """The fault that a folder's tars are compressed; None if it has none that are."""
    found = shard_files.compressed(folder)
    if found is None:
        return None
    tars, command = found
    message = f"{folder} contains compressed tars ({tars}), whose pictures cannot be read one by one."
    return Fault("compressed-shards", message, (folder,), f"Decompress them: {command}")


def no_train(root: Path) -> Fault:
    """The fault of a data set without a train split."""
    if found := shard_files.find(root):
        suffix = next(shard.path.suffix for shards in found.values() for shard in shards)
        message = f"{root} has no shards of the train split."
        return Fault("missing-split", message, (root,), f"Name those of train train-0000{suffix} and so on.")
    message = f"{root} has no folder named train."
    remedy = "A data set needs train/<class>/<picture>, and valid and test alike."
    return Fault("missing-split", message, (root,), remedy)


def made_from_train(root: Path) -> str:
    """What to do about a data set without valid or test, as a sentence."""
    command = shlex.join(["dogbreed", "data", "split", str(root), "DEST", "--from-train"])
    return f"Make missing splits with BreedDataset.split_from_train(), or on the command line with `{command}`."


def two_folders(split: str, folders: Sequence[Path]) -> Fault:
    """The fault of two folders, or channels, for one split."""
    named = " and ".join(map(str, folders))
    return Fault("two-folders", f"Two folders for the {split} split: {named}.", tuple(folders), "Keep one of them.")


def cannot_read(unreadable: Sequence[Unreadable]) -> Fault:
    """The fault of files and folders that belong to the data set and cannot be read."""
    named = [f"{one.path}: {one.reason}" for one in unreadable]
    paths = tuple(one.path for one in unreadable)
    if len(named) == 1:
        return Fault("unreadable", f"Cannot read {named[0]}.", paths, _remedy(paths))
    kind = "pictures in shards" if all(map(shard_files.in_shard, paths)) else "files and folders"
    message = f"Cannot read {len(named)} {kind}: {some(named, limit=3)}."
    return Fault("unreadable", message, paths, _remedy(paths))


def _remedy(paths: Sequence[Path]) -> str:
    """What to do about paths that cannot be read."""
    one = len(paths) == 1
    if all(map(shard_files.in_shard, paths)):
        return (
            f"Correct {'it in its shard' if one else 'them in their shards'}, or remove {'it' if one else 'them'}: a "
            "picture needs a label (.cls or .json in a tar, the label column in parquet) that is one of the classes "
            "(those in classes.txt, or of the column's ClassLabel)."
        )
    if any(path.suffix.lower() in shard_files.SUFFIXES for path in paths):
        return "Correct or replace the shard." if one else "Correct or replace the shards."
    return "Make it readable, or remove it." if one else "Make them readable, or remove them."


def unread(error: OSError, path: Path | str | None = None) -> Fault:
    """The fault of one unreadable path; default: the path that the error names."""
    return cannot_read([Unreadable.of(error, path)])


def too_many_skipped(split: str, total: int, skipped: Sequence[str], paths: Sequence[Path] = ()) -> Fault | None:
    """The fault of a split that has lost too many pictures; None if training may proceed without them.

    Args:
        split: Name of the split.
        total: How many pictures the split has, good and bad.
        skipped: One line for each picture that cannot be decoded: its name and the reason.
        paths: Their files.
    """
    allowed = max(MAX_SKIPPED_ALWAYS_ALLOWED, MAX_SKIPPED_SHARE * total)
    if len(skipped) <= allowed and len(skipped) < total:
        return None
    message = f"{len(skipped):,} of the {total:,} pictures of {_the(split)} cannot be read. {SKIPPED_RULE}."
    return Fault("too-many-corrupt", message, tuple(paths), f"Replace or delete them: {some(skipped, limit=3)}.")


def no_readable_train_picture(lost: Sequence[str], folders: Sequence[Path] = (), *, split: str = "train") -> Fault:
    """The fault of classes whose train pictures are all unreadable: a model could never predict them."""
    message = f"No picture of these classes in {_the(split)} can be read: {some(lost)}."
    return Fault("class-lost", message, tuple(folders), "Replace their pictures or remove the classes.")


def one_class(classes: Sequence[str], folders: Sequence[Path] = (), *, split: str = "train") -> Fault:
    """The fault of a data set with a single class."""
    message = f"{_the(split).capitalize()} has a single class, {some(classes)}: a classifier needs at least two."
    return Fault("one-class", message, tuple(folders), "Add a folder with pictures of something else.")


def ignored(listing: Listing) -> Iterator[str]:
    """Lines about a data set's ignore list; none without one. Nothing in it is a fault."""
    count = sum(left_out.kind == "ignored" for left_out in listing.left_out)
    if count:
        yield f"{IGNORE_LIST}: {count} picture{' is' if count == 1 else 's are'} ignored"
    if listing.ignored_nothing:
        lines = "1 path names" if len(listing.ignored_nothing) == 1 else f"{len(listing.ignored_nothing)} paths name"
        yield f"{IGNORE_LIST}: {lines} no picture of this data set: {some(listing.ignored_nothing, limit=3)}"


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, and the number of the others."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8; other bytes stand in it as lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def normal_form(name: str) -> str:
    """The Unicode normal form of a name: NFC as most systems write it, NFD as macOS does, or mixed."""
    if unicodedata.is_normalized("NFC", name):
        return "NFC"
    return "NFD" if unicodedata.is_normalized("NFD", name) else "mixed"


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _the(split: str) -> str:
    return "the folder of classes" if split == UNSPLIT else f"the {split} split"


def _clashes(listing: Listing) -> Iterator[Fault]:
    for split, folders in listing.folders.items():
        if len(folders) > 1:
            yield two_folders(split, folders)


def _unreadable(listing: Listing) -> Iterator[Fault]:
    if listing.unreadable:
        yield cannot_read(listing.unreadable)


def _failed(listing: Listing, folder: Path) -> bool:
    # The shards of a split without pictures cannot be read.
    return any(
        unreadable.path == folder or (listing.in_shards and folder in unreadable.path.parents)
        for unreadable in listing.unreadable
    )


def _nested(listing: Listing) -> Iterator[Fault]:
    for folder in listing.folders.get("train", ()):
        # A listing of names alone, without files, has no folder to look into.
        if not _failed(listing, folder) and folder.is_dir() and split_folders.is_divided(folder):
            message = f"{folder} contains a folder named train: it is a whole data set, not its train split."
            remedy = "Use it as the data set, or pass it as the channel named training."
            yield Fault("nested-splits", message, (folder,), remedy)


def _without_classes(listing: Listing) -> Iterator[Fault]:
    for split, (folder, *_) in listing.folders.items():
        if not listing.splits[split] and not _failed(listing, folder):
            message = f"{_the(split).capitalize()} has no class folders: {folder}."
            none = Fault("empty-split", message, (folder,), "Expected <class>/<picture> below it.")
            yield compressed(folder) or none


def _names(listing: Listing) -> Iterator[Fault]:
    """Faults for class names that are not valid text, which neither model.json nor a JSON response can contain."""
    folder = listing.folders[listing.taught][0]
    hidden: dict[str, str] = {}
    odd: dict[str, str] = {}
    for name in listing.classes:
        if is_text(name):
            continue
        raw = os.fsencode(name)
        try:
            hidden[name] = raw.decode("utf-8")
        except UnicodeDecodeError:
            odd[name] = f"{raw!r}, in Windows-1252 {raw.decode('cp1252', 'replace')!r}"
    if odd:
        message = f"Names of class folders are not UTF-8: {some(list(odd.values()))}."
        yield Fault("odd-name", message, tuple(folder / name for name in odd), "Rename them in every split.")
    if hidden:
        shown = some(list(hidden.values()))
        message = f"Names of class folders are UTF-8, which this process's locale (LC_ALL, LANG) excludes: {shown}."
        paths = tuple(folder / name for name in hidden)
        yield Fault("locale", message, paths, "Set LC_ALL=C.UTF-8 or PYTHONUTF8=1, and run it again.")


def _unknown_classes(listing: Listing) -> Iterator[Fault]:
    train = listing.classes
    composed = {_composed(name): name for name in train}
    for split, classes in listing.splits.items():
        folder = listing.folders[split][0]
        unknown = [name for name in classes if name not in train] if train else []
        forms = [name for name in unknown if _composed(name) in composed]
        others = [name for name in unknown if name not in forms]
        if forms:
            here, there = normal_form(forms[0]), normal_form(composed[_composed(forms[0])])
            message = (
                f"The {split} split spells classes in a different Unicode form than the train split: {some(forms)} "
                f"({here} here, {there} in train)."
            )
            remedy = "They look the same but are different names: rename them as in the train split."
            yield Fault("normal-form", message, tuple(folder / name for name in forms), remedy)
        if others:
            message = f"The {split} split has classes that the train split lacks: {some(others)} (in {folder})."
            remedy = "Add them to the train split or remove them."
            yield Fault("unknown-class", message, tuple(folder / name for name in others), remedy)


def _empty(listing: Listing) -> Iterator[Fault]:
    for split, classes in listing.splits.items():
        folder = listing.folders[split][0]
        if classes and not any(classes.values()):
            message = f"{_the(split).capitalize()} has no picture: {folder}."
            yield Fault("empty-split", message, (folder,), "Add <class>/<picture> files or remove it.")
            continue
        empty = [name for name, paths in classes.items() if not paths and not _failed(listing, folder / name)]
        if split == listing.taught and empty:
            message = f"Classes without a picture in {_the(split)}: {some(empty)}."
            paths = tuple(folder / name for name in empty)
            yield Fault("empty-class", message, paths, "Add pictures or remove the folders.")
