"""How a model was made and how good it is: the optional part of model.json that model cards are made from.

A bundle works without it. What is missing or malformed, because an older or newer version wrote the bundle, is left
out: a card then says that it was not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

# Pairs of classes that a record lists: what a card shows, and enough to look further.
MAX_CONFUSED = 20
_MAX_TEXT = 1_000
_SPLITS = {"train": 0, "valid": 1, "test": 2}

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class ReliabilityBin:
    """The pictures whose most probable class has a probability within one of the equal bins from 0 to 1.

    Attributes:
        pictures: Their number.
        probability: Their mean probability, 0 to 1; 0 without pictures.
        accuracy: Share of them that are classified correctly; 0 without pictures.
    """

    pictures: int
    probability: float
    accuracy: float


@dataclass(frozen=True)
class EvaluationRecord:
    """The results on the pictures of one split, with which every metric by class can be computed.

    Attributes:
        split: The split's name: test, or valid for a run without test pictures.
        pictures: Number of pictures of each class, in index order.
        predicted: Number of pictures that were classified as each class.
        correct: Number of pictures of each class that were classified correctly.
        confused: (true class, predicted class, number of pictures) of the most confused pairs, most pictures first.
        reliability: The equal bins of the calibrated probabilities, from 0 to 1; in model.json as [number of pictures,
            their mean probability, their accuracy].
    """

    split: str
    pictures: tuple[int, ...]
    predicted: tuple[int, ...]
    correct: tuple[int, ...]
    confused: tuple[tuple[int, int, int], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()

    @property
    def n(self) -> int:
        """Number of pictures."""
        return sum(self.pictures)

    @property
    def accuracy(self) -> float:
        """Share of the pictures that are classified correctly."""
        return sum(self.correct) / self.n

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error, 0 to 1; None if the bins were not recorded."""
        total = sum(each.pictures for each in self.reliability)
        if not total:
            return None
        return sum(abs(each.probability - each.accuracy) * each.pictures for each in self.reliability) / total

    def precision(self, index: int) -> float | None:
        """Of the pictures classified as a class, the share that show it; None if there are none."""
        return self.correct[index] / self.predicted[index] if self.predicted[index] else None

    def recall(self, index: int) -> float | None:
        """Of the pictures that show a class, the share classified as it; None if there are none."""
        return self.correct[index] / self.pictures[index] if self.pictures[index] else None

    def f1(self, index: int) -> float | None:
        """The harmonic mean of precision and recall; None for a class with neither pictures nor predictions."""
        total = self.pictures[index] + self.predicted[index]
        return 2 * self.correct[index] / total if total else None

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have pictures."""
        found = [self.f1(index) or 0.0 for index, pictures in enumerate(self.pictures) if pictures]
        return sum(found) / len(found)

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types."""
        return {
            "split": self.split,
            "pictures": list(self.pictures),
            "predicted": list(self.predicted),
            "correct": list(self.correct),
            "confused": [list(pair) for pair in self.confused],
            "reliability": [[each.pictures, each.probability, each.accuracy] for each in self.reliability],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, classes: int) -> EvaluationRecord:
        """Reads what `to_dict` returned.

        Raises:
            ValueError: It is something else.
        """
        pictures, predicted, correct = (_counts(values[name], classes) for name in ("pictures", "predicted", "correct"))
        possible = all(right <= min(pair) for right, *pair in zip(correct, pictures, predicted, strict=True))
        if not possible or not sum(pictures) or sum(pictures) != sum(predicted):
            raise ValueError("the counts of the classes contradict each other")
        pairs = [_counts(pair, 3) for pair in values["confused"][:MAX_CONFUSED]]
        if any(max(actual, predicted) >= classes for actual, predicted, _ in pairs):
            raise ValueError("a confused class is unknown")
        bins = [
            ReliabilityBin(_count(number), _share(mean), _share(right)) for number, mean, right in values["reliability"]
        ]
        return cls(
            _text(values["split"]),
            pictures,
            predicted,
            correct,
            tuple((actual, predicted, number) for actual, predicted, number in pairs),
            tuple(bins),
        )


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the weights that training began with come from.

    Attributes:
        source: Who published them and under which name, or the file that they are from.
        license: Their license and terms, as published; empty if unknown.
        base_model: Their id on the Hugging Face hub; empty if they have none.
    """

    source: str
    license: str = ""
    base_model: str = ""

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types."""
        return {"source": self.source, "license": self.license, "base_model": self.base_model}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WeightsOrigin:
        """Reads what `to_dict` returned.

        Raises:
            ValueError: It is something else.
        """
        return cls(_text(values["source"]), _text(values["license"]), _text(values["base_model"]))


@dataclass(frozen=True)
class ModelRecord:
    """How a model was made and how good it is. Everything is optional.

    Attributes:
        pictures: Split to the number of pictures of each class, in index order.
        weights: Where the backbone's weights come from.
        weights_sha256: Digest of the backbone's weights as training began with them; empty if unknown.
        versions: Name of a package, or of Python, to the version that trained the model.
        evaluation: The results on the test split, or on the valid split for a run without test pictures.
    """

    pictures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weights: WeightsOrigin | None = None
    weights_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    evaluation: EvaluationRecord | None = None

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types."""
        return {
            "pictures": {split: list(counts) for split, counts in self.pictures.items()},
            "weights": self.weights.to_dict() if self.weights else None,
            "weights_sha256": self.weights_sha256,
            "versions": dict(self.versions),
            "evaluation": self.evaluation.to_dict() if self.evaluation else None,
        }

    @classmethod
    def from_dict(cls, values: object, *, classes: int) -> ModelRecord:
        """Reads what `to_dict` returned; each part that is something else is left out.

        Args:
            values: The untrusted values.
            classes: Number of the model's classes.
        """
        known: Mapping[str, Any] = values if isinstance(values, dict) else {}
        pictures = _or_none(lambda: {split: _counts(known["pictures"][split], classes) for split in _in_order(known)})
        versions = _or_none(lambda: {_text(name): _text(version) for name, version in known["versions"].items()})
        return cls(
            pictures=pictures or {},
            weights=_or_none(lambda: WeightsOrigin.from_dict(known["weights"])),
            weights_sha256=_or_none(lambda: _text(known["weights_sha256"])) or "",
            versions=versions or {},
            evaluation=_or_none(lambda: EvaluationRecord.from_dict(known["evaluation"], classes=classes)),
        )


def _or_none(read: Callable[[], _Part]) -> _Part | None:
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _in_order(values: Mapping[str, Any]) -> list[str]:
    """The splits of a record, which JSON keeps by name, as people list them."""
    return sorted(map(_text, values["pictures"]), key=lambda split: (_SPLITS.get(split, len(_SPLITS)), split))


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError("not a text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("not a count")
    return value


def _counts(values: Sequence[object], length: int) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != length:
        raise ValueError(f"not {length} counts")
    return tuple(_count(value) for value in values)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:  # nan is not either
        raise ValueError("not a share")
    return float(value)
