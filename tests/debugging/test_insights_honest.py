"""That chance alone is hardly ever taken for a fault, and that real faults still are: made-up runs with fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from dogbreed_sdk.debugging.insights import insights
from dogbreed_sdk.debugging.insights.convergence import outlook
from dogbreed_sdk.debugging.insights.fluctuation import noise_of_steps
from dogbreed_sdk.debugging.insights.overfit_rule import validation_turned
from dogbreed_sdk.debugging.insights.overfitting import find as overfitting
from dogbreed_sdk.debugging.insights.pictures import contradiction
from dogbreed_sdk.debugging.insights.rates import better_rate
from dogbreed_sdk.pages.series import line
from tests.debugging.insights_made_up import LOSS, made_up_run
from training_scripts import rules
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.rules.evidence import learning_rate
from training_scripts.rules.evidence.learning_curves import curves
from training_scripts.rules.evidence.run import Run

RUNS = 100


def drawn_run(valid: np.ndarray, train: np.ndarray, *, steps: np.ndarray | None = None) -> MemoryTrial:
    """A foreign recording: validation losses by epoch, training losses by step (two an epoch unless given)."""
    trial = MemoryTrial()
    losses = np.repeat(train, 2) if steps is None else steps
    per_epoch, now = len(losses) // len(valid), 0
    for epoch, judged in enumerate(valid.tolist()):
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            trial.add_step(step, TRAIN, global_step=now)
            now += 1
        trial.add_step(epoch, EVAL, global_step=now)
        trial.add_reduction(LOSS, "mean", epoch, EVAL, judged, collection="losses")
        now += 1
    trial.add_numbers(LOSS, range(len(losses)), losses.tolist(), TRAIN, collection="losses")
    return trial


def turned(valid: np.ndarray, train: np.ndarray) -> bool:
    run = Run.of(drawn_run(valid, train))
    assert run is not None
    return any(insight.topic == "overfitting" for insight in overfitting(run))


@pytest.mark.parametrize("epochs", [7, 10, 20])
@pytest.mark.parametrize("wobble", [0.01, 0.02, 0.03, 0.1])
def test_a_wobble_without_trend_is_no_overtraining(wobble: float, epochs: int) -> None:
    def one(seed: int) -> bool:
        valid = 0.44 * (1 + wobble * np.random.default_rng(seed).standard_normal(epochs))
        valid[:3] = 1.5, 0.8, 0.55
        return turned(valid, np.concatenate([[1.4, 0.7, 0.5], np.full(epochs - 3, 0.42)]))

    assert sum(map(one, range(RUNS))) <= 3


def test_a_rise_within_a_wobble_is_still_overtraining() -> None:
    def one(seed: int) -> bool:
        level = np.concatenate([[1.5, 0.8, 0.55, 0.45], 0.44 + 0.02 * np.arange(12)])
        valid = level * (1 + 0.02 * np.random.default_rng(seed).standard_normal(16))
        return turned(valid, 1.4 / 1.3 ** np.arange(16))

    assert sum(map(one, range(RUNS))) >= 95


def test_a_rise_without_a_fall_of_the_training_loss_is_not_called_overtraining() -> None:
    valid = np.array([0.9, 0.5, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4])
    run = Run.of(drawn_run(valid, 0.9 * valid))
    assert run is not None
    (insight,) = overfitting(run)
    assert insight.title.startswith("The validation loss turned") and "did not fall" in insight.explanation


def answers_of(
    generator: np.random.Generator, classes: int, sharpness: float, *, boast: float = 1.0, wrong: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Losses and right answers of a network on 600 pictures whose labels are drawn by its own certainty.

    Args:
        generator: Draws.
        classes: How many.
        sharpness: Scatter of the logits: the larger, the more is right.
        boast: The network answers as if its logits were so many times as large.
        wrong: Share of labels that are replaced by any class.
    """
    logits = sharpness * generator.standard_normal((600, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) < generator.random((600, 1))).sum(axis=1).clip(max=classes - 1)
    redrawn = generator.random(600) < wrong
    labels[redrawn] = generator.integers(classes, size=redrawn.sum())
    told = np.exp(boast * logits) / np.exp(boast * logits).sum(axis=1, keepdims=True)
    return -np.log(told[np.arange(600), labels]), told.argmax(axis=1) == labels


def accused(classes: int, sharpness: float, **how: float) -> int:
    generator = np.random.default_rng(classes)
    return sum(
        contradiction(*answers_of(generator, classes, sharpness, **how), classes) is not None for _ in range(RUNS)
    )


@pytest.mark.parametrize("boast", [1.0, 1.3, 2.0])
@pytest.mark.parametrize(("classes", "sharpness"), [(2, 2.5), (3, 1.0), (10, 3.0), (10, 8.0), (120, 5.0)])
def test_an_honest_networks_labels_are_not_accused(classes: int, sharpness: float, boast: float) -> None:
    assert accused(classes, sharpness, boast=boast) == 0


