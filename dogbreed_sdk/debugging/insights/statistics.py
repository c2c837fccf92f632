"""Intervals and tests behind the insights; exact where that is cheap, each with its source."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""

# Student's t has no short formula for so few degrees of freedom; from three on `t95` is right to 1 %.
_T95 = {1: 12.706, 2: 4.303}


def wilson(right: float, total: int) -> tuple[float, float]:
    """95 % interval of a share, by Wilson's score (1927): honest for small samples and shares near 0 or 1.

    >>> low, high = wilson(9, 10)
    >>> round(low, 2), round(high, 2)
    (0.6, 0.98)
    """
    if total <= 0:
        return 0.0, 1.0
    share, weight = right / total, Z95**2 / total
    centre = (share + weight / 2) / (1 + weight)
    half = Z95 * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def half_width(share: float, total: int) -> float:
    """Half the width of Wilson's interval, a fraction of 1."""
    low, high = wilson(share * total, total)
    return (high - low) / 2


def t95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t, by the Cornish-Fisher expansion.

    >>> round(t95(10), 2), round(t95(1000), 2)
    (2.23, 1.96)
    """
    if freedom < 1:
        return math.inf
    if freedom in _T95:
        return _T95[freedom]
    first = (Z95**3 + Z95) / 4
    second = (5 * Z95**5 + 16 * Z95**3 + 3 * Z95) / 96
    third = (3 * Z95**7 + 19 * Z95**5 + 17 * Z95**3 - 15 * Z95) / 384
    return Z95 + first / freedom + second / freedom**2 + third / freedom**3


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of a mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def two_sided(score: float) -> float:
    """Probability that a normal score is at least this far from 0 by chance; 1 for NaN."""
    return math.erfc(abs(score) / math.sqrt(2)) if math.isfinite(score) else (0.0 if math.isinf(score) else 1.0)


def at_most(count: int, total: int, share: float) -> float:
    """Probability of at most `count` hits in `total` tries that hit with probability `share`.

    >>> round(at_most(1, 4, 0.5), 4)
    0.3125
    """
    return min(
        1.0, sum(math.comb(total, hits) * share**hits * (1 - share) ** (total - hits) for hits in range(count + 1))
    )


def poisson_at_least(count: int, mean: float) -> float:
    """Probability of `count` or more where `mean` are to be expected.

    >>> round(poisson_at_least(3, 1.0), 4)
    0.0803
    """
    if count <= 0:
        return 1.0
    term = math.exp(-mean) * mean**count / math.factorial(count) if count < 150 else 0.0
    total, number = 0.0, count
    while term > 1e-18 * max(total, 1e-300):  # summed from the tail: 1 minus the head would lose small ones
        total += term
        number += 1
        term *= mean / number
    return min(1.0, total)


def lag_one(values: NDArray[np.float64]) -> float:
    """Correlation of neighbours; NaN where there are too few or none vary."""
    centred = values - values.mean() if len(values) else values
    power = float((centred**2).sum())
    return float((centred[1:] * centred[:-1]).sum() / power) if len(values) > 3 and power > 0 else math.nan


def smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred moving average; the window shrinks evenly towards both ends, so that a slope stays a slope."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    reach = np.minimum(np.minimum(places, len(values) - 1 - places), max(width // 2, 0))
    smoothed: NDArray[np.float64] = (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)
    return smoothed


def jitter(values: NDArray[np.float64]) -> float:
    """Standard deviation of a smooth curve's noise, from second differences; robust to a few jumps, NaN below five."""
    if len(values) < 5:
        return math.nan
    second = values[2:] - 2 * values[1:-1] + values[:-2]
    return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))  # white noise has a variance of 6 there
