"""The tests behind the insights, against exact sums and known tables."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from training_scripts._util.wilson import wilson
from training_scripts.rules.evidence import curves, statistics


@pytest.mark.parametrize(("count", "total"), [(0, 5), (3, 5), (5, 5), (149, 400), (210, 400)])
def test_binomial_tails_agree_with_exact_sums(count: int, total: int) -> None:
    exact = sum(Fraction(math.comb(total, hits), 2**total) for hits in range(count + 1))
    assert statistics.at_most(count, total, 0.5) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(("count", "mean"), [(149, 233.0), (150, 200.0), (200, 100.0), (3, 1.0), (1, 1e-3)])
def test_poisson_tails_agree_with_exact_sums(count: int, mean: float) -> None:
    powers, term = Fraction(0), Fraction(1)
    for number in range(count):
        powers += term
        term = term * Fraction(mean) / (number + 1)
    head = float(powers * Fraction(math.exp(-mean)))
    far = sum(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(count, count + 400))
    exact = 1 - head if head < 0.5 else far
    assert statistics.poisson_at_least(count, mean) == pytest.approx(exact, rel=1e-9)


def test_thousands_of_pictures_are_no_obstacle() -> None:
    assert statistics.at_most(10**6, 2 * 10**6, 0.5) == pytest.approx(0.5, abs=1e-3)
    assert statistics.at_most(1500, 2000, 0.9) < 1e-60
    assert statistics.poisson_at_least(10, 1e12) == 1.0
    assert statistics.poisson_at_least(10**6, 1.0) == 0.0


@pytest.mark.parametrize("share", [-0.5, 0.0, 0.5, 1.0, 87.5, math.nan, math.inf])
def test_an_interval_of_a_share_lies_between_0_and_1(share: float) -> None:
    low, high = wilson(share * 100, 100)
    assert 0 <= low <= high <= 1


def test_quantiles_of_students_t_are_those_of_the_tables() -> None:
    table = {1: 31.82, 2: 6.965, 3: 4.541, 5: 3.365, 30: 2.457}
    for freedom, quantile in table.items():
        assert statistics.t_quantile(freedom, statistics.Z99) == pytest.approx(quantile, rel=0.02)


def test_a_trend_is_distributed_as_students_t_where_there_is_none() -> None:
    noise = np.random.default_rng(0).standard_normal((4000, 6))
    limit = statistics.t_quantile(4, statistics.Z99)
    assert np.mean([curves.trend(row) > limit for row in noise]) == pytest.approx(0.01, abs=0.005)
    assert curves.trend(np.arange(5.0)) == math.inf and curves.trend(np.ones(5)) == 0


@pytest.mark.parametrize("count", [0, 1, 2, 5, 30])
def test_an_average_over_neighbors_is_no_better_before_a_huge_value_than_after_it(count: int) -> None:
    values = np.random.default_rng(0).standard_normal(count)
    expected = [values[place - reach : place + reach + 1].mean()
                for place in range(count) for reach in [min(place, count - 1 - place, 4)]]  # fmt: skip
    assert curves.centered_mean(values, 9) == pytest.approx(expected)
    after = curves.centered_mean(np.concatenate([[1e30] * 9, values]), 9)[13:]
    assert after == pytest.approx(expected[4:])
