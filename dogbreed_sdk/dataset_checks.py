"""Checks a folder of pictures before money or time is spent on it: each check turns facts into findings."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.dataset_report import DatasetReport, Finding, Level
from dogbreed_sdk.labels import display_name

Progress = Callable[[int, int], None]

UNSPLIT = "unsplit"

# A head on pretrained features learns a breed from about ten pictures; below that its accuracy is luck.
MIN_PICTURES_PER_CLASS = 10
# The threshold of AWS's ClassImbalance rule; from a third of it on it is worth a note.
IMBALANCE_RATIO = 10.0
IMBALANCE_NOTE_RATIO = 3.0
# Networks look at 224 pixels and more: a quarter of that is mostly interpolation.
TINY_PIXELS = 56
# From this share of shared pictures on, the accuracy of a split says nothing about new pictures.
LEAK_SHARE = 0.05


@dataclass(frozen=True)
class Listing:
    """What lies below a data set's folder.

    Attributes:
        root: The folder.
        splits: Split -> class folder -> its picture files; the one split of a plain folder of classes is UNSPLIT.
        folders: Split -> its folder.
        strays: Files that training will not look at.
    """

    root: Path
    splits: Mapping[str, Mapping[str, tuple[Path, ...]]]
    folders: Mapping[str, Path]
    strays: tuple[Path, ...]

    def pictures(self) -> Iterator[tuple[str, str, Path]]:
        """Every picture file, as (split, class folder, path)."""
        for split, classes in self.splits.items():
            for class_folder, paths in classes.items():
                for path in paths:
                    yield split, class_folder, path


@dataclass(frozen=True)
class PictureFacts:
    """What examining one file told: SHA-256 of the content, size in pixels, or why it cannot be used."""

    digest: str
    size: tuple[int, int]
    problem: str


def split_folders(root: Path) -> dict[str, Path]:
    """The split folders below a data set's folder that are there; of two for one split, the usual name."""
    from training_scripts import data  # noqa: PLC0415 - only needed with a data set at hand

    candidates = ((split, root / name) for split, names in data.SPLIT_FOLDERS.items() for name in reversed(names))
    return {split: folder for split, folder in candidates if folder.is_dir()}


def list_pictures(root: Path) -> Listing:
    """Lists a data set, forgiving whatever training would refuse."""
    folders = split_folders(root) or {UNSPLIT: root}
    strays: list[Path] = []
    splits: dict[str, dict[str, tuple[Path, ...]]] = {}
    for split, folder in folders.items():
        splits[split] = {}
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                splits[split][entry.name] = _pictures_below(entry, strays)
            elif split != UNSPLIT:
                strays.append(entry)
    return Listing(root, splits, folders, tuple(strays))


def _pictures_below(class_folder: Path, strays: list[Path]) -> tuple[Path, ...]:
    from training_scripts import data  # noqa: PLC0415 - only needed with a data set at hand

    pictures = []
    for folder, below, files in os.walk(class_folder):
        below.sort()
        for path in (Path(folder, name) for name in sorted(files)):
            if path.name.startswith(".") or path.suffix.lower() not in data.PICTURE_SUFFIXES:
                strays.append(path)
            else:
                pictures.append(path)
    return tuple(pictures)


def check(root: Path, *, progress: Progress | None = None, workers: int | None = None) -> DatasetReport:
    """Lists, decodes and compares every picture of a data set; see BreedDataset.check."""
    listing = list_pictures(root)
    facts = examine_all([path for *_, path in listing.pictures()], progress=progress, workers=workers)
    findings = [
        *find_layout(listing),
        *find_broken(listing, facts),
        *find_duplicates(listing, facts),
        *find_balance(listing),
        *find_names(listing),
    ]
    counts = {split: {name: len(paths) for name, paths in classes.items()} for split, classes in listing.splits.items()}
    classes = tuple(listing.splits.get("train", listing.splits.get(UNSPLIT, {})))
    return DatasetReport(root, classes, counts, tuple(findings))


def examine_all(
    paths: list[Path], *, progress: Progress | None = None, workers: int | None = None
) -> dict[Path, PictureFacts]:
    """Examines files in threads (reading, hashing and decoding all release the interpreter's lock)."""
    facts: dict[Path, PictureFacts] = {}
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        try:
            for path, fact in zip(paths, pool.map(examine, paths), strict=True):
                facts[path] = fact
                if progress is not None:
                    progress(len(facts), len(paths))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return facts


