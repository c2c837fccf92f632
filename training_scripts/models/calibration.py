"""Calibration: the temperature of a network's logits, and the calibration error of its probabilities.

With many classes, the logits of a split do not fit into memory. So the functions take them in blocks of rows, as often
as they need them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Passes: TypeAlias = "Callable[[], Iterable[tuple[Tensor, Tensor]]]"
"""Begins a pass over pictures: blocks of logits or features [rows, ...], targets [rows]; always in the same order."""

# A network that needs a temperature outside these bounds is broken; fitting one would hide that.
MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
ECE_BINS = 15  # as in Guo et al. 2017

# The logits that are converted to double precision at a time, and those on which a fit begins: 32 and 64 MB.
_BLOCK = 1 << 22
_SAMPLE = 1 << 23
_MOST_STEPS = 100
# Newton's method doubles the correct digits in each step: after a step this small, rounding errors are larger.
_SMALL_STEP = 1e-7


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """`fit_temperature_in_blocks` of logits [n, classes] and targets [n] that are in memory."""
    return fit_temperature_in_blocks(lambda: [(logits, targets)])


def fit_temperature_in_blocks(passes: Passes) -> float:
    """The T that minimizes the mean negative log-likelihood of softmax(logits / T).

    The loss is convex in 1/T, and its derivative is the mean of (expected logit - logit of the true class). Newton's
    method finds the root of the derivative, and bisection where that is slow. Source: Guo et al., "On
    Calibration of Modern Neural Networks", 2017, section 4.2. If there are many logits, the fit begins on an even
    sample of the rows; then two or three passes over all of them suffice.

    Args:
        passes: The logits of held-out pictures, and their classes.

    Returns:
        T, between 0.05 and 20; 1.0 if there are no pictures or a logit is not finite.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    rows, finite, every = 0, True, 1
    for logits, targets in _small(passes()):
        finite = finite and bool(logits.isfinite().all())
        # Rows 0, every, 2 * every, ... of all; copied, so that the memory of the others can be released.
        part = logits[-rows % every :: every], targets[-rows % every :: every]
        kept.append(part if every == 1 else (part[0].clone(), part[1].clone()))
        rows += len(targets)
        while sum(part.numel() for part, _ in kept) > _SAMPLE:
            kept, every = _thinned(kept), 2 * every
    if not rows or not finite:
        return 1.0
    start = _newton(lambda: kept, 0.0)
    return math.exp(-(start if every == 1 else _newton(passes, start)))


def _thinned(parts: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Every second row of blocks of rows, copied so that the others leave the memory."""
    found, seen = [], 0
    for logits, targets in parts:
        found.append((logits[seen % 2 :: 2].clone(), targets[seen % 2 :: 2].clone()))
        seen += len(targets)
    return found


def _newton(passes: Passes, start: float) -> float:
    """The logarithm of the 1/T at which the derivative of the loss is 0, or the bound that it lies beyond."""
    least, most = math.log(1 / MAX_TEMPERATURE), math.log(1 / MIN_TEMPERATURE)
    low, high, at = least, most, start
    untried, step = {least, most}, math.inf
    for _ in range(_MOST_STEPS):
        value, slope = _derivatives(passes, math.exp(at))
        untried.discard(at)
        if (at == least and value > 0) or (at == most and value <= 0):
            return at
        low, high = (low, at) if value > 0 else (at, high)
        before, step = step, -value / slope if slope > 0 else math.copysign(math.inf, -value)
        if abs(step) <= _SMALL_STEP:
            return min(max(at + step, least), most)
        if low < at + step < high and abs(step) <= abs(before) / 2:
            at += step
        else:  # Newton's step diverges, or creeps because the model is never wrong: the optimum is usually a bound
            end = low if value > 0 else high
            at, step = end if end in untried else (low + high) / 2, math.inf
    return at


def _derivatives(passes: Passes, scale: float) -> tuple[float, float]:
    """The mean over the rows of (expected logit - true one), and its derivative by the logarithm of the scale."""
    import torch  # noqa: PLC0415

    value = slope = 0.0
    rows = 0
    for logits, targets in _small(passes()):
        scores = logits.double()
        scores -= scores.amax(1, keepdim=True)  # the differences alone count
        weights = (scores * scale).exp_()
        total = weights.sum(1)
        expected = torch.einsum("nc,nc->n", weights, scores) / total
        weights *= scores
        squares = torch.einsum("nc,nc->n", weights, scores) / total
        value += float((expected - scores.gather(1, targets[:, None])[:, 0]).sum())
        slope += scale * float((squares - expected.square()).sum())
        rows += len(targets)
    return value / rows, slope / rows


def expected_calibration_error(logits: Tensor, targets: Tensor, *, temperature: float = 1.0) -> float:
    """`calibration_errors` at one temperature, of logits [n, classes] and targets [n] that are in memory."""
    return calibration_errors(lambda: [(logits, targets)], [temperature])[0]


def calibration_errors(passes: Passes, temperatures: Sequence[float]) -> list[float]:
    """Mean gap between confidence and accuracy, over 15 bins of confidence weighted by their pictures.

    Args:
        passes: The logits of at least one picture, and the true classes.
        temperatures: Divisors of the logits.

    Returns:
        The error at each temperature, from 0 (perfectly calibrated) to 1.
    """
    return [calibration_error(bins) for bins in reliability(passes, temperatures)]


def calibration_error(bins: Tensor) -> float:
    """The expected calibration error of bins from `reliability`."""
    return float((bins[:, 2] - bins[:, 1]).abs().sum() / bins[:, 0].sum())


def reliability(passes: Passes, temperatures: Sequence[float]) -> list[Tensor]:
    """How confident and how right the predictions are, in 15 bins of confidence.

    Args:
        passes: The logits of at least one picture, and the true classes.
        temperatures: Divisors of the logits.

    Returns:
        At each temperature float64 [15, 3]: pictures, their summed confidence, and how many of them are correct.
    """
    import torch  # noqa: PLC0415

    found = [torch.zeros(ECE_BINS, 3, dtype=torch.float64) for _ in temperatures]
    for logits, targets in _small(passes()):
        scores = logits.double().cpu()
        highest, predicted = scores.max(1)
        correct = (predicted == targets.cpu()).double()
        scores -= highest[:, None]
        for bins, temperature in zip(found, temperatures, strict=True):
            confidence = 1 / (scores / temperature).exp_().sum(1)
            at = (confidence * ECE_BINS).long().clamp(0, ECE_BINS - 1)
            bins.index_add_(0, at, torch.stack([torch.ones_like(confidence), confidence, correct], 1))
    return found


def _small(blocks: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same rows in blocks of few enough logits for a conversion to double precision."""
    for logits, targets in blocks:
        rows = max(1, _BLOCK // logits.shape[1])
        for start in range(0, len(targets), rows):
            yield logits[start : start + rows], targets[start : start + rows]
