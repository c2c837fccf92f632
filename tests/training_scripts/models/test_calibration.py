"""Calibration: the temperature that was put in is the one that comes out, and honest scores have no error."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

from training_scripts.models import calibration
from training_scripts.models.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    calibration_errors,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_in_blocks,
)


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


def bisected(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature by bisection of the derivative over all logits at once."""
    scores = logits.double()
    truth = scores.gather(1, labels[:, None]).mean()
    low, high = math.log(1 / MAX_TEMPERATURE), math.log(1 / MIN_TEMPERATURE)
    for _ in range(50):
        middle = (low + high) / 2
        expected = ((scores * math.exp(middle)).softmax(1) * scores).sum(1).mean()
        low, high = (low, middle) if expected > truth else (middle, high)
    return math.exp(-(low + high) / 2)


@pytest.mark.parametrize("factor", [0.02, 0.3, 1.0, 4.0, 40.0])
@pytest.mark.parametrize("labels", ["honest", "best", "worst"])
def test_the_fit_is_that_of_bisection(factor: float, labels: str) -> None:
    logits, honest = honest_scores(pictures=200)
    chosen = {"honest": honest, "best": logits.argmax(1), "worst": logits.argmin(1)}[labels]
    assert fit_temperature(logits * factor, chosen) == pytest.approx(bisected(logits * factor, chosen), rel=1e-9)


@pytest.mark.parametrize("sample", [10_000, 300], ids=["all at once", "a sample first"])
def test_blocks_give_what_the_whole_gives_in_few_passes(sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = honest_scores(pictures=501)
    logits *= 3
    expected = fit_temperature(logits, labels)
    errors = [expected_calibration_error(logits, labels, temperature=each) for each in (1.0, expected)]
    monkeypatch.setattr(calibration, "_SAMPLE", sample)
    monkeypatch.setattr(calibration, "_BLOCK", 5 * 10)
    converted = largest_conversion(monkeypatch)
    begun = 0

    def passes() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        nonlocal begun
        begun += 1
        yield from zip(logits.split(37), labels.split(37), strict=True)

    assert fit_temperature_in_blocks(passes) == pytest.approx(expected, rel=1e-9)
    assert begun <= 7
    assert calibration_errors(passes, [1.0, expected]) == pytest.approx(errors, abs=1e-12)
    assert max(converted) <= 50


def largest_conversion(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of elements that are converted to double precision from now on."""
    sizes: list[int] = [0]
    double = torch.Tensor.double

    def watched(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return double(tensor)

    monkeypatch.setattr(torch.Tensor, "double", watched)
    return sizes