def examine(path: Path) -> PictureFacts:
    """Reads and fully decodes one file, with the decoder that training uses."""
    from training_scripts import pictures  # noqa: PLC0415 - imports Pillow

    try:
        content = path.read_bytes()
    except OSError as error:
        return PictureFacts("", (0, 0), f"cannot be read: {error.strerror or error}")
    digest = hashlib.sha256(content).hexdigest()
    try:
        return PictureFacts(digest, pictures.decode(content).size, "")
    except pictures.PictureError as error:
        return PictureFacts(digest, (0, 0), str(error))


def find_layout(listing: Listing) -> Iterator[Finding]:
    """Splits and classes that are missing, empty or unknown, and files that are no pictures."""
    root = listing.root
    if UNSPLIT in listing.splits:
        yield Finding(
            "error",
            "no-splits",
            f"{root} has class folders but no train, valid and test.",
            (root,),
            "Divide it with BreedDataset.split() or `dogbreed data split`.",
        )
    elif "train" not in listing.splits:
        yield Finding(
            "error",
            "missing-split",
            f"{root} has no train split.",
            (root,),
            "Training needs train/<class>/<picture>.",
        )
    for split, loss in (("valid", "choose the best epoch"), ("test", "measure accuracy on unseen pictures")):
        if UNSPLIT not in listing.splits and split not in listing.splits:
            message = f"{root} has no {split} split, so training cannot {loss}."
            yield Finding("warning", "missing-split", message, (root,), f"Add a folder named {split}.")
    yield from _find_classes(listing)
    for path in listing.strays:
        message = f"{path} is not a picture file that training looks at."
        yield Finding("note", "not-a-picture", message, (path,), "Remove it, or give it its picture format's suffix.")


def _find_classes(listing: Listing) -> Iterator[Finding]:
    train = listing.splits.get("train", listing.splits.get(UNSPLIT, {}))
    for split, classes in listing.splits.items():
        folder = listing.folders[split]
        if not any(classes.values()):
            message = f"The {split} split in {folder} has no pictures."
            yield Finding("error", "empty-split", message, (folder,), "Add <class>/<picture> files or remove it.")
            continue
        if classes is train:
            for name in (name for name, paths in classes.items() if not paths):
                message = f"The class {name} has no picture in the {split} split."
                yield Finding("error", "empty-class", message, (folder / name,), "Add pictures or remove the folder.")
            continue
        if not train:
            continue
        for name in (name for name in classes if name not in train):
            message = f"The {split} split has the class {name}, which the train split lacks."
            yield Finding("error", "unknown-class", message, (folder / name,), "Add it to train, or remove it here.")
        missing = [name for name in train if not classes.get(name)]
        if missing:
            message = f"The {split} split has no picture of {len(missing)} of {len(train)} classes: {_some(missing)}."
            remedy = "Their accuracy stays unknown; add pictures."
            yield Finding("warning", "missing-class", message, tuple(folder / name for name in missing), remedy)


def find_broken(listing: Listing, facts: Mapping[Path, PictureFacts]) -> Iterator[Finding]:
    """Files that cannot be decoded or are too small to learn from."""
    from training_scripts import data  # noqa: PLC0415 - only needed with a data set at hand

    broken: dict[str, list[Path]] = defaultdict(list)
    totals: dict[str, int] = defaultdict(int)
    for split, _, path in listing.pictures():
        totals[split] += 1
        fact = facts[path]
        if fact.problem:
            broken[split].append(path)
            message = f"{path} cannot be used: {fact.problem.rstrip('.')}."
            yield Finding("warning", "corrupt", message, (path,), "Replace or delete it; training will skip it.")
        elif min(fact.size) < TINY_PIXELS:
            message = f"{path} has only {fact.size[0]} x {fact.size[1]} pixels."
            yield Finding("warning", "tiny", message, (path,), "Replace it by a larger picture or delete it.")
    for split, paths in broken.items():
        allowed = max(data.MAX_SKIPPED_ALWAYS_ALLOWED, data.MAX_SKIPPED_SHARE * totals[split])
        if len(paths) > allowed:
            message = f"{len(paths)} of the {totals[split]} files in the {split} split cannot be used."
            remedy = f"{data.SKIPPED_RULE}: replace or delete them."
            yield Finding("error", "too-many-corrupt", message, tuple(paths), remedy)


