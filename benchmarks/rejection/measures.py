"""How well a score recognizes pictures of none of the classes: AUROC, shares at a threshold, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As `0.987 [0.981, 0.992]`."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(inside: Tensor, outside: Tensor) -> float:
    """The chance that a picture of none of the classes has a higher score than one of them; a tie counts half.

    Args:
        inside: Scores of pictures that show one of the classes, [n].
        outside: Scores of pictures that show none, [m].
    """
    return float(_wins(inside, outside).mean())


def auroc_estimate(inside: Tensor, outside: Tensor, origins: Sequence[str], *, seed: int = 0) -> Estimate:
    """AUROC with the percentile interval of a bootstrap over dogs and over photographs (not over their crops)."""
    generator = torch.Generator().manual_seed(seed)
    wins = _wins(inside, outside)
    of_inside = drawn([str(row) for row in range(len(inside))], generator)
    of_outside = drawn(origins, generator)
    resampled = ((of_outside @ wins) * of_inside).sum(1) / (of_outside.sum(1) * of_inside.sum(1))
    return _estimate(float(wins.mean()), resampled)


def share_estimate(holds: Tensor, origins: Sequence[str], *, seed: int = 0) -> Estimate:
    """The share of pictures for which something holds, with the interval of a bootstrap over photographs."""
    weights = drawn(origins, torch.Generator().manual_seed(seed))
    return _estimate(float(holds.double().mean()), (weights @ holds.double()) / weights.sum(1))


def passed_at(inside: Tensor, outside: Tensor, *, kept: float) -> float:
    """Share of `outside` that passes where the threshold keeps this share of `inside` ("FPR at 95%")."""
    return float((outside <= inside.double().quantile(kept)).double().mean())


def drawn(origins: Sequence[str], generator: torch.Generator) -> Tensor:
    """How often each picture is drawn, [RESAMPLES, n]: photographs are, and their crops come with them."""
    names = {name: number for number, name in enumerate(dict.fromkeys(origins))}
    of_picture = torch.tensor([names[name] for name in origins])
    choices = torch.randint(len(names), (RESAMPLES, len(names)), generator=generator)
    times = torch.zeros(RESAMPLES, len(names), dtype=torch.float64)
    times.scatter_add_(1, choices, torch.ones(choices.shape, dtype=torch.float64))
    return times[:, of_picture]


def _wins(inside: Tensor, outside: Tensor) -> Tensor:
    """[m, n]: 1 where the outside picture's score is higher, a half where they are equal."""
    higher = outside.double()[:, None] - inside.double()[None]
    return (higher.sign() + 1) / 2


def _estimate(value: float, resampled: Tensor) -> Estimate:
    low, high = resampled.quantile(torch.tensor([0.025, 0.975], dtype=resampled.dtype)).tolist()
    return Estimate(value, low, high)
