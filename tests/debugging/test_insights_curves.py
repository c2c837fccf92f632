"""What insights say about curves, and where they keep quiet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dogbreed_sdk.debugging.insights import Insight, insights
from tests.debugging.insights_made_up import HEALTHY, made_up_run
from training_scripts.recording.trial.trial import MemoryTrial, Trial
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult
from training_scripts.training import hyperparameters

TURNED = [0.9, 0.5, 0.36, 0.31, 0.29, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.42]
FALLING = [2.0, 1.75, 1.55, 1.38, 1.24, 1.12, 1.02, 0.94, 0.88, 0.84]


def said(trial: Trial, results: list[RuleResult] | None = None) -> dict[str, Insight]:
    found = insights(trial, None, results or [])
    assert len({insight.topic for insight in found}) == len(found), "a topic twice"
    for insight in found:
        hyperparameters.validate(insight.hyperparameters, entry_point="train_model")
        assert insight.title.endswith(".") and insight.explanation and insight.evidence
        assert "{" not in " ".join([insight.title, insight.explanation, insight.next_step, *insight.evidence])
        assert insight.severity == "info" or insight.next_step, f"{insight.topic} leaves its reader alone"
    return {insight.topic: insight for insight in found}


def test_of_a_healthy_run_only_the_result_is_told() -> None:
    found = said(made_up_run())
    assert list(found) == ["result"]
    assert found["result"].title == (
        "Converged by epoch 7, the epoch with the lowest validation loss is 9 of 10: validation accuracy 90% "
        "(95% interval 88% to 91.7%)."
    )
    assert "the lowest validation loss: epoch 9" in found["result"].explanation


def test_without_a_recording_nothing_is_told() -> None:
    assert insights(None, None, []) == []
    assert insights(MemoryTrial(), None, []) == []


def test_a_validation_loss_that_turned_is_dated_and_weighed() -> None:
    turned = said(made_up_run(TURNED, [0.9 / 2**epoch for epoch in range(12)]))["overfitting"]
    assert turned.title == "Overtraining: the validation loss turned after epoch 5 and then rose by 44.8%."
    assert turned.confidence == "high" and turned.steps == (99,)
    assert "0.130 ± 0.008 more" in turned.evidence[0]
    assert "not significant" in turned.evidence[2]


def test_overtraining_costs_time_only_where_the_best_weights_are_kept() -> None:
    kept = said(made_up_run(TURNED))["overfitting"]
    assert kept.severity == "hint" and "not accuracy" in kept.explanation
    lost = said(made_up_run(TURNED, ours=False))["overfitting"]
    assert lost.severity == "hint" and "unless the weights" in lost.explanation
    assert lost.hyperparameters == {} and lost.confidence == "medium"
    far = [*TURNED[:5], *np.linspace(0.4, 1.2, 7)]
    assert (
        said(made_up_run(far, [0.9 / 2**epoch for epoch in range(12)], ours=False))["overfitting"].severity == "problem"
    )


def test_a_loss_near_zero_that_rises_by_half_of_itself_costs_nothing() -> None:
    tiny = [0.9, 0.1, 0.01, *np.linspace(0.004, 0.006, 9)]
    found = said(made_up_run(tiny, [0.9 / 3**epoch for epoch in range(12)], ours=False, start=2.3))
    assert {insight.severity for insight in found.values()} == {"info"}


@pytest.mark.parametrize(("scheduler", "new"), [("cosine", {"epochs": 9}), ("none", {"patience": 3})])
def test_overtraining_is_met_by_fewer_epochs_under_a_cosine_and_by_patience_without(
    scheduler: str, new: dict[str, object]
) -> None:
    assert said(made_up_run(TURNED, scheduler=scheduler))["overfitting"].hyperparameters == new


def test_without_answers_a_change_in_accuracy_is_not_weighed() -> None:
    trial = made_up_run(TURNED, [0.9 / 2**epoch for epoch in range(12)], ours=False)
    trial.run["sizes"] = {"valid": 1000}
    for epoch in range(12):
        trial.add("accuracy", epoch, "EVAL", 0.9 - 0.02 * epoch, collection="metrics")
    told = said(trial)["overfitting"].evidence[2]
    assert told == "Validation accuracy went from 82% to 68%."


def test_a_rise_within_its_error_is_no_overtraining() -> None:
    noisy = np.random.default_rng(2)
    trial = made_up_run([*HEALTHY[:9], 0.29])
    shares = noisy.exponential(size=1000) / 0.29
    trial.add("valid_losses", 9, "EVAL", 0.29 * shares * 0.29 / np.mean(shares * 0.29))
    assert "overfitting" not in said(trial)


def test_training_pictures_known_by_heart_are_told_with_what_helps_this_head() -> None:
    gap = said(made_up_run(train=[0.02] * 10, train_accuracy=0.995, valid_accuracy=0.75))["generalization-gap"]
    assert gap.hyperparameters == {"views": "plain,flip,crops:4"}
    assert "(99.2% right); of the 1,000 validation pictures, 75% are right." in gap.title
    hidden = said(made_up_run(train_accuracy=0.995, valid_accuracy=0.75, hidden=(512,)))["generalization-gap"]
    assert hidden.hyperparameters == {"dropout": 0.5}
    assert "generalization-gap" not in said(made_up_run(train_accuracy=0.995, valid_accuracy=0.95))


def test_a_loss_that_still_falls_asks_for_more_epochs() -> None:
    falling = said(made_up_run(FALLING, train_accuracy=0.7, valid_accuracy=0.7, scheduler="none"))["not-converged"]
    assert falling.hyperparameters == {"epochs": 20} and falling.severity == "hint"
    assert falling.confidence == "high" and "0.28 (33.3% of its lowest value)" in falling.evidence[0]


@pytest.mark.parametrize("scheduler", ["none", "cosine"])
def test_pictures_known_by_heart_are_told_instead_of_a_loss_that_still_falls(scheduler: str) -> None:
    found = said(made_up_run(FALLING, train_accuracy=0.99, valid_accuracy=0.6, scheduler=scheduler))
    assert next(iter(found)) == "generalization-gap" and "not-converged" not in found


QUICKSTART = [1.3259, 0.692, 0.5348, 0.6186, 0.4247, 0.398, 0.4014, 0.3964, 0.394, 0.3938]
LEARNED = [1.6746, 0.6247, 0.3328, 0.175, 0.1209, 0.0698, 0.0694, 0.0546, 0.05, 0.0515]


def test_a_cosine_that_came_to_rest_with_known_pictures_is_not_said_to_fall_still() -> None:
    """Twice the epochs were tried: they brought a tenth of what an extrapolation promised."""
    found = said(made_up_run(QUICKSTART, LEARNED, size=48, train_accuracy=0.995, valid_accuracy=40 / 48))
    assert next(iter(found)) == "generalization-gap" and "not-converged" not in found
    assert found["generalization-gap"].confidence == "medium", "48 pictures are few"


def test_a_loss_that_still_falls_is_as_serious_as_what_is_left_to_learn() -> None:
    hardly = said(made_up_run([2.3, 2.28, 2.25, 2.2, 2.12, 2.02], train_accuracy=0.2, valid_accuracy=0.2))
    assert hardly["not-converged"].severity == "problem"
    nearly = said(made_up_run([1.2, 0.8, 0.5, 0.3, 0.25, 0.2, 0.18, 0.16, 0.14, 0.12], scheduler="none"))
    assert nearly["not-converged"].severity == "info"


def test_nobody_is_told_by_how_much_a_loss_would_fall() -> None:
    told = said(made_up_run(FALLING, train_accuracy=0.7, valid_accuracy=0.7))["not-converged"]
    assert "only a new run shows" in told.explanation and "xtrapolat" not in " ".join(told.evidence)


def test_most_epochs_for_nothing_are_told_though_the_rise_is_within_its_error() -> None:
    generator = np.random.default_rng(0)
    trial = made_up_run([0.9, 0.5, 0.36, 0.31, 0.34, 0.3, *[0.4] * 60], size=48, train_size=128)
    trial.add("valid_losses", 65, "EVAL", 0.4 * np.concatenate([[40.0], generator.random(47) * 0.3]))
    told = said(trial)
    assert "overfitting" not in told
    idle = told["too-many-epochs"]
    assert idle.title == "The last 60 of 66 epochs brought no improvement."
    assert idle.severity == "info", "they took three minutes"
    assert idle.hyperparameters == {"epochs": 15} and "or set patience=3" in idle.next_step
    assert "more (picture by picture" in " ".join(told["result"].evidence)


def test_a_small_fall_behind_a_wide_gap_is_no_reason_to_go_on() -> None:
    slowing = [1.003, 0.863, 0.783, 0.77]
    assert "not-converged" in said(made_up_run(slowing, [1.4, 0.95, 0.8, 0.7]))
    assert "not-converged" not in said(made_up_run(slowing, [1.4, 0.33, 0.14, 0.08]))


def test_timid_steps_ask_for_a_larger_rate_and_too_few_steps_for_a_smaller_batch() -> None:
    low = {"valid_accuracy": 0.6, "train_accuracy": 0.6}
    falling = [1.2 * loss for loss in FALLING]
    timid = said(made_up_run(falling, lr=2e-4, first_update=0.012, **low))["not-converged"]
    assert timid.hyperparameters == {"lr": 0.0005}, "a tenth of a usual step, and yet no more than three times the rate"
    assert timid.title.startswith("The learning rate is too small")
    few = said(made_up_run(FALLING, batch=640, train_size=1280))["not-converged"]
    assert few.hyperparameters == {"batch-size": 32} and "20 steps" in few.explanation


def test_dropout_that_hides_too_much_is_named_before_more_epochs() -> None:
    slow = said(made_up_run(FALLING, train_accuracy=0.1, valid_accuracy=0.6, dropout=0.9, hidden=(64,)))
    assert slow["not-converged"].hyperparameters == {"dropout": 0.45}


def test_one_epoch_shows_no_convergence() -> None:
    found = said(made_up_run([0.9]))
    assert found["not-converged"].hyperparameters == {"epochs": 10}
    assert found["result"].title.startswith("After one epoch: validation accuracy 90%")


@pytest.mark.parametrize(("steps", "falls"), [(np.r_[np.full(20, 2.0), np.full(60, 0.5)], False), (None, True)])
def test_a_loss_that_fell_only_early_in_its_one_epoch_is_not_said_to_fall_still(
    steps: np.ndarray | None, *, falls: bool
) -> None:
    if steps is None:
        steps = np.linspace(2.0, 0.5, 80)
    steps = steps + 0.01 * np.cos(np.arange(80.0))
    told = said(made_up_run([0.6], steps=steps, train_size=80 * 64))["not-converged"]
    assert ("still falling in the second half" in " ".join([told.title, told.explanation, *told.evidence])) == falls


def test_epochs_that_brought_nothing_are_counted_with_their_time() -> None:
    flat = [0.9, 0.4, 0.3, *[0.281, 0.28] * 20]
    found = said(made_up_run(flat, scheduler="none"))["too-many-epochs"]
    assert found.title == "The last 39 of 43 epochs brought no improvement."
    assert found.severity == "hint", "they took a quarter of an hour"
    assert found.hyperparameters == {"patience": 3} and "13 min 39 s" in found.evidence[1]
    cosine = said(made_up_run(flat))["too-many-epochs"]
    assert cosine.hyperparameters == {"epochs": 10}


def test_a_cosine_that_is_needed_to_get_that_far_is_left_alone() -> None:
    """Half of a cosine's epochs go four fifths of its way: as few epochs of a shorter one would fall short."""
    assert "too-many-epochs" not in said(made_up_run([0.9, 0.5, 0.35, 0.3, 0.282, 0.2815, 0.281, 0.2805, 0.28, 0.28]))


