"""Checks a data set before money or time is spent on training: each check turns facts into findings."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from dogbreed_sdk.datasets import layouts
from dogbreed_sdk.datasets.class_names import find_file_names, find_label_names, find_names
from dogbreed_sdk.datasets.copies import find_copies
from dogbreed_sdk.datasets.examination import PictureFacts, Progress
from dogbreed_sdk.datasets.examined_pictures import ExaminedPictures
from dogbreed_sdk.datasets.findings import Finding, Level
from dogbreed_sdk.datasets.report import DatasetReport
from training_scripts.data import faults as data_faults
from training_scripts.data.faults import Fault, some
from training_scripts.data.ignore_list import FILE_NAME as IGNORE_LIST
from training_scripts.data.listing import UNSPLIT, LeftOut, Listing, Unreadable, list_data_set
from training_scripts.data.samples import Samples

# A head on pretrained features learns a breed from about ten pictures; with fewer, its accuracy is random.
MIN_PICTURES_PER_CLASS = 10
# The threshold of AWS's ClassImbalance rule; a third of it is worth a note.
IMBALANCE_RATIO = 10.0
IMBALANCE_NOTE_RATIO = 3.0
# Networks take 224 pixels and more: a picture of a quarter of that is mostly interpolation.
TINY_PIXELS = 56


def check(
    root: Path,
    *,
    ignored_nothing: Sequence[str] = (),
    progress: Progress | None = None,
    workers: int | None = None,
) -> DatasetReport:
    """Lists, decodes and compares all pictures of a data set; see BreedDataset.check.

    Args:
        root: Its folder.
        ignored_nothing: Paths in an ignore list elsewhere, beside the originals on S3, that name no picture.
        progress: Called with (examined pictures, all pictures).
        workers: Number of threads.
    """
    listing = list_data_set(root)
    pictures = ExaminedPictures(listing, progress=progress, workers=workers)
    counts = {split: {name: len(paths) for name, paths in classes.items()} for split, classes in listing.splits.items()}
    unlike_ours = not listing.in_shards and (UNSPLIT in listing.splits or listing.splits.get("train") == {})
    other = layouts.fault(root) if unlike_ours else None
    if other is not None:  # findings that follow from reading it as our layout would only confuse
        return DatasetReport(root, tuple(listing.classes), counts, (_as_error(other), *find_broken(pictures)))
    findings = [
        *find_faults(root, listing),
        *find_layout(root, listing),
        *find_left_out(listing),
        *find_ignored_nothing(root, [*listing.ignored_nothing, *ignored_nothing]),
        *find_broken(pictures),
        *find_copies(pictures),
        *find_balance(listing),
        *_find_names(listing),
        *find_file_names(sample.location for sample in pictures),
    ]
    return DatasetReport(root, tuple(listing.classes), counts, tuple(findings))


def _find_names(listing: Listing) -> Iterator[Finding]:
    if listing.classes:
        find = find_label_names if listing.in_shards else find_names
        yield from find(listing.folders[listing.taught][0], list(listing.classes))


def find_faults(root: Path, listing: Listing) -> Iterator[Finding]:
    """What training refuses before it decodes a picture, with the same messages."""
    if UNSPLIT in listing.splits:
        yield _as_error(data_faults.no_splits(root))
    faults = data_faults.find(listing)
    yield from map(_as_error, faults)
    split, classes = listing.taught, listing.classes
    if len(classes) == 1 and not faults:
        yield _as_error(data_faults.one_class(list(classes), listing.folders[split][:1], split=split))


def _as_error(fault: Fault) -> Finding:
    return Finding("error", fault.code, fault.message, fault.paths, fault.remedy)


def find_layout(root: Path, listing: Listing) -> Iterator[Finding]:
    """Missing optional splits, and classes that a split lacks."""
    if UNSPLIT in listing.splits:
        return
    for split, loss in (("valid", "choose the best epoch"), ("test", "measure accuracy on unseen pictures")):
        if split not in listing.splits:
            message = f"{root} has no {split} split, so training cannot {loss}."
            remedy = _split_elsewhere(root, listing) or data_faults.made_from_train(root)
            yield Finding("warning", "missing-split", message, (root,), remedy)
    train = listing.splits.get("train", {})
    for split, classes in listing.splits.items():
        forms = {unicodedata.normalize("NFC", name) for name, paths in classes.items() if paths}
        missing = [name for name in train if unicodedata.normalize("NFC", name) not in forms]
        if split != "train" and any(classes.values()) and missing:
            folder = listing.folders[split][0]
            message = f"The {split} split has no pictures of {len(missing)} of {len(train)} classes: {some(missing)}."
            remedy = "Their accuracy cannot be measured; add pictures."
            yield Finding("warning", "missing-class", message, tuple(folder / name for name in missing), remedy)


def _split_elsewhere(root: Path, listing: Listing) -> str:
    """How to use a folder with another name as the missing split; empty if there is none."""
    found = layouts.split_named_otherwise(listing)
    if found is None:
        return ""
    missing, folder = found
    folders = {split: paths[0].name for split, paths in listing.folders.items()} | {missing: folder.name}
    words = ["dogbreed", "data", "convert", str(root), "DEST"]
    for split, name in folders.items():
        words += [f"--{split}-folder", name]
    return f"To use {folder.name} as the {missing} split: `{shlex.join(words)}`."


def find_left_out(listing: Listing) -> Iterator[Finding]:
    """Files and folders that training ignores, each with the reason."""
    for left_out in listing.left_out:
        path = left_out.path
        # A README beside the splits is fine; a folder there may be a split with another name.
        if left_out.kind == "outside-splits" and not path.is_dir():
            continue
        level, code, remedy = _LEFT_OUT[left_out.kind]
        detail = _detail(left_out)
        yield Finding(level, code, f"{path} {left_out.reason}.", (path,), remedy, detail)


def _detail(left_out: LeftOut) -> str:
    """What differs between paths that are left out for the same reason."""
    if left_out.kind == "ignored":
        return left_out.reason.partition(": ")[2]
    return left_out.reason.removeprefix("is ").partition(",")[0] if left_out.kind in _PARTICULAR else ""


# Kinds whose reasons differ from path to path.
_PARTICULAR = frozenset({"hidden", "system-folder", "unread-format"})
# Kind of an ignored path -> level, code and remedy of its finding.
_LEFT_OUT: Mapping[str, tuple[Level, str, str]] = {
    "hidden": ("note", "hidden", "It is ignored; no action needed."),
    "system-folder": ("note", "hidden", "It is ignored; no action needed."),
    "not-a-picture": ("note", "not-a-picture", "It is ignored; remove it, or save it as a picture."),
    "unread-format": ("warning", "unread-format", "It is ignored; save it as JPEG or PNG."),
    "outside-class": ("warning", "outside-class", "It is ignored; move it into its class's folder, or remove it."),
    "outside-splits": (
        "warning",
        "outside-splits",
        "It is ignored; if it is a split, name it train, valid or test.",
    ),
    "listed-already": ("note", "listed-already", "It is ignored; no action needed."),
    "ignored": ("note", "ignored", "Remove its line to use it again."),
}


def find_ignored_nothing(root: Path, paths: Iterable[str]) -> Iterator[Finding]:
    """Paths in the data set's ignore list that name no picture, such as misspelled ones."""
    for path in paths:
        message = f"{path} in {IGNORE_LIST} is not a picture of this data set."
        yield Finding("warning", "ignored-nothing", message, (root / path,), "Correct the path, or remove its line.")


