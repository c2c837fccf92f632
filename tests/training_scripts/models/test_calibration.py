"""Calibration: the temperature that was put in is the one that comes out, and honest scores have no error."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training_scripts.models.calibration import MAX_TEMPERATURE, expected_calibration_error, fit_temperature


def honest_scores(pictures: int = 20_000, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose softmax is the true distribution of the labels."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(pictures, classes, generator=generator)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0])
def test_scores_scaled_by_a_factor_need_that_temperature(factor: float) -> None:
    logits, labels = honest_scores()
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.03)


def test_the_fit_is_the_minimum_of_the_loss() -> None:
    logits, labels = honest_scores(pictures=500)
    fitted = fit_temperature(logits * 2, labels)

    def loss(temperature: float) -> float:
        return float(functional.cross_entropy(logits.double() * 2 / temperature, labels))

    assert loss(fitted) < loss(fitted * 1.02)
    assert loss(fitted) < loss(fitted / 1.02)


def test_scores_without_information_stop_at_the_bound() -> None:
    logits = torch.randn(400, 4, generator=torch.Generator().manual_seed(0)) * 50
    labels = logits.argmin(1)
    assert fit_temperature(logits, labels) == pytest.approx(MAX_TEMPERATURE)


def test_without_pictures_or_with_broken_scores_nothing_is_scaled() -> None:
    assert fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.long)) == 1.0
    assert fit_temperature(torch.tensor([[float("nan"), 1.0]]), torch.tensor([0])) == 1.0


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    certain_and_half_right = torch.tensor([[50.0, 0.0]] * 10)
    labels = torch.tensor([0, 1] * 5)
    assert expected_calibration_error(certain_and_half_right, labels) == pytest.approx(0.5)


def test_honest_scores_have_little_error_and_the_temperature_brings_it_back() -> None:
    logits, labels = honest_scores()
    assert expected_calibration_error(logits, labels) < 0.02
    overconfident = logits * 4
    assert expected_calibration_error(overconfident, labels) > 0.1
    fitted = fit_temperature(overconfident, labels)
    assert expected_calibration_error(overconfident, labels, temperature=fitted) < 0.02
