"""Training loops as a stranger writes them, recorded with `dogbreed_sdk.Recorder`: each can have one fault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dogbreed_sdk import Recorder
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.layout import (
    GRADIENT_KEPT,
    INPUT_MEAN,
    INPUT_STD,
    OUTPUT_MAX,
    OUTPUT_MEAN,
    OUTPUT_MIN,
    TARGET_MEAN,
)
from training_scripts.recording.trial.trial import MemoryTrial, Trial

Split = tuple[Tensor, Tensor]
SIGNS = frozenset({INPUT_MEAN, INPUT_STD, TARGET_MEAN, OUTPUT_MIN, OUTPUT_MAX, OUTPUT_MEAN, GRADIENT_KEPT})
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@dataclass
class Loop:
    """A training loop.

    Attributes:
        network: What is trained.
        optimizer: Made for it.
        train: Inputs and targets.
        valid: The same.
        loss: Takes outputs and targets.
        epochs: Passes over train.
        batch: Batch size, also of the evaluation.
        seed: Of the order of the batches.
        shuffle: Whether batches are drawn at random.
        clears: Whether gradients are cleared before each step.
        steps: Whether the optimizer steps.
        evaluates: Whether the network is put in evaluation mode.
        clip: The norm that gradients are clipped to; 0 for none.
        schedule: The learning rate's factor by the share of the run that is done.
        prepare: Applied to each training batch with its step: to make something go wrong in mid-run.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    train: Split
    valid: Split
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
    epochs: int = 8
    batch: int = 32
    seed: int = 0
    shuffle: bool = True
    clears: bool = True
    steps: bool = True
    evaluates: bool = True
    clip: float = 0.0
    schedule: Callable[[float], float] | None = None
    prepare: Callable[[int, Tensor], Tensor] = field(default=lambda _, inputs: inputs)


def record(loop: Loop, *, signs: bool = True) -> Trial:
    """Trains, and gives the recording.

    Args:
        loop: What to train.
        signs: Whether to keep the numbers per step that show causes; other recorders do not write them.
    """
    folder = tempfile.TemporaryDirectory(prefix="battery-")
    _FOLDERS.append(folder)  # removed at exit: the trial is read later
    run = Recorder(
        folder.name, model=loop.network, optimizer=loop.optimizer, epochs=loop.epochs, profile=False, rules=False
    )
    order = torch.Generator().manual_seed(loop.seed)
    rates = [group["lr"] for group in loop.optimizer.param_groups]
    inputs, targets = loop.train
    total, step = -(-len(targets) // loop.batch) * loop.epochs, 0
    with run:
        for _ in range(loop.epochs):
            loop.network.train()
            for rows in _batches(loop, order):
                for group, rate in zip(loop.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * (loop.schedule(step / total) if loop.schedule else 1.0)
                outputs = loop.network(loop.prepare(step, inputs[rows]))
                loss = loop.loss(outputs, targets[rows])
                if loop.clears:
                    loop.optimizer.zero_grad()
                if loss.requires_grad:
                    loss.backward()
                if loop.clip:
                    nn.utils.clip_grad_norm_(loop.network.parameters(), loop.clip)
                if loop.steps:
                    loop.optimizer.step()
                run.step(loss, outputs=outputs, labels=targets[rows])
                step += 1
            _evaluate(loop, run)
    trial = FileTrial(Path(folder.name) / "debug-output")
    return trial if signs else _without_signs(trial)


def _batches(loop: Loop, order: torch.Generator) -> Iterator[Tensor]:
    count = len(loop.train[1])
    rows = torch.randperm(count, generator=order) if loop.shuffle else torch.arange(count)
    yield from rows.split(loop.batch)


@torch.no_grad()
def _evaluate(loop: Loop, run: Recorder) -> None:
    if loop.evaluates:
        loop.network.eval()
    for inputs, targets in zip(*(part.split(loop.batch) for part in loop.valid), strict=True):
        outputs = loop.network(inputs)
        run.evaluate(loop.loss(outputs, targets), outputs=outputs, labels=targets)


def _without_signs(trial: Trial) -> MemoryTrial:
    """A copy as another recorder would have made it."""
    made = MemoryTrial(name=trial.name, ended=trial.ended, run=trial.run)
    for mode in ("TRAIN", "EVAL"):
        table = trial.steps(mode)
        for step, place in zip(table.steps.tolist(), table.global_steps.tolist(), strict=True):
            made.add_step(step, mode, global_step=place)
    of = {name: collection for collection, names in trial.collections.items() for name in names}
    for name in sorted(trial.recorded_names() - SIGNS):
        for mode in trial.modes(name):
            for step in trial.steps_in_full(name, mode).tolist():
                made.add(name, step, mode, trial.value(name, step, mode), collection=of.get(name))
            for kind, series in trial.recorded_reductions(name, mode).items():
                if not len(trial.steps_in_full(name, mode)):
                    for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
                        made.add_reduction(name, kind, step, mode, value, collection=of.get(name))
    return made
