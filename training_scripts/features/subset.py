"""Stores the features of some of the pictures of a store: a data set whose ignore list grows needs no new pass."""

# ruff: noqa: PLC0415 - NumPy loads only when features are copied

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util.atomic import building
from training_scripts.data.image_folder import DataSet, Sample
from training_scripts.features import parts
from training_scripts.features.files import BACKBONE_FILE, COST_FILE, shard_file
from training_scripts.features.manifest import FORMAT, finish, shard_sizes
from training_scripts.features.parts import Record
from training_scripts.features.portions import views_of_splits
from training_scripts.features.store import FeatureStore

if TYPE_CHECKING:
    import numpy as np

    from training_scripts.features.rows import FeatureRows


def store_subset(whole: FeatureStore, dataset: DataSet, folder: Path, *, fingerprint: str) -> bool:
    """Writes what a pass over a data set would write, from the features of a data set that has all its pictures.

    Args:
        whole: The features of all pictures.
        dataset: Some of the pictures.
        folder: Where the new store is written; must not exist.
        fingerprint: The fingerprint of `dataset`.

    Returns:
        Whether it was written; False if `whole` lacks a picture.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    listed = {(split, sample.name) for split, samples in dataset.splits.items() for sample in samples}
    skipped = [one for one in whole.skipped if (one["split"], one["name"]) in listed]
    lost = {(one["split"], one["name"]) for one in skipped}
    kept = {
        split: [sample for sample in samples if (split, sample.name) not in lost]
        for split, samples in dataset.splits.items()
    }
    rows: dict[str, np.ndarray] = {}
    for split, samples in kept.items():
        found = _rows(whole.split(split).names, samples) if whole.has(split) else None
        if found is None:
            return False
        rows[split] = found
    views = views_of_splits(dataset, whole.views, whole.tta)
    sizes = shard_sizes(dataset, views, width=whole.width, dtype=whole.dtype)
    with building(folder) as aside:
        shards: dict[str, dict[str, Record]] = {}
        for split, listing in dataset.splits.items():
            features, taken = whole.split(split).features, 0
            shards[split] = {}
            for number, start in enumerate(range(0, len(listing), sizes[split])):
                part = listing[start : start + sizes[split]]
                count = sum((split, sample.name) not in lost for sample in part) if lost else len(part)
                path = aside / shard_file(split, number)
                shards[split][path.name] = _copy_rows(features, rows[split][taken : taken + count], path, whole.dtype)
                taken += count
        for name in (BACKBONE_FILE, COST_FILE):
            if (whole.folder / name).is_file():
                shutil.copyfile(whole.folder / name, aside / name)
        key = {
            **whole.key,
            "format": FORMAT,
            "fingerprint": fingerprint,
            "classes": list(dataset.classes),
            "dtype": whole.dtype,
            "shards": sizes,
        }
        finish(aside, key, skipped, weights=whole.weights, shards=shards, kept=kept)
    return True


def _rows(names: Sequence[str], samples: Sequence[Sample]) -> np.ndarray | None:
    """The row of each picture; None if one is missing. Both are in the order of a listing."""
    import numpy as np

    there = enumerate(names)
    rows = np.fromiter((_next_row(there, sample.name) for sample in samples), np.int64, len(samples))
    return None if (rows < 0).any() else rows


def _next_row(there: Iterator[tuple[int, str]], name: str) -> int:
    return next((row for row, each in there if each == name), -1)


def _copy_rows(features: FeatureRows, rows: np.ndarray, path: Path, dtype: str) -> Record:
    written = parts.write_features(path, parts.converted(features[rows], dtype))
    return Record(len(rows), path.stat().st_size, written)
