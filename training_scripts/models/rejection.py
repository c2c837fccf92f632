"""Recognizes pictures of none of the classes by the distance of their features from every class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

COSINE = "cosine"
CLASS_MEANS = "class_means"

# Chosen from 95, 97, 98, 99 and 99.5%. The total error (dogs rejected plus other pictures accepted) is lowest at 97
# and 98% (2.9 and 3.0%; at least 4.2% at the others), and 98% rejects fewer dogs (benchmarks/not_a_dog.py).
KEPT = 0.98
# The mean of one picture is that picture, which does not show how far other pictures of its class are.
MIN_PICTURES_PER_CLASS = 2

# The cosines of a picture with every class that are computed for the threshold of a fitted rule. Their cost grows with
# pictures x classes; with more than 134 million of them, every second, third, ... picture decides the threshold.
# Of 20,000 classes, 6,700 pictures do; the share that their threshold keeps has a standard error of 0.2 points.
MOST_COSINES = 1 << 27

_FARTHEST = 2.0
# The cosines that are computed at a time (16 MB), and the classes per picture of which they are computed again in
# double precision: in single precision, the nearest class is the first of these but for rounding.
_BLOCK, _NEAREST = 1 << 22, 8


Passes: TypeAlias = "Callable[[], Iterable[tuple[Tensor, Tensor]]]"
"""Begins a pass over pictures: blocks of features [rows, width] and classes [rows]; always in the same order."""


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

    def scores(self, logits: Tensor | None, features: Tensor) -> Tensor:  # noqa: ARG002 - other methods would use the logits
        """How unlike the classes each picture is: float64 [n], on the CPU; higher is less similar.

        Args:
            logits: The model's logits [n, classes]; None where they are not known.
            features: The backbone's features of the same pictures [n, width].
        """
        import torch  # noqa: PLC0415

        means = self.tensors[CLASS_MEANS]
        # Taken at once: small tensors between the large ones of each block would leave holes in the memory.
        likeness = torch.empty(len(features), dtype=torch.float64)
        for start in range(0, len(features), rows := _rows(means)):
            part = slice(start, start + rows)
            likeness[part] = _likeness(_directions(features[part]), means)
        return (1 - likeness).nan_to_num(_FARTHEST)

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
    """`fit_in_blocks` of features [n, width] and their classes [n] that are in memory."""
    return fit_in_blocks(lambda: [(features, targets)], classes=classes, kept=kept)


def fit_in_blocks(passes: Passes, *, classes: int, kept: float = KEPT) -> Rejection | None:
    """Fits the rule that keeps a given share of pictures like these.

    Every picture's score uses its class's mean over the other pictures, as if the picture were new. The threshold is
    the ceil((n + 1) kept)-th smallest score, which keeps at least that share of new pictures on average (Vovk,
    Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, section 2.2). If n is too small for that, the
    threshold is the largest score, and `kept` becomes n / (n + 1).

    Args:
        passes: Features of pictures that the backbone was not trained on, and their classes; two passes are made.
        classes: Number of classes.
        kept: Share to keep, above 0 and below 1.

    Returns:
        The rule; None if a class has fewer than two pictures, or features are not finite.
    """
    import torch  # noqa: PLC0415

    sums, pictures = _sums(passes, classes)
    if sums is None:
        return None
    every = math.ceil(pictures * classes / MOST_COSINES)
    means = torch.cat([_directions(part).float() for part in _parts(sums, _rows(sums))])
    likeness = torch.empty(-(-pictures // every), dtype=torch.float64)
    filled = 0
    for part in _likeness_of_the_others(passes, sums, means, every):
        likeness[filled : filled + len(part)] = part
        filled += len(part)
    scores = (1 - likeness).sort().values
    rank = min(math.ceil((len(scores) + 1) * kept), len(scores))
    return Rejection(
        method=COSINE,
        threshold=float(scores[rank - 1]),
        kept=min(kept, len(scores) / (len(scores) + 1)),
        parameters={"pictures": float(len(scores))},
        tensors={CLASS_MEANS: means},
    )


def _sums(passes: Passes, classes: int) -> tuple[Tensor | None, int]:
    """Each class's sum of features, double [classes, width], and the pictures; None if they do not make a rule."""
    import torch  # noqa: PLC0415

    counts = torch.zeros(classes, dtype=torch.int64)
    sums: Tensor | None = None
    for features, targets in passes():
        if sums is None:
            sums = torch.zeros(classes, features.shape[1], dtype=torch.float64)
        if not bool(features.isfinite().all()):
            return None, 0
        counts += torch.bincount(targets.cpu(), minlength=classes)
        rows = max(1, _BLOCK // features.shape[1])
        for part, labels in zip(_parts(features, rows), _parts(targets, rows), strict=True):
            sums.index_add_(0, labels.cpu(), part.detach().cpu().double())
    return sums if int(counts.min()) >= MIN_PICTURES_PER_CLASS else None, int(counts.sum())


def _likeness_of_the_others(passes: Passes, sums: Tensor, means: Tensor, every: int) -> Iterator[Tensor]:
    """The likeness of every n-th picture to the nearest class, as if none of them were in its own class."""
    seen = 0
    for features, targets in passes():
        chosen, labels = features[-seen % every :: every], targets[-seen % every :: every].cpu()
        seen += len(targets)
        for part, own in zip(_parts(chosen, _rows(means)), _parts(labels, _rows(means)), strict=True):
            directions = _directions(part)
            of_its_class = (directions * _directions(sums[own] - part.detach().cpu().double())).sum(1)
            yield of_its_class.maximum(_likeness(directions, means, without=own))


def _likeness(directions: Tensor, means: Tensor, *, without: Tensor | None = None) -> Tensor:
    """The cosine between each direction [n, width] and the nearest class's mean, double [n].

    Args:
        directions: In double precision, each of length 1.
        means: float32 [classes, width], each of length 1.
        without: A class for each direction that does not count, [n].
    """
    import torch  # noqa: PLC0415

    likeness = directions.float() @ means.T
    if without is not None:
        likeness[torch.arange(len(without)), without] = -math.inf
    nearest = likeness.topk(min(_NEAREST, len(means)), dim=1).indices
    exact = torch.einsum("nw,nkw->nk", directions, means[nearest].double())
    if without is not None:
        exact[nearest == without[:, None]] = -math.inf
    return exact.amax(1)


def _parts(rows: Tensor, most: int) -> Iterator[Tensor]:
    """The same rows in blocks; one empty block if there are none."""
    for start in range(0, max(1, len(rows)), most):
        yield rows[start : start + most]


def _rows(means: Tensor) -> int:
    """The rows of a block, so that neither their cosines nor the means of their nearest classes take much memory."""
    return max(1, _BLOCK // max(len(means), _NEAREST * means.shape[1]))


def _directions(vectors: Tensor) -> Tensor:
    """Vectors [n, width] in double precision on the CPU, each of length 1."""
    from torch.nn import functional  # noqa: PLC0415

    return functional.normalize(vectors.detach().cpu().double(), dim=1)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"rejection: {name} is not a finite number")
    return float(value)
