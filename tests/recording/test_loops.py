"""Recorder on loops that are not plain: accumulation, mixed precision, several losses, closures, other tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dogbreed_sdk import DebugReport, Recorder
from dogbreed_sdk.recording import recording
from tests.recording.loops import (
    CLASSES,
    STEPS,
    VALID_ROWS,
    WIDTH,
    clouds,
    loaders,
    network,
    trial_of,
    values,
)

pytestmark = pytest.mark.extras
RATE = 0.0625


def accumulated(folder: Path, *, every: int, divides: bool, step_first: bool) -> tuple[list[float], list[float]]:
    """A loop with gradient accumulation; returns the undivided losses, and the gradients' norms at each update."""
    model, (batches, valid) = network(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    losses, norms = [], []
    with Recorder(folder, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for _ in range(3):
            for number, (inputs, labels) in enumerate(batches):
                scores = model(inputs)
                loss = functional.cross_entropy(scores, labels)
                losses.append(float(loss.detach()))
                loss = loss / every if divides else loss
                loss.backward()
                if step_first:
                    run.step(loss, outputs=scores, labels=labels)
                if (number + 1) % every == 0:
                    gradient = model[0].weight.grad
                    assert gradient is not None
                    norms.append(float(gradient.norm()))
                    optimizer.step()
                    optimizer.zero_grad()
                if not step_first:
                    run.step(loss, outputs=scores, labels=labels)
            with torch.no_grad():
                for inputs, labels in valid:
                    scores = model(inputs)
                    run.evaluate(functional.cross_entropy(scores, labels), outputs=scores, labels=labels)
    return losses, norms


@pytest.mark.parametrize("step_first", [False, True])
@pytest.mark.parametrize("divides", [False, True])
def test_accumulated_gradients_are_those_of_the_update(tmp_path: Path, divides: bool, step_first: bool) -> None:
    losses, norms = accumulated(tmp_path, every=5, divides=divides, step_first=step_first)
    trial = trial_of(tmp_path)
    assert values(trial, "loss_output_0") == pytest.approx(losses)
    assert trial.run["accumulation"] == 5
    gradients = trial.tensor("gradient/Sequential_0.weight").reduction("l2")
    assert gradients.values == pytest.approx(norms)  # 30 micro-batches, 6 updates, in a run of unknown length
    assert gradients.steps.tolist() == [4, 9, 14, 19, 24, 29]
    lengths = trial.tensor("Sequential_0.weight").reduction("l2").values
    ratios = trial.tensor("Sequential_0.weight").reduction("update_ratio").values
    assert ratios == pytest.approx(RATE * np.array(norms) / lengths, rel=1e-3)
    notes = trial.run.get("notes", [])
    assert any("divides its losses by 5" in note for note in notes) == divides


def mixed(folder: Path, *, dtype: torch.dtype, scaler: Any, factor: float = 1.0, **kind: Any) -> Any:
    """A loop under autocast; `factor` multiplies the loss of its third step, so that gradients overflow."""
    model, (batches, valid) = network(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, **kind)
    with Recorder(folder, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for epoch in range(4):
            for number, (inputs, labels) in enumerate(batches):
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=dtype):
                    scores = model(inputs)
                    loss = functional.cross_entropy(scores, labels)
                spoiled = loss * factor if (epoch, number) == (0, 2) else loss
                scaler.scale(spoiled).backward()
                scaler.step(optimizer)
                scaler.update()
                run.step(loss, outputs=scores, labels=labels)
            with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
                for inputs, labels in valid:
                    scores = model(inputs)
                    run.evaluate(functional.cross_entropy(scores, labels), outputs=scores, labels=labels)
    return trial_of(folder)


def test_bfloat16_is_recorded_as_it_is(tmp_path: Path) -> None:
    trial = mixed(tmp_path, dtype=torch.bfloat16, scaler=torch.amp.GradScaler("cpu", enabled=False))
    assert values(trial, "accuracy")[-1] > 0.8
    assert trial.has("valid_losses")
    assert np.isfinite(trial.tensor("gradient/Sequential_0.weight").reduction("l2").values).all()


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients_are_recorded_unscaled_and_a_skipped_step_is_no_finding(tmp_path: Path, fused: bool) -> None:
    scale = 2.0**14
    plain = mixed(
        tmp_path / "plain", dtype=torch.bfloat16, scaler=torch.amp.GradScaler("cpu", enabled=False), fused=fused
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    scaled = mixed(tmp_path / "scaled", dtype=torch.bfloat16, scaler=scaler, factor=float("inf"), fused=fused)
    assert scaler.get_scale() == scale / 2  # one step was skipped
    name = "gradient/Sequential_0.weight"
    before, after = plain.tensor(name).reduction("l2"), scaled.tensor(name).reduction("l2")
    assert after.values[:2] == pytest.approx(before.values[:2], rel=0.02)
    assert np.isfinite(after.values).all()
    assert len(values(scaled, "loss_output_0")) == 4 * STEPS
    ratios = scaled.tensor("Sequential_0.weight").reduction("update_ratio").values
    assert (ratios > 0).all()
    found = {result.name for result in DebugReport.load(tmp_path / "scaled").rules if result.status == "IssuesFound"}
    assert found <= {"ClassImbalance", "Confusion"}


def test_clipped_gradients_are_recorded_as_the_optimizer_gets_them(tmp_path: Path) -> None:
    model, (batches, _) = network(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for inputs, labels in batches:
            loss = functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.001)
            optimizer.step()
            run.step(loss)
    norms = trial_of(tmp_path).tensor("gradient/Sequential_0.weight").reduction("l2").values
    assert (norms <= 0.00101).all()


def test_an_optimizer_that_is_given_a_closure(tmp_path: Path) -> None:
    model, (batches, _) = network(), loaders()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=3)
    losses = []
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for inputs, labels in batches:

            def closure(inputs: torch.Tensor = inputs, labels: torch.Tensor = labels) -> torch.Tensor:
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs), labels)
                loss.backward()
                return loss

            losses.append(float(optimizer.step(closure).detach()))
            run.step(losses[-1], size=len(labels))
    trial = trial_of(tmp_path)
    assert values(trial, "loss_output_0") == pytest.approx(losses)
    assert losses[-1] < losses[0]
    gradients = trial.tensor("gradient/Sequential_0.weight").reduction("l2")
    assert gradients.steps.tolist()[:3] == [0, 1, 2]
    assert (gradients.values > 0).all()


