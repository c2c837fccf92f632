"""Each debugging rule finds its fault, stays quiet without it, and says why it cannot judge, under both sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.training_scripts.rules.made_up import answers, falling, full, level, reduced, trial
from training_scripts import rules
from training_scripts.recording.trial.trial import TRAIN, MemoryTrial

FOUND, QUIET, UNABLE = "IssuesFound", "NoIssuesFound", "NotEvaluated"
RANDOM = np.random.default_rng(7)
WEIGHT = RANDOM.standard_normal((8, 16)).astype(np.float32) / 4

Make = Callable[[], MemoryTrial]


def gradients(first: list[float], last: list[float], losses: Any = None, *, whole: bool = False) -> MemoryTrial:
    """Two layers with gradients of these mean absolute values at steps 0, 10, 20, ..."""
    made = trial(level() if losses is None else losses)
    for name, sizes in (("gradient/Net_0.weight", first), ("gradient/Net_2.weight", last)):
        if whole:
            full(made, name, {10 * place: np.full((4, 4), size) for place, size in enumerate(sizes)})
        else:
            reduced(made, name, {"abs_mean": sizes, "l2": [4 * size for size in sizes]})
    return made


def weights(*values: Any, losses: Any = None, gradient: bool = True) -> MemoryTrial:
    """One layer's weights in full at steps 0, 10, 20, ..."""
    made = trial(level() if losses is None else losses)
    full(made, "Net_0.weight", {10 * place: value for place, value in enumerate(values)}, collection="weights")
    if gradient:
        full(made, "gradient/Net_0.weight", {0: WEIGHT}, collection="gradients")
    return made


def moving(count: int = 5, by: float = 0.01, losses: Any = None) -> MemoryTrial:
    return weights(*[WEIGHT * (1 + by * place) for place in range(count)], losses=losses)


def relu(*shares: float) -> MemoryTrial:
    return reduced(trial(level()), "1_relu_output_0", {"inactive_fraction": shares}, collection="relu_output")


def sigmoid(*shares: float) -> MemoryTrial:
    return reduced(trial(level()), "1_sigmoid_output_0", {"saturated_fraction": shares}, collection="sigmoid_output")


def tanh_inputs(scale: float) -> MemoryTrial:
    inputs = {step: scale * RANDOM.standard_normal((32, 8)) for step in (0, 10, 20)}
    return full(trial(level()), "1_tanh_input_0", inputs)


def classes(counts: list[int]) -> MemoryTrial:
    return trial(
        falling(), np.linspace(1.0, 0.1, 6), class_counts=counts, classes=[f"c{i}" for i in range(len(counts))]
    )


def labeled(predictions_of_last: int, *, each: int = 200) -> MemoryTrial:
    """Three classes of `each` pictures: two always right, the last always called the given class."""
    labels = np.repeat([0, 1, 2], each)
    called = np.where(labels == 2, predictions_of_last, labels)
    return answers(trial(falling(), np.linspace(1.0, 0.1, 6), classes=["a", "b", "c"]), labels, called)


def pictures(center: float, *, name: str = "input_image", count: int = 200) -> MemoryTrial:
    means = {step: center + 0.4 * RANDOM.standard_normal((count, 3)) for step in (0, 10, 20)}
    return full(trial(level()), name, means, collection="inputs")


def batch_pictures(center: float) -> MemoryTrial:
    batches = {step: center + 0.1 * RANDOM.standard_normal((200, 3, 4, 4)) for step in (0, 10, 20)}
    return full(trial(level()), "hybridsequential0_input_0", batches)


def overfitted() -> MemoryTrial:
    return trial(falling(100), [1.0, 0.7, 0.6, 0.62, 0.75, 0.9, 1.0, 1.1, 1.2, 1.3])


def nothing() -> MemoryTrial:
    return MemoryTrial()


def poor(*, constant: bool) -> MemoryTrial:
    made = trial(level(), name="CrossEntropyLoss_output_0")
    values = [np.full((8, 4), 0.5, dtype=np.float32)] * 3 if constant else [WEIGHT, WEIGHT * 1.01, WEIGHT * 1.02]
    full(made, "Net_0.weight", {10 * place: value for place, value in enumerate(values)}, collection="weights")
    return full(made, "gradient/Net_0.weight", {0: values[0]}, collection="gradients")


