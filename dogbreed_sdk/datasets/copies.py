"""Finds duplicates in a data set: identical files and near-copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dogbreed_sdk.datasets import near_copies
from dogbreed_sdk.datasets.examination import PictureFacts
from dogbreed_sdk.datasets.findings import Finding
from training_scripts.data.faults import some
from training_scripts.data.listing import Listing

# If more than this share of a split is also in train, its accuracy says nothing about new pictures.
LEAK_SHARE = 0.05

_Place = tuple[str, str, Path]  # split, class folder, file


def find_copies(listing: Listing, facts: Mapping[Path, PictureFacts]) -> Iterator[Finding]:
    """Reports copies across splits (accuracy then measures memorization), across classes, and within a class."""
    files: dict[str, list[_Place]] = defaultdict(list)
    thumbnails: dict[str, bytes] = {}
    for split, name, path in listing.pictures():
        if not facts[path].problem:
            files[facts[path].digest].append((split, name, path))
            thumbnails[facts[path].digest] = facts[path].thumbnail
    same = [group for group in files.values() if len(group) > 1]
    alike = [[place for digest in digests for place in files[digest]] for digests in near_copies.group(thumbnails)]
    for group in same:
        yield from _describe(group, "duplicate", "The same picture")
    for group in alike:
        yield from _describe(group, "near-copy", "Near-copies of a picture", plural=True)
    yield from _find_leaks(listing, [*same, *alike])


def _describe(group: Sequence[_Place], code: str, subject: str, *, plural: bool = False) -> Iterator[Finding]:
    be, label = ("are", "are labeled") if plural else ("is", "is labeled")
    paths = tuple(path for *_, path in group)
    splits = list(dict.fromkeys(split for split, *_ in group))  # train first, as they are listed
    names = sorted({name for _, name, _ in group})
    listed = some([str(path) for path in paths])
    if len(splits) > 1:
        message = f"{subject} {be} in the splits {_joined(splits)}: {listed}."
        yield Finding("error", f"{code}-across-splits", message, paths, "Keep one copy, or all in one split.")
    if len(names) > 1:
        message = f"{subject} {label} {_joined(names)}: {listed}."
        yield Finding("warning", f"{code}-across-classes", message, paths, "Keep it in the correct class only.")
    if len(splits) == len(names) == 1:
        message = f"{subject} {be} present {len(paths)} times: {listed}."
        yield Finding("note", code, message, paths, "Keep one of them.")


def _joined(words: Sequence[str]) -> str:
    """Names in a sentence: "train, valid and test"."""
    return " and ".join([*filter(None, [", ".join(words[:-1])]), words[-1]])


def _find_leaks(listing: Listing, groups: Sequence[Sequence[_Place]]) -> Iterator[Finding]:
    """Splits that share too many pictures with train."""
    leaked: dict[str, dict[Path, None]] = defaultdict(dict)
    for group in groups:
        if any(split == "train" for split, *_ in group):
            for split, _, path in group:
                if split != "train":
                    leaked[split][path] = None
    for split, shared in leaked.items():
        total = sum(len(paths) for paths in listing.splits[split].values())
        if len(shared) > LEAK_SHARE * total:
            be = "is" if len(shared) == 1 else "are"
            message = f"{len(shared)} of the {total} pictures of the {split} split {be} in the train split too."
            yield Finding("error", "leak", message, tuple(shared), "Remove them: accuracy would be memorization.")