def test_underfitting_is_told_where_training_and_validation_agree_and_rest() -> None:
    low = {"train_accuracy": 0.62, "valid_accuracy": 0.61}
    rest = [1.4, 1.25, 1.2, 1.19, 1.185, 1.184, 1.184, 1.1835, 1.1834, 1.1834]
    assert said(made_up_run(rest, **low))["underfitting"].hyperparameters == {"hidden": "512"}
    assert said(made_up_run(rest, dropout=0.6, **low))["underfitting"].hyperparameters == {"dropout": 0.2}
    assert "underfitting" not in said(made_up_run())
    assert "underfitting" not in said(made_up_run([1.18, 1.2, 1.22, 1.24, 1.26, 1.28], **low)), "it went wrong at once"
    assert "underfitting" not in said(made_up_run(FALLING, **low))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_the_only_advice(broken: float) -> None:
    steps = np.concatenate([np.linspace(2.3, 0.5, 100), np.full(100, broken)])
    found = said(made_up_run(steps=steps, lr=1.0))
    assert set(found) == {"divergence"}
    told = found["divergence"]
    # Nothing grew before, so the batch is looked at before the learning rate is changed.
    assert told.steps == (100,) and told.hyperparameters == {} and "the batch of step 100" in told.next_step
    assert (told.cause, told.alternatives) == ("nan-input", ("undefined-loss",))


