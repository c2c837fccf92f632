"""What rules must see, or leave alone, beside the plain cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training_scripts.rules.made_up import answers, falling, full, level, reduced, trial
from training_scripts import rules
from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.rules.evidence import curves
from training_scripts.rules.evidence.run import Run

FOUR = {"classes": ["a", "b", "c", "d"]}


def judged(name: str, made: MemoryTrial) -> rules.RuleResult:
    [result] = rules.evaluate(trial=made, only=[name])
    return result


def test_the_way_back_from_a_leap_is_no_learning() -> None:
    losses = np.r_[1.4, np.geomspace(300, 2, 40), level(80, value=1.5, noise=0.02)]
    found = judged("LossNotDecreasing", trial(losses, **FOUR))
    assert found.status == rules.ISSUES_FOUND
    assert "no better than guessing" in found.message


def test_a_weight_that_stands_still_while_the_loss_falls_is_found_however_low_it_ends() -> None:
    made = trial(falling(100), **FOUR)
    for name, moves in (("A.weight", 0.0), ("B.weight", 0.1)):
        sizes = 1 + moves * np.arange(10)
        reduced(made, name, {"l2": sizes, "mean": sizes / 9}, collection="weights")
        reduced(made, f"gradient/{name}", {"l2": [0.1] * 10, "abs_mean": [0.01] * 10}, collection="gradients")
    result = judged("UnchangedTensor", made)
    assert [finding.tensor for finding in result.findings] == ["A.weight"]


def layer(made: MemoryTrial, name: str, spread: float, mean: float = 0.0) -> MemoryTrial:
    """Reductions of a layer of 30 units with 40 inputs each, which moves on."""
    for tensor, size, std, middle in ((f"{name}.weight", 1200, spread, mean), (f"{name}.bias", 30, 0.1, 0.0)):
        spreads, means = np.array([std, std + 0.01]), np.array([middle, middle])
        lengths = np.sqrt(size * (spreads**2 + means**2))
        reduced(made, tensor, {"std": spreads, "mean": means, "l2": lengths, "abs_mean": spreads + abs(means)})
    return made


@pytest.mark.parametrize(
    ("spread", "mean", "status"),
    [(0.16, 0.0, rules.NO_ISSUES_FOUND), (16.0, 0.0, rules.ISSUES_FOUND), (0.0, 0.3, rules.ISSUES_FOUND)],
)
def test_reductions_tell_how_a_layer_begins_though_the_run_gets_over_it(
    spread: float, mean: float, status: str
) -> None:
    made = layer(layer(trial(falling(60), **FOUR), "A", spread, mean), "B", 0.16)
    assert judged("PoorWeightInitialization", made).status == status


def test_nothing_is_learned_by_heart_where_the_training_loss_rises() -> None:
    train = np.repeat(np.geomspace(0.5, 1e6, 12), 10)
    made = trial(train, np.geomspace(1.0, 1e8, 12), **FOUR)
    assert judged("Overfit", made).status == judged("Overtraining", made).status == rules.NO_ISSUES_FOUND


def test_a_pair_that_only_a_coin_tells_apart_is_confused_though_neither_is_mostly_mistaken() -> None:
    labels = np.repeat(np.arange(4), 100)
    called = labels.copy()
    called[0:200] = np.tile([0, 1], 100)
    made = answers(trial(falling(60), [0.4] * 6, **FOUR), labels, called)
    assert "distinguished no better than" in judged("Confusion", made).message


@pytest.mark.parametrize("learns", [True, False])
def test_pictures_from_0_to_1_count_only_where_the_run_does_not_learn(learns: bool) -> None:
    made = trial(falling(60) if learns else level(60, value=1.39), **FOUR)
    values = 0.45 + 0.05 * np.random.default_rng(0).standard_normal((200, 3))
    full(made, "input_image", {0: values.astype(np.float32)}, collection="inputs")
    found = judged("CheckInputImages", made)
    assert found.status == (rules.NO_ISSUES_FOUND if learns else rules.ISSUES_FOUND)


def odd(name: str, **values: Any) -> MemoryTrial:
    made = trial(falling(60), **FOUR)
    return full(made, name, dict(zip((0, 10, 20), values["at"], strict=False)), collection=values.get("of"))


@pytest.mark.parametrize("parameters", ["default", "aws"])
@pytest.mark.parametrize(
    "made",
    [
        odd("x_relu_output_0", at=[np.zeros((0, 4)), np.float32(1)], of="relu_output"),
        odd("x_output_0", at=[np.zeros((0, 4)), np.zeros((3, 4))]),
        odd("A.weight", at=[np.ones((2, 3)), np.ones((3, 3)), np.ones(4)], of="weights"),
        odd("labels", at=[np.array([-1, 3]), np.array([1, 2])], of="labels"),
        odd("class_counts", at=[np.array([-3, 5])], of="class_counts"),
        odd("A1²", at=[np.ones((2, 3))], of="weights"),
        trial(falling(60), class_counts=[2**70, -1]),
    ],
)
def test_odd_recordings_are_no_error(made: MemoryTrial, parameters: str) -> None:
    results = rules.evaluate(trial=made, parameters=parameters, only=rules.names("debugging"))
    assert {one.name: one.message for one in results if one.status == rules.ERROR} == {}


def test_smoothing_takes_means_over_the_values_before() -> None:
    values = np.random.default_rng(0).standard_normal(23)
    for width in (1, 4, 23):
        expected = [values[max(0, place - width + 1) : place + 1].mean() for place in range(23)]
        assert np.allclose(curves.trailing_mean(values, width), expected)


@pytest.mark.parametrize("ratio", [12.0, 3104.0, 1e9])
def test_a_single_enormous_first_step_counts_though_the_weights_stay_large(ratio: float) -> None:
    made = trial(falling(60), **FOUR)
    lengths = np.r_[5.0, [5.0 * ratio] * 5]
    for tensor, size in (("A.weight", 1200), ("A.bias", 30)):
        spread = lengths / np.sqrt(size)
        reduced(made, tensor, {"l2": lengths, "std": spread, "mean": [0.0] * 6, "abs_mean": spread})
    reduced(made, "A.weight", {"update_ratio": [ratio, 0.4, 0.3, 0.3, 0.2, 0.2]}, collection="weights")
    found = judged("WeightUpdateRatio", made)
    assert found.status == rules.ISSUES_FOUND
    assert found.message == f"A.weight was updated by {ratio:,.0f} times its norm at step 0."
    assert "warm the learning rate up" in found.advice, "the run does well after it"


def test_a_layer_that_begins_as_good_as_from_zero_may_grow_by_any_ratio() -> None:
    made = trial(falling(60), **FOUR)
    for tensor, size in (("A.weight", 1200), ("A.bias", 30)):
        lengths = np.r_[1e-4, [5.0] * 5]
        reduced(made, tensor, {"l2": lengths, "std": lengths / np.sqrt(size), "mean": [0.0] * 6})
    reduced(made, "A.weight", {"update_ratio": [3000, 0.4, 0.3, 0.3, 0.2, 0.2]}, collection="weights")
    assert judged("WeightUpdateRatio", made).status == rules.NO_ISSUES_FOUND


def slowly(rise: float, epochs: int = 400) -> MemoryTrial:
    """All is learned by heart after 20 epochs; validation then loses by `rise` until the end."""
    losses = np.r_[np.geomspace(1.4, 1e-3, 20), np.geomspace(1e-3, 1e-6, epochs - 20)]
    valid = np.r_[np.linspace(1.4, 0.3, 20), 0.3 + rise * np.linspace(0, 1, epochs - 20)]
    valid += 0.002 * np.random.default_rng(0).standard_normal(epochs)
    return trial(losses, valid, steps_per_epoch=1, **FOUR)


@pytest.mark.parametrize(("rise", "status"), [(0.12, rules.ISSUES_FOUND), (0.02, rules.NO_ISSUES_FOUND)])
def test_a_slow_rise_of_validation_is_overfitting_where_all_is_learned_by_heart(rise: float, status: str) -> None:
    assert judged("Overfit", slowly(rise)).status == status


@pytest.mark.parametrize("style", ["leap", "ramp"])
def test_a_rise_is_told_from_the_first_loss_out_of_the_noise(style: str) -> None:
    losses = np.r_[falling(100, end=0.3), level(60, value=0.3, noise=0.1), np.zeros(80)]
    after = level(80, value=1.2, noise=0.1)
    losses[160:] = after if style == "leap" else np.minimum(after, 0.3 + 0.05 * np.arange(1, 81))
    [found] = judged("LossNotDecreasing", trial(losses, **FOUR)).findings
    assert 160 <= found.steps[0] <= 165


def test_an_epoch_longer_than_any_run_is_no_error() -> None:
    made = trial(falling(60), steps_per_epoch=2**70, batch_size=3, sizes={"train": 2**70, "valid": 5}, **FOUR)
    made.run["steps_per_epoch"] = 2**70
    results = rules.evaluate(trial=made, only=rules.names("debugging"))
    assert {one.name: one.message for one in results if one.status == rules.ERROR} == {}


def without_gradient(made: MemoryTrial, *, until: int = 0) -> MemoryTrial:
    """Two layers whose gradients end at a recorded step, all others staying; weights stand still from then on."""
    arrives = (np.arange(12) < until).astype(float)
    for name, share in (("A", 0.02 * arrives), ("B", 0.02 * arrives + 1e-3 * (until == 0))):
        sizes = 5 + np.minimum(np.arange(12), until) * 0.1
        reduced(made, f"{name}.weight", {"l2": sizes, "zero_fraction": [0.0] * 12}, collection="weights")
        numbers = {"l2": share * 20, "abs_mean": share, "zero_fraction": (share == 0).astype(float)}
        reduced(made, f"gradient/{name}.weight", numbers, collection="gradients")
    reduced(made, "A_relu_output_0", {"inactive_fraction": 1 - arrives}, collection="relu_output")
    return made


def found(made: MemoryTrial) -> dict[str, rules.RuleResult]:
    names = rules.names("debugging")
    results = rules.evaluate(trial=made, only=names)
    return {result.name: result for result in results if result.status == rules.ISSUES_FOUND}


def test_the_cause_comes_before_its_consequences_and_nothing_contradicts_it() -> None:
    results = found(without_gradient(trial(level(120), **FOUR)))
    assert next(iter(results)) == "DeadRelu"
    assert list(results).index("AllZero") < list(results).index("LossNotDecreasing")
    assert "see DeadRelu" in results["AllZero"].advice
    assert "Initialize" not in results["AllZero"].advice


def test_where_gradients_end_in_mid_run_the_learning_rate_is_named_first() -> None:
    losses = np.r_[falling(60, end=0.8), level(60, value=2.0)]
    results = found(without_gradient(trial(losses, **FOUR), until=6))
    for name in ("AllZero", "VanishingGradient"):
        assert results[name].advice.startswith("Divide the learning rate by about 3"), name
        assert results[name].findings[0].steps[0] == 60


@pytest.mark.parametrize(("grows", "hint"), [(False, True), (True, False)])
def test_an_explosion_out_of_nothing_points_to_the_batch(grows: bool, hint: bool) -> None:
    losses = falling(60)
    losses[50:] = np.nan
    if grows:
        losses[45:50] = [5.0, 50.0, 1e4, 1e10, 1e30]
    result = judged("ExplodingTensor", trial(losses, **FOUR))
    assert ("check the batch of step 50" in result.advice) == hint


def test_measures_that_stay_the_same_are_no_reason_for_another_learning_rate() -> None:
    made = full(trial(falling(60), **FOUR), "accuracy", dict.fromkeys(range(20), np.float32(1)))
    full(made, "accuracy", dict.fromkeys(range(6), np.float32(1)), mode="EVAL")
    [result] = rules.evaluate(trial=made, only=["UnchangedTensor"], parameters="aws")
    assert len(result.findings) == 2
    assert "lr" not in result.advice
    assert "collection_names=weights" in result.advice


@pytest.mark.parametrize(("known", "word"), [({"steps_per_epoch": 1}, "in epoch 21"), ({}, "at step 20")])
def test_evaluations_are_called_epochs_only_where_epochs_are_known(known: dict[str, Any], word: str) -> None:
    made = slowly(0.3)
    made.run.update(known)
    assert f"lowest {word} " in judged("Overfit", made).message


def test_what_is_learned_by_heart_is_not_told_to_stop_where_there_is_nothing_to_stop_at() -> None:
    by_heart = judged("Overfit", trial(falling(100), [1.3, 1.2, 1.15, *[1.15] * 7]))
    turned = judged("Overfit", trial(falling(100), [1.3, 0.5, *np.linspace(0.5, 1.5, 8)]))
    assert (by_heart.status, turned.status) == (rules.ISSUES_FOUND, rules.ISSUES_FOUND)
    assert "no longer improves" not in by_heart.advice
    assert "more augmentation" in by_heart.advice
    assert "no longer improves" in turned.advice


def classified(right: int, small: int, of: int, *, counts: list[int]) -> MemoryTrial:
    """A run with three classes: `small` of `of` pictures of the last one are right, and `right` % of the others'."""
    labels = np.r_[np.zeros(100), np.ones(100), np.full(of, 2)].astype(np.int32)
    predictions = labels.copy()
    predictions[: 100 - right], predictions[100 : 200 - right] = 1, 0
    predictions[200 + small :] = 0
    made = trial(falling(60, end=0.05), [0.9, 0.3, 0.1, 0.08, 0.07, 0.06], classes=["a", "b", "c"], class_counts=counts)
    return answers(made, labels, predictions)


