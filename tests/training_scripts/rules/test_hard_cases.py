"""What rules must see, or leave alone, beside the plain cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training_scripts.rules.made_up import answers, falling, full, level, reduced, trial
from training_scripts import rules
from training_scripts.recording.trial import MemoryTrial
from training_scripts.rules import curves

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
    assert "told apart" in judged("Confusion", made).message


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
        odd("A.weight", at=[np.ones((2, 3)), np.ones((3, 3)), np.ones(4)], of="weights"),
        odd("labels", at=[np.array([-1, 3]), np.array([1, 2])], of="labels"),
        odd("class_counts", at=[np.array([-3, 5])], of="class_counts"),
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
        assert np.allclose(curves.smooth(values, width), expected)