def test_a_loss_that_grew_until_it_overflowed_lowers_the_rate() -> None:
    steps = np.concatenate([np.linspace(2.3, 0.5, 100), np.geomspace(1, 1e30, 10), np.full(90, np.nan)])
    told = said(made_up_run(steps=steps, lr=1.0))["divergence"]
    assert told.cause == "learning-rate-too-high" and told.steps == (110,)
    assert 0.1 <= told.hyperparameters["lr"] < 1  # type: ignore[operator]


def test_steps_that_overshoot_give_the_rate_that_would_not() -> None:
    steps = np.concatenate([[2.3, 24.0, 38.0, 30.0], np.linspace(20, 0.3, 196)])
    found = said(made_up_run([5.0, 4.5, 4.2, *[4.0] * 7], steps=steps, lr=0.2, first_update=12.0))
    assert set(found) == {"learning-rate-too-large"}
    told = found["learning-rate-too-large"]
    assert told.hyperparameters == {"lr": 0.067} and told.severity == "problem"
    assert told.title.endswith("overshot, and the loss never recovered.")
    assert "rose to 34 around" in told.evidence[0] and "above that of guessing" in told.evidence[1]


def test_of_two_losses_only_the_one_that_stayed_high_never_recovered() -> None:
    steps = np.concatenate([[2.3, 24.0, 38.0, 30.0], np.linspace(20, 0.01, 96), np.full(100, 0.01)])
    told = said(made_up_run([5.0, 4.5, 4.2, *[4.0] * 7], steps=steps, lr=0.2, first_update=12.0))
    assert told["learning-rate-too-large"].title.endswith("the validation loss never recovered.")
    told = said(made_up_run([2.0, 1.5, 1.0, *[0.9] * 7], steps=steps, lr=0.2, first_update=12.0))
    assert told["learning-rate-too-large"].title.endswith("the run was spent on recovering.")