def find_duplicates(listing: Listing, facts: Mapping[Path, PictureFacts]) -> Iterator[Finding]:
    """The same file content in two splits (accuracy is then partly memory) or in two classes."""
    copies: dict[str, list[tuple[str, str, Path]]] = defaultdict(list)
    for split, name, path in listing.pictures():
        if not facts[path].problem:
            copies[facts[path].digest].append((split, name, path))
    leaked: dict[str, list[Path]] = defaultdict(list)
    for group in (group for group in copies.values() if len(group) > 1):
        paths = tuple(path for *_, path in group)
        splits, names = sorted({split for split, *_ in group}), sorted({name for _, name, _ in group})
        listed = _some([str(path) for path in paths])
        if len(splits) > 1:
            message = f"The same picture is in the splits {' and '.join(splits)}: {listed}."
            yield Finding("warning", "duplicate-across-splits", message, paths, "Keep it in one split only.")
            for split, _, path in group:
                if "train" in splits and split != "train":
                    leaked[split].append(path)
        if len(names) > 1:
            message = f"The same picture is labelled {' and '.join(names)}: {listed}."
            yield Finding("warning", "duplicate-across-classes", message, paths, "Keep it in its right class only.")
        if len(splits) == len(names) == 1:
            message = f"The same picture is there {len(paths)} times: {listed}."
            yield Finding("note", "duplicate", message, paths, "Keep one of them.")
    for split, shared in leaked.items():
        total = sum(len(paths) for paths in listing.splits[split].values())
        if len(shared) > LEAK_SHARE * total:
            message = f"{len(shared)} of the {total} pictures of the {split} split are in the train split too."
            yield Finding("error", "leak", message, tuple(shared), "Its accuracy would be memory: remove them.")


def find_balance(listing: Listing) -> Iterator[Finding]:
    """Too few classes, classes with too few pictures, and classes with far fewer than others."""
    split = "train" if "train" in listing.splits else UNSPLIT
    counts = {name: len(paths) for name, paths in listing.splits.get(split, {}).items() if paths}
    if not counts:
        return
    folder = listing.folders[split]
    if len(counts) == 1:
        message = f"{folder} has the one class {next(iter(counts))}: there is nothing to tell apart."
        yield Finding("error", "one-class", message, (folder,), "Add a folder for at least one more class.")
    few = [name for name, count in counts.items() if count < MIN_PICTURES_PER_CLASS]
    if few:
        have = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
        message = f"{have} fewer than {MIN_PICTURES_PER_CLASS} pictures to train on: {_some(few)}."
        yield Finding("warning", "few-pictures", message, tuple(folder / name for name in few), "Add pictures.")
    smallest, largest = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    ratio = counts[largest] / counts[smallest]
    if ratio >= IMBALANCE_NOTE_RATIO:
        message = f"{largest} has {counts[largest]} pictures, {smallest} only {counts[smallest]}: {ratio:.1f} times."
        paths = (folder / largest, folder / smallest)
        level: Level = "warning" if ratio >= IMBALANCE_RATIO else "note"
        yield Finding(level, "imbalance", message, paths, "Add pictures of the rare classes.")


def find_names(listing: Listing) -> Iterator[Finding]:
    """Class folders whose names will confuse people, systems or the order of indices."""
    split = "train" if "train" in listing.splits else UNSPLIT
    names = list(listing.splits.get(split, {}))
    if not names:
        return
    folder = listing.folders[split]
    for name in names:
        if name != name.strip() or not name.isprintable() or not _is_unicode(name):
            message = f"The class folder {name!r} has a name with blanks at its ends or unprintable characters."
            yield Finding("warning", "odd-name", message, (folder / name,), "Rename it in every split.")
    shown: dict[str, list[str]] = defaultdict(list)
    for name in names:
        shown[display_name(name).casefold()].append(name)
    for alike in (alike for alike in shown.values() if len(alike) > 1):
        message = f"The classes {' and '.join(alike)} are shown under one name, {display_name(alike[0])!r}."
        remedy = "Rename one of them, or merge them if they are one breed."
        yield Finding("warning", "same-label", message, tuple(folder / name for name in alike), remedy)
    numbers = [int(name.partition(".")[0]) for name in names if name.partition(".")[0].isdecimal() and "." in name]
    if len(numbers) == len(names) and numbers != sorted(numbers):
        message = f"The numbers of the class folders in {folder} do not sort like their names (10 comes before 2)."
        remedy = "Indices follow the names; write 002 instead of 2 to have both agree."
        yield Finding("note", "number-order", message, (folder,), remedy)


def _is_unicode(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _some(names: list[str], limit: int = 5) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
