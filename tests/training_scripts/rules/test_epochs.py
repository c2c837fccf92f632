"""Epochs are told from evaluations or from their known length, and their mean losses have honest errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from tests.training_scripts.rules.made_up import full, level, trial
from training_scripts.recording.trial.layout import STEP_SIZE
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.rules.evidence.chance_level import chance_loss, learning
from training_scripts.rules.evidence.epochs import epoch_losses, epochs, notes
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.learning_curves import curves
from training_scripts.rules.evidence.step_sizes import batch_sizes


def test_an_evaluation_ends_an_epoch() -> None:
    found = epochs(trial(range(6), [1, 2, 3, 4], steps_per_epoch=2, batches=2))
    assert [(epoch.number, epoch.train_steps.tolist(), epoch.eval_steps.tolist()) for epoch in found] == [
        (1, [0, 1], [0, 1]),
        (2, [2, 3], [2, 3]),
        (3, [4, 5], []),
    ]


def test_a_known_length_counts_more_than_evaluations() -> None:
    made = trial(range(6), [1, 2, 3], steps_per_epoch=2)
    made.run["steps_per_epoch"] = 4
    assert [(epoch.number, len(epoch.train_steps), len(epoch.eval_steps)) for epoch in epochs(made)] == [
        (1, 4, 2),
        (2, 2, 1),
    ]


def test_an_evaluation_before_any_training_is_epoch_zero() -> None:
    made = MemoryTrial()
    made.add_step(0, EVAL, global_step=0)
    made.add_step(0, TRAIN, global_step=1)
    assert [(epoch.number, len(epoch.train_steps)) for epoch in epochs(made)] == [(0, 0), (1, 1)]


def test_without_a_hint_everything_is_one_epoch_and_nothing_is_none() -> None:
    assert [epoch.number for epoch in epochs(trial(range(5)))] == [1]
    assert epochs(MemoryTrial()) == []
    assert len(epoch_losses(MemoryTrial()).epochs) == 0


def test_means_and_their_standard_errors() -> None:
    made = trial([1, 3, 2, 2], [0.5, 0.7, 0.4, 0.4], steps_per_epoch=2, batches=2)
    made.add_numbers(STEP_SIZE, range(4), [8.0] * 4, EVAL)
    found = epoch_losses(made)
    assert found.train.tolist() == [2.0, 2.0]
    assert found.train_error.tolist() == [1.0, 0.0]  # standard deviation 1.41 over the root of 2
    assert found.valid == pytest.approx([0.6, 0.4])
    assert found.valid_error == pytest.approx([0.1, 0.0])
    assert found.counts.tolist() == [2, 2]
    assert found.train_ends.tolist() == [1, 3]


def test_a_smaller_last_batch_counts_less() -> None:
    run = {"batch_size": 4, "sizes": {"train": 10, "valid": 6}}
    found = epoch_losses(trial([1.0, 1.0, 4.0], [1.0, 4.0], steps_per_epoch=3, batches=2, **run))
    assert found.train[0] == pytest.approx((4 * 1 + 4 * 1 + 2 * 4) / 10)
    assert found.valid[0] == pytest.approx((4 * 1 + 2 * 4) / 6)


LAST_WRONG = {"train": [1.0, 1.0] * 3, "valid": [0.08, 4.045] * 3}
"""65 pictures in batches of 64 and 1, of which the single one is wrong; its loss counts as much as any other's."""


def last_wrong() -> MemoryTrial:
    made = trial(LAST_WRONG["train"], LAST_WRONG["valid"], steps_per_epoch=2, batches=2)
    for step, right in enumerate([1.0, 0.0] * 3):
        made.add_reduction("accuracy", "mean", step, EVAL, right, collection="metrics")
    return made


def whole_evaluations(made: MemoryTrial, *, losses: bool) -> MemoryTrial:
    """The same trial with what older recordings have at the end of each evaluation."""
    labels = np.zeros(65, dtype=np.int32)
    predictions = np.r_[labels[:-1], 1].astype(np.int32)
    for step in (1, 3, 5):
        full(made, "labels", {step: labels}, collection="labels", mode=EVAL)
        full(made, "predictions", {step: predictions}, collection="predictions", mode=EVAL)
        if losses:
            single = np.r_[np.full(64, 0.08), 4.045].astype(np.float32)
            full(made, "valid_losses", {step: single}, collection="valid_losses", mode=EVAL)
    return made


def recorded_sizes(made: MemoryTrial) -> MemoryTrial:
    made.add_numbers(STEP_SIZE, range(6), [64.0, 1.0] * 3, EVAL, collection="scalars")
    return made


def labels_of_each_batch(made: MemoryTrial) -> MemoryTrial:
    for step in range(6):
        full(made, "labels", {step: np.zeros((64, 1)[step % 2])}, collection="labels", mode=EVAL)
    return made


