"""Intervals and tests behind the insights; exact where that is cheap, each with its source."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts.rules.evidence.curves import window_sums

Z95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""

Z99 = 2.326348
"""One-sided 99 % quantile of the normal distribution."""


def wilson(right: float, total: int) -> tuple[float, float]:
    """95 % interval of a share, by Wilson's score (1927): honest for small samples and shares near 0 or 1.

    >>> low, high = wilson(9, 10)
    >>> round(low, 2), round(high, 2)
    (0.6, 0.98)
    """
    if total <= 0 or not math.isfinite(right):
        return 0.0, 1.0
    share, weight = min(max(right / total, 0.0), 1.0), Z95**2 / total
    centre = (share + weight / 2) / (1 + weight)
    half = Z95 * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def half_width(share: float, total: int) -> float:
    """Half the width of Wilson's interval, a fraction of 1."""
    low, high = wilson(share * total, total)
    return (high - low) / 2


def t_quantile(freedom: int, normal: float = Z95) -> float:
    """A quantile of Student's t: the one where the normal distribution's is `normal`.

    Exact for one and two degrees of freedom, else by the Cornish-Fisher expansion, right to 2 %.

    >>> [round(t_quantile(freedom), 2) for freedom in (1, 2, 10, 1000)]
    [12.71, 4.3, 2.23, 1.96]
    """
    if freedom < 1:
        return math.inf
    above = math.erfc(normal / math.sqrt(2)) / 2
    if freedom == 1:
        return 1 / math.tan(math.pi * above)
    if freedom == 2:
        return (1 - 2 * above) / math.sqrt(2 * above * (1 - above))
    first = (normal**3 + normal) / 4
    second = (5 * normal**5 + 16 * normal**3 + 3 * normal) / 96
    third = (3 * normal**7 + 19 * normal**5 + 17 * normal**3 - 15 * normal) / 384
    return normal + first / freedom + second / freedom**2 + third / freedom**3


def trend(values: NDArray[np.float64]) -> float:
    """The slope of a straight line through values, in its standard errors; NaN for fewer than three.

    Where the values are drawn alike it is distributed as Student's t with two degrees of freedom less than values.
    """
    count = len(values)
    if count < 3:
        return math.nan
    places = np.arange(count) - (count - 1) / 2
    power = float((places**2).sum())
    slope = float((places * values).sum()) / power
    left = float(((values - values.mean() - slope * places) ** 2).sum())
    error = math.sqrt(left / (count - 2) / power)
    return slope / error if error > 0 else math.copysign(math.inf, slope) if slope else 0.0


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of a mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def two_sided(score: float) -> float:
    """Probability that a normal score is at least this far from 0 by chance; 1 for NaN."""
    return math.erfc(abs(score) / math.sqrt(2)) if math.isfinite(score) else (0.0 if math.isinf(score) else 1.0)


def at_most(count: int, total: int, share: float) -> float:
    """Probability of at most `count` hits in `total` tries that hit with probability `share`.

    >>> round(at_most(1, 4, 0.5), 4), round(at_most(1000, 2000, 0.5), 3)
    (0.3125, 0.509)
    """
    if count >= total or share <= 0:
        return 1.0
    if count < 0 or share >= 1:
        return 0.0
    hits = np.arange(count, dtype=np.float64)  # the ratio of each probability to the one before it
    ratios = np.log((total - hits) / (hits + 1)) + math.log(share) - math.log1p(-share)
    return _sum_of(total * math.log1p(-share), ratios)


def poisson_at_least(count: int, mean: float) -> float:
    """Probability of `count` or more where `mean` are to be expected.

    >>> round(poisson_at_least(3, 1.0), 4), round(poisson_at_least(150, 200.0), 4)
    (0.0803, 0.9999)
    """
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    reach = 40 * math.sqrt(mean) + 40  # what lies further off adds nothing that a float can hold
    if count < mean - reach:
        return 1.0
    above = np.arange(count + 1, max(count, mean) + reach)
    # Summed from the tail: 1 minus the head would lose small ones.
    return _sum_of(count * math.log(mean) - mean - math.lgamma(count + 1), math.log(mean) - np.log(above))


def _sum_of(first: float, ratios: NDArray[np.float64]) -> float:
    """A sum of probabilities: the logarithm of the first, and of each one's ratio to the one before it."""
    logs = first + np.concatenate([[0.0], np.cumsum(ratios)])  # in logarithms, since factorials overflow
    largest = float(logs.max())
    return min(1.0, math.exp(min(0.0, largest)) * float(np.exp(logs - largest).sum())) if largest > -700 else 0.0


def lag_one(values: NDArray[np.float64]) -> float:
    """Correlation of neighbours; NaN where there are too few or none vary."""
    centred = values - values.mean() if len(values) else values
    power = float((centred**2).sum())
    return float((centred[1:] * centred[:-1]).sum() / power) if len(values) > 3 and power > 0 else math.nan


def smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred moving average; the window shrinks evenly towards both ends, so that a slope stays a slope."""
    reach = max(0, min(width, len(values) - 1) // 2)
    inner = window_sums(values, 2 * reach + 1)[2 * reach :] / (2 * reach + 1)
    heads = [values[: 2 * place + 1].mean() for place in range(reach)]
    tails = [values[len(values) - 2 * place - 1 :].mean() for place in reversed(range(reach))]
    smoothed: NDArray[np.float64] = np.concatenate([heads, inner, tails])
    return smoothed


def jitter(values: NDArray[np.float64]) -> float:
    """Standard deviation of a smooth curve's noise, from second differences; robust to a few jumps, NaN below five."""
    if len(values) < 5:
        return math.nan
    second = values[2:] - 2 * values[1:-1] + values[:-2]
    return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))  # white noise has a variance of 6 there