def two_layers(small: float) -> MemoryTrial:
    made = trial(falling())
    full(made, "Net_0.weight", {0: WEIGHT, 5: WEIGHT}, collection="weights")
    return full(made, "Net_2.weight", {0: small * WEIGHT, 5: small * WEIGHT}, collection="weights")


TABLE: list[tuple[str, str, str, Make]] = [
    ("VanishingGradient", "both", FOUND, lambda: gradients([1e-9] * 6, [1e-2] * 6)),
    ("VanishingGradient", "both", FOUND, lambda: gradients([1e-9] * 6, [1e-2] * 6, whole=True)),
    ("VanishingGradient", "both", QUIET, lambda: gradients([1e-3] * 6, [1e-2] * 6)),
    # a converged run: the gradients of all layers become small together
    (
        "VanishingGradient",
        "aws",
        FOUND,
        lambda: gradients([1e-2, 1e-4, 1e-6, 1e-8], [1e-2, 1e-4, 1e-6, 1e-8], falling()),
    ),
    (
        "VanishingGradient",
        "default",
        QUIET,
        lambda: gradients([1e-2, 1e-4, 1e-6, 1e-8], [1e-2, 1e-4, 1e-6, 1e-8], falling()),
    ),
    # a run that does not learn, with gradients far above 1e-7 that still fade by 1e5 from layer to layer
    ("VanishingGradient", "default", FOUND, lambda: gradients([1e-6] * 6, [1e-1] * 6)),
    ("VanishingGradient", "aws", QUIET, lambda: gradients([1e-6] * 6, [1e-1] * 6)),
    # one recorded step without a gradient
    ("VanishingGradient", "default", QUIET, lambda: gradients([1e-3, 0, 1e-3, 1e-3], [1e-2] * 4)),
    ("VanishingGradient", "both", UNABLE, lambda: trial(level())),
    ("ExplodingTensor", "both", FOUND, lambda: trial([*falling(30), np.nan, np.nan, np.nan])),
    ("ExplodingTensor", "both", FOUND, lambda: weights(WEIGHT, WEIGHT * np.inf, WEIGHT * np.inf)),
    (
        "ExplodingTensor",
        "both",
        FOUND,
        lambda: reduced(trial(level()), "Net_0.weight", {"nonfinite_fraction": [0, 0.5, 1]}),
    ),
    ("ExplodingTensor", "both", QUIET, lambda: trial(falling())),
    # a loss scaler's skipped step: one gradient overflows, the next ones are fine
    ("ExplodingTensor", "aws", FOUND, lambda: gradients([1, np.inf, 1, 1], [1, np.inf, 1, 1])),
    ("ExplodingTensor", "default", QUIET, lambda: gradients([1, np.inf, 1, 1], [1, np.inf, 1, 1])),
    ("ExplodingTensor", "default", FOUND, lambda: trial([1, 1e3, 1e9, 1e15])),
    ("ExplodingTensor", "aws", QUIET, lambda: trial([1, 1e3, 1e9, 1e15])),
    ("ExplodingTensor", "both", UNABLE, nothing),
    ("AllZero", "both", FOUND, lambda: weights(WEIGHT * 0, WEIGHT * 0, WEIGHT * 0)),
    ("AllZero", "both", QUIET, moving),
    # a layer that begins at zero, and learns
    ("AllZero", "aws", FOUND, lambda: weights(WEIGHT * 0, WEIGHT, WEIGHT * 1.1)),
    ("AllZero", "default", QUIET, lambda: weights(WEIGHT * 0, WEIGHT, WEIGHT * 1.1)),
    ("AllZero", "both", UNABLE, nothing),
    ("LossNotDecreasing", "both", FOUND, level),
    ("LossNotDecreasing", "both", FOUND, lambda: np.linspace(1.0, 3.0, 60)),
    ("LossNotDecreasing", "both", QUIET, lambda: np.geomspace(2.0, 0.1, 60)),
    # converged, with noise
    ("LossNotDecreasing", "aws", FOUND, lambda: falling(200, noise=0.2)),
    ("LossNotDecreasing", "default", QUIET, lambda: falling(200, noise=0.2)),
    # good from the start
    ("LossNotDecreasing", "default", QUIET, lambda: level(value=0.05, noise=0.2)),
    # falls at last, after a plateau
    ("LossNotDecreasing", "default", QUIET, lambda: np.r_[level(80, value=0.69), np.geomspace(0.69, 0.2, 20)]),
    # falls, then rises to where it was
    ("LossNotDecreasing", "default", FOUND, lambda: np.r_[falling(60), np.linspace(0.02, 1.6, 60)]),
    ("LossNotDecreasing", "both", UNABLE, lambda: [1.6, 1.5]),
    ("Overfit", "both", FOUND, overfitted),
    ("Overfit", "both", QUIET, lambda: trial(np.linspace(1, 0.5, 100), np.linspace(0.9, 0.5, 10))),
    # worse by a hundredth of what guessing costs
    ("Overfit", "aws", FOUND, lambda: trial(falling(100), [0.5, 0.2, 0.1, 0.05, 0.04, 0.03, 0.04, 0.04, 0.05, 0.05])),
    (
        "Overfit",
        "default",
        QUIET,
        lambda: trial(falling(100), [0.5, 0.2, 0.1, 0.05, 0.04, 0.03, 0.04, 0.04, 0.05, 0.05]),
    ),
    # learned by heart: validation stays high
    ("Overfit", "both", FOUND, lambda: trial(falling(100), [1.3, 1.2, 1.15, *[1.15] * 7])),
    ("Overfit", "both", UNABLE, lambda: trial(falling())),
    ("Overtraining", "both", FOUND, lambda: trial(falling(200), [1, 0.5, *np.linspace(0.3, 0.9, 18)])),
    ("Overtraining", "both", QUIET, lambda: trial(np.linspace(3, 0.1, 80), np.linspace(2, 0.5, 8))),
    ("Overtraining", "aws", FOUND, lambda: trial(falling(200), np.geomspace(1, 0.05, 20))),
    ("Overtraining", "default", QUIET, lambda: trial(falling(200), np.geomspace(1, 0.05, 20))),
    ("Overtraining", "both", UNABLE, nothing),
    ("PoorWeightInitialization", "default", FOUND, lambda: poor(constant=True)),
    ("PoorWeightInitialization", "default", QUIET, lambda: poor(constant=False)),
    ("PoorWeightInitialization", "default", FOUND, lambda: gradients([1e-9] * 6, [1e-2] * 6)),
    ("PoorWeightInitialization", "aws", FOUND, lambda: two_layers(0.1)),
    ("PoorWeightInitialization", "aws", QUIET, lambda: two_layers(0.5)),
    ("PoorWeightInitialization", "default", QUIET, lambda: two_layers(0.1)),
    ("PoorWeightInitialization", "both", UNABLE, nothing),
    ("DeadRelu", "both", FOUND, lambda: relu(0.95, 1.0, 1.0, 1.0)),
    (
        "DeadRelu",
        "both",
        FOUND,
        lambda: full(trial(level()), "relu_output_0", {step: np.zeros((16, 8)) for step in (0, 5)}),
    ),
    ("DeadRelu", "both", QUIET, lambda: relu(0.1, 0.2, 0.1, 0.2)),
    # sparse rather than dead
    ("DeadRelu", "aws", FOUND, lambda: relu(0.5, 0.6, 0.55, 0.6)),
    ("DeadRelu", "default", QUIET, lambda: relu(0.5, 0.6, 0.55, 0.6)),
    ("DeadRelu", "both", UNABLE, lambda: trial(level())),
    ("SaturatedActivation", "both", FOUND, lambda: sigmoid(0.9, 0.9, 1.0)),
    ("SaturatedActivation", "both", FOUND, lambda: tanh_inputs(100.0)),
    ("SaturatedActivation", "both", QUIET, lambda: sigmoid(0.0, 0.1, 0.2)),
    ("SaturatedActivation", "both", QUIET, lambda: tanh_inputs(1.0)),
    ("SaturatedActivation", "both", UNABLE, lambda: trial(level())),
    ("WeightUpdateRatio", "both", FOUND, lambda: weights(WEIGHT, WEIGHT, WEIGHT, WEIGHT)),
    ("WeightUpdateRatio", "both", QUIET, moving),
    (
        "WeightUpdateRatio",
        "both",
        FOUND,
        lambda: reduced(trial(level()), "Net_0.weight", {"l2": [1, 20, 300], "update_ratio": [20, 15, 12]}),
    ),
    # a schedule that ends at zero
    ("WeightUpdateRatio", "aws", FOUND, lambda: weights(WEIGHT, WEIGHT * 1.1, WEIGHT * 1.15, WEIGHT * 1.15)),
    ("WeightUpdateRatio", "default", QUIET, lambda: weights(WEIGHT, WEIGHT * 1.1, WEIGHT * 1.15, WEIGHT * 1.15)),
    ("WeightUpdateRatio", "both", UNABLE, lambda: weights(WEIGHT)),
    ("UnchangedTensor", "both", FOUND, lambda: weights(*[WEIGHT] * 4)),
    (
        "UnchangedTensor",
        "both",
        FOUND,
        lambda: reduced(trial(level()), "Net_0.weight", {"mean": [0.5] * 4, "l2": [2.0] * 4}),
    ),
    ("UnchangedTensor", "both", QUIET, lambda: moving(losses=falling(noise=0.1))),
    # moves less than AWS's tolerance, but moves
    ("UnchangedTensor", "aws", FOUND, lambda: moving(by=1e-6)),
    ("UnchangedTensor", "default", QUIET, lambda: moving(by=1e-6)),
    ("UnchangedTensor", "both", UNABLE, lambda: weights(WEIGHT, losses=[1.0, 1.0])),
    ("ClassImbalance", "both", FOUND, lambda: answers(classes([400, 20]), [0] * 600 + [1] * 20, [0] * 620)),
    ("ClassImbalance", "both", FOUND, lambda: labeled(0)),
    ("ClassImbalance", "both", QUIET, lambda: labeled(2)),
    # ten pictures a class: one that fares badly is chance
    (
        "ClassImbalance",
        "default",
        QUIET,
        lambda: answers(classes([20] * 3), np.repeat([0, 1, 2], 10), [0] * 5 + [1] * 13 + [2] * 4 + [0] * 8),
    ),
    ("ClassImbalance", "aws", UNABLE, lambda: answers(trial(level()), [0, 1, 2], [0, 1, 2])),
    ("ClassImbalance", "both", UNABLE, lambda: trial(level())),
    ("Confusion", "both", FOUND, lambda: labeled(0)),
    ("Confusion", "default", QUIET, lambda: labeled(2)),
    # to the letter, AWS's diagonal shares add up to one: only a single class can have 0.9
    ("Confusion", "aws", FOUND, lambda: labeled(2)),
    ("Confusion", "aws", QUIET, lambda: answers(trial(level()), [0] * 20, [0] * 20)),
    ("Confusion", "default", UNABLE, lambda: answers(trial(falling(), [1.0] * 6), np.arange(120), np.arange(120))),
    ("Confusion", "both", UNABLE, lambda: trial(level())),
    ("CheckInputImages", "aws", FOUND, lambda: batch_pictures(0.45)),
    ("CheckInputImages", "aws", QUIET, lambda: batch_pictures(0.1)),
    ("CheckInputImages", "default", FOUND, lambda: pictures(110.0)),
    ("CheckInputImages", "default", QUIET, lambda: pictures(0.3)),
    ("CheckInputImages", "both", UNABLE, lambda: pictures(110.0, count=5)),
    ("CheckInputImages", "both", UNABLE, lambda: trial(level(), inputs="features")),
]


