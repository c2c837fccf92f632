"""The tests for shifts: right on known numbers, silent without a shift, and loud with one."""

from __future__ import annotations

import numpy as np
import pytest

from dogbreed_sdk.monitoring import statistics
from dogbreed_sdk.monitoring.statistics import compare_mix, compare_rates, compare_values, holm

ALPHA = 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "PERMUTATIONS", 999)


class TestKnownValues:
    @pytest.mark.parametrize(
        ("before", "now", "p_value"),
        [
            # Fisher's tea tasting; R's fisher.test gives 0.4857 for it, and 0.0007 for the second (Agresti).
            ((3, 4), (1, 4), 0.4857142857),
            ((1, 10), (11, 14), 0.0027594562),
            ((0, 100), (0, 50), 1.0),
        ],
    )
    def test_fisher(self, before: tuple[int, int], now: tuple[int, int], p_value: float) -> None:
        assert compare_rates(before, now, alpha=ALPHA).p_value == pytest.approx(p_value, rel=1e-6)

    def test_kolmogorov_smirnov(self) -> None:
        before, now = np.arange(100.0), np.arange(100.0) + 20
        found = compare_values(before, now, alpha=ALPHA)
        assert found.effect == pytest.approx(0.2)
        # scipy.stats.ks_2samp(method="exact") gives 0.03616 for these samples.
        assert found.p_value == pytest.approx(0.03616, rel=0.2)
        # Tables give 1.36 * sqrt((n + m) / (n m)) for alpha = 5%.
        assert found.by_chance == pytest.approx(1.36 * np.sqrt(200 / 10_000), rel=0.03)

    def test_the_mix(self) -> None:
        found = compare_mix([50, 50], [80, 20], alpha=ALPHA)
        assert found.effect == pytest.approx(0.3)
        assert found.p_value == 1 / 1000, "no draw of chance is as extreme"
        same = compare_mix([30, 30, 40], [30, 30, 40], alpha=ALPHA)
        assert (same.p_value, same.effect) == (1.0, 0.0)
        assert compare_mix([5, 0, 0], [0, 5, 0], alpha=ALPHA).p_value == pytest.approx(2 / 252, abs=0.01)

    def test_the_same_data_give_the_same_result(self) -> None:
        assert compare_mix([5, 9, 1], [7, 2, 4], alpha=ALPHA) == compare_mix([5, 9, 1], [7, 2, 4], alpha=ALPHA)


def test_holm_corrects_for_several_questions() -> None:
    assert holm([0.01]) == [0.01]
    assert holm([0.04, 0.01]) == [0.04, 0.02]
    assert holm([0.9, 0.6, 0.5]) == [1.0, 1.0, 1.0]
    assert holm([]) == []


Sample = tuple[list[int], list[float], tuple[int, int]]


def draw(generator: np.random.Generator, mix: list[float], rate: float, sure: float, size: int) -> Sample:
    """Answers with this mix, rejection rate and confidence."""
    return (
        generator.multinomial(size, mix).tolist(),
        generator.beta(sure, 2, size).tolist(),
        (int(generator.binomial(size, rate)), size),
    )


def p_values(generator: np.random.Generator, now: tuple[list[float], float, float], size: int) -> list[float]:
    mix, rate, sure = [0.3, 0.25, 0.2, 0.15, 0.06, 0.04], 0.05, 6.0
    first, second = draw(generator, mix, rate, sure, 150), draw(generator, *now, size)
    return [
        compare_mix(first[0], second[0], alpha=ALPHA, seed=int(generator.integers(1 << 30))).p_value,
        compare_values(first[1], second[1], alpha=ALPHA).p_value,
        compare_rates(first[2], second[2], alpha=ALPHA).p_value,
    ]


@pytest.mark.parametrize("size", [40, 300])
def test_without_a_shift_alarms_are_as_rare_as_promised(size: int) -> None:
    generator = np.random.default_rng(size)
    same = ([0.3, 0.25, 0.2, 0.15, 0.06, 0.04], 0.05, 6.0)
    runs = [p_values(generator, same, size) for _ in range(400)]
    # A binomial variable of 400 draws with 5% is above 35 once in 3,000 times.
    assert sum(min(holm(run)) < ALPHA for run in runs) <= 35
    alarms = [sum(run[test] < ALPHA for run in runs) for test in range(3)]
    assert max(alarms) <= 35
    # Mix and confidence use all of alpha; Fisher's test cannot with few rejections.
    assert min(alarms[:2]) >= 6


@pytest.mark.parametrize(
    ("test", "shifted"),
    [
        (0, ([0.1, 0.15, 0.2, 0.25, 0.15, 0.15], 0.05, 6.0)),
        (1, ([0.3, 0.25, 0.2, 0.15, 0.06, 0.04], 0.05, 3.0)),
        (2, ([0.3, 0.25, 0.2, 0.15, 0.06, 0.04], 0.2, 6.0)),
    ],
)
def test_a_clear_shift_is_found(test: int, shifted: tuple[list[float], float, float]) -> None:
    generator = np.random.default_rng(test)
    found = [holm(p_values(generator, shifted, 300)) for _ in range(40)]
    assert sum(run[test] < 0.01 for run in found) >= 36