def test_the_scatter_of_tiny_batches_is_no_overshooting() -> None:
    assert "learning-rate-too-large" not in said(made_up_run(batch=4, step_noise=0.5))


def test_a_loss_of_guessing_is_explained_by_what_training_did() -> None:
    guessing = [2.303, 2.302, 2.303, 2.304, 2.303, 2.303]
    low = {"valid_accuracy": 0.1, "train_accuracy": 0.1}
    shuffled = said(made_up_run(guessing, [2.2, 2.0, 1.8, 1.5, 1.2, 0.9], **low))["nothing-learned"]
    assert "labels" in shuffled.title and shuffled.hyperparameters == {}
    assert "shuffled-labels" in (shuffled.cause, *shuffled.alternatives)
    asleep = said(made_up_run(guessing, guessing, lr=1e-5, first_update=1e-4, **low))["nothing-learned"]
    assert asleep.hyperparameters == {"lr": 2e-5} and "too small" in asleep.explanation
    dead = RuleResult("DeadRelu", ISSUES_FOUND, "dead")
    assert "never active" in said(made_up_run(guessing, guessing, **low), [dead])["nothing-learned"].explanation


def test_guessing_the_largest_class_is_guessing_too() -> None:
    counts = [640, *[71] * 9]
    labels = np.repeat(np.arange(10), [500, *[56] * 8, 52])
    chance = -(0.5 * math.log(0.5) + 0.5 * math.log(0.0555))
    found = said(
        made_up_run([chance] * 6, [chance] * 6, class_counts=counts, answers=(labels, np.zeros(1000, dtype=np.int64)))
    )
    assert "nothing-learned" in found


def spiky(**settings: Any) -> dict[str, Insight]:
    """Of a run that is not doing well: spikes alone are no reason to change one that does."""
    valid = [2.2, 1.9, 1.44, 1.24, 1.16, 1.132, 1.52, 1.124, 1.44, 1.12]
    return said(made_up_run(valid, valid_accuracy=0.5, train_accuracy=0.5, **settings))