def as_trial(made: Any) -> MemoryTrial:
    return made if isinstance(made, MemoryTrial) else trial(made)


@pytest.mark.parametrize(("name", "parameters", "status", "make"), [
    pytest.param(name, one, status, make, id=f"{name}-{one}-{status}-{place}")
    for place, (name, parameters, status, make) in enumerate(TABLE)
    for one in (("default", "aws") if parameters == "both" else (parameters,))
])  # fmt: skip
def test_a_rule_answers_as_it_should(name: str, parameters: str, status: str, make: Make) -> None:
    [result] = rules.evaluate(trial=as_trial(make()), parameters=parameters, only=[name])
    assert result.status == status, result.message
    assert (status == FOUND) == bool(result.findings) == bool(result.advice)
    assert result.message


@pytest.mark.parametrize("parameters", ["default", "aws"])
def test_every_rule_that_needs_no_more_than_a_trial_has_all_three_answers(parameters: str) -> None:
    answered = {(name, status) for name, one, status, _ in TABLE if one in ("both", parameters)}
    given = {"TensorVariance", "SimilarAcrossRuns", "StalledTraining"}  # tested below
    for name in set(rules.names("debugging")) - given:
        assert {status for one, status in answered if one == name} == {FOUND, QUIET, UNABLE}, name


