"""Finds duplicates in a data set: identical files and near-copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import overload

from dogbreed_sdk.datasets import near_copies
from dogbreed_sdk.datasets.examination import Facts
from dogbreed_sdk.datasets.examined_pictures import ExaminedPictures
from dogbreed_sdk.datasets.findings import Finding
from training_scripts.data.faults import some
from training_scripts.data.listing import Listing

# If more than this share of a split is also in train, its accuracy says nothing about new pictures.
LEAK_SHARE = 0.05

_Place = tuple[str, str, Path]  # split, class folder, file


class _Thumbnails(Sequence[bytes]):
    def __init__(self, facts: Facts, rows: Sequence[int]) -> None:
        self._facts, self._rows = facts, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self._facts.thumbnail(row) for row in self._rows[place]]
        return self._facts.thumbnail(self._rows[place])


def find_copies(pictures: ExaminedPictures) -> Iterator[Finding]:
    """Reports copies across splits (accuracy then measures memorization), across classes, and within a class."""
    facts, listing = pictures.facts, pictures.listing
    # Sorted, equal digests are neighbors, and a dictionary of all pictures takes too much memory.
    usable = sorted((row for row in range(len(facts)) if not facts.problem(row)), key=facts.digest)
    files = sorted([list(rows) for _, rows in groupby(usable, key=facts.digest)])
    same = [[pictures.place(row) for row in rows] for rows in files if len(rows) > 1]
    alike = [
        [pictures.place(row) for number in group for row in files[number]]
        for group in near_copies.group_rows(_Thumbnails(facts, [rows[0] for rows in files]))
    ]
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
            message = f"{len(shared):,} of the {total:,} pictures of the {split} split {be} in the train split too."
            yield Finding("error", "leak", message, tuple(shared), "Remove them: accuracy would be memorization.")
