"""Trains small networks on generated data, and records them as smdebug or our recorder would, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training_scripts.recording.trial.layout import (
    ACCURACY,
    INPUT_MEAN,
    INPUT_STD,
    LABELS,
    LEARNING_RATE,
    LOOP_LOSS,
    OUTPUT_MAX,
    OUTPUT_MEAN,
    OUTPUT_MIN,
    PREDICTIONS,
    SCALARS,
    STEP_SIZE,
    VALID_LOSSES,
)
from training_scripts.recording.trial.reductions import (
    REDUCTIONS,
    SATURATION,
    inactive_fraction,
    reduce,
    saturated_fraction,
)
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial

Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Style:
    """How a run is recorded.

    Attributes:
        full: Whole tensors (smdebug's hook) instead of reductions (our recorder).
        interval: Steps between two recordings of weights, gradients, activations.
        loss_interval: Steps between two recordings of the training loss.
        activations: Record ReLU, sigmoid and tanh layers.
        answers: Record labels and predictions of every evaluation, and classes.
        tensors: Record weights and gradients at all.
        loop: As `dogbreed_sdk.Recorder` records somebody's loop: without facts about data and epochs, which it cannot
            know, but with the size and learning rate of each step, and the loss of each validation sample.
    """

    full: bool = False
    interval: int = 10
    loss_interval: int = 1
    activations: bool = True
    answers: bool = True
    tensors: bool = True
    loop: bool = False


@dataclass
class Run:
    """Everything that a training run needs.

    Attributes:
        network: What is trained; parameters without requires_grad are frozen.
        optimizer: Made for it.
        train: Inputs and targets.
        valid: The same, or None.
        loss: Takes outputs and targets.
        loss_name: What smdebug would call the loss.
        epochs: Passes over train.
        batch: Batch size.
        schedule: Learning rate's factor by the share of the run that is done.
        before_step: Called with the step before it is taken: to make something go wrong in mid-run.
        style: How it is recorded.
        seed: Of the order of the batches.
        jitter: Standard deviation of the noise that is added to the inputs of every step, as augmentation does.
        hyperparameters: Their values by the names that the author of the loop gives them.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    train: Split
    valid: Split | None
    loss: Callable[[Tensor, Tensor], Tensor]
    loss_name: str = "CrossEntropyLoss_output_0"
    epochs: int = 10
    batch: int = 32
    schedule: Callable[[float], float] | None = None
    before_step: Callable[[int, Run], None] | None = None
    style: Style = field(default_factory=Style)
    seed: int = 0
    jitter: float = 0.0
    hyperparameters: Mapping[str, object] = field(default_factory=dict)


def train(run: Run, *, name: str = "battery") -> MemoryTrial:
    """Trains, and gives the recording."""
    recording = _Recording(run, name)
    generator = torch.Generator().manual_seed(run.seed)
    rates = [group["lr"] for group in run.optimizer.param_groups]
    steps = -(-len(run.train[1]) // run.batch)
    step = 0
    for _ in range(run.epochs):
        run.network.train()
        for rows in torch.randperm(len(run.train[1]), generator=generator).split(run.batch):
            if len(rows) == 1 < run.batch:  # batch normalization cannot normalize a single input
                continue
            if run.schedule:
                for group, rate in zip(run.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * run.schedule(step / (steps * run.epochs))
            if run.before_step:
                run.before_step(step, run)
            _step(run, recording, rows, step)
            step += 1
        if run.valid is not None:
            _evaluate(run, recording)
    recording.trial.ended = True
    return recording.trial


def _step(run: Run, recording: _Recording, rows: Tensor, step: int) -> None:
    recording.begins(step)
    inputs, targets = run.train[0][rows], run.train[1][rows]
    if run.jitter:
        inputs = inputs + run.jitter * torch.randn_like(inputs)
    outputs = run.network(inputs)
    loss = run.loss(outputs, targets)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    recording.gradients(step)
    run.optimizer.step()
    recording.ends(step, loss.item(), inputs, outputs.detach(), targets)


@torch.no_grad()
def _evaluate(run: Run, recording: _Recording) -> None:
    run.network.eval()
    assert run.valid is not None
    inputs, targets = run.valid
    outputs = [run.network(part) for part in inputs.split(run.batch)]
    for part, answers, truth in zip(inputs.split(run.batch), outputs, targets.split(run.batch), strict=True):
        recording.evaluated(float(run.loss(answers, truth)), part, answers, truth)
    if run.style.answers and targets.dtype == torch.int64:
        recording.answered(targets, torch.cat(outputs))


class _Recording:
    """Fills a trial, under smdebug's names."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._style = run, run.style
        self.trial = MemoryTrial(name=name)
        self._global, self._eval = 0, 0
        self._before: dict[str, np.ndarray[Any, Any]] = {}
        prefix = type(run.network).__name__
        self._parameters = {f"{prefix}_{key}": value for key, value in run.network.named_parameters()}
        self._now = -1
        targets = run.train[1]
        if self._style.loop:
            classes = targets.dtype == torch.int64
            self.trial.run = {
                "recorder": "loop",
                "framework": "torch",
                "task": "classification" if classes else "regression",
                "parameters": dict(run.hyperparameters),
                "workers": 1,
                "accumulation": 1,
            }
            run.loss_name = LOOP_LOSS
        elif self._style.answers and targets.dtype == torch.int64:
            counts = torch.bincount(targets).tolist()
            self.trial.run = {"class_counts": counts, "classes": [f"class {place}" for place in range(len(counts))]}
        self._listen()

    def _listen(self) -> None:
        for name, module in self._run.network.named_modules():
            kind = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}.get(type(module))
            if kind and self._style.activations and self._style.tensors:
                module.register_forward_hook(self._listener(f"{name}_{kind}_output_0", kind))

    def _listener(self, name: str, kind: str) -> Callable[..., None]:
        def listen(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._now < 0:
                return
            if self._style.full:
                self.trial.add(name, self._now, TRAIN, output.detach().numpy().copy(), collection=f"{kind}_output")
                return
            if kind == "relu":
                number, what = inactive_fraction(output.detach().numpy()), "inactive_fraction"
            else:
                number = saturated_fraction(inputs[0].detach().numpy(), *SATURATION[kind])
                what = "saturated_fraction"
            self.trial.add_reduction(name, what, self._now, TRAIN, number, collection=f"{kind}_output")

        return listen

    def begins(self, step: int) -> None:
        saved = self._style.tensors and step % self._style.interval == 0
        self._now = step if saved else -1
        self._before = {}
        if saved:
            for name, parameter in self._parameters.items():
                value = parameter.detach().numpy().copy()
                self._before[name] = value
                self._add(name, step, value, "biases" if name.endswith("bias") else "weights")

    def gradients(self, step: int) -> None:
        if self._now >= 0:
            for name, parameter in self._parameters.items():
                if parameter.grad is not None:
                    self._add(f"gradient/{name}", step, parameter.grad.numpy().copy(), "gradients")

    def ends(self, step: int, loss: float, inputs: Tensor, outputs: Tensor, targets: Tensor) -> None:
        for name, before in self._before.items():
            if not self._style.full:
                moved = np.linalg.norm(self._parameters[name].detach().numpy() - before)
                ratio = float(moved / (np.linalg.norm(before) + 1e-9))
                self.trial.add_reduction(name, "update_ratio", step, TRAIN, ratio)
        self._now = -1
        self.trial.add_step(step, TRAIN, global_step=self._global, time=1000.0 + 0.01 * self._global)
        self._global += 1
        if step % self._style.loss_interval == 0:
            self.trial.add(self._run.loss_name, step, TRAIN, np.float32(loss), collection="losses")
        if self._style.loop:
            self.trial.add_reduction(
                LEARNING_RATE, "mean", step, TRAIN, self._run.optimizer.param_groups[0]["lr"], collection=SCALARS
            )
            self._answers(step, TRAIN, inputs, outputs, targets)

    def _answers(self, step: int, mode: str, inputs: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """The numbers that describe a step of somebody's loop, and how many samples were right."""
        numbers = {
            STEP_SIZE: len(targets),
            INPUT_MEAN: inputs.mean(),
            INPUT_STD: inputs.std(),
            OUTPUT_MIN: outputs.min(),
            OUTPUT_MAX: outputs.max(),
            OUTPUT_MEAN: outputs.mean(),
        }
        for name, value in numbers.items():
            self.trial.add_reduction(name, "mean", step, mode, float(value), collection=SCALARS)
        if targets.dtype == torch.int64:
            right = float((outputs.argmax(1) == targets).float().mean())
            self.trial.add_reduction(ACCURACY, "mean", step, mode, right, collection="metrics")

    def evaluated(self, loss: float, inputs: Tensor, outputs: Tensor, targets: Tensor) -> None:
        self.trial.add_step(self._eval, EVAL, global_step=self._global, time=1000.0 + 0.01 * self._global)
        self.trial.add(self._run.loss_name, self._eval, EVAL, np.float32(loss), collection="losses")
        if self._style.loop:
            self._answers(self._eval, EVAL, inputs, outputs, targets)
        self._global += 1
        self._eval += 1

    def answered(self, labels: Tensor, outputs: Tensor) -> None:
        step = self._eval - 1
        self.trial.add(LABELS, step, EVAL, labels.numpy().astype(np.int32), collection=LABELS)
        self.trial.add(PREDICTIONS, step, EVAL, outputs.argmax(1).numpy().astype(np.int32), collection=PREDICTIONS)
        if self._style.loop:
            losses = nn.functional.cross_entropy(outputs, labels, reduction="none")
            self.trial.add(VALID_LOSSES, step, EVAL, losses.numpy(), collection=VALID_LOSSES)

    def _add(self, name: str, step: int, value: np.ndarray[Any, Any], collection: str) -> None:
        if self._style.full:
            self.trial.add(name, step, TRAIN, value, collection=collection)
            return
        for kind in REDUCTIONS:
            self.trial.add_reduction(name, kind, step, TRAIN, reduce(kind, value), collection=collection)
