"""Bundles of which only the description exists: all that a model card reads."""

from __future__ import annotations

import json
from pathlib import Path

from tests.endpoints.folder_classifier import CLASSES
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models.description import BundleDescription
from training_scripts.models.heads import HeadSpec
from training_scripts.models.record import EvaluationRecord, ModelRecord, ReliabilityBin, WeightsOrigin

# Two of the three classes are confused once; the third has no pictures.
RECORD = ModelRecord(
    pictures={"train": (8, 8, 7), "valid": (4, 4, 4), "test": (4, 2, 0)},
    weights=WeightsOrigin("https://example.org/weights", "apache-2.0", "timm/some.net"),
    weights_sha256="e" * 64,
    versions={"Python": "3.11.7", "torch": "2.15.0"},
    evaluation=EvaluationRecord(
        "test",
        pictures=(4, 2, 0),
        predicted=(3, 3, 0),
        correct=(3, 2, 0),
        confused=((0, 1, 1),),
        reliability=(ReliabilityBin(2, 0.25, 0.5), ReliabilityBin(4, 0.75, 1.0)),
    ),
)


def description(*, classes: tuple[str, ...] = CLASSES, record: ModelRecord | None = RECORD) -> BundleDescription:
    return BundleDescription(
        model_id="a" * 64,
        backbone="efficientnet_lite0",
        head=HeadSpec((), 0.0),
        classes=classes,
        preprocessing=Preprocessing(256, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic"),
        temperature=1.25,
        metrics={"test:accuracy": 5 / 6, "test:kept": 0.97},
        fingerprint="f" * 64,
        hyperparameters={"lr": "0.001", "weights": "pretrained"},
        record=record,
    )


def write(folder: Path, described: BundleDescription) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(described.to_dict()))
    return folder