@pytest.mark.parametrize(("classes", "sharpness"), [(10, 8.0), (120, 10.0)])
def test_labels_that_were_drawn_at_random_are_still_found(classes: int, sharpness: float) -> None:
    assert accused(classes, sharpness, wrong=0.15) >= 95


@pytest.mark.parametrize("accuracy", [0.6, 0.85, 0.95])
def test_of_two_classes_no_label_is_ever_called_wrong(accuracy: float) -> None:
    labels = np.arange(1000) % 2
    answers = np.where(np.random.default_rng(0).random(1000) < accuracy, labels, 1 - labels)
    losses = np.where(answers == labels, 0.1, 6.0)
    trial = made_up_run([0.9, 0.6, *[0.5] * 4], classes=2, answers=(labels, answers), losses=losses)
    assert "labels" not in {insight.topic for insight in insights(trial, None, [])}


@pytest.mark.parametrize("batches", [2, 3, 5, 20])
def test_batches_drawn_without_replacement_do_not_overshoot(batches: int) -> None:
    epochs = 200 // batches

    def one(seed: int) -> bool:
        generator = np.random.default_rng(seed)
        pictures = generator.exponential(size=16 * batches)
        steps = [generator.permutation(pictures).reshape(batches, 16).mean(axis=1) for _ in range(epochs)]
        run = Run.of(drawn_run(np.full(epochs, 1.0), np.zeros(0), steps=np.concatenate(steps)))
        noise = noise_of_steps(run) if run is not None else None
        return noise is not None and noise.overshoots

    assert sum(map(one, range(RUNS))) <= 1


def test_steps_that_overshoot_their_minimum_are_still_found() -> None:
    generator = np.random.default_rng(0)
    swing = 0.1 * (-1.0) ** np.arange(200) + 0.02 * generator.standard_normal(200)
    run = Run.of(drawn_run(np.full(10, 1.0), np.zeros(0), steps=1 + swing))
    noise = noise_of_steps(run) if run is not None else None
    assert noise is not None and noise.overshoots


def test_a_loss_at_rest_is_hardly_ever_said_to_fall() -> None:
    def one(seed: int) -> bool:
        valid = np.concatenate([[1.5, 0.8, 0.55], 0.44 + 0.01 * np.random.default_rng(seed).standard_normal(9)])
        run = Run.of(drawn_run(valid, np.concatenate([[1.4, 0.7, 0.5], np.full(9, 0.42)])))
        return run is not None and outlook(run) is not None

    assert sum(map(one, range(RUNS))) <= 5


def test_one_of_two_weaker_classes_of_thousands_of_pictures_is_named() -> None:
    labels = np.arange(4000) % 2
    answers = np.where((labels == 1) & (np.arange(4000) % 5 == 1), 0, labels)
    trial = made_up_run(classes=2, size=4000, answers=(labels, answers))
    assert "weak-classes" in {insight.topic for insight in insights(trial, None, [])}


def test_many_mistakes_alone_make_no_pair_confused() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(2700) % 4
    answers = np.where(generator.random(2700) < 0.5, labels, (labels + generator.integers(1, 4, 2700)) % 4)
    trial = made_up_run([1.3, 1.15, *[1.1, 1.099] * 4], classes=4, size=2700, answers=(labels, answers))
    found = {insight.topic for insight in insights(trial, None, [])}
    assert "result" in found and "confused-classes" not in found


@pytest.mark.parametrize("unit", [1.0, 100.0])
def test_accuracies_in_percent_are_read_as_shares(unit: float) -> None:
    valid = np.array([0.9, 0.5, 0.36, 0.31, 0.29, 0.283, 0.281])
    trial = drawn_run(valid, valid)
    for epoch in range(7):
        trial.add("accuracy", epoch, EVAL, unit * 0.875, collection="metrics")
    trial.run["sizes"] = {"valid": 800}
    (found,) = [insight for insight in insights(trial, None, []) if insight.topic == "result"]
    assert "validation accuracy 87.5% (95% interval 85% to 89.6%)" in found.title


def test_validation_accuracy_counts_the_last_batch_by_its_size() -> None:
    trial = drawn_run(np.array([0.9, 0.5]), np.array([0.9, 0.5]))
    trial.run |= {"sizes": {"valid": 110}, "batch_size": 100}
    for epoch in range(2):
        trial.add_step(2 * epoch, EVAL, global_step=3 * epoch + 2)
        trial.add_step(2 * epoch + 1, EVAL, global_step=3 * epoch + 2)
        for batch, right in enumerate((0.9, 0.1)):
            trial.add("accuracy", 2 * epoch + batch, EVAL, right, collection="metrics")
    run = Run.of(trial)
    assert run is not None
    assert math.isclose(float(run.valid.accuracy[-1]), (0.9 * 100 + 0.1 * 10) / 110)


