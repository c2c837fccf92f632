"""The scores that were compared for rejection: each a function of logits and features, higher for what is less alike.

Sources: max softmax, Hendrycks and Gimpel 2017; energy, Liu et al. 2020; Mahalanobis, Lee et al. 2018; relative
Mahalanobis, Ren et al. 2021; nearest neighbors, Sun et al. 2022; ViM, Wang et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training_scripts.models.calibration import fit_temperature
from training_scripts.models.rejection import Rejection

Score = Callable[[Tensor, Tensor], Tensor]
SHIPPED = "cosine to class means"
BASELINE = "max softmax"
SHRINKAGE = 0.1
NEIGHBORS = 10
PRINCIPAL = 256


@dataclass(frozen=True)
class Known:
    """What scores may be fitted on.

    Attributes:
        features: Of the train split in the plain view, [n, width].
        targets: Their class indices, [n].
        valid_logits: Of the valid split.
        valid_targets: Its class indices.
        head: The trained head, linear.
    """

    features: Tensor
    targets: Tensor
    valid_logits: Tensor
    valid_targets: Tensor
    head: nn.Linear


def candidates(known: Known, shipped: Rejection) -> dict[str, Score]:
    """Every score by its name, the shipped one first."""
    features = known.features.double()
    classes = known.valid_logits.shape[1]
    means = torch.stack([features[known.targets == index].mean(0) for index in range(classes)])
    near, relative = _mahalanobis(features, known.targets, means)
    directions = functional.normalize(means, dim=1)
    rows = functional.normalize(features, dim=1)
    return {
        SHIPPED: shipped.scores,
        "cosine to train means": lambda _, seen: 1 - (_unit(seen) @ directions.T).amax(1),
        "Euclidean to class means": lambda _, seen: torch.cdist(seen.double(), means).amin(1),
        "Mahalanobis": lambda _, seen: near(seen),
        "relative Mahalanobis": lambda _, seen: relative(seen),
        "10th nearest neighbor": lambda _, seen: 1 - (_unit(seen) @ rows.T).topk(NEIGHBORS, dim=1).values[:, -1],
        "ViM": _vim(known),
        **_of_logits(fit_temperature(known.valid_logits, known.valid_targets)),
    }


def _of_logits(temperature: float) -> dict[str, Score]:
    def entropy(logits: Tensor, _: Tensor) -> Tensor:
        scaled = logits.double() / temperature
        return -(scaled.softmax(1) * scaled.log_softmax(1)).sum(1)

    return {
        BASELINE: lambda logits, _: 1 - logits.double().softmax(1).amax(1),
        "max softmax (calibrated)": lambda logits, _: 1 - (logits.double() / temperature).softmax(1).amax(1),
        "entropy (calibrated)": entropy,
        "max logit": lambda logits, _: -logits.double().amax(1),
        "energy": lambda logits, _: -logits.double().logsumexp(1),
        "energy (calibrated)": lambda logits, _: -temperature * (logits.double() / temperature).logsumexp(1),
    }


def _mahalanobis(
    features: Tensor, labels: Tensor, means: Tensor
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Squared distance to the nearest class by the covariance within classes; and less that of all classes as one."""
    center = features.mean(0)
    within = _inverse_covariance(features - means[labels])
    overall = _inverse_covariance(features - center)

    def near(seen: Tensor) -> Tensor:
        rows = seen.double()
        own = ((rows @ within) * rows).sum(1)[:, None] + ((means @ within) * means).sum(1)
        return (own - 2 * rows @ within @ means.T).amin(1)

    def relative(seen: Tensor) -> Tensor:
        rows = seen.double() - center
        return near(seen) - ((rows @ overall) * rows).sum(1)

    return near, relative


def _inverse_covariance(centered: Tensor) -> Tensor:
    """Shrunk toward a multiple of the identity: there are few more pictures than dimensions."""
    covariance = centered.T @ centered / len(centered)
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    return torch.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.diagonal().mean() * identity)


def _vim(known: Known) -> Score:
    """Length of the features outside their principal directions, scaled to logits, less the energy."""
    weight, bias = known.head.weight.detach().double(), known.head.bias.detach().double()
    origin = -torch.linalg.pinv(weight) @ bias
    centered = known.features.double() - origin
    outside = torch.linalg.eigh(centered.T @ centered).eigenvectors[:, :-PRINCIPAL]
    logits = known.features.double() @ weight.T + bias
    scale = logits.amax(1).mean() / (centered @ outside).norm(dim=1).mean()

    def score(logits: Tensor, seen: Tensor) -> Tensor:
        return scale * ((seen.double() - origin) @ outside).norm(dim=1) - logits.double().logsumexp(1)

    return score


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors.double(), dim=1)