@pytest.mark.parametrize(
    ("right", "small", "of", "status"),
    [
        (100, 20, 20, rules.NO_ISSUES_FOUND),
        (99, 49, 50, rules.NO_ISSUES_FOUND),  # 99% right in every class
        (97, 4, 5, rules.NO_ISSUES_FOUND),  # one picture shows nothing
        (97, 8, 20, rules.ISSUES_FOUND),
        (97, 0, 3, rules.ISSUES_FOUND),
        (97, 0, 0, rules.ISSUES_FOUND),  # nothing shows that the class is learned
    ],
)
def test_an_imbalance_is_a_problem_only_where_small_classes_do_worse(
    right: int, small: int, of: int, status: str
) -> None:
    made = classified(right, small, of, counts=[400, 300, 25])
    assert judged("ClassImbalance", made).status == status


def test_a_class_that_training_lacks_is_named_as_that() -> None:
    found = judged("ClassImbalance", classified(99, 0, 40, counts=[400, 300, 0]))
    assert found.message.startswith("Class c (2) has no training pictures, so the model cannot learn it.")
    assert "inf" not in found.message.split()


def test_classes_without_pictures_do_not_make_others_infinitely_large() -> None:
    made = trial(falling(60), class_counts=[400, 0, 0, 390], classes=["a", "b", "c", "d"])
    found = judged("ClassImbalance", made)
    assert found.message == "2 classes have no training pictures, so the model cannot learn them: b (1), c (2)."


