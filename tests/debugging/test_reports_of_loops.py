"""Reports of loops that are not train_model's: what their authors read must be right for their run, and only that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from battery.loops import LOOP
from battery.parts import blobs, curve, perceptron
from battery.training import Run, train
from dogbreed_sdk import DebugReport, Recorder
from dogbreed_sdk.debugging.insights import Insight
from dogbreed_sdk.debugging.summary import summary
from dogbreed_sdk.debugging.verdict import verdict
from training_scripts.recording.trial.layout import LOOP_LOSS, SCALARS, STEP_SIZE
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial

OURS = ("train_model", "hidden=", "views", "patience", "backbone", "label smoothing")
OF_CLASSES = ("accura", "right ", "class", "guess", "label", "chance", "picture")


pytestmark = pytest.mark.usefixtures("one_thread")


def report_of(trial: MemoryTrial) -> DebugReport:
    return DebugReport("a loop", trial=trial)


def told(report: DebugReport) -> str:
    """All that the report says of training: verdict, insights, and the rules that have something to say."""
    judged = verdict(report)
    lines = [judged.headline, *(point.title + point.message + point.advice for point in judged.points)]
    lines += [" ".join(map(str, number)) for number in judged.numbers]
    for insight in report.insights():
        lines += [insight.title, insight.explanation, *insight.evidence, insight.next_step]
    lines += [result.message + result.advice for result in report.rules if result.kind == "debugging" and result.advice]
    return "\n".join(lines)


def hints(report: DebugReport) -> list[Insight]:
    return [insight for insight in report.insights() if insight.severity != "info"]


def regression(first: float, last: float, *, epochs: int = 8) -> MemoryTrial:
    """A loop whose loss falls from one value to another, with noise, in batches of 16."""
    made = MemoryTrial(
        run={"recorder": "loop", "task": "regression", "parameters": {"learning_rate": 0.01}}, ended=True
    )
    noise, now = np.random.default_rng(0), 0
    for epoch in range(epochs):
        for step in range(epoch * 20, (epoch + 1) * 20):
            loss = last + (first - last) * np.exp(-step / 40)
            made.add_step(step, TRAIN, global_step=now, time=1000 + now / 100)
            made.add(
                LOOP_LOSS, step, TRAIN, np.float32(loss * (1 + 0.15 * noise.standard_normal())), collection="losses"
            )
            made.add_reduction(STEP_SIZE, "mean", step, TRAIN, 16.0, collection=SCALARS)
            now += 1
        made.add_step(epoch, EVAL, global_step=now, time=1000 + now / 100)
        valid = last + (first - last) * np.exp(-(epoch + 1) / 2)
        made.add(LOOP_LOSS, epoch, EVAL, np.float32(valid), collection="losses")
        now += 1
    return made


def test_a_regression_whose_loss_falls_by_more_than_half_is_well() -> None:
    """It was said to have 0% right answers, and too large a learning rate."""
    report = report_of(regression(1.06, 0.40))
    assert verdict(report).level == "well"
    assert hints(report) == []
    assert not [word for word in OF_CLASSES if word in told(report).lower()]


def test_a_regression_that_had_to_report_right_answers_has_no_accuracy() -> None:
    """Older recordings of such loops have an accuracy of zero at every step."""
    made = regression(1.06, 0.40)
    made.run = {"recorder": "builtin"}
    for step in range(160):
        made.add_reduction("accuracy", "mean", step, TRAIN, 0.0, collection="metrics")
    report = report_of(made)
    assert set(report.curves) == {"loss"}
    assert verdict(report).level == "well"
    assert "accuracy" not in told(report)


def test_a_regression_that_learns_nothing_is_told_so_without_classes() -> None:
    report = report_of(regression(1.0, 1.0))
    assert verdict(report).level == "problem"
    assert not [word for word in OF_CLASSES if word in told(report).lower()]
    assert not [word for word in OURS if word in told(report)]


def trained_loop(*, rate: float, batch: int, epochs: int, **rest: object) -> MemoryTrial:
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    centers = torch.randn(4, 16, generator=random) * 1.2
    network = perceptron([16, 24, 4])
    made = Run(
        network,
        torch.optim.SGD(network.parameters(), lr=rate),
        blobs(random, counts=100, centers=centers),
        blobs(random, counts=40, centers=centers),
        functional.cross_entropy,
        batch=batch,
        epochs=epochs,
        style=LOOP,
        hyperparameters={"learning_rate": rate, "batch_size": batch, "epochs": epochs},
        **rest,  # type: ignore[arg-type]
    )
    return train(made)


def test_a_run_with_batches_of_four_that_does_well_is_not_told_to_raise_its_learning_rate() -> None:
    """It was told to set lr=0.5, with which it falls to chance level."""
    report = report_of(trained_loop(rate=0.01, batch=4, epochs=3))
    assert report.curves["accuracy"].valid[-1] > 0.95
    assert hints(report) == []
    for insight in report.insights():
        assert "learning_rate" not in insight.hyperparameters
        assert "earning rate" not in insight.next_step + insight.title


def test_timid_steps_are_raised_by_at_most_three_in_the_runs_own_name() -> None:
    report = report_of(trained_loop(rate=5e-4, batch=32, epochs=8))
    [found] = [insight for insight in report.insights() if "learning_rate" in insight.hyperparameters]
    assert found.hyperparameters == {"learning_rate": 0.0015}
    assert "Set learning_rate=0.0015 (now 0.0005)" in found.next_step


def test_a_loop_that_overfits_is_advised_in_its_own_words() -> None:
    torch.manual_seed(1)
    random = torch.Generator().manual_seed(1)
    network = perceptron([24, 256, 3])
    inputs, labels = blobs(random, classes=3, width=24, counts=40, distance=0.35, label_noise=0.3)
    made = Run(
        network,
        torch.optim.Adam(network.parameters(), 5e-3),
        (inputs[48:], labels[48:]),
        (inputs[:48], labels[:48]),
        functional.cross_entropy,
        batch=16,
        epochs=40,
        style=LOOP,
        hyperparameters={"num_epochs": 40, "weight_decay": 0.0},
    )
    report = report_of(train(made))
    assert verdict(report).level == "problem"
    assert not [word for word in OURS if word in told(report)]
    assert "num_epochs" in {name for insight in report.insights() for name in insight.hyperparameters}
    assert "sample" in told(report)
    assert "picture" not in told(report)


def test_a_loop_without_labels_is_reported_by_its_loss_alone() -> None:
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 1))
    data = curve(random, count=300), curve(random, count=80)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    made = Run(network, optimizer, *data, functional.mse_loss, epochs=12, style=LOOP)
    report = report_of(train(made))
    assert verdict(report).level == "well"
    assert "accuracy" not in summary(report, width=100)
    unknown = {result.name: result.message for result in report.rules if result.name in ("ClassImbalance", "Confusion")}
    assert set(unknown.values()) == {"The run has no classes: it predicts numbers."}


def memorizing(folder: Path, seed: int) -> DebugReport:
    """A loop that memorizes 64 samples, and is validated on 24."""
    torch.manual_seed(seed)
    centers = 2 * torch.randn(3, 20) / 20**0.5

    def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = torch.randint(0, 3, (count,))
        return centers[wanted] + torch.randn(count, 20), wanted

    (samples, labels), held_out = drawn(64), drawn(24)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with Recorder(folder, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for _ in range(10):
            for inputs, wanted in zip(samples.split(8), labels.split(8), strict=True):
                outputs = model(inputs)
                loss = functional.cross_entropy(outputs, wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=outputs, labels=wanted)
            run.validate([held_out], functional.cross_entropy)
    return run.report()


def test_a_loop_that_memorizes_is_not_called_well_though_it_is_validated_on_few_samples(tmp_path: Path) -> None:
    """The validation loss rises from 0.6 to 1.5, which no test of 24 samples calls certain."""
    judged = verdict(memorizing(tmp_path, 1))
    assert (judged.level, judged.cause) == ("problem", "overfitting"), judged.headline
    assert judged.headline.startswith("Overtraining: the validation loss turned after epoch ")


def test_few_validation_samples_do_not_rule_out_that_a_loop_has_memorized(tmp_path: Path) -> None:
    """Validation is as bad as that of another data set from the start: 24 samples cannot tell the two apart."""
    judged = verdict(memorizing(tmp_path, 0))
    assert "overfitting" in judged.alternatives, judged.headline
    assert "the model has only memorized its samples" in judged.points[0].advice
