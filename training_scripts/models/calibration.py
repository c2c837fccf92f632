"""Calibration: the temperature of a network's logits, and the calibration error of its probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# A network that needs a temperature outside these bounds is broken; fitting one would hide that.
MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
ECE_BINS = 15  # as in Guo et al. 2017


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The T that minimizes the mean negative log-likelihood of softmax(logits / T).

    The loss is convex in 1/T, and its derivative is the mean of (expected logit - logit of the true class). Bisection
    finds the root of the derivative without a step size. Source: Guo et al., "On Calibration of Modern Neural
    Networks", 2017, section 4.2.

    Args:
        logits: Scores of held-out pictures, [n, classes].
        targets: Their classes, [n].

    Returns:
        T, between 0.05 and 20; 1.0 if there are no pictures or a logit is not finite.
    """
    if not len(logits) or not bool(logits.isfinite().all()):
        return 1.0
    scores = logits.double()
    truth = scores.gather(1, targets[:, None]).mean()
    low, high = math.log(1 / MAX_TEMPERATURE), math.log(1 / MIN_TEMPERATURE)
    for _ in range(50):
        middle = (low + high) / 2
        expected = ((scores * math.exp(middle)).softmax(1) * scores).sum(1).mean()
        low, high = (low, middle) if expected > truth else (middle, high)
    return math.exp(-(low + high) / 2)


def expected_calibration_error(logits: Tensor, targets: Tensor, *, temperature: float = 1.0) -> float:
    """Mean gap between confidence and accuracy, over 15 bins of confidence weighted by their pictures.

    Args:
        logits: Scores, [n, classes], n at least 1.
        targets: True classes, [n].
        temperature: Divisor of the logits.

    Returns:
        The error, from 0 (perfectly calibrated) to 1.
    """
    import torch  # noqa: PLC0415

    confidence, predicted = (logits.double() / temperature).softmax(1).max(1)
    correct = (predicted == targets).double()
    bins = (confidence * ECE_BINS).long().clamp(0, ECE_BINS - 1)
    gaps = torch.zeros(ECE_BINS, dtype=torch.float64, device=bins.device)
    gaps.index_add_(0, bins, correct - confidence)
    return float(gaps.abs().sum() / len(targets))
