"""The cause of a run's trouble: named by its trace in a stranger's recorded loop, and not at all in healthy ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

import battery.drawn
import battery.loop_faults
from battery.parts import blobs, perceptron, split
from battery.recorded import Loop, record
from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.insights import Insight
from dogbreed_sdk.debugging.verdict import _leading, verdict
from training_scripts.rules.causes.catalog import CATALOG
from training_scripts.rules.causes.find import BY_RULE

FAULTS = {
    "NaN in one batch: table, sgd, 32": "nan-input",
    "NaN in one batch: picture, adam, 16": "nan-input",
    "exploding by the learning rate: table, sgd, 32": "learning-rate-too-high",
    "exploding by the initial weights: table, sgd, 32": "bad-initialization",
    "log of zero: table, sgd, 32": "undefined-loss",
    "square root at zero: table, adamw, 64": "undefined-loss",
    "wrong sign: table, adamw, 64": "wrong-sign",
    "double softmax: table, sgd, 32": "double-softmax",
    "softmax over the batch: table, momentum, 16": "softmax-dimension",
    "sorted data: table, adam, 32": "sorted-data",
    "small last batch: table, sgd, 32": "small-last-batch",
    "no zero_grad: table, momentum, 16": "gradients-accumulate",
    "no optimizer.step: table, sgd, 32": "weights-not-updated",
    "a layer not in the optimizer: table, adamw, 64": "layers-not-updated",
    "schedule decays too early: table, adamw, 64": "schedule-decays-too-early",
    "clipped to a tiny norm: table, sgd, 32": "clipping-too-small",
    "validation not normalized: table, sgd, 32": "validation-preprocessing",
    "evaluated in training mode: table, sgd, 32": "evaluation-in-training-mode",
    "labels shuffled, memorized: table, sgd, 32": "shuffled-labels",
    "validation labels shifted: table, sgd, 32": "labels-shifted",
}
OF_THE_RATE = ("learning-rate-too-high", "learning-rate-too-low")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def faults() -> dict[str, battery.loop_faults.Fault]:
    return {fault.name: fault for fault in battery.loop_faults.faults(0)}


@pytest.mark.parametrize(("name", "cause"), FAULTS.items())
def test_a_fault_is_named_by_its_trace(name: str, cause: str, faults: dict[str, battery.loop_faults.Fault]) -> None:
    found = {**faults, **{key.removesuffix(", no signs"): value for key, value in faults.items()}}
    report = DebugReport("a loop", trial=found[name].make())
    judged = verdict(report)
    assert (judged.cause, judged.alternatives) == (cause, ()), judged.headline
    if cause in OF_THE_RATE:
        return
    advice = [judged.points[0].advice, *(result.advice for result in report.rules)]
    assert not [
        text for text in advice if text.startswith(("Divide lr", "Lower lr", "Raise lr", "Try a learning rate"))
    ]


@pytest.mark.parametrize("place", [0, 1, 4])
def test_a_healthy_loop_has_no_cause(place: int) -> None:
    _, make = [*battery.loop_faults.healthy_loops(0)][place]
    judged = verdict(DebugReport("a loop", trial=make()))
    assert (judged.cause, judged.alternatives, judged.level != "problem") == ("", (), True)


def test_one_large_first_update_does_not_make_a_schedule_end_too_early() -> None:
    assert verdict(DebugReport("a run", trial=battery.drawn.drawn(30_004))).cause == ""


def test_without_the_inputs_a_sudden_nan_names_what_tells_its_causes_apart(
    faults: dict[str, battery.loop_faults.Fault],
) -> None:
    report = DebugReport("a loop", trial=faults["NaN in one batch: table, adam, 32, no signs"].make())
    judged = verdict(report)
    assert (judged.cause, judged.alternatives) == ("nan-input", ("undefined-loss",))
    assert "isfinite" in judged.points[0].advice and "set_detect_anomaly" in judged.points[0].advice


def _noisy_rows(seed: int, count: int, *, noise: float, epochs: int = 15) -> Loop:
    """Few rows of 30 features, of which one shows the class, with noise: a network memorizes them."""
    random = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    inputs = torch.randn(count + 200, 30, generator=random)
    labels = (inputs[:, 0] + noise * torch.randn(count + 200, generator=random) > 0).long()
    network = perceptron([30, 128, 2])
    train, valid = (inputs[:count], labels[:count]), (inputs[count:], labels[count:])
    return Loop(network, torch.optim.Adam(network.parameters(), 5e-3), train, valid, epochs=epochs, batch=10, seed=seed)


@pytest.mark.parametrize(("count", "noise"), [(40, 1.0), (60, 0.5), (150, 1.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_plain_overfitting_is_not_taken_for_wrong_labels(seed: int, count: int, noise: float) -> None:
    judged = verdict(DebugReport("a loop", trial=record(_noisy_rows(seed, count, noise=noise))))
    assert judged.cause == "overfitting", judged.headline


def test_of_too_few_samples_overfitting_is_named_with_what_tells_wrong_labels_apart() -> None:
    loop = _noisy_rows(0, 40, noise=1.0)
    loop.train = loop.train[0], loop.train[1].flip(0)
    judged = verdict(DebugReport("a loop", trial=record(loop)))
    assert (judged.cause, judged.alternatives) == ("overfitting", ("shuffled-labels",)), judged.headline
    assert "Check the labels" in judged.points[0].advice and "overfits" in judged.points[0].advice


def test_of_enough_samples_wrong_labels_are_still_named() -> None:
    loop = _noisy_rows(1, 400, noise=0.3)
    loop.train = loop.train[0], loop.train[1].flip(0)
    judged = verdict(DebugReport("a loop", trial=record(loop)))
    assert judged.cause == "shuffled-labels", judged.headline


@pytest.mark.parametrize("rate", [0.01, 1.0])
def test_inputs_that_are_not_scaled_are_named_rather_than_weights_or_rate(rate: float) -> None:
    loop = _loop()
    loop.network = perceptron([16, 16, 4])
    loop.optimizer = torch.optim.SGD(loop.network.parameters(), rate)
    loop.train, loop.valid = ((data[0] * 150, data[1]) for data in (loop.train, loop.valid))
    judged = verdict(DebugReport("a loop", trial=record(loop)))
    assert (judged.cause, judged.alternatives) == ("inputs-not-scaled", ()), judged.headline
    assert "they have a spread of 3" in judged.headline and 300 < float(loop.train[0].std()) < 400
    assert "Scale the inputs" in judged.points[0].advice


def _loop(**changes: object) -> Loop:
    torch.manual_seed(0)
    train, valid = split(blobs(torch.Generator().manual_seed(0)))
    network = perceptron([16, 16, 4], norm=True)
    made = Loop(network, torch.optim.SGD(network.parameters(), 0.05), train, valid, epochs=2)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_what_shows_causes_is_recorded_at_every_step() -> None:
    trial = record(_loop())
    inputs = trial.tensor("input_mean")
    assert len(inputs.series("TRAIN")) == len(trial.steps("TRAIN").steps) == 12
    loop = _loop()
    rows = torch.randperm(len(loop.train[1]), generator=torch.Generator().manual_seed(loop.seed))[:32]
    assert float(inputs.series("TRAIN").values[0]) == pytest.approx(float(loop.train[0][rows].mean()), abs=1e-5)
    assert float(trial.tensor("input_std").series("TRAIN").values[0]) == pytest.approx(
        float(loop.train[0][rows].std(correction=0)), rel=1e-4
    )
    assert not trial.tensor("gradient_kept").series().values.any()
    assert "evaluated_in_training_mode" not in trial.run


def test_an_evaluation_in_training_mode_and_kept_gradients_are_recorded() -> None:
    trial = record(_loop(evaluates=False, clears=False))
    assert trial.run["evaluated_in_training_mode"] is True
    kept = trial.tensor("gradient_kept").series().values
    assert kept[0] == 0 and (kept[1:] > 0.05).all()


def test_gradients_that_add_up_over_micro_batches_do_not_count_as_kept() -> None:
    from training_scripts.recording.recorder.signs import Signs  # noqa: PLC0415
    from training_scripts.recording.recorder.step_buffer import StepBuffer  # noqa: PLC0415

    network = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    signs = Signs(network, StepBuffer(None, None, {}, {}, report=print))
    kept = []
    for step in range(6):
        network(torch.ones(2, 4)).square().sum().backward()
        kept.append(signs.take(trained=True)["gradient_kept"])
        if step % 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=step % 3 == 0)
    signs.end()
    assert kept == [0.0] * 6


def test_every_cause_is_documented() -> None:
    assert set(BY_RULE.values()) <= set(CATALOG)
    assert {cause for fault in battery.loop_faults.faults(0) for cause in fault.causes} <= set(CATALOG)


def _detached(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs.detach(), targets).requires_grad_()


def _over_the_batch(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.nll_loss(functional.log_softmax(outputs, 0), targets)


def _without_logarithm(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.nll_loss(functional.softmax(outputs, 1), targets)


@pytest.mark.parametrize(
    ("loss", "cause", "alternatives", "advice"),
    [
        (_detached, "frozen", (), "Do not detach the outputs"),
        (_over_the_batch, "softmax-dimension", ("bad-initialization",), "Apply softmax or log_softmax over the cla"),
        (_without_logarithm, "probabilities-as-log-probabilities", (), "Apply log_softmax instead of softmax"),
    ],
)
def test_a_fault_within_the_loss_is_the_headline_and_gives_the_only_advice(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], cause: str, alternatives: tuple[str, ...], advice: str
) -> None:
    report = DebugReport("a loop", trial=record(_loop(loss=loss, epochs=8)))
    judged = verdict(report)
    assert (judged.cause, judged.alternatives) == (cause, alternatives), judged.headline
    first = report.insights()[0]
    assert (judged.headline, first.cause) == (first.title, cause)
    assert next(point.advice for point in judged.points if point.advice).startswith(advice)
    assert not [text for text in _advice(report) if "earning rate" in text or "aise lr" in text]


def test_a_layer_that_only_begins_with_a_larger_loss_is_not_a_softmax_over_the_batch() -> None:
    loop = _loop(epochs=8)
    with torch.no_grad():
        loop.network[-1].weight.mul_(8)  # type: ignore[index,union-attr,operator]
    assert verdict(DebugReport("a loop", trial=record(loop))).cause != "softmax-dimension"


def _advice(report: DebugReport) -> list[str]:
    """All advice of a report on training."""
    rules = [result.advice for result in report.rules if result.kind == "debugging"]
    return [*rules, *(insight.next_step for insight in report.insights())]


def test_no_update_is_never_answered_by_a_learning_rate() -> None:
    report = DebugReport("a loop", trial=record(_loop(steps=False)))
    assert verdict(report).cause == "weights-not-updated"
    assert not [text for text in _advice(report) if "earning rate" in text or "aise lr" in text]


def test_an_insight_without_a_cause_does_not_hide_the_cause_that_rules_show() -> None:
    unfinished = Insight("not-converged", "Training had not converged.", "", severity="problem")
    assert _leading([unfinished], "class-imbalance") is None
    assert _leading([unfinished], "") is unfinished
    weak = Insight("weak-classes", "1 class is never predicted: 1.", "", severity="problem")
    assert _leading([unfinished, weak], "class-imbalance") is weak
    caused = Insight("frozen", "Nothing is trained.", "", severity="problem", cause="frozen")
    assert _leading([unfinished, caused], "class-imbalance") is caused


def test_the_rules_of_aws_name_no_cause() -> None:
    trial = record(_loop(epochs=8))
    ours, aws = DebugReport("a loop", trial=trial), DebugReport("a loop", trial=trial, parameters="aws")
    assert verdict(ours).cause == "" and {result.name for result in aws.rules if result.status == "IssuesFound"}
    judged = verdict(aws)
    assert (judged.cause, judged.alternatives) == ("", ())
    assert "by AWS's definitions: " in judged.headline


def test_outputs_that_no_label_uses_are_no_classes_without_samples() -> None:
    network = perceptron([16, 16, 10], norm=True)
    loop = _loop(network=network, optimizer=torch.optim.SGD(network.parameters(), 0.05), epochs=8)
    report = DebugReport("a loop", trial=record(loop))
    assert not [result.name for result in report.rules if result.name == "ClassImbalance" and result.findings]
    assert verdict(report).cause == ""
    told = {insight.topic: insight for insight in report.insights()}
    assert (told["unused-outputs"].title, told["unused-outputs"].severity) == (
        "The model has 10 outputs, but labels use 4.",
        "hint",
    )
    assert "few-pictures" not in told


def _head_on_features(width: int, rate: float, *, mean: float = 1.0, labels: int = 6) -> Loop:
    """A head on features that are never negative, as of a network that ends with a ReLU and a mean over pixels."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    centers = 0.3 * torch.randn(6, 256, generator=random)
    kinds = torch.randint(0, 6, (460,), generator=random)
    inputs = (mean + centers[kinds] + torch.randn(460, 256, generator=random)).relu()
    kinds = kinds % labels
    network = perceptron([256, width, 6])
    train, valid = (inputs[:360], kinds[:360]), (inputs[360:], kinds[360:])
    return Loop(network, torch.optim.Adam(network.parameters(), rate), train, valid, epochs=8)


def test_a_run_that_learns_with_few_units_is_not_said_to_get_no_gradient() -> None:
    report = DebugReport("a loop", trial=record(_head_on_features(512, 0.01)))
    assert [result.name for result in report.rules if result.status == "IssuesFound"] == ["DeadRelu"]
    topics = {insight.topic for insight in report.insights()}
    assert "result" in topics and "nothing-learned" not in topics
    assert not [insight for insight in report.insights() if insight.severity == "problem"]
    judged = verdict(report)
    assert judged.headline == "One problem: DeadRelu."
    assert "Divide lr" in judged.points[0].advice or "leaky" in judged.points[0].advice


def test_relus_that_are_all_dead_are_still_the_cause() -> None:
    loop = _head_on_features(64, 0.001)
    with torch.no_grad():
        loop.network[0].bias.fill_(-100)  # type: ignore[index,union-attr,operator]
    report = DebugReport("a loop", trial=record(loop))
    assert verdict(report).headline == "ReLUs are dead from step 0 on: no gradient passes through them."
    assert report.insights()[0].topic == "nothing-learned"