def test_a_class_that_the_sample_lacks_does_not_make_the_others_uneven() -> None:
    labels = np.repeat([0, 2], [90, 8]).astype(np.int32)  # 11 times as many, which chance explains at a limit of 10
    made = full(trial(falling()), "labels", {0: labels}, collection="labels")
    assert judged("ClassImbalance", made).status == rules.NO_ISSUES_FOUND


def test_two_losses_are_enough_if_the_parameters_say_so() -> None:
    for losses, status in (([1.0, 0.5], rules.NO_ISSUES_FOUND), ([1.0, 9.0], rules.ISSUES_FOUND)):
        [result] = rules.evaluate(
            trial=trial(losses), only=["LossNotDecreasing"], overrides={"LossNotDecreasing": {"min_points": 2}}
        )
        assert result.status == status, result.message


def test_norms_are_not_compared_with_mean_absolute_values() -> None:
    made = trial(level())
    reduced(made, "gradient/Net_0.weight", {"abs_mean": [1e-3] * 5, "l2": [5.0] * 5})
    reduced(made, "gradient/Net_2.weight", {"abs_mean": [1e-3] * 5})
    assert judged("VanishingGradient", made).status == rules.NO_ISSUES_FOUND


@pytest.mark.parametrize("after", [0, 3])
def test_a_run_does_well_before_its_last_epoch_is_validated(after: int) -> None:
    """A page that follows a run must not change its advice in the middle of each epoch."""
    run = Run.of(trial(falling(60 + after), np.geomspace(0.9, 0.05, 6), classes=[*"abcde"], steps_per_epoch=10))
    assert run is not None and run.does_well
