"""Confidence intervals and tests for rules and insights: exact if that is cheap, and each with its source."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.wilson import Z95

Z99 = 2.326348
"""One-sided 99% quantile of the normal distribution."""


def t_quantile(freedom: int, normal: float = Z95) -> float:
    """The quantile of Student's t at the probability at which that of the normal distribution is `normal`.

    It is exact for one and two degrees of freedom. Otherwise the Cornish-Fisher expansion is accurate to 2%.

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
    """Probability of `count` or more events if `mean` are expected (Poisson distribution).

    >>> round(poisson_at_least(3, 1.0), 4), round(poisson_at_least(150, 200.0), 4)
    (0.0803, 0.9999)
    """
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    reach = 40 * math.sqrt(mean) + 40  # terms beyond this are too small to change the sum
    if count < mean - reach:
        return 1.0
    above = np.arange(count + 1, max(count, mean) + reach)
    # The tail is summed directly, because 1 minus the head would lose small probabilities.
    return _sum_of(count * math.log(mean) - mean - math.lgamma(count + 1), math.log(mean) - np.log(above))


def _sum_of(first: float, ratios: NDArray[np.float64]) -> float:
    """Sum of probabilities, given the logarithms of the first one and of the ratio of each one to the one before."""
    logs = first + np.concatenate([[0.0], np.cumsum(ratios)])  # in logarithms, since factorials overflow
    largest = float(logs.max())
    return min(1.0, math.exp(min(0.0, largest)) * float(np.exp(logs - largest).sum())) if largest > -700 else 0.0


def student(error: float, freedom: int) -> float:
    """The quantile of Student's t that is exceeded with probability `error`, as accurate as `t_quantile`."""
    return t_quantile(freedom, NormalDist().inv_cdf(1 - error))


def at_least(successes: int, trials: int, probability: float) -> float:
    """Probability of `successes` or more hits in `trials` tries that hit with this probability each.

    >>> round(at_least(3, 4, 0.5), 4)
    0.3125
    """
    return at_most(trials - successes, trials, 1 - probability)


def shares(successes: NDArray[np.int64], trials: NDArray[np.int64]) -> tuple[float, float]:
    """The mean share of successes over several groups, and how much groups differ beyond chance (0 to 1).

    Both are estimated by the moments of a beta-binomial distribution. The difference is at least `LEAST_DIFFERENCE`.
    """
    usual = (float(successes.sum()) + 1) / (float(trials.sum()) + 2)
    if len(trials) < 3:
        return usual, LEAST_DIFFERENCE
    chance = usual * (1 - usual) * float((1 / trials).mean())
    excess = float(np.square(successes / trials - usual).mean()) - chance
    return usual, min(max(excess / (usual * (1 - usual)), LEAST_DIFFERENCE), 0.9)


LEAST_DIFFERENCE = 0.05
"""Classes differ in difficulty. With a mean error of 20%, this is a standard deviation of 9 points between them."""


def at_least_of_differing(successes: int, trials: int, usual: float, differ: float) -> float:
    """Probability of at least this many successes in a group, if groups differ (beta-binomial distribution)."""
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
