"""Finds pictures that a data set has more than once, as the same file or as a near-copy of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.datasets import near_copies
from dogbreed_sdk.datasets.report import Finding
from training_scripts.data.faults import some
from training_scripts.data.listing import Listing

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.checks import PictureFacts

# From this share of shared pictures on, the accuracy of a split says nothing about new pictures.
LEAK_SHARE = 0.05

_Place = tuple[str, str, Path]  # split, class folder, file


def find_copies(listing: Listing, facts: Mapping[Path, PictureFacts]) -> Iterator[Finding]:
    """Reports copies across splits (accuracy is then partly memory), across classes, and inside a class."""
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
    be, label = ("are", "are labelled") if plural else ("is", "is labelled")
    paths = tuple(path for *_, path in group)
    splits = list(dict.fromkeys(split for split, *_ in group))  # train first, as they are listed
    names = sorted({name for _, name, _ in group})
    listed = some([str(path) for path in paths])
    if len(splits) > 1:
        message = f"{subject} {be} in the splits {_joined(splits)}: {listed}."
        yield Finding("error", f"{code}-across-splits", message, paths, "Keep one, or all in one split.")
    if len(names) > 1:
        message = f"{subject} {label} {_joined(names)}: {listed}."
        yield Finding("warning", f"{code}-across-classes", message, paths, "Keep the right class only.")
    if len(splits) == len(names) == 1:
        message = f"{subject} {be} there {len(paths)} times: {listed}."
        yield Finding("note", code, message, paths, "Keep one of them.")


def _joined(words: Sequence[str]) -> str:
    """Names in a sentence: "train, valid and test"."""
    return " and ".join([*filter(None, [", ".join(words[:-1])]), words[-1]])


def _find_leaks(listing: Listing, groups: Sequence[Sequence[_Place]]) -> Iterator[Finding]:
    """Splits of which a good part is in train, too."""
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
            yield Finding("error", "leak", message, tuple(shared), "Its accuracy would be memory: remove them.")