def test_spikes_of_a_run_that_does_well_are_explained_and_nothing_is_to_be_changed() -> None:
    valid = [0.9, 0.5, 0.36, 0.31, 0.29, 0.283, 0.48, 0.281, 0.46, 0.28]
    found = said(made_up_run(valid, scheduler="none"))["validation-spikes"]
    assert found.severity == "info" and found.hyperparameters == {} and "earning rate" not in found.next_step


def test_spikes_are_counted_and_every_usual_cause_is_tested() -> None:
    found = spiky(scheduler="none", batch=8, train_size=1201)["validation-spikes"]
    assert found.title.startswith("The validation loss is spiky: 2 spikes of up to 34.8%")
    assert found.hyperparameters == {"scheduler": "cosine"}
    words = {line.split(":")[1].strip(): line.startswith("holds") for line in found.evidence}
    assert words["learning rate too large late in training"] and words["small batches"]
    assert not words["a validation split too small"]
    assert any("leave only 1 for the last step" in line for line in found.evidence)


def test_spikes_after_a_tiny_last_batch_are_cured_by_dropping_it() -> None:
    found = spiky(batch=64, train_size=1281)["validation-spikes"]
    assert "leave only 1 for the last step" in found.evidence[-3]
    assert found.evidence[-3].startswith("holds: ")
    assert found.hyperparameters == {"drop-last": True} and found.next_step.startswith("Set drop-last=true, ")
    lines = spiky(batch=64, train_size=1281, drop_last=True)["validation-spikes"].evidence
    assert "does not hold: a smaller last batch: drop-last leaves it out." in lines


def test_spikes_are_explained_where_epochs_end_without_a_loss() -> None:
    valid = [2.2, 1.9, 1.44, 1.24, 1.16, 1.132, 1.52, 1.124, 1.44, 1.12]
    trial = made_up_run(valid, valid_accuracy=0.5, train_accuracy=0.5, batch=64, train_size=1281)
    trial.run["steps_per_epoch"] = 22
    trial.add_step(210, "TRAIN", global_step=10_000)
    lines = said(trial)["validation-spikes"].evidence
    assert any("leave only 1 for the last step" in line for line in lines)


def test_spikes_without_a_usual_cause_say_so() -> None:
    found = spiky()["validation-spikes"]
    assert found.confidence == "low" and not any(line.startswith("holds") for line in found.evidence)
    assert "validation-spikes" not in said(made_up_run())


def test_a_small_split_is_not_a_cause_of_spikes_that_its_own_pictures_show() -> None:
    valid = [0.9, 0.5, 0.36, 0.31, 0.29, 0.283, 0.48, 0.281, 0.46, 0.28]
    shares = np.array([7.0] * 10 + [0.5] * 110)
    losses = [loss * shares / shares.mean() for loss in valid]
    losses[6] = losses[5] + 0.197 + 0.02 * np.cos(np.arange(120))
    losses[8] = losses[7] + 0.179 + 0.02 * np.cos(np.arange(120))
    trial = made_up_run(valid, size=120)
    for epoch, values in enumerate(losses):
        trial.add("valid_losses", epoch, "EVAL", values)
    found = said(trial)["validation-spikes"]
    assert "2 spikes" in found.title and "split too small" not in found.title
    [line] = [line for line in found.evidence if "split too small: its 120 pictures" in line]
    assert line.startswith("does not hold: ") and line.endswith("so it is not what made the spikes.")


def test_spikes_by_a_few_pictures_name_them() -> None:
    trial = made_up_run([0.9, 0.5, 0.36, 0.31, 0.29, 0.283, 0.38, 0.281, 0.2805, 0.28])
    base = trial.tensor("valid_losses").value(5, "EVAL")
    spike = base.copy()
    spike[:8] += np.arange(13, 5, -1) / 76 * (0.38 - 0.283) * 1000
    trial.add("valid_losses", 6, "EVAL", spike)
    lines = said(trial)["validation-spikes"].evidence
    assert any(line.startswith("holds: a few pictures") and "0000.jpg" in line for line in lines)


def test_pictures_with_a_huge_loss_are_named() -> None:
    shares = np.full(1000, 0.6)
    shares[[7, 70, 700]] = 400 / 3
    found = said(made_up_run(losses=shares))["huge-losses"]
    assert "10 pictures of 1000 cause 40.5%" in found.title
    assert all(f"{number:04}.jpg" in found.evidence[2] for number in (7, 70, 700))
    assert "huge-losses" not in said(made_up_run(size=60)), "three of sixty hold much of any loss"