@pytest.mark.parametrize("parameters", ["default", "aws"])
def test_tensor_variance_needs_bounds(parameters: str) -> None:
    def status(**bounds: Any) -> str:
        [result] = rules.evaluate(
            trial=weights(WEIGHT), parameters=parameters, only=["TensorVariance"], overrides={"TensorVariance": bounds}
        )
        return result.status

    assert status() == UNABLE
    assert status(max_threshold=0.001) == FOUND
    assert status(min_threshold="1") == FOUND
    assert status(max_threshold=1, min_threshold="0.001") == QUIET


@pytest.mark.parametrize("parameters", ["default", "aws"])
def test_similar_across_runs_compares_with_the_other_runs(parameters: str) -> None:
    def status(*others: MemoryTrial) -> str:
        [result] = rules.evaluate(
            trial=trial(falling()), others=others, parameters=parameters, only=["SimilarAcrossRuns"]
        )
        return result.status

    assert status() == UNABLE
    assert status(trial(falling())) == QUIET
    assert status(trial(falling(seed=1))) == FOUND
    assert status(MemoryTrial()) == UNABLE


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        (np.array([0, 7], np.uint8), np.array([1, 7], np.uint8), "by 1 at most."),
        (np.array([True, False]), np.array([False, False]), "by 1 at most."),
        (np.array([1.0, np.nan]), np.array([1.5, np.nan]), "by 0.5 at most."),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), "by ∞ at most."),
        (np.array([np.inf, 1.0]), np.array([np.inf, 3.0]), "by 2 at most."),
    ],
)
def test_similar_across_runs_measures_differences_of_any_kind(
    ours: np.ndarray, theirs: np.ndarray, difference: str
) -> None:
    runs = [full(trial(level()), "kept", {0: value}) for value in (ours, theirs)]
    [result] = rules.evaluate(
        trial=runs[0],
        others=[runs[1]],
        only=["SimilarAcrossRuns"],
        overrides={"SimilarAcrossRuns": {"tensor_regex": "kept"}},
    )
    assert result.status == FOUND and result.message.endswith(difference)


@pytest.mark.parametrize("parameters", ["default", "aws"])
def test_stalled_training_looks_at_the_clock(parameters: str) -> None:
    def status(made: MemoryTrial, *, now: float, ended: bool = False) -> str:
        made.ended = ended
        [result] = rules.evaluate(trial=made, now=now, parameters=parameters, only=["StalledTraining"])
        return result.status

    assert status(trial(level(), begin=1000.0), now=1100.0) == QUIET
    assert status(trial(level(), begin=1000.0), now=5000.0) == FOUND
    assert status(trial(level(), begin=1000.0), now=5000.0, ended=True) == QUIET
    assert status(MemoryTrial(), now=5000.0) == UNABLE


def test_stalled_training_leaves_a_run_of_slow_steps_alone() -> None:
    made = MemoryTrial()
    for step in range(5):
        made.add_step(step, TRAIN, global_step=step, time=2000.0 * step)
    by_set = {
        parameters: rules.evaluate(trial=made, now=10_000.0, parameters=parameters, only=["StalledTraining"])[0].status
        for parameters in rules.PARAMETER_SETS
    }
    assert by_set == {"default": QUIET, "aws": FOUND}
