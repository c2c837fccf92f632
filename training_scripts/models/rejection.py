"""Recognizes pictures of none of the classes by the distance of their features from every class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

COSINE = "cosine"
CLASS_MEANS = "class_means"

# Chosen from 95, 97, 98, 99 and 99.5 %. The total error (dogs rejected plus other pictures accepted) is lowest at 97
# and 98 % (2.9 and 3.0 %; at least 4.2 % at the others), and 98 % rejects fewer dogs (benchmarks/not_a_dog.py).
KEPT = 0.98
# The mean of one picture is that picture, which does not show how far other pictures of its class are.
MIN_PICTURES_PER_CLASS = 2

_FARTHEST = 2.0


@dataclass(frozen=True)
class Rejection:
    """A fitted rule: a picture whose score is above the threshold shows none of the classes.

    Attributes:
        method: What the score is: "cosine", 1 minus the cosine of the angle between a picture's features and the
            nearest class's mean; from 0 (the same direction) to 2.
        threshold: Scores above it are rejected.
        kept: Share of pictures of the classes that are expected to stay at or below it.
        parameters: pictures: the number of pictures that it was fitted on.
        tensors: class_means [classes, width], each of length 1, on the CPU; empty until the weights are read.
    """

    method: str
    threshold: float
    kept: float
    parameters: Mapping[str, float] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    def scores(self, logits: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002 - other methods would use the logits
        """How unlike the classes each picture is: float64 [n], on the CPU; higher is less similar.

        Args:
            logits: The model's logits [n, classes].
            features: The backbone's features of the same pictures [n, width].
        """
        likeness = _directions(features) @ self.tensors[CLASS_MEANS].double().T
        return (1 - likeness.amax(1)).nan_to_num(_FARTHEST)

    def to_dict(self) -> dict[str, object]:
        """The entry of model.json, which `from_dict` reads back. The tensors are stored with the weights."""
        return {
            "method": self.method,
            "threshold": self.threshold,
            "kept": self.kept,
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rejection:
        """Reads what `to_dict` returned.

        Raises:
            ValueError: The method is unknown, or a number is invalid or out of bounds.
        """
        method, parameters = values["method"], values["parameters"]
        if method != COSINE:
            raise ValueError(f"rejection: unknown method {str(method)[:40]!r}; this version supports {COSINE}")
        if not isinstance(parameters, dict):
            raise ValueError("rejection: its parameters are not a JSON object")
        threshold, kept = _number(values["threshold"], "threshold"), _number(values["kept"], "kept")
        if not 0 < kept <= 1:
            raise ValueError("rejection: kept must be above 0 and at most 1")
        return cls(method, threshold, kept, {str(name): _number(value, name) for name, value in parameters.items()})

    def with_tensors(self, tensors: Mapping[str, Tensor], *, classes: int, width: int) -> Rejection:
        """Adds the tensors of a bundle to the rule, and checks that they fit.

        Raises:
            ValueError: One is missing, or has the wrong type, shape or content.
        """
        import torch  # noqa: PLC0415

        means = tensors.get(CLASS_MEANS)
        # The shape is checked first, because a forged one may exceed the memory.
        if means is None or tuple(means.shape) != (classes, width) or means.dtype != torch.float32:
            raise ValueError(f"rejection: {CLASS_MEANS} must be float32 [{classes}, {width}]")
        if not bool(means.isfinite().all()):
            raise ValueError(f"rejection: {CLASS_MEANS} contains numbers that are not finite")
        return replace(self, tensors={CLASS_MEANS: means})


def fit(features: Tensor, targets: Tensor, *, classes: int, kept: float = KEPT) -> Rejection | None:
    """Fits the rule that keeps a given share of pictures like these.

    Every picture's score uses its class's mean over the other pictures, as if the picture were new. The threshold is
    the ceil((n + 1) kept)-th smallest score, which keeps at least that share of new pictures on average (Vovk,
    Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 2.2). If n is too small for that, the
    threshold is the largest score, and `kept` becomes n / (n + 1).

    Args:
        features: Features of pictures that the backbone was not trained on, [n, width].
        targets: Their classes, [n].
        classes: Number of classes.
        kept: Share to keep, above 0 and below 1.

    Returns:
        The rule; None if a class has fewer than two pictures, or features are not finite.
    """
    import torch  # noqa: PLC0415

    counts = torch.bincount(targets, minlength=classes)
    if int(counts.min()) < MIN_PICTURES_PER_CLASS or not bool(features.isfinite().all()):
        return None
    pictures = features.double()
    sums = torch.zeros(classes, pictures.shape[1], dtype=torch.float64).index_add_(0, targets, pictures)
    means = _directions(sums)
    likeness = _directions(pictures) @ means.T
    of_the_others = (_directions(pictures) * _directions(sums[targets] - pictures)).sum(1)
    likeness[torch.arange(len(targets)), targets] = of_the_others
    scores = (1 - likeness.amax(1)).sort().values
    rank = min(math.ceil((len(scores) + 1) * kept), len(scores))
    return Rejection(
        method=COSINE,
        threshold=float(scores[rank - 1]),
        kept=min(kept, len(scores) / (len(scores) + 1)),
        parameters={"pictures": float(len(scores))},
        tensors={CLASS_MEANS: means.float()},
    )


def _directions(vectors: Tensor) -> Tensor:
    """Vectors [n, width] in double precision on the CPU, each of length 1."""
    from torch.nn import functional  # noqa: PLC0415

    return functional.normalize(vectors.detach().cpu().double(), dim=1)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"rejection: {name} is not a finite number")
    return float(value)
