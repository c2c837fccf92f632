"""AWS's definitions with their defaults, on numbers worked out by hand, and on recordings that smdebug made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training_scripts.rules.made_up import LOSS, answers, full, reduced, trial
from training_scripts import rules
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial, Trial
from training_scripts.rules import Finding


def findings(name: str, made: Trial, **overrides: Any) -> list[Finding]:
    [result] = rules.evaluate(trial=made, parameters="aws", only=[name], overrides={name: overrides})
    assert result.status in ("IssuesFound", "NoIssuesFound"), result.message
    return list(result.findings)


def steps(name: str, made: Trial, **overrides: Any) -> list[tuple[int, ...]]:
    return [finding.steps for finding in findings(name, made, **overrides)]


def every(interval: int, losses: Mapping[int, float] | list[float]) -> MemoryTrial:
    """Losses that were recorded at every interval-th step."""
    made = MemoryTrial()
    for place, value in enumerate(losses):
        made.add(LOSS, place * interval, TRAIN, np.float32(value), collection="losses")
    return made


def test_vanishing_gradient_compares_mean_absolute_values_with_the_threshold() -> None:
    made = full(trial([1.0]), "gradient/a", {0: [2e-7, -2e-7], 5: [1e-7, -1e-7], 10: [9e-8, -9e-8]})
    assert steps("VanishingGradient", made) == [(10,)]  # 1e-7 itself is not below
    assert steps("VanishingGradient", made, threshold=1e-6) == [(0, 5, 10)]


def test_loss_not_decreasing_compares_with_the_newest_step_at_least_num_steps_before() -> None:
    # Recorded every 3 steps: step 12 is compared with 0, 24 with 12, 36 with 24.
    losses = [1.0, 9, 9, 9, 0.5, 9, 9, 9, 0.4996, 9, 9, 9, 0.3]
    assert steps("LossNotDecreasing", every(3, losses)) == [(24,)]  # 0.08% is less than 0.1%
    assert steps("LossNotDecreasing", every(3, losses), diff_percent=0.05) == []
    assert steps("LossNotDecreasing", every(3, losses), num_steps=9) == [
        (9, 18, 27)
    ]  # at 0, 9, ..., 36: 1, 9, 9, 9, 0.3
    assert findings("LossNotDecreasing", every(10, [1.0, 1.06]))[0].numbers["change_percent"] == pytest.approx(
        6, abs=1e-3
    )


@pytest.mark.parametrize(
    ("losses", "worst"),
    [([0.0, 0.0], "+0.0%"), ([0.0, 1.0], "∞%"), ([1.0, np.nan, 0.5], "NaN%"), ([np.nan, np.nan], "NaN%")],
)
def test_loss_not_decreasing_says_how_a_loss_of_zero_or_nan_changed(losses: list[float], worst: str) -> None:
    [finding] = findings("LossNotDecreasing", every(10, losses))
    assert finding.message.endswith(f"the worst change was {worst}.")


def test_loss_not_decreasing_looks_at_eval_and_train() -> None:
    made = trial(np.geomspace(2, 1, 44), [1.0] * 11, steps_per_epoch=4)
    assert [(finding.mode, finding.steps) for finding in findings("LossNotDecreasing", made)] == [(EVAL, (10,))]
    assert steps("LossNotDecreasing", made, mode="TRAIN") == []


def test_overfit_takes_the_ratio_to_the_training_loss_before_each_validation_step() -> None:
    # (0.44 - 0.4) / 0.4 = 0.1 is not above 0.1; (0.45 - 0.4) / 0.4 = 0.125 is.
    made = trial([0.5, 0.4, 0.5, 0.4, 0.5, 0.4], [0.44, 0.45, 0.45], steps_per_epoch=2)
    assert steps("Overfit", made) == [(1, 2)]
    assert findings("Overfit", made)[0].numbers["ratio"] == pytest.approx(0.125)
    assert steps("Overfit", made, patience=2) == [(2,)]
    assert steps("Overfit", made, start_step=2) == [(2,)]
    assert steps("Overfit", made, ratio_threshold=0.2) == []


def test_overfit_finds_nothing_in_two_losses_of_zero() -> None:
    assert steps("Overfit", trial([0.5, 0.0, 0.0, 0.0], [0.0, 0.0], steps_per_epoch=2)) == []
    [finding] = findings("Overfit", trial([0.5, 0.0], [0.1], steps_per_epoch=2))
    assert finding.message.endswith("the largest ratio is ∞.")


def test_overtraining_counts_steps_without_an_improvement_by_delta() -> None:
    # 0.992 is no new optimum against 1.0; at step 5 there were five in a row, at step 6 the loss is better.
    made = trial([1.0, 0.995, 0.995, 0.992, 0.992, 0.992, 0.5])
    assert steps("Overtraining", made) == [(5,)]
    assert steps("Overtraining", made, delta=0.001) == []
    assert steps("Overtraining", made, patience_train=3) == [(3, 4, 5)]


def test_poor_weight_initialization_has_three_signs() -> None:
    falling = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    wide, narrow = np.array([[2.0, -2.0]]), np.array([[0.5, -0.5]])  # variances 4 and 0.25: a ratio of 16
    made = full(trial(falling), "a.weight", {0: wide}, collection="weights")
    assert findings("PoorWeightInitialization", full(made, "b.weight", {0: narrow}, collection="weights"))[
        0
    ].numbers == {"variance_ratio": 16.0}
    made = full(trial(falling), "gradient/a", {0: np.linspace(0, 0.001, 101), 12: np.zeros(5)})
    assert findings("PoorWeightInitialization", made)[0].numbers["p95_minus_p5"] == pytest.approx(0.0009)
    assert steps("PoorWeightInitialization", trial([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])) == [(5,)]
    assert steps("PoorWeightInitialization", trial([1.0, 1.1, 1.2, 1.3, 1.4, 0.5])) == []


def test_dead_relu_counts_units_that_fire_in_less_than_one_percent() -> None:
    outputs = np.zeros((200, 4))
    outputs[:, 0] = 1.0
    outputs[:2, 1] = 1.0  # 1%: not below
    outputs[:1, 2] = 1.0  # 0.5%
    made = full(trial([1.0]), "relu_output_0", {3: outputs})
    assert steps("DeadRelu", made) == []  # 50% is not above 50%
    assert steps("DeadRelu", made, threshold_layer=49) == [(3,)]
    assert steps("DeadRelu", made, threshold_inactivity=1.5) == [(3,)]


def test_a_layer_that_was_recorded_in_evaluations_alone_is_found_there() -> None:
    made = full(trial([1.0]), "relu_output_0", {3: np.zeros((9, 4)), 4: np.ones((9, 4))}, mode=EVAL)
    [finding] = findings("DeadRelu", made)
    assert (finding.mode, finding.steps) == (EVAL, (3,))
    assert finding.message == "In relu_output_0, 100% of the units are inactive, first at step 3."


def test_steps_apart_are_not_said_to_last() -> None:
    made = full(trial([1.0]), "x", {0: [1.0], 3: [np.nan], 5: [1.0], 8: [np.inf], 9: [0.0], 10: [1.0]})
    [exploding] = findings("ExplodingTensor", made)
    assert exploding.message == "x (TRAIN) contains NaN or infinity at 2 recorded steps, first at step 3."
    [zero] = findings("AllZero", made)
    assert zero.message == "100% of the values of x (TRAIN) are zero, first at step 9."
    [finding] = findings("ExplodingTensor", made, only_nan=True)
    assert finding.steps == (3,)


def test_saturated_activation_counts_inputs_beyond_the_limits() -> None:
    inputs = np.array([[10.0, 9.0, -9.6, 0.0]])
    made = full(trial([1.0]), "tanh_input_0", {3: inputs})
    assert steps("SaturatedActivation", made) == []  # 2 of 4 are not above 50%
    assert steps("SaturatedActivation", made, threshold_tanh_max=8.0) == [(3,)]
    assert steps("SaturatedActivation", full(trial([1.0]), "sigmoid_input_0", {3: inputs * 2})) == []
    assert steps("SaturatedActivation", full(trial([1.0]), "sigmoid_input_0", {3: inputs * 3})) == [(3,)]


def test_weight_update_ratio_divides_mean_absolute_values() -> None:
    made = full(trial([1.0]), "a.weight", {0: [1.0, -1.0], 10: [12.0, -12.0], 20: [12.0, -12.0]}, collection="weights")
    by_steps = {
        finding.steps: finding.numbers["ratio"] for finding in findings("WeightUpdateRatio", made) if finding.tensor
    }
    assert by_steps == {(10,): pytest.approx(11.0), (20,): 0.0}
    made = full(trial([1.0]), "a.weight", {0: [1.0], 10: [6.0], 20: [12.0]}, collection="weights")
    assert steps("WeightUpdateRatio", made) == []
    assert steps("WeightUpdateRatio", made, num_steps=15) == [(20,)]  # against step 0: 11


def test_unchanged_tensor_compares_with_allclose() -> None:
    made = full(trial([1.0]), "a.weight", {0: [1.0], 7: [1.000005], 9: [1.00001], 20: [2.0]}, collection="weights")
    assert steps("UnchangedTensor", made) == [(9,)]
    assert steps("UnchangedTensor", made, rtol=1e-6) == []
    assert steps("UnchangedTensor", made, num_steps=2) == [(7, 9)]
    [finding] = findings("UnchangedTensor", made)
    assert finding.message == (
        "a.weight (TRAIN) did not change over 3 recorded steps, for the first time up to step 9."
    )


def test_all_zero_compares_a_percentage() -> None:
    made = full(trial([1.0]), "a.weight", {0: [0, 0, 0, 1.0], 5: [0, 0, 0, 0.0]})
    assert steps("AllZero", made) == [(5,)]
    assert steps("AllZero", made, threshold=75) == [(0, 5)]
    assert steps("AllZero", reduced(trial([1.0]), "b.weight", {"abs_mean": [0.0, 0.1]})) == [(0,)]


def test_class_imbalance_compares_counts_and_mispredictions() -> None:
    labels = [0] * 500 + [1] * 50
    assert (
        findings("ClassImbalance", answers(trial([1.0] * 9, [1.0], steps_per_epoch=3), labels, labels, evaluations=1))
        == []
    )
    more = findings(
        "ClassImbalance", answers(trial([1.0] * 9, [1.0], steps_per_epoch=3), [0, *labels], [0, *labels], evaluations=1)
    )
    assert more[0].numbers == {"largest": 501, "smallest": 50, "ratio": 10.02}
    called = [0] * 500 + [0] * 36 + [1] * 14  # 72% of class 1
    [found] = findings(
        "ClassImbalance", answers(trial([1.0] * 9, [1.0], steps_per_epoch=3), labels, called, evaluations=1)
    )
    assert (found.numbers["class"], found.numbers["mistaken"], found.numbers["of"]) == (1, 36, 50)


def test_confusion_divides_by_the_diagonal_and_by_the_column() -> None:
    labels, called = [0] * 10 + [1] * 10, [0] * 9 + [1] + [1] * 10
    made = answers(trial([1.0]), labels, called, evaluations=1)
    found = findings("Confusion", made)
    assert found[0].numbers == {"classes": 2, "least": pytest.approx(9 / 19)}
    assert len(found) == 1  # 1 / 11 of what is called 1 is 0
    assert findings("Confusion", made, max_off_diag=0.09, min_diag=0.4)[0].numbers["share"] == pytest.approx(1 / 11)


def test_check_input_images_takes_the_mean_of_each_channel() -> None:
    batch = np.zeros((500, 3, 2, 2))
    batch[:, 1] = 0.21
    made = full(trial([1.0]), "hybridsequential0_input_0", {0: batch})
    assert findings("CheckInputImages", made)[0].numbers["channel_1"] == pytest.approx(0.21)
    assert findings("CheckInputImages", made, threshold_mean=0.3) == []


EXPECTED = {
    # At EVAL step 7 the ratio is (0.0548 - 0.0467) / 0.0467 = 0.17; no step from 33 on is better than 0.0576 by 0.01.
    "healthy": {"Overfit", "Overtraining"},
    "healthy_reductions": {"Overfit", "Overtraining"},
    "vanishing": {
        "VanishingGradient",
        "LossNotDecreasing",
        "Overtraining",
        "PoorWeightInitialization",
        "WeightUpdateRatio",
        "UnchangedTensor",
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_recordings_of_smdebug_get_what_aws_says(fixtures_folder: Path, name: str) -> None:
    results = rules.evaluate(trial=FileTrial(fixtures_folder / "smdebug-trials" / name), parameters="aws")
    assert {result.name for result in results if result.status == "IssuesFound"} == EXPECTED[name]
    assert not [result for result in results if result.status == "Error"]


@pytest.mark.parametrize("name", ["healthy", "healthy_reductions"])
def test_healthy_recordings_of_smdebug_get_no_finding_by_default(fixtures_folder: Path, name: str) -> None:
    results = rules.evaluate(trial=FileTrial(fixtures_folder / "smdebug-trials" / name))
    assert [result.message for result in results if result.status in ("IssuesFound", "Error")] == []
    judged = {result.name for result in results if result.status == "NoIssuesFound"}
    assert judged >= {"VanishingGradient", "ExplodingTensor", "LossNotDecreasing", "Overfit", "Overtraining", "AllZero"}


def test_the_vanishing_recording_gets_its_fault_by_default(fixtures_folder: Path) -> None:
    results = {
        result.name: result
        for result in rules.evaluate(trial=FileTrial(fixtures_folder / "smdebug-trials" / "vanishing"))
    }
    found = results["VanishingGradient"]
    assert found.status == "IssuesFound"
    assert found.steps[0] == 0
    assert "9 of 13 weight tensors" in found.message
    assert results["LossNotDecreasing"].status == "IssuesFound"
