"""A small battery of real training runs: nothing on healthy ones, and each fault found by the right rule in time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import battery_faulty
import battery_healthy
from rule_battery import Score, score_faulty, score_healthy

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
    "a class starved: relabelled",
    "one layer x 100",
    "equal weights, one hidden layer",
    "a convolution not in the optimizer",
    "learning rate too large, with a leap",
    "first step a thousand times too long",
    "a pair by coin flips",
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Networks this small only lose by sharing work, and repeat themselves exactly on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_gets_no_finding(name: str) -> None:
    score = Score()
    score_healthy(score, name, dict(battery_healthy.cases(0))[name](), "default")
    assert score.alarmed == {}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # diverging runs overflow, as they should
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_the_right_rule_at_about_the_right_step(name: str) -> None:
    score = Score()
    [fault] = [fault for fault in battery_faulty.faults(0) if fault.name == name]
    score_faulty(score, fault, fault.make(), "default")
    assert (score.missed, score.elsewhere) == ([], [])


def test_awss_definitions_cry_wolf_on_healthy_runs() -> None:
    score = Score()
    score_healthy(score, "momentum", dict(battery_healthy.cases(0))["momentum"](), "aws")
    assert "Overtraining" in score.alarmed["momentum"]
