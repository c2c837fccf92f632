"""Statistics of noisy curves: levels with their uncertainty, smoothing, and tests for small counts."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Level(NamedTuple):
    """The mean of a stretch of a curve and its standard error."""

    mean: float
    error: float


def level(values: Floats) -> Level:
    """Mean and standard error of a stretch of a curve, [n] with n >= 1.

    What counts as noise is what a straight line leaves over: a stretch that falls steadily has a sure mean.
    Neighbouring values of a training curve are alike, so the error is that of fewer, independent values: for a
    first-order autoregression with lag-one correlation r, n (1 - r) / (1 + r) of them. A single value has no known
    error: infinity.
    """
    count = len(values)
    mean = float(values.mean())
    if count == 1:
        return Level(mean, math.inf)
    deviations = values - mean
    if count >= 5:
        places = np.arange(count) - (count - 1) / 2
        deviations = deviations - places * (places @ deviations / (places @ places))
    variance = float(deviations @ deviations) / (count - (2 if count >= 5 else 1))
    if variance <= 0:
        return Level(mean, 0.0)
    alike = float(deviations[1:] @ deviations[:-1]) / (variance * (count - 1)) if count >= 8 else 0.0
    alike = min(max(alike, 0.0), 0.9)
    return Level(mean, math.sqrt(variance / count * (1 + alike) / (1 - alike)))


def jitter(values: Floats) -> float:
    """Standard deviation of a curve's noise around its trend, from the differences of neighbours; 0 below two."""
    if len(values) < 2:
        return 0.0
    return float(np.sqrt(np.square(np.diff(values)).mean() / 2))


def usual_jitter(values: Floats) -> float:
    """As `jitter`, from the median difference: single outliers, however large, do not count."""
    if len(values) < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(values)))) * 1.4826 / math.sqrt(2)


def smooth(values: Floats, width: int) -> Floats:
    """Means over `width` neighbours up to and including each value; over fewer at the beginning."""
    counts = np.minimum(np.arange(1, len(values) + 1), max(1, width))
    means: Floats = window_sums(values, width) / counts
    return means


def window_sums(values: Floats, width: int) -> Floats:
    """Sums over `width` neighbours up to and including each value; over fewer at the beginning."""
    width = max(1, min(width, len(values)))
    # Sums up to and from the bounds of blocks as wide as a window: work in proportion to the values alone, and a huge
    # value rounds away no more than its neighbours.
    blocks = np.pad(values, (0, -len(values) % width)).reshape(-1, width)
    until = blocks.cumsum(axis=1).ravel()[: len(values)]
    since = blocks[:, ::-1].cumsum(axis=1)[:, ::-1].ravel()[: len(values)]
    sums = until.copy()
    begins = np.arange(len(values) - width + 1)
    across = begins[begins % width != 0]
    sums[across + width - 1] += since[across]
    return sums


def student(error: float, freedom: int) -> float:
    """The quantile that Student's distribution exceeds with a probability, by Cornish and Fisher's expansion."""
    normal = NormalDist().inv_cdf(1 - error)
    cubic, fifth = normal**3, normal**5
    return (
        normal
        + (cubic + normal) / (4 * max(freedom, 1))
        + (5 * fifth + 16 * cubic + 3 * normal) / (96 * max(freedom, 1) ** 2)
    )


def first_streak(flags: NDArray[np.bool_], length: int) -> int:
    """Where the first run of at least `length` true flags begins; -1 where there is none."""
    inside = 0
    for place, flag in enumerate(flags.tolist()):
        inside = inside + 1 if flag else 0
        if inside >= length:
            return place - length + 1
    return -1


def at_least(successes: int, trials: int, probability: float) -> float:
    """Probability of at least so many successes of a binomial distribution."""
    if successes <= 0:
        return 1.0
    if probability <= 0:
        return 0.0
    if probability >= 1:
        return 1.0
    logs = math.log(probability), math.log1p(-probability)
    total = 0.0
    for count in range(successes, trials + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        total += math.exp(ways + count * logs[0] + (trials - count) * logs[1])
    return min(total, 1.0)


def shares(successes: NDArray[np.int64], trials: NDArray[np.int64]) -> tuple[float, float]:
    """The usual share of successes of several groups, and how much groups differ beyond chance (0 none, 1 all).

    By moments, as for a beta-binomial distribution; groups are taken to differ by at least `LEAST_DIFFERENCE`.
    """
    usual = (float(successes.sum()) + 1) / (float(trials.sum()) + 2)
    if len(trials) < 3:
        return usual, LEAST_DIFFERENCE
    chance = usual * (1 - usual) * float((1 / trials).mean())
    excess = float(np.square(successes / trials - usual).mean()) - chance
    return usual, min(max(excess / (usual * (1 - usual)), LEAST_DIFFERENCE), 0.9)


LEAST_DIFFERENCE = 0.05
"""Classes differ in difficulty: with a usual error of 20 % this is a standard deviation of 9 points between them."""


def at_least_of_differing(successes: int, trials: int, usual: float, differ: float) -> float:
    """Probability of at least so many successes in a group, where groups differ (a beta-binomial distribution)."""
    first, second = usual * (1 / differ - 1), (1 - usual) * (1 / differ - 1)
    total = 0.0
    for count in range(successes, trials + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        total += math.exp(ways + _log_beta(count + first, trials - count + second) - _log_beta(first, second))
    return min(total, 1.0)


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)


def surely_above(successes: int, trials: int, share: float, error: float) -> bool:
    """Whether the true share is above `share`: Clopper and Pearson's lower bound at a one-sided error probability."""
    return successes > share * trials and at_least(successes, trials, share) < error