def find_broken(pictures: ExaminedPictures) -> Iterator[Finding]:
    """Files that cannot be decoded or are too small to learn from."""
    facts, listing = pictures.facts, pictures.listing
    for split in listing.splits:
        rows, samples = pictures.split(split)
        spoiled = [row for row in rows if facts.problem(row) or min(facts.size(row)) < TINY_PIXELS]
        found = [(samples.at(row - rows.start), facts[row]) for row in spoiled]
        unread = [Unreadable(sample.path, fact.problem) for sample, fact in found if not fact.digest]
        if unread:
            yield _as_error(data_faults.cannot_read(unread))
        for sample, fact in found:
            yield from _find_spoiled(sample.path, fact)
        broken = [(sample, fact) for sample, fact in found if fact.problem and fact.digest]
        skipped = [f"{sample.name} ({fact.problem})" for sample, fact in broken]
        fault = data_faults.too_many_skipped(split, len(rows), skipped, [each.path for each, _ in broken])
        if rows and fault:
            yield _as_error(fault)
        if split == listing.taught:
            yield from _find_lost(listing, samples, [bool(facts.problem(row)) for row in rows])


def _find_lost(listing: Listing, samples: Samples, spoiled: Sequence[bool]) -> Iterator[Finding]:
    """Classes of the train split that have pictures, of which none can be used."""
    good = {index for index, bad in zip(samples.class_indices(), spoiled, strict=True) if not bad}
    bad_only = set(samples.class_indices()) - good
    lost = [name for index, name in enumerate(listing.classes) if index in bad_only]
    if lost:
        folder = listing.folders[listing.taught][0]
        fault = data_faults.no_readable_train_picture(lost, [folder / name for name in lost], split=listing.taught)
        yield _as_error(fault)


def _find_spoiled(path: Path, fact: PictureFacts) -> Iterator[Finding]:
    if not fact.digest:
        return
    if fact.problem:
        message = f"{path} cannot be used: {fact.problem.rstrip('.')}."
        remedy = "Replace or delete it; training will skip it."
        yield Finding("warning", "corrupt", message, (path,), remedy, fact.problem)
    elif min(fact.size) < TINY_PIXELS:
        pixels = f"{fact.size[0]} x {fact.size[1]} pixels"
        remedy = "Replace it with a larger picture or delete it."
        yield Finding("warning", "tiny", f"{path} has only {pixels}.", (path,), remedy, pixels)


def find_balance(listing: Listing) -> Iterator[Finding]:
    """Classes with too few pictures, and classes with far fewer than others."""
    split, classes = listing.taught, listing.classes
    counts = {name: len(paths) for name, paths in classes.items() if paths}
    if not counts:
        return
    folder = listing.folders[split][0]
    few = [name for name, count in counts.items() if count < MIN_PICTURES_PER_CLASS]
    if few:
        have = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
        message = f"{have} fewer than {MIN_PICTURES_PER_CLASS} pictures to train on: {some(few)}."
        yield Finding("warning", "few-pictures", message, tuple(folder / name for name in few), "Add pictures.")
    smallest, largest = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    ratio = counts[largest] / counts[smallest]
    if ratio >= IMBALANCE_NOTE_RATIO:
        message = f"{largest} has {counts[largest]} pictures, {smallest} only {counts[smallest]}: {ratio:.1f} times."
        paths = (folder / largest, folder / smallest)
        level: Level = "warning" if ratio >= IMBALANCE_RATIO else "note"
        yield Finding(level, "imbalance", message, paths, "Add pictures of the rare classes.")
