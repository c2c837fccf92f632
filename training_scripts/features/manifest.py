"""The manifest of a features store: which files it has, and everything that decides the features in them."""

# ruff: noqa: PLC0415 - NumPy loads only when features are made

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts._util import hashing
from training_scripts._util.atomic import write_atomically
from training_scripts.data.image_folder import DataSet, Sample
from training_scripts.data.preprocessing import View, format_views
from training_scripts.features import names as feature_names
from training_scripts.features.files import BACKBONE_FILE, MANIFEST, labels_file, names_file
from training_scripts.features.parts import Record
from training_scripts.features.portions import shard_size, views_of_splits
from training_scripts.models import state_dicts, test_time
from training_scripts.models.engines.engine import Precision
from training_scripts.models.spec import BackboneSpec
from training_scripts.models.test_time import TestTimeAugmentation

if TYPE_CHECKING:
    import torch

FORMAT = 2
# Pictures per shard of a small data set.
CHUNK = 128

# The values of what the keys of earlier stores lack.
EARLIER_KEY = {"dtype": "float32", "precision": "fp32"}
# The entries of a key that describe the form in which features are stored; they do not decide the features.
_FORM = ("format", "chunk", "shards")


def key_of(
    dataset: DataSet,
    fingerprint: str,
    made: BackboneSpec,
    state: Mapping[str, torch.Tensor],
    *,
    views: Sequence[View],
    tta: TestTimeAugmentation,
    dtype: str,
    precision: Precision,
) -> dict[str, Any]:
    """Everything that decides the features, and the form in which they are stored, as JSON types.

    Args:
        dataset: The pictures.
        fingerprint: Their fingerprint.
        made: The backbone.
        state: Its weights.
        views: Views of a train picture.
        tta: The test-time augmentation, whose views the other splits have.
        dtype: The type in which the features are stored: "float32" or "float16".
        precision: Whether they may be rounded to bfloat16.
    """
    return {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "classes": list(dataset.classes),
        "backbone": made.name,
        "weights": state_dicts.digest(state),
        "width": made.feature_width,
        "preprocessing": made.preprocessing.to_dict(),
        "views": format_views(views),
        # Absent without one: such a run can use the features of any.
        **({"tta": tta} if tta != test_time.NONE else {}),
        "dtype": dtype,
        "chunk": CHUNK,
        "shards": shard_sizes(dataset, views_of_splits(dataset, views, tta), width=made.feature_width, dtype=dtype),
        "precision": precision,
    }


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What decides the features and differs between two keys."""
    complete = {**EARLIER_KEY, **there}
    return [name for name in wanted if name not in _FORM and complete.get(name) != wanted[name]]


def shard_sizes(dataset: DataSet, views: Mapping[str, tuple[View, ...]], *, width: int, dtype: str) -> dict[str, int]:
    """Pictures per shard of each split, which do not depend on who computes them.

    Args:
        dataset: The pictures.
        views: The views of a picture, by split.
        width: The width of the features.
        dtype: The type in which they are stored: "float32" or "float16".
    """
    number = {"float32": 4, "float16": 2}[dtype]
    return {
        split: shard_size(len(samples), len(views[split]) * width * number, least=CHUNK)
        for split, samples in dataset.splits.items()
    }


def finish(
    folder: Path,
    key: Mapping[str, Any],
    skipped: list[dict[str, str]],
    *,
    weights: str,
    shards: Mapping[str, Mapping[str, Record]],
    kept: Mapping[str, Sequence[Sample]],
) -> None:
    """Completes a store whose shards and backbone are written.

    Args:
        folder: Its folder.
        key: Everything that decides the features.
        skipped: The pictures that could not be read.
        weights: Name of the weights.
        shards: The record of each file, by split.
        kept: The pictures of each split that have features, in their order.
    """
    import numpy as np

    others = [BACKBONE_FILE]
    for split, samples in kept.items():
        labels = np.fromiter((sample.class_index for sample in samples), np.int64, len(samples))
        feature_names.write_array(folder / labels_file(split), labels)
        feature_names.write(folder / names_file(split), (sample.name for sample in samples))
        others += [labels_file(split), names_file(split), feature_names.ends_path(Path(names_file(split))).name]
    of_shards = {name: record for files in shards.values() for name, record in files.items()}
    manifest = {
        "key": key,
        "sizes": {split: len(samples) for split, samples in kept.items()},
        "skipped": skipped,
        "weights": weights,
        "shards": {split: {name: record.rows for name, record in files.items()} for split, files in shards.items()},
        "files": {name: record.size for name, record in of_shards.items()}
        | {name: (folder / name).stat().st_size for name in others},
        "sha256": {name: record.sha256 for name, record in of_shards.items()}
        | {name: hashing.sha256_of(folder / name) for name in others},
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