def test_several_losses_are_curves_beside_the_total(tmp_path: Path) -> None:
    model, (batches, valid) = network(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    parts: list[tuple[float, float]] = []
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for _ in range(3):
            for inputs, labels in batches:
                scores = model(inputs)
                classes, size = functional.cross_entropy(scores, labels), 0.01 * scores.square().mean()
                optimizer.zero_grad()
                (classes + size).backward()
                optimizer.step()
                run.step(classes + size, outputs=scores, labels=labels, losses={"classes": classes, "size": size})
                parts.append((float(classes.detach()), float(size.detach())))
            for inputs, labels in valid:
                scores = model(inputs)
                loss = functional.cross_entropy(scores, labels)
                run.evaluate(loss, outputs=scores, labels=labels, losses={"classes": loss})
    trial = trial_of(tmp_path)
    assert trial.tensor_names(collection="loss_parts") == ["loss_parts/classes", "loss_parts/size"]
    assert values(trial, "loss_parts/classes") == pytest.approx([classes for classes, _ in parts])
    assert values(trial, "loss_parts/size") == pytest.approx([size for _, size in parts])
    assert values(trial, "loss_output_0") == pytest.approx([sum(pair) for pair in parts])
    assert trial.tensor("loss_parts/classes").modes == ("TRAIN", "EVAL")
    assert DebugReport.load(tmp_path).curves["loss"].train.values == pytest.approx([sum(pair) for pair in parts])


def test_the_loss_of_each_sample_is_reduced_to_their_mean(tmp_path: Path) -> None:
    each = torch.tensor([1.0, 2.0, 6.0])
    with Recorder(tmp_path, rules=False, profile=False) as run:
        run.step(each)
        run.evaluate(each, outputs=torch.eye(3), labels=torch.arange(3))
    trial = trial_of(tmp_path)
    assert values(trial, "loss_output_0") == [3.0]
    assert values(trial, "step_size") == [3]
    assert trial.tensor("valid_losses").value(0, "EVAL").tolist() == each.tolist()


@pytest.mark.parametrize("logits", [False, True])
def test_one_unit_that_says_yes_or_no_is_a_classification(tmp_path: Path, logits: bool) -> None:
    def halves(rows: int, seed: int) -> torch.utils.data.TensorDataset:
        inputs, labels = clouds(rows, seed).tensors
        return torch.utils.data.TensorDataset(inputs, (labels == 0).float()[:, None])

    class Squashed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(1)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.inner(inputs)
            return scores if logits else scores.sigmoid()

    model, (batches, valid) = Squashed(), loaders(halves)
    criterion = functional.binary_cross_entropy_with_logits if logits else functional.binary_cross_entropy
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        for _ in range(4):
            for inputs, labels in batches:
                scores = model(inputs)
                loss = criterion(scores, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=scores, labels=labels)
            found = run.validate(valid, criterion)
    trial = trial_of(tmp_path)
    assert (trial.run["task"], trial.run["classes"]) == ("classification", [0, 1])
    inputs, labels = halves(VALID_ROWS, 5).tensors
    yes = model(inputs).detach() > (0 if logits else 0.5)
    right = float((yes == labels.bool()).double().mean())
    assert found.accuracy == pytest.approx(right)
    accuracies, sizes = values(trial, "accuracy", "EVAL"), values(trial, "step_size", "EVAL")
    assert np.average(accuracies[-2:], weights=sizes[-2:]) == pytest.approx(right)


@pytest.mark.parametrize(
    ("outputs", "labels", "task"),
    [
        (torch.randn(6, 4), torch.rand(6, 4), "regression"),
        (torch.randn(6), torch.randn(6), "regression"),
        (torch.randn(6, 2, 3, 3), torch.randn(6, 2, 3, 3), "regression"),
        (torch.randn(6, 4), torch.eye(4)[torch.arange(6) % 4], None),  # several labels per sample, or one-hot ones
        (torch.randn(6, 3), torch.full((6, 3), 1 / 3), None),  # soft labels of three classes
        (torch.randn(6, 3), torch.arange(6) % 3, "classification"),
        (torch.randn(6, 3), (torch.arange(6) % 3)[:, None], "classification"),
        (torch.randn(6, 3, 4, 4), torch.ones(6, 4, 4, dtype=torch.long), "classification"),
        (torch.randn(6, 9, 30), torch.ones(6, 9, dtype=torch.long), "classification"),
        (torch.randn(6, 3), torch.arange(5) % 3, None),
    ],
)
def test_the_task_is_seen_in_outputs_and_labels(
    tmp_path: Path, outputs: torch.Tensor, labels: torch.Tensor, task: str | None
) -> None:
    with Recorder(tmp_path, rules=False, profile=False) as run:
        run.step(1.0, outputs=outputs, labels=labels)
        run.evaluate(1.0, outputs=outputs, labels=labels)
    trial = trial_of(tmp_path)
    assert trial.run.get("task") == task
    assert trial.has("accuracy") == (task == "classification")


def test_tokens_that_are_ignored_do_not_count(tmp_path: Path) -> None:
    labels = torch.tensor([[0, 1, -100, -100], [2, 2, 2, -100]])
    outputs = functional.one_hot(torch.tensor([[0, 1, 1, 1], [0, 0, 2, 2]]), 3).float()
    with Recorder(tmp_path, rules=False, profile=False) as run:
        run.step(1.0, outputs=outputs, labels=labels)
    assert values(trial_of(tmp_path), "accuracy") == [pytest.approx(3 / 5)]


def test_labels_outside_the_classes_do_not_end_anything(tmp_path: Path) -> None:
    with Recorder(tmp_path, rules=False, profile=False) as run:
        run.step(1.0, outputs=torch.eye(3), labels=torch.tensor([0, -100, 9]))
        run.evaluate(1.0, outputs=torch.eye(3), labels=torch.tensor([0, -100, 9]))
    trial = trial_of(tmp_path)
    assert trial.ended
    assert trial.run["class_counts"] == [1, 0, 0]


def test_pictures_are_recorded_by_the_means_of_their_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    pictures, labels = torch.rand(6, 3, 8, 8), torch.arange(6) % CLASSES
    with Recorder(tmp_path, model=model, optimizer=optimizer, rules=False, profile=False) as run:
        loss = functional.cross_entropy(model(pictures), labels)
        loss.backward()
        optimizer.step()
        run.step(loss)
    kept = trial_of(tmp_path).tensor("input_image").value(0)
    assert kept == pytest.approx(pictures.mean((2, 3)).numpy())


def test_a_model_without_its_optimizer_and_a_loop_without_a_model(tmp_path: Path) -> None:
    model = network()
    with Recorder(tmp_path / "model", model=model, rules=False, profile=False) as run:
        for _ in range(3):
            run.step(functional.cross_entropy(model(torch.ones(2, WIDTH)), torch.tensor([0, 1])))
    trial = trial_of(tmp_path / "model")
    assert trial.has("Sequential_0.weight")
    assert trial.has("1_relu_output_0")
    assert not trial.has("gradient/Sequential_0.weight")
    assert not trial.has("learning_rate")
    with Recorder(tmp_path / "nothing", rules=False, profile=False) as run:
        run.step(1.0)
    assert sorted(trial_of(tmp_path / "nothing").recorded_names()) == ["loss_output_0"]


def test_a_long_run_is_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_ALL_STEPS", 20)
    with Recorder(tmp_path, rules=False, profile=False) as run:
        for step in range(100):
            run.step(float(step))
    steps = trial_of(tmp_path).tensor("loss_output_0").steps()
    assert steps == [*range(20), *range(20, 40, 2), *range(40, 80, 4), *range(80, 100, 8)]
    assert run.steps_done == 100
