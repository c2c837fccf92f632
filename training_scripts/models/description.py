"""The description of a bundle, model.json: written, read, and checked, because bundles are untrusted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training_scripts import ScriptError
from training_scripts._util.number_text import number_text
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models import test_time
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.heads import HeadSpec
from training_scripts.models.record import ModelRecord
from training_scripts.models.rejection import Rejection
from training_scripts.models.test_time import TestTimeAugmentation

FORMAT = "dogbreed-bundle"
FORMAT_VERSION = 1
MAX_CLASSES = 100_000
# Fitted temperatures are from 0.05 to 20; logits divided by 1e-320 are infinite.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e3
# Outside these bounds, the mean or deviation of colors from 0 to 1 gives inputs that no network was trained on.
MAX_MEAN, MIN_STD, MAX_STD = 1e3, 1e-4, 1e3
MAX_SIDE = 2048


class BundleError(ScriptError):
    """A bundle cannot be written, or a file or folder cannot be used as a bundle."""


@dataclass(frozen=True)
class BundleDescription:
    """The content of model.json.

    Attributes:
        model_id: SHA-256 of model.pth, 64 hexadecimal digits.
        backbone: Name of the backbone.
        head: Layers of the head.
        classes: Class folders in index order.
        preprocessing: The input that the backbone expects.
        temperature: Divisor of the logits that calibrates the probabilities.
        metrics: Name to value, for the weights that were kept.
        fingerprint: SHA-256 of the data set that it was trained on.
        hyperparameters: The hyperparameters of the run, in string form.
        rejection: Rule that recognizes pictures of none of the classes; None if the bundle has no such rule.
        tta: The test-time augmentation that metrics, temperature and rejection rule were measured with, and that
            serving applies.
        engine: What computed the features that the head was trained on; None if it was not recorded.
        record: How the model was made and how good it is, for model cards; None if it was not recorded.
    """

    model_id: str
    backbone: str
    head: HeadSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float
    metrics: Mapping[str, float]
    fingerprint: str
    hyperparameters: Mapping[str, str]
    rejection: Rejection | None = None
    tta: TestTimeAugmentation = test_time.NONE
    engine: EngineChoice | None = None
    record: ModelRecord | None = None

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types."""
        optional: dict[str, object] = {"rejection": self.rejection.to_dict()} if self.rejection else {}
        if self.tta != test_time.NONE:
            optional["tta"] = self.tta
        if self.record:
            optional["record"] = self.record.to_dict()
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "model_id": self.model_id,
            "backbone": {"name": self.backbone},
            "head": self.head.to_dict(),
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.to_dict(),
            "temperature": self.temperature,
            "metrics": {name: value for name, value in self.metrics.items() if math.isfinite(value)},
            "training": {
                "fingerprint": self.fingerprint,
                "hyperparameters": dict(self.hyperparameters),
                **({"features": self.engine.to_dict()} if self.engine else {}),
            },
            **optional,
        }

    @classmethod
    def from_json(cls, values: Any) -> BundleDescription:
        """Checks the content of a model.json and reads it.

        Args:
            values: The untrusted result of json.loads.

        Raises:
            ValueError: A value is missing, of the wrong type or out of bounds.
        """
        try:
            return _checked(values)
        except KeyError as error:
            raise ValueError(f"{error} is missing") from error
        except (TypeError, AttributeError, OverflowError) as error:
            raise ValueError(str(error)) from error


def _checked(values: Any) -> BundleDescription:
    _require(isinstance(values, dict) and values.get("format") == FORMAT, f"it is not a {FORMAT}")
    version = values["format_version"]
    _require(version == FORMAT_VERSION, f"it has format version {version!r}, this code reads {FORMAT_VERSION}")
    model_id, backbone = values["model_id"], values["backbone"]["name"]
    _require(isinstance(model_id, str) and re.fullmatch("[0-9a-f]{64}", model_id), "model_id is not a SHA-256")
    _require(isinstance(backbone, str), "the backbone's name is not a text")
    classes = values["classes"]
    _require(
        isinstance(classes, list) and 0 < len(classes) <= MAX_CLASSES and all(_is_name(name) for name in classes),
        f"classes must be a list of 1 to {MAX_CLASSES} names",
    )
    _require(len(set(classes)) == len(classes), "a class is listed twice")
    temperature = _finite(values["temperature"], "temperature")
    _require(
        MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE,
        f"temperature must be from {MIN_TEMPERATURE} to {number_text(MAX_TEMPERATURE)}, not {number_text(temperature)}",
    )
    training = values["training"]
    return BundleDescription(
        model_id=model_id,
        backbone=backbone,
        head=HeadSpec.from_dict(values["head"]),
        classes=tuple(classes),
        preprocessing=_preprocessing(values["preprocessing"]),
        temperature=temperature,
        metrics={str(name): _finite(value, str(name)) for name, value in values["metrics"].items()},
        fingerprint=str(training["fingerprint"]),
        hyperparameters={str(name): str(value) for name, value in training["hyperparameters"].items()},
        rejection=Rejection.from_dict(values["rejection"]) if "rejection" in values else None,
        tta=test_time.checked(values.get("tta", test_time.NONE)),
        engine=EngineChoice.from_dict(training.get("features")),
        record=ModelRecord.from_dict(values["record"], classes=len(classes)) if "record" in values else None,
    )


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _finite(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name} is not a finite number")
    return float(value)


def _preprocessing(values: Mapping[str, object]) -> Preprocessing:
    """Reads the preprocessing within bounds that keep a forged description from filling the memory."""
    preprocessing = Preprocessing.from_dict(values)
    sizes = (preprocessing.resize, preprocessing.crop)
    _require(
        all(type(size) is int and 1 <= size <= MAX_SIDE for size in sizes), f"preprocessing: sizes from 1 to {MAX_SIDE}"
    )
    numbers = [_finite(value, "preprocessing") for value in (*preprocessing.mean, *preprocessing.std)]
    _require(len(numbers) == 6, "preprocessing: mean and std of 3 channels")
    _require(
        all(abs(value) <= MAX_MEAN for value in numbers[:3]), f"preprocessing: means up to {number_text(MAX_MEAN)}"
    )
    _require(
        all(MIN_STD <= value <= MAX_STD for value in numbers[3:]),
        f"preprocessing: std from {number_text(MIN_STD)} to {number_text(MAX_STD)}",
    )
    _require(preprocessing.interpolation in {"bilinear", "bicubic"}, "preprocessing: unknown interpolation")
    return preprocessing