def test_the_interval_of_an_accuracy_ends_at_one() -> None:
    """One around 100% of four pictures had no width at all, one around 75% went beyond 100%."""
    trial = drawn_run(np.array([0.9, 0.5]), np.array([0.9, 0.5]))
    trial.run |= {"sizes": {"valid": 4}, "batch_size": 4}
    for epoch, right in enumerate((0.75, 1.0)):
        trial.add_step(epoch, EVAL, global_step=3 * epoch + 2)
        trial.add("accuracy", epoch, EVAL, right, collection="metrics")
    curve = curves(trial)["accuracy"]
    assert curve.limits == pytest.approx(np.array([[0.3006, 0.9544], [0.5101, 1.0]]), abs=1e-4)
    made = line("validation", curve.numbers, curve.valid, look=1, points=100, limits=curve.limits)
    assert made["e"][1] == [pytest.approx(0.5101, abs=1e-4), 1]


def judged(trial: MemoryTrial) -> tuple[str, set[str]]:
    """What the rule Overfit says of a run, and the topics of its insights."""
    [result] = rules.evaluate(trial=trial, only=["Overfit"])
    return result.status, {insight.topic for insight in insights(trial, None, [result])}


def test_a_loss_that_jumped_to_a_higher_level_is_overfitting_for_rule_and_insight_alike() -> None:
    """It has no trend after the jump; the insight took it for a wobble, and the epochs for idle ones."""
    valid = [0.9, 0.5, 0.36, 0.31, 0.29, 0.6, 0.61, 0.6, 0.59, 0.6, 0.61, 0.6]
    status, topics = judged(made_up_run(valid, [0.9 / 2**epoch for epoch in range(12)]))
    assert status == rules.ISSUES_FOUND
    assert "overfitting" in topics and "too-many-epochs" not in topics


def of_few_pictures(valid: Sequence[float]) -> MemoryTrial:
    """A loop whose 24 validation samples have very different losses, so the error of any rise is wide."""
    trial = made_up_run(valid, [1.0 / 1.6**epoch for epoch in range(len(valid))], size=24, start=2.3, ours=False)
    trial.run["steps_per_epoch"] = 20
    shares = np.concatenate([np.full(21, 0.2), [2.0, 6.0, 11.8]])
    for epoch, loss in enumerate(valid):
        trial.add("valid_losses", epoch, EVAL, loss * shares)
    return trial


def test_a_loss_that_doubles_over_few_samples_is_not_called_well() -> None:
    """It rose in every epoch, but three of 24 samples account for most of the rise, so its error is wide."""
    run = Run.of(of_few_pictures([1.12, 1.01, 1.08, 1.2, 1.33, 1.45, 1.6, 1.74, 1.88, 2.02]))
    assert run is not None and run.excess(9, 1).score < 2 and not validation_turned(run)
    [found] = overfitting(run)
    assert found.severity == "problem" and found.confidence == "medium"
    assert "its size is uncertain" in found.explanation


def test_a_small_rise_over_few_samples_is_no_problem() -> None:
    topics = {
        insight.topic
        for insight in insights(of_few_pictures([0.73, 0.52, 0.39, 0.36, 0.38, 0.4, 0.43, 0.44, 0.45, 0.46]), None, [])
    }
    assert "overfitting" not in topics and "too-many-epochs" in topics


def test_a_loss_that_has_risen_since_its_lowest_epoch_is_not_said_to_fall_still() -> None:
    falling = [1.5, 1.2, 1.0, 0.9, 0.8, 0.7, 0.62, 0.55]
    for last, falls in (([0.57, 0.58], False), ([0.53, 0.56], False), ([0.53, 0.531], True), ([0.53, 0.52], True)):
        run = Run.of(made_up_run([*falling, *last], train_accuracy=0.7, valid_accuracy=0.7))
        assert run is not None and (outlook(run) is not None) == falls, last


def test_pictures_that_the_rule_calls_memorized_are_not_to_be_trained_on_for_longer() -> None:
    """By the losses alone: accuracies, by which the insight judged, were not recorded."""
    valid = [4.0, 3.4, 3.2, 3.1, 3.05, 3.0, 2.97, 2.94, 2.915, 2.89, 2.87, 2.85]
    made = made_up_run(valid, [4.0 / 1.9**epoch for epoch in range(12)], classes=120, ours=False, start=4.79)
    made.run |= {"classes": [f"class {number}" for number in range(120)], "steps_per_epoch": 20}
    status, topics = judged(made)
    assert status == rules.ISSUES_FOUND
    assert "not-converged" not in topics


@pytest.mark.parametrize(
    ("first", "divisor", "rate"),
    [(0.12, "3", 0.067), (0.21, "3", 0.1), (12.0, "3, and again until the updates have a usual size", 0.067)],
)
def test_rules_and_insights_lower_the_learning_rate_by_at_most_three(first: float, divisor: str, rate: float) -> None:
    run = Run.of(made_up_run([2.2] * 6, lr=0.2, first_update=first, valid_accuracy=0.2))
    assert run is not None
    assert learning_rate.lower(run.trial) == f"Divide lr by about {divisor}"
    assert better_rate(run, larger=False) == {"lr": rate}
