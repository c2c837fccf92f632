"""Divides a folder of class folders into train, valid and test: stratified, repeatable, duplicates kept together."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError


def divide(
    digests: Mapping[str, Mapping[str, str]], *, valid: float, test: float, seed: int
) -> dict[str, tuple[str, ...]]:
    """Assigns pictures to splits. Pure: the same content and seed give the same split, whatever files are called.

    Every class is divided in the given shares, rounded; classes of three pictures and more get at least one in each
    split that has a share. Pictures that exist more than once all go to train, where they spoil no measurement.

    Args:
        digests: Class folder -> name of a picture inside it -> digest of its content.
        valid: Share of the validation split, from 0 to below 1.
        test: Share of the test split, likewise; some share must be left for train.
        seed: Another seed gives another split.

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
    """A number drawn by content: adding pictures to a class moves few of the others."""
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()


def _count(share: float, total: int) -> int:
    if not share or total < 3:
        return 0
    return max(1, round(share * total))


def place(source: Path, names: Iterable[str], target: Path) -> None:
    """Puts files below another folder under the same names: hard links where the file system allows, else copies."""
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((source / name).resolve(), path)
        except OSError:
            shutil.copy2(source / name, path)