def sizes_of_batch_and_split(made: MemoryTrial) -> MemoryTrial:
    made.run |= {"batch_size": 64, "sizes": {"valid": 65}}
    return made


@pytest.mark.parametrize(
    "sized",
    [
        recorded_sizes,
        labels_of_each_batch,
        sizes_of_batch_and_split,
        partial(whole_evaluations, losses=True),
        partial(whole_evaluations, losses=False),
    ],
)
def test_a_last_batch_of_one_counts_as_one_however_its_size_is_known(
    sized: Callable[[MemoryTrial], MemoryTrial],
) -> None:
    made = sized(last_wrong())
    assert epoch_losses(made).valid == pytest.approx([0.141] * 3, abs=1e-3)
    assert curves(made)["accuracy"].valid == pytest.approx([64 / 65] * 3)
    assert notes(made) == []


@pytest.mark.parametrize(("per_epoch", "sizes"), [(3, [4, 4, 2] * 2), (2, [4] * 6)])
def test_no_planned_batch_is_smaller_if_the_last_one_is_dropped(per_epoch: int, sizes: list[float]) -> None:
    made = trial(range(6), batch_size=4, sizes={"train": 10})
    made.run["steps_per_epoch"] = per_epoch
    found = batch_sizes(Evidence(made), TRAIN)
    assert found is not None and found.tolist() == sizes


def test_a_last_batch_of_unknown_size_is_left_out_and_that_is_said() -> None:
    made = last_wrong()
    assert epoch_losses(made).valid == pytest.approx([0.08] * 3)
    assert curves(made)["accuracy"].valid.tolist() == [1.0] * 3
    assert "leave it out" in notes(made)[0]


def test_the_size_of_a_last_batch_like_the_others_hardly_matters() -> None:
    made = trial([1.0] * 4, [0.30, 0.31] * 2, steps_per_epoch=2, batches=2)
    assert epoch_losses(made).valid == pytest.approx([0.305] * 2)
    assert notes(made) == []


def test_single_pictures_losses_give_the_validation_error() -> None:
    made = trial([1, 1], [2.0], steps_per_epoch=2)
    full(made, "valid_losses", {0: np.array([1.0, 3.0, 1.0, 3.0])}, collection="valid_losses", mode=EVAL)
    found = epoch_losses(made)
    assert found.counts.tolist() == [4]
    assert found.valid_error[0] == pytest.approx(1 / math.sqrt(3))


def test_an_epoch_without_evaluation_has_no_validation_loss() -> None:
    found = epoch_losses(trial(range(1, 6), [1.0], steps_per_epoch=2))
    assert found.epochs.tolist() == [1, 2]
    assert np.isnan(found.valid[1])
    assert found.counts.tolist() == [1, 0]


def test_what_guessing_costs_follows_from_what_is_known_of_the_classes() -> None:
    assert chance_loss(trial([1.0], classes=["a", "b", "c"])) == pytest.approx(math.log(3))
    assert chance_loss(trial([1.0], class_counts=[90, 10])) == pytest.approx(0.3251, abs=1e-4)
    assert chance_loss(trial([1.0], name="BCELoss_output_0")) == pytest.approx(math.log(2))
    assert chance_loss(trial([1.0], name="MSELoss_output_0", classes=["a", "b"])) is None
    assert chance_loss(trial([1.0])) is None
    assert chance_loss(trial([1.0], class_counts=[None, None])) is None


@pytest.mark.parametrize("whole", [True, False])
def test_the_number_of_classes_follows_from_the_gradient_of_the_last_bias(whole: bool) -> None:
    """softmax - onehot sums to zero over the classes, which no hidden layer's gradient does."""
    made = trial([1.0])
    generator = np.random.default_rng(0)
    hidden, last = generator.standard_normal(16), generator.standard_normal(7)
    for name, value in (("gradient/Net_0.bias", hidden), ("gradient/Net_2.bias", last - last.mean())):
        if whole:
            full(made, name, {0: value.astype(np.float32)})
            continue
        numbers = {"mean": value.mean(), "abs_mean": abs(value).mean(), "std": value.std(), "l2": np.linalg.norm(value)}
        for kind, number in numbers.items():
            made.add_reduction(name, kind, 0, TRAIN, float(number))
    assert chance_loss(made) == pytest.approx(math.log(7))


def test_learning_is_told_from_standing_still() -> None:
    fallen, still = learning(trial(np.geomspace(2, 0.1, 40))), learning(trial(level()))
    assert fallen is not None
    assert still is not None
    assert (fallen.learned, fallen.falling) == (True, True)
    assert (still.learned, still.falling) == (False, False)
    assert learning(trial([1.0])) is None
    assert learning(trial([np.nan] * 10)) is None
