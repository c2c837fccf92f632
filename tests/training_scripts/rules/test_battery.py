"""A small battery of real training runs: nothing on healthy ones, and each fault found by the right rule in time."""

from __future__ import annotations

import pytest

import battery.faulty
import battery.healthy
import battery.loops
from rule_battery import Score, by_aws, score_faulty, score_healthy

HEALTHY = [
    "momentum",
    "many classes",
    "batch norm",
    "good start",
    "plateau",
    "very noisy labels",
    "deep residual",
    "regression",
    "tiny set",
]
LOOPS = ["tiny batches", "steeply imbalanced", "transfer", "noisy regression", "small validation", "focal", "easy"]
FAULTS = [
    "vanishing: 8 sigmoids, reductions",
    "vanishing: 12 sigmoids, full",
    "exploding: rate 20 from step 60",
    "learning rate zero: like smdebug",
    "learning rate far too large: Adam 5",
    "all-zero weights: reductions",
    "dead ReLUs: from step 40",
    "saturated: tanh x 100, reductions",
    "overfitting: ten classes",
    "rising loss: shuffled labels from step 60",
    "a class starved: relabeled",
    "one layer x 100",
    "equal weights, one hidden layer",
    "a convolution not in the optimizer",
    "learning rate too large, with a leap",
    "first step a thousand times too long",
    "a pair by coin flips",
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_gets_no_finding(name: str) -> None:
    score = Score()
    score_healthy(score, name, dict(battery.healthy.cases(0))[name]())
    assert score.alarmed == {}


@pytest.mark.parametrize("name", LOOPS)
def test_a_healthy_loop_of_somebody_gets_neither_a_finding_nor_a_hint(name: str) -> None:
    score = Score()
    score_healthy(score, name, dict(battery.loops.cases(0))[f"loop: {name}"]())
    assert (score.alarmed, score.hinted) == ({}, {})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # diverging runs overflow, as they should
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_the_right_rule_at_about_the_right_step(name: str) -> None:
    score = Score()
    [fault] = [fault for fault in battery.faulty.faults(0) if fault.name == name]
    score_faulty(score, fault, fault.make())
    assert (score.missed, score.elsewhere) == ([], [])


def test_awss_definitions_cry_wolf_on_healthy_runs() -> None:
    assert "Overtraining" in by_aws(dict(battery.healthy.cases(0))["momentum"]())


def test_the_rates_are_shares_of_the_runs_and_goals_are_bounds() -> None:
    score = Score(healthy=100, alarmed={"a": ["Overfit"]}, hinted={str(number): ["hint x"] for number in range(10)})
    score.faulty, score.missed, score.blamed = 100, ["b"] * 3, {str(number): [] for number in range(15)}
    assert score.rates() == {"finding": (1, 100), "hint": (10, 100), "found": (97, 100), "cause": (85, 100)}
    assert score.meets_goals()
    score.hinted["one more"] = ["hint x"]
    assert not score.meets_goals()
