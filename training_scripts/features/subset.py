"""Stores the features of some of the pictures of a store: a data set whose ignore list grows needs no new pass."""

# ruff: noqa: PLC0415 - NumPy loads only when features are copied

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util.atomic import building, replacing, write_atomically
from training_scripts.data.image_folder import DataSet
from training_scripts.features.store import BACKBONE_FILE, COST_FILE, MANIFEST, PICTURES_FILE, FeatureStore

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 1024


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
    skipped = [one for one in whole.skipped if _has(dataset, one)]
    lost = {(one["split"], one["name"]) for one in skipped}
    kept = {
        split: [sample for sample in samples if (split, sample.name) not in lost]
        for split, samples in dataset.splits.items()
    }
    rows: dict[str, list[int]] = {}
    for split, samples in kept.items():
        place = {name: row for row, name in enumerate(whole.split(split).names)} if whole.has(split) else {}
        if any(sample.name not in place for sample in samples):
            return False
        rows[split] = [place[sample.name] for sample in samples]
    with building(folder) as aside:
        for split, chosen in rows.items():
            _copy_rows(whole.split(split).features, chosen, aside / f"{split}.npy")
        listing = {
            split: {
                "names": [sample.name for sample in samples],
                "labels": [sample.class_index for sample in samples],
            }
            for split, samples in kept.items()
        }
        write_atomically(aside / PICTURES_FILE, json.dumps(listing).encode())
        for name in (BACKBONE_FILE, COST_FILE):
            if (whole.folder / name).is_file():
                shutil.copyfile(whole.folder / name, aside / name)
        files = [*(f"{split}.npy" for split in rows), PICTURES_FILE, BACKBONE_FILE]
        manifest = {
            "key": {**whole.key, "fingerprint": fingerprint, "classes": list(dataset.classes)},
            "sizes": {split: len(chosen) for split, chosen in rows.items()},
            "skipped": skipped,
            "weights": whole.weights,
            "files": {name: (aside / name).stat().st_size for name in files},
        }
        write_atomically(aside / MANIFEST, json.dumps(manifest, indent=1).encode())
    return True


def _has(dataset: DataSet, picture: dict[str, str]) -> bool:
    return any(sample.name == picture["name"] for sample in dataset.splits.get(picture["split"], ()))


def _copy_rows(features: np.ndarray, rows: Sequence[int], path: Path) -> None:
    import numpy as np

    # Written sequentially: on a full disk, a memory map would end the process with SIGBUS.
    with replacing(path) as file:
        shape = (len(rows), *features.shape[1:])
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for start in range(0, len(rows), _BLOCK):
            file.write(np.ascontiguousarray(features[rows[start : start + _BLOCK]], "<f4").tobytes())
