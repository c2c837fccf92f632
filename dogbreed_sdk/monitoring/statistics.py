"""Tests of whether two samples of answers differ by more than chance, each with its effect size. Needs numpy.

mix of answers  G statistic of the two-row table, by permutation: exact for small counts too, up to its random draws
confidence      Kolmogorov-Smirnov; p by its limit distribution with Stephens' correction (Numerical Recipes, 14.3.3)
rejections      Fisher's exact test, two-sided

Several tests are asked at once, so their p values are corrected (Holm 1979): of all checks without any shift, a share
of alpha at most reports one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Draws of the permutation test: p values down to 0.0001.
PERMUTATIONS = 9_999
# Below this number of answers on either side, nothing is tested: only enormous shifts could be told from chance.
LEAST_ANSWERS = 30
_SERIES_TERMS = 100


@dataclass(frozen=True)
class Comparison:
    """The result of one test.

    Attributes:
        p_value: Probability of a difference at least as large without any shift.
        effect: The size of the difference, 0 to 1.
        by_chance: The size that chance alone exceeds in a share of alpha of all checks: smaller shifts stay unseen.
    """

    p_value: float
    effect: float
    by_chance: float


def compare_mix(before: Sequence[int], now: Sequence[int], *, alpha: float, seed: int = 0) -> Comparison:
    """Compares how often each class was the answer; the effect is the share of answers that moved to other classes.

    Args:
        before: Number of answers by class in the first sample.
        now: The same in the second sample, in the same order.
        alpha: For `Comparison.by_chance`.
        seed: Of the random draws, so that the same data give the same result.
    """
    first, second = np.asarray(before, dtype=np.int64), np.asarray(now, dtype=np.int64)
    totals = first + second
    totals, second = totals[totals > 0], second[totals > 0]
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(
        totals, int(second.sum()), size=PERMUTATIONS, method="marginals"
    )
    observed = _g_statistic(totals, second[None, :])[0]
    # Rounding must not make an equal table look less extreme.
    extreme = int(np.sum(_g_statistic(totals, drawn) >= observed * (1 - 1e-12)))
    moved = _moved(totals, drawn)
    return Comparison(
        p_value=(1 + extreme) / (1 + PERMUTATIONS),
        effect=float(_moved(totals, second[None, :])[0]),
        by_chance=float(np.quantile(moved, 1 - alpha)),
    )


def compare_values(before: Sequence[float], now: Sequence[float], *, alpha: float) -> Comparison:
    """Compares two samples of numbers; the effect is the largest difference of their cumulative distributions."""
    first, second = np.sort(np.asarray(before, dtype=np.float64)), np.sort(np.asarray(now, dtype=np.float64))
    everything = np.concatenate([first, second])
    cumulated = [np.searchsorted(each, everything, side="right") / len(each) for each in (first, second)]
    distance = float(np.max(np.abs(cumulated[0] - cumulated[1])))
    size = math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    factor = size + 0.12 + 0.11 / size
    return Comparison(_kolmogorov(factor * distance), distance, _kolmogorov_quantile(alpha) / factor)


def compare_rates(before: tuple[int, int], now: tuple[int, int], *, alpha: float) -> Comparison:
    """Compares two rates, each given as (hits, all); the effect is their difference."""
    (a, n), (b, m) = before, now
    hits = a + b
    support = range(max(0, hits - m), min(hits, n) + 1)
    weights = [_log_choose(n, k) + _log_choose(m, hits - k) for k in support]
    top = max(weights)
    chances = [math.exp(weight - top) for weight in weights]
    total = math.fsum(chances)
    observed = chances[a - support.start]
    p_value = math.fsum(chance for chance in chances if chance <= observed * (1 + 1e-9)) / total
    outcomes = [(abs(k / n - (hits - k) / m), chance) for k, chance in zip(support, chances, strict=True)]
    return Comparison(min(1.0, p_value), abs(a / n - b / m), _exceeded_by_chance(outcomes, alpha))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p values: comparing each with alpha gives at most a share of alpha of false alarms together.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _g_statistic(totals: NDArray[np.int64], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """The G statistics of tables with these column sums and these second rows."""
    everything = float(totals.sum())
    result = np.zeros(len(drawn))
    for row in (drawn, totals - drawn):
        expected = totals * (row[0].sum() / everything)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(row > 0, row * np.log(row / expected), 0.0)
        result += 2 * terms.sum(axis=1)
    return result


def _moved(totals: NDArray[np.int64], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half the sum of the differences of the shares (total variation distance)."""
    others = totals - drawn
    shares = drawn / drawn[0].sum() - others / others[0].sum()
    return np.asarray(np.abs(shares).sum(axis=1) / 2)


def _kolmogorov(value: float) -> float:
    """The probability that a variable with Kolmogorov's distribution exceeds a value."""
    if value < 0.2:
        return 1.0  # the series converges slowly there, and the result is 1 to nine digits
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * k * k * value * value) for k in range(1, _SERIES_TERMS))
    return min(1.0, max(0.0, math.fsum(terms)))


def _kolmogorov_quantile(alpha: float) -> float:
    low, high = 0.2, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _kolmogorov(middle) > alpha else (low, middle)
    return high


def _exceeded_by_chance(outcomes: Sequence[tuple[float, float]], alpha: float) -> float:
    """The size that outcomes, given as (size, weight), exceed in a share of alpha."""
    total, beyond = math.fsum(weight for _, weight in outcomes), 0.0
    for size, weight in sorted(outcomes, reverse=True):
        beyond += weight / total
        if beyond > alpha:
            return size
    return 0.0


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