def test_a_few_pictures_that_cause_most_of_a_loss_near_zero_are_not_worth_a_word() -> None:
    """The others have none at all: nearly every healthy run ends like that."""
    shares = np.full(1000, 0.05)
    shares[[7, 70, 700]] = 950 / 3
    tiny = [0.9, 0.2, 0.05, *[0.012] * 7]
    assert "huge-losses" not in said(made_up_run(tiny, losses=shares, valid_accuracy=0.997))


def contradicted(*, right: float) -> np.ndarray:
    """Shares of a loss of 1: 150 pictures at 6, 50 at 2, and the 800 right ones (the last) at `right`."""
    shares = np.concatenate([np.full(150, 6.0), np.full(50, 2.0), np.full(800, right)])
    return shares / shares.mean()


def test_labels_that_are_contradicted_with_certainty_look_wrong() -> None:
    losses = contradicted(right=0.3)
    mean = (150 * 6 + 50 * 2 + 800 * 0.3) / 1000
    found = said(made_up_run([mean + 0.02, mean + 0.01, *[mean] * 4], losses=losses, valid_accuracy=0.8))["labels"]
    assert found.title.startswith("15% of the validation labels contradict") and found.severity == "hint"
    assert "probability of 74.1%, and 80% of all predictions are right" in found.evidence[1]


