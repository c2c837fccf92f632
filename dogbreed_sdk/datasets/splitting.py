"""Divides pictures into train, valid and test: stratified, reproducible, copies kept together."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dogbreed_sdk.datasets import examination, near_copies
from dogbreed_sdk.datasets.layouts import SourcePicture
from dogbreed_sdk.errors import ConfigurationError, DatasetError

Progress = Callable[[int, int], None]


def build(
    pictures: Sequence[SourcePicture],
    target: Path,
    *,
    valid: float,
    test: float,
    seed: int,
    progress: Progress | None = None,
) -> None:
    """Fills a folder with train, valid and test; missing splits are taken from train.

    Files are hard links if the file system supports them, else copies. Files that cannot be decoded are omitted.

    Args:
        pictures: Either all of them have a split, or none has.
        target: The folder, empty.
        valid: Share of the validation split if it is missing; 0 for none.
        test: Share of the test split if it is missing; 0 for none.
        seed: Seed of the assignment.
        progress: Called with (examined pictures, all pictures).

    Raises:
        ConfigurationError: The shares leave nothing for train.
        DatasetError: There are no pictures to train on.
    """
    identities = _identities(pictures, progress)
    by_split: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for picture, identity in identities.items():
        by_split[picture.split or "train"][picture.class_folder][picture.name] = identity
    if not by_split["train"]:
        raise DatasetError("there are no pictures to train on: none can be decoded")
    shares = {split: share for split, share in (("valid", valid), ("test", test)) if split not in by_split}
    divided = divide(by_split["train"], valid=shares.get("valid", 0), test=shares.get("test", 0), seed=seed)
    split_of = {name: split for split, names in divided.items() for name in names}
    for picture in identities:
        name = f"{picture.class_folder}/{picture.name}"
        split = split_of[name] if picture.split in (None, "train") else picture.split
        _place(picture.content, target / str(split) / name)


def _identities(pictures: Sequence[SourcePicture], progress: Progress | None) -> dict[SourcePicture, str]:
    """Usable picture -> digest that all its copies share, near-copies included."""
    paths = [picture.content for picture in pictures if isinstance(picture.content, Path)]
    facts = examination.examine_files(paths, progress=progress)
    usable = {path: fact for path, fact in facts.items() if not fact.problem}
    identity = {path: fact.digest for path, fact in usable.items()}
    for alike in near_copies.group({path: fact.thumbnail for path, fact in usable.items()}):
        identity.update(dict.fromkeys(alike, identity[alike[0]]))
    found = {}
    for picture in pictures:
        if not isinstance(picture.content, Path):
            found[picture] = hashlib.sha256(picture.content()).hexdigest()
        elif picture.content in identity:
            found[picture] = identity[picture.content]
    return found


def divide(
    digests: Mapping[str, Mapping[str, str]], *, valid: float, test: float, seed: int
) -> dict[str, tuple[str, ...]]:
    """Assigns pictures to splits. Pure: the same content and seed give the same split, regardless of file names.

    Each class is divided in the given shares, rounded; classes of three or more pictures get at least one in each
    split that has a share. Pictures with copies all go to train, where they do not distort a measurement.

    Args:
        digests: Class folder -> name of a picture in it -> digest that all its copies share.
        valid: Share of the validation split, from 0 to below 1.
        test: Share of the test split, likewise; some share must be left for train.
        seed: Seed of the assignment.

    Returns:
        Split -> names ("<class folder>/<name>"), sorted; only splits with a share.

    Raises:
        ConfigurationError: The shares leave nothing for train.

    >>> divide({"Pug": {"a.jpg": "1", "b.jpg": "2", "c.jpg": "3"}}, valid=0.3, test=0.0, seed=0)
    {'train': ('Pug/b.jpg', 'Pug/c.jpg'), 'valid': ('Pug/a.jpg',)}
    """
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise ConfigurationError(
            f"the shares valid={valid} and test={test} must be 0 or more and leave something for train"
        )
    copies = Counter(digest for names in digests.values() for digest in names.values())
    chosen: dict[str, list[str]] = {"train": []}
    chosen.update({split: [] for split, share in (("valid", valid), ("test", test)) if share})
    for class_folder, names in digests.items():
        unique = [name for name, digest in names.items() if copies[digest] == 1]
        unique.sort(key=lambda name: (_lot(seed, names[name]), name))
        wanted = {"valid": _count(valid, len(names)), "test": _count(test, len(names))}
        for split in ("test", "valid"):
            taken = [unique.pop() for _ in range(min(wanted[split], len(unique)))]
            if taken:
                chosen[split] += [f"{class_folder}/{name}" for name in taken]
        taken_by_name = {name for split in chosen for name in chosen[split]}
        chosen["train"] += [f"{class_folder}/{name}" for name in names if f"{class_folder}/{name}" not in taken_by_name]
    return {split: tuple(sorted(names)) for split, names in chosen.items()}


def _lot(seed: int, digest: str) -> str:
    """A pseudo-random number from the content: adding pictures to a class moves few others."""
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def _count(share: float, total: int) -> int:
    if not share or total < 3:
        return 0
    return max(1, round(share * total))


def _place(content: Path | Callable[[], bytes], path: Path) -> None:
    """Places a picture: as a hard link if the file system supports it, else as a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, Path):
        path.write_bytes(content())
        return
    try:
        os.link(content.resolve(), path)
    except OSError:
        shutil.copy2(content, path)
