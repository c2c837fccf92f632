"""Recorder on plain loops: what is recorded, that training is not changed, and that a failure never ends a loop."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as modules
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from dogbreed_sdk import ConfigurationError, DebugReport, Recorder
from dogbreed_sdk._util import formatting
from dogbreed_sdk.debugging.verdict import verdict
from dogbreed_sdk.recording import loader_clock, optimizer_watch, recording
from dogbreed_sdk.recording.predictions import may_broadcast
from dogbreed_sdk.recording.recording import NO_HOOKS, SUMMED, Recording
from tests.recording.loops import (
    BATCH,
    CLASSES,
    ROWS,
    STEPS,
    VALID_ROWS,
    WIDTH,
    clouds,
    line,
    loaders,
    network,
    train,
    trial_of,
    values,
)
from training_scripts.recording.profile.profile import DATA, TRAIN_STEP
from training_scripts.recording.recorder.snapshots import Layers
from training_scripts.rules.evidence.epochs import epochs

pytestmark = pytest.mark.extras


def test_losses_accuracies_sizes_and_learning_rates_of_every_step(tmp_path: Path) -> None:
    _, losses = train(tmp_path, epochs=2)
    trial = trial_of(tmp_path)
    assert trial.ended
    assert values(trial, "loss_output_0") == pytest.approx(losses)
    assert values(trial, "learning_rate") == [0.0625] * 2 * STEPS
    assert values(trial, "step_size") == [BATCH] * 2 * STEPS
    assert values(trial, "step_size", "EVAL") == [VALID_ROWS - 1, 1] * 2
    accuracy = values(trial, "accuracy")
    assert len(accuracy) == 2 * STEPS
    assert accuracy[-1] > 0.8
    assert all(share * BATCH == pytest.approx(round(share * BATCH)) for share in accuracy)


def test_the_facts_of_a_run_that_nobody_told(tmp_path: Path) -> None:
    train(tmp_path, hyperparameters={"lr": 0.0625, "schedule": None})
    run = trial_of(tmp_path).run
    assert (run["recorder"], run["framework"], run["task"]) == ("loop", "torch", "classification")
    assert run["parameters"] == {"lr": 0.0625, "schedule": None}
    assert run["hyperparameters"] == {}
    assert run["classes"] == list(range(CLASSES))
    assert run["class_counts"] == torch.bincount(clouds(ROWS, 1).tensors[1]).tolist()
    assert run["sizes"] == {"valid": VALID_ROWS}
    assert (run["batch_size"], run["eval_steps_per_epoch"], run["accumulation"]) == (BATCH, 2, 1)
    assert run["learning_rate"] == 0.0625


@pytest.mark.parametrize("step_first", [False, True])
def test_tensors_are_those_of_their_step_wherever_it_is_recorded(tmp_path: Path, step_first: bool) -> None:
    train(tmp_path, epochs=2, step_first=step_first)
    trial = trial_of(tmp_path)
    weight, gradient = trial.tensor("Sequential_0.weight"), trial.tensor("gradient/Sequential_0.weight")
    assert weight.steps() == gradient.steps()
    assert weight.steps()[:5] == [0, 1, 2, 3, 4]
    lengths, ratios = weight.reduction("l2").values, weight.reduction("update_ratio").values
    assert lengths[0] == pytest.approx(float(network()[0].weight.detach().norm()))
    # Plain gradient descent moves the weights by rate times gradient.
    assert ratios == pytest.approx(0.0625 * gradient.reduction("l2").values / lengths, rel=1e-3)
    assert trial.tensor("1_relu_output_0").steps() == weight.steps()
    assert trial.tensor("labels").steps() == weight.steps()


def test_every_validation_sample_is_recorded_with_its_loss(tmp_path: Path) -> None:
    model, _ = train(tmp_path, epochs=2)
    trial = trial_of(tmp_path)
    inputs, labels = clouds(VALID_ROWS, 5).tensors
    scores = model(inputs).detach()
    last = trial.tensor("labels").steps("EVAL")[-1]
    assert trial.tensor("labels").value(last, "EVAL").tolist() == labels.tolist()
    assert trial.tensor("predictions").value(last, "EVAL").tolist() == scores.argmax(1).tolist()
    each = functional.cross_entropy(scores, labels, reduction="none")
    assert trial.tensor("valid_losses").value(last, "EVAL") == pytest.approx(each.numpy(), rel=1e-4, abs=1e-6)
    assert trial.tensor("valid_probabilities").value(last, "EVAL") == pytest.approx(scores.softmax(1).amax(1).numpy())


def test_a_loss_that_single_samples_do_not_have_is_not_made_up(tmp_path: Path) -> None:
    weights = torch.tensor([1.0, 20.0, 0.1])
    train(tmp_path, criterion=nn.CrossEntropyLoss(weight=weights), epochs=2)
    trial = trial_of(tmp_path)
    assert trial.has("predictions")
    assert not trial.has("valid_losses")


def test_recording_changes_nothing_of_the_training(tmp_path: Path) -> None:
    recorded, losses = train(tmp_path)
    model, (batches, _) = network(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0625)
    plain = []
    for _ in range(4):
        for inputs, labels in batches:
            loss = functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            plain.append(float(loss.detach()))
    assert losses == plain
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), recorded.parameters(), strict=True))


def test_a_model_that_is_being_recorded_can_be_copied_and_pickled(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False):
        assert not copy.deepcopy(model)._forward_hooks
        restored = pickle.loads(pickle.dumps(model))
        copy.deepcopy(optimizer)
        assert pickle.loads(pickle.dumps(optimizer)).param_groups[0]["lr"] == 0.1
    assert torch.equal(restored[0].weight, model[0].weight)


def test_hooks_are_gone_when_recording_has_ended(tmp_path: Path) -> None:
    before = _BaseDataLoaderIter.__next__
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False):
        assert _BaseDataLoaderIter.__next__ is not before
    assert _BaseDataLoaderIter.__next__ is before
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert not modules._global_forward_hooks
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())


def test_epochs_can_be_marked(tmp_path: Path) -> None:
    model, (batches, _) = network(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False) as run:
        for _ in range(3):
            for inputs, labels in batches:
                scores = model(inputs)
                loss = functional.cross_entropy(scores, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=scores, labels=labels)
            run.epoch()
    report = DebugReport.load(tmp_path)
    assert report.trial is not None
    assert report.trial.run["steps_per_epoch"] == STEPS
    assert report.trial.run["sizes"] == {"train": ROWS}
    assert [epoch.number for epoch in epochs(report.trial)] == [1, 2, 3]


def test_validate_evaluates_for_loops_that_do_not(tmp_path: Path) -> None:
    model, (_, valid) = network(), loaders()
    model.train()
    model[1].eval()  # stays as it was
    with Recorder(tmp_path, model=model, rules=False, profile=False) as run:
        run.step(1.5, size=4)
        found = run.validate(valid, functional.cross_entropy)
    inputs, labels = clouds(VALID_ROWS, 5).tensors
    scores = model(inputs).detach()
    assert found.loss == pytest.approx(float(functional.cross_entropy(scores, labels)), rel=1e-5)
    assert found.accuracy == pytest.approx(float((scores.argmax(1) == labels).double().mean()))
    assert [model.training, model[0].training, model[1].training] == [True, True, False]
    assert trial_of(tmp_path).tensor("labels").value(1, "EVAL").tolist() == labels.tolist()


def test_validate_returns_the_accuracy_of_outputs_with_logits_and_after_recording_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_arguments: object) -> None:
        raise ValueError("as a bug would")

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, inputs: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.inner(inputs))

    def criterion(outputs: SimpleNamespace, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.logits, labels)

    with Recorder(tmp_path, model=Logits(), rules=False, profile=False) as run:
        found = run.validate(loaders()[1], criterion)
        assert found.accuracy is not None and 0 < found.accuracy < 1
        monkeypatch.setattr(Recording, "eval_step", fails)
        assert run.validate(loaders()[1], criterion) == found
    assert run.validate(loaders()[1], criterion) == found
    assert len(caplog.records) == 1


def test_an_optimizer_of_another_kind_leaves_the_rest_to_be_recorded(tmp_path: Path) -> None:
    with Recorder(tmp_path, model=network(), optimizer=object(), rules=False, profile=False) as run:
        run.step(1.5)
    assert values(trial_of(tmp_path), "loss_output_0") == [1.5]
    assert NO_HOOKS in DebugReport.load(tmp_path).notes


def test_an_exception_in_the_block_is_kept_in_the_recording_and_raised(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (
        pytest.raises(ZeroDivisionError),
        Recorder(tmp_path, model=model, optimizer=optimizer, rules=False) as run,
    ):
        run.step(1.0)
        run.step(0.5)
        raise ZeroDivisionError("no more steps")
    report = DebugReport.load(tmp_path)
    assert report.trial is not None
    assert report.trial.ended
    assert values(report.trial, "loss_output_0") == [1.0, 0.5]
    assert report.trial.run["failure"] == "ZeroDivisionError: no more steps"
    assert report.notes == ["Training ended with an exception after 2 steps: ZeroDivisionError: no more steps"]


def test_the_verdict_begins_with_the_exception_that_ended_the_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TypeError), Recorder(tmp_path) as run:
        for step in range(50):
            run.step(1.0 / (step + 1))
        raise TypeError("no len()\nof a number")
    said = "The loop ended with TypeError after 50 steps: no len() of a number."
    assert capsys.readouterr().out.startswith(said)
    report = DebugReport.load(tmp_path)
    verdict = report.to_dict()["verdict"]
    assert (verdict["level"], verdict["headline"], verdict["cause"]) == ("problem", said, "exception")
    assert said in " ".join(report.to_text(width=200).split())
    assert "All is well" not in report.to_text()


def test_a_loop_that_was_interrupted_is_not_called_faulty(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path, rules=False) as run:
        for step in range(50):
            run.step(1.0 / (step + 1))
        raise KeyboardInterrupt
    verdict = DebugReport.load(tmp_path).to_dict()["verdict"]
    assert verdict["level"] == "hint" and verdict["cause"] == ""
    assert verdict["headline"].startswith("The loop was stopped by KeyboardInterrupt after 50 steps.")


def test_a_failure_of_the_recorder_ends_recording_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> None:
        raise ValueError("as a bug would")

    with Recorder(tmp_path, rules=False) as run, caplog.at_level(logging.WARNING):
        run.step(1.0)
        monkeypatch.setattr(Recording, "train_step", fails)
        run.step(0.5)
        run.step(0.25)
        run.evaluate(1.0)
        run.epoch()
    assert [record.getMessage() for record in caplog.records] == [
        f"recording to {tmp_path} stops, and training continues: ValueError: as a bug would"
    ]
    report = DebugReport.load(tmp_path)
    assert report.trial is not None
    assert not report.trial.ended
    assert values(report.trial, "loss_output_0") == [1.0]
    assert "ValueError: as a bug would" in report.problems[0]


def test_a_failure_in_a_hook_does_not_reach_the_optimizer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Layers, "take_gradients", fails)
    with caplog.at_level(logging.WARNING):
        model, _ = train(tmp_path, epochs=1)
    assert len(caplog.records) == 1
    assert not torch.equal(model.get_parameter("0.weight"), network()[0].weight)


def test_an_unwritable_folder_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        train(tmp_path / "file" / "run", epochs=1)
    assert len({record.getMessage() for record in caplog.records}) == 1


def test_parameters_of_any_usual_kind_without_secrets(tmp_path: Path) -> None:
    @dataclass
    class Settings:
        lr: float = 0.1
        hub_token: str = "hf_secret"

    for number, parameters in enumerate(
        (
            argparse.Namespace(lr=0.1, hub_token="hf_secret"),
            Settings(),
            {"lr": 0.1, "hub_token": "hf_secret"},
        )
    ):
        with Recorder(tmp_path / str(number), hyperparameters=parameters, rules=False, profile=False) as run:
            run.step(1.0)
        assert trial_of(tmp_path / str(number)).run["parameters"] == {"lr": 0.1}
    with pytest.raises(ConfigurationError, match="parameters is a list; pass"):
        Recorder(tmp_path / "list", hyperparameters=[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs is 0; pass a positive integer"),
        ({"steps_per_epoch": 1.5}, "steps_per_epoch is 1.5"),
        ({"save_interval": -1}, "save_interval is -1"),
        ({"task": "segmentation"}, "task is 'segmentation'; pass 'classification' or 'regression'"),
    ],
)
def test_wrong_arguments_are_refused_before_training(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Recorder(tmp_path, **arguments)  # type: ignore[arg-type]


def test_waits_for_data_are_those_of_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.perf_counter()

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    for module in (loader_clock, optimizer_watch, recording):
        monkeypatch.setattr(module, "perf_counter", lambda: now)

    class Slow(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            spend(0.02)
            return torch.ones(WIDTH) * index, index % CLASSES

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False) as run:
        for inputs, labels in DataLoader(Slow(), 2):
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            run.step(loss)
            spend(0.05)  # as a loop that logs, or waits for a GPU: not a wait for data
    profile = DebugReport.load(tmp_path).profile
    assert profile is not None
    assert profile.phases[DATA].seconds.tolist() == pytest.approx([0.04] * 3, abs=1e-5)
    assert len(profile.phases[TRAIN_STEP]) == 3


def test_a_report_that_fails_leaves_the_recording_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_given: object) -> None:
        raise ValueError("no report today")

    monkeypatch.setattr(Recorder, "report", fails)
    train(tmp_path, epochs=1, rules=True)
    trial = trial_of(tmp_path)
    assert trial.ended and not trial.problems
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"no verdict on {tmp_path}: ValueError: no report today"
    ]


def test_the_verdict_is_printed_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, rules=True)
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("All is well")
    assert f"dogbreed report {tmp_path}" in printed


def test_importing_the_recorder_loads_neither_torch_nor_numpy() -> None:
    code = "import sys; from dogbreed_sdk import Recorder; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"set()"


def test_a_recorder_that_nobody_closes_ends_with_the_process(tmp_path: Path) -> None:
    code = (
        "from dogbreed_sdk import Recorder\n"
        f"run = Recorder({str(tmp_path)!r}, rules=False, profile=False)\n"
        "run.step(1.0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert trial_of(tmp_path).ended


def test_the_report_of_a_regression_never_speaks_of_classes(tmp_path: Path) -> None:
    train(tmp_path, of=line, criterion=functional.mse_loss, outputs=1, epochs=6)
    report = DebugReport.load(tmp_path)
    trial = report.trial
    assert trial is not None
    assert trial.run["task"] == "regression"
    assert not trial.run.get("classes")
    assert not trial.has("accuracy")
    _, targets = line(VALID_ROWS, 5).tensors
    last = trial.tensor("targets").steps("EVAL")[-1]
    assert trial.tensor("targets").value(last, "EVAL") == pytest.approx(targets.numpy())
    each = np.square(trial.tensor("outputs").value(last, "EVAL") - targets.numpy())[:, 0]
    assert trial.tensor("valid_losses").value(last, "EVAL") == pytest.approx(each, rel=1e-4)
    assert not any(name in trial.recorded_names() for name in ("labels", "predictions"))
    assert json.dumps(report.to_dict()).count("right answers") == 0


def flat_line(rows: int, seed: int, scale: float = 1) -> TensorDataset:
    """As `line`, with targets without a second dimension, [rows]; a large scale makes them prices."""
    inputs, targets = line(rows, seed).tensors
    return TensorDataset(inputs, scale * targets[:, 0] + 10 * (scale - 1))


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("criterion", "scale", "rate"),
    [
        (functional.mse_loss, 100, 1e-4),  # where the two losses differ by little
        (functional.mse_loss, 1, 0.05),
        (functional.l1_loss, 1, 0.0),
        (functional.huber_loss, 1, 0.05),
    ],
)
def test_a_loss_of_every_output_with_every_target_is_named(
    tmp_path: Path, criterion: Callable[..., torch.Tensor], scale: float, rate: float
) -> None:
    model, (batches, valid) = network(1), loaders(partial(flat_line, scale=scale))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for _ in range(3):
            for inputs, targets in batches:
                outputs = model(inputs)
                loss = criterion(outputs, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=outputs, labels=targets)
            run.validate(valid, criterion)
    report = DebugReport.load(tmp_path)
    assert report.trial is not None
    assert (report.trial.run["output_shape"], report.trial.run["target_shape"]) == ([BATCH, 1], [BATCH])
    judged = verdict(report)
    assert (judged.level, judged.cause, judged.alternatives) == ("problem", "output-target-shapes", ())
    assert judged.headline == (
        "Outputs [16, 1] and targets [16] broadcast to [16, 16]: every output is compared with every target."
    )
    assert "outputs.squeeze(1), or targets.unsqueeze(1)" in judged.points[0].advice


def test_outputs_that_the_loss_gets_in_the_targets_shape_are_fine(tmp_path: Path) -> None:
    def criterion(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(outputs.squeeze(1), targets)

    train(tmp_path, of=flat_line, criterion=criterion, outputs=1, epochs=2)
    report = DebugReport.load(tmp_path)
    assert report.trial is not None
    assert not {"output_shape", "target_shape"} & set(report.trial.run)
    assert verdict(report).cause != "output-target-shapes"


@pytest.mark.parametrize(
    ("outputs", "targets", "expected"),
    [
        ((4, 1), (4,), True),
        ((4,), (4, 1), True),
        ((4, 1), (4, 1), False),
        ((4, 3), (4,), False),
        ((1, 1), (1,), False),
        ((4, 3), (12,), False),
        ((4, 1, 2), (4, 2), True),
    ],
)
def test_shapes_that_broadcast_to_more_than_either(
    outputs: tuple[int, ...], targets: tuple[int, ...], expected: bool
) -> None:
    assert may_broadcast(torch.zeros(outputs), torch.zeros(targets)) is expected
    assert may_broadcast(torch.zeros(outputs), torch.zeros(targets).long()) is False


def noise(rows: int, seed: int) -> TensorDataset:
    """Inputs, and targets [rows, 1] that do not depend on them."""
    inputs, _ = line(rows, seed).tensors
    return TensorDataset(inputs, 3 + torch.randn(rows, 1, generator=torch.Generator().manual_seed(seed + 7)))


@pytest.mark.parametrize(
    ("criterion", "constant", "of_constant"),
    [
        (functional.mse_loss, "mean", lambda targets: np.mean((targets - targets.mean()) ** 2)),
        (functional.l1_loss, "median", lambda targets: np.mean(np.abs(targets - np.median(targets)))),
    ],
)
def test_a_regression_no_better_than_a_constant_is_not_well(
    tmp_path: Path,
    criterion: Callable[..., torch.Tensor],
    constant: str,
    of_constant: Callable[[np.ndarray], float],
) -> None:
    train(tmp_path, of=noise, criterion=criterion, outputs=1, epochs=12)
    report = DebugReport.load(tmp_path)
    found = [insight for insight in report.insights() if insight.topic == "nothing-learned"]
    assert [insight.title for insight in found] == [
        f"Validation is no better than predicting the {constant} of the targets."
    ]
    assert verdict(report).level in ("problem", "hint")
    expected = of_constant(noise(VALID_ROWS, 5).tensors[1].numpy())
    assert f", {formatting.number(float(expected))}." in found[0].evidence[0]


def test_a_regression_that_learns_is_better_than_the_mean(tmp_path: Path) -> None:
    train(tmp_path, of=line, criterion=functional.mse_loss, outputs=1, epochs=6)
    assert "nothing-learned" not in [insight.topic for insight in DebugReport.load(tmp_path).insights()]


@pytest.mark.parametrize(
    ("of", "criterion", "outputs"), [(clouds, functional.cross_entropy, CLASSES), (line, functional.mse_loss, 1)]
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_that_is_a_sum_is_noted_with_what_it_means_for_the_learning_rate(
    tmp_path: Path,
    of: Callable[[int, int], TensorDataset],
    criterion: Callable[..., torch.Tensor],
    outputs: int,
    reduction: str,
) -> None:
    train(tmp_path, of=of, criterion=partial(criterion, reduction=reduction), outputs=outputs, epochs=1)
    noted = [note for note in DebugReport.load(tmp_path).notes if "is a sum over" in note]
    assert noted == [SUMMED.format(BATCH)] * (reduction == "sum")
    assert "lr acts like 16 times that of a mean" in SUMMED.format(BATCH)