def test_labels_of_a_class_that_training_lacks_are_not_called_wrong() -> None:
    """A sixth of the labels are of a class that was never learned: training pictures are missing, and labels right."""
    labels = np.arange(960) % 6
    predictions = np.where(labels == 5, np.arange(960) // 6 % 5, labels)
    shares = np.where(labels == 5, 9.0, 0.05)
    valid = [1.9, 1.7, *[float(shares.mean())] * 4]
    counts = [200] * 5 + [0]
    run = {"classes": 6, "size": 960, "answers": (labels, predictions), "class_counts": counts}
    trained = [0.2 * loss for loss in HEALTHY[:6]]
    found = said(made_up_run(valid, trained, losses=shares / shares.mean(), **run))
    assert "labels" not in found
    assert found["weak-classes"].title == "1 class is never predicted: class 5."
    assert found["weak-classes"].next_step == "Add training pictures of class 5: there are none."


def test_a_network_that_boasts_accuses_no_labels() -> None:
    mean = (150 * 6 + 50 * 2 + 800 * 0.01) / 1000
    run = {"losses": contradicted(right=0.01), "valid_accuracy": 0.8}
    assert "labels" not in said(made_up_run([mean + 0.02, mean + 0.01, *[mean] * 4], **run))
    boasting = said(made_up_run([mean + 0.02, mean + 0.01, *[mean] * 4], first_update=1.2, lr=0.02, **run))
    assert boasting["learning-rate-too-large"].hyperparameters == {"lr": 0.0067}
    assert "probability of 99%, but only 80% of all are" in boasting["learning-rate-too-large"].evidence[0]


def test_a_small_validation_split_says_what_it_can_tell() -> None:
    found = said(made_up_run(size=60, valid_accuracy=0.8))["validation-size"]
    assert found.title == (
        "60 validation pictures cannot distinguish good from slightly better: the 95% interval of the accuracy is "
        "68.2% to 88.2%."
    )
    assert found.severity == "info"
    assert "About 1,000 validation pictures" in found.evidence[1]
    assert "several seeds" in found.next_step, "1280 training pictures can spare none"
    many = said(made_up_run(size=60, valid_accuracy=0.8, train_size=5120))["validation-size"]
    assert "5,120 training pictures can spare some" in many.next_step
    assert "validation-size" not in said(made_up_run())


def test_with_four_validation_pictures_nothing_is_called_well() -> None:
    """An interval around 100% ends there: 100% ± 24.5 says nothing that can be."""
    found = said(made_up_run(size=4, valid_accuracy=1.0))
    assert found["result"].title.endswith("validation accuracy 100% (95% interval 51% to 100%).")
    assert found["validation-size"].severity == "hint", "the verdict does not say that all is well"
    assert found["validation-size"].title == (
        "4 validation pictures say hardly anything about the model: the 95% interval of the accuracy is 51% to 100%."
    )


def test_few_pictures_a_class_limit_what_can_be_concluded() -> None:
    found = said(made_up_run(train_size=20, classes=10, train_accuracy=1.0, valid_accuracy=0.5))
    assert found["few-pictures"].title.startswith("2 training pictures per class")
    assert "reached 100% in epoch 1. Validation accuracy is 50%" in found["few-pictures"].evidence[1]
    assert not {"generalization-gap", "weak-classes"} & set(found)


def test_steps_that_scatter_more_than_their_pictures_explain_are_too_large() -> None:
    noisy: dict[str, Any] = {"train_accuracy": 0.8, "accuracy_noise": 2.5, "lr": 0.02, "first_update": 0.1}
    restless = [2.2, 1.9, *(4 * loss for loss in HEALTHY[2:])]
    found = said(made_up_run(restless, valid_accuracy=0.5, **noisy))["training-fluctuations"]
    assert found.hyperparameters == {"lr": 0.0067} and "2.4 times" in found.evidence[1]
    assert "training-fluctuations" not in said(made_up_run(**noisy)), "it does well"
    assert "training-fluctuations" not in said(made_up_run(accuracy_noise=1.1))


def test_the_noise_of_small_batches_is_told_from_a_wrong_rate() -> None:
    found = said(made_up_run(batch=4, step_noise=0.8))["training-fluctuations"]
    assert found.severity == "info" and found.hyperparameters == {"batch-size": 16}
    tiny = made_up_run([loss / 100 for loss in HEALTHY], batch=4, step_noise=0.8, start=0.02)
    assert "training-fluctuations" not in said(tiny)


def test_small_classes_that_do_worse_are_an_imbalance() -> None:
    counts = [200] * 8 + [20, 20]
    labels = np.arange(1000) % 10
    predictions = labels.copy()
    predictions[(labels >= 8) & (np.arange(1000) % 20 < 10)] = 0
    found = said(made_up_run(class_counts=counts, answers=(labels, predictions)))
    assert "50% right against 100%" in found["class-imbalance"].title
    assert "class-imbalance" not in said(made_up_run(class_counts=counts)), "it does no harm"


def test_classes_that_are_never_predicted_and_pairs_that_are_confused_are_named() -> None:
    labels = np.arange(1000) % 10
    found = said(made_up_run(answers=(labels, np.where(labels == 3, 5, labels))))
    assert found["weak-classes"].title == "1 class is never predicted: class 3."
    assert "confused-classes" not in found, "that of class 3 is told already"
    assert not {"weak-classes", "confused-classes"} & set(said(made_up_run()))


def mixed_pair(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of ten classes, a third of each is wrong; classes 3 and 5 are taken for each other, the rest for any."""
    labels, turn = np.arange(size) % 10, np.arange(size) // 10
    others = np.where(labels == 3, 5, np.where(labels == 5, 3, (labels + 1 + turn // 3 % 9) % 10))
    return labels, np.where(turn % 3 == 0, others, labels)


def test_a_pair_is_told_as_surely_as_its_pictures_allow() -> None:
    run = {"train_accuracy": 0.7, "valid_accuracy": 0.66}
    sure = said(made_up_run(answers=mixed_pair(1000), **run))["confused-classes"]
    assert sure.title == "class 3 and class 5 are confused with each other more often than chance explains."
    assert sure.confidence == "high" and "classified as class 5 34 times" in sure.evidence[0]
    few = said(made_up_run(answers=mixed_pair(150), size=150, **run))["confused-classes"]
    assert few.confidence == "medium" and "15 validation pictures per class" in few.explanation
    unseen = said(made_up_run(answers=mixed_pair(1000), train_size=20, **run))["confused-classes"]
    assert "label" not in unseen.next_step


def test_label_smoothing_is_reckoned_with() -> None:
    found = said(made_up_run([0.9, 0.4, 0.3, *[0.281, 0.28] * 5], label_smoothing=0.1))
    assert "label smoothing 0.1" in found["result"].explanation
    assert "too-many-epochs" not in found


def test_a_damaged_description_of_the_run_is_no_obstacle() -> None:
    trial = made_up_run()
    trial.run |= {"hyperparameters": {"lr": "fast"}, "sizes": None, "classes": 7, "batch_size": "many"}
    assert set(said(trial)) == {"result"}
