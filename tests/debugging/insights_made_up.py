"""Made-up runs and profiles in which exactly one thing is wrong, for the tests of insights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from training_scripts.recording.profile.profile import (
    CPU,
    DATA,
    GPU,
    GPU_MEMORY,
    TRAIN_STEP,
    Metric,
    Profile,
    Spans,
    Timeline,
)
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.training.hyperparameters import Hyperparameters

LOSS = "CrossEntropyLoss_output_0"

# A run to which nothing is to be said: it falls, comes to rest, and training and validation agree.
HEALTHY = [0.9, 0.5, 0.36, 0.31, 0.29, 0.283, 0.281, 0.2802, 0.28, 0.2801]


def made_up_run(
    valid: Sequence[float] = HEALTHY,
    train: Sequence[float] | None = None,
    *,
    valid_accuracy: float = 0.9,
    train_accuracy: float = 0.93,
    size: int = 1000,
    batch: int = 64,
    train_size: int = 1280,
    classes: int = 10,
    class_counts: Sequence[int] | None = None,
    first_update: float = 0.12,
    step_noise: float = 0.05,
    accuracy_noise: float = 1.0,
    start: float | None = None,
    losses: np.ndarray | None = None,
    answers: tuple[np.ndarray, np.ndarray] | None = None,
    steps: np.ndarray | None = None,
    ours: bool = True,
    **settings: Any,
) -> MemoryTrial:
    """A recording.

    Args:
        valid: Validation loss by epoch.
        train: Training loss by epoch; a little below it by default.
        valid_accuracy: Of every epoch.
        train_accuracy: Likewise.
        size: Validation pictures.
        batch: Pictures a step.
        train_size: Training pictures.
        classes: How many.
        class_counts: Training pictures a class; equal ones by default.
        first_update: By how much the first step changed the layer.
        step_noise: Scatter of the training loss, relative to it.
        accuracy_noise: Scatter of the training accuracy in units of its sampling error.
        start: The first step's loss; that of guessing by default.
        losses: Share of the validation loss that each picture has, times their number [size].
        answers: Labels and predictions.
        steps: All training losses, instead of `train`.
        ours: Whether train_model recorded it.
        settings: Hyperparameters that are not the default.
    """
    generator = np.random.default_rng(0)
    epochs, per_epoch = len(valid), math.ceil(train_size / batch)
    train = [0.95 * loss for loss in valid] if train is None else train
    trial = MemoryTrial(name="made up", ended=True)
    hyperparameters = Hyperparameters(batch_size=batch, **{"epochs": epochs, **settings}).to_dict()
    if ours:
        trial.run |= {
            "recorder": "builtin",
            "hyperparameters": hyperparameters,
            "sizes": {"train": train_size, "valid": size},
            "steps_per_epoch": per_epoch,
            "batch_size": batch,
            "classes": [f"class {number}" for number in range(classes)],
            "class_counts": list(class_counts or [train_size // classes] * classes),
            "valid_names": [f"{number:04}.jpg" for number in range(size)],
        }
    shape = _exponential(size) if losses is None else losses
    labels, predictions = answers or _answers(size, classes, valid_accuracy)
    now = 0
    for epoch in range(epochs):
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            trial.add_step(step, TRAIN, global_step=now, time=1000.0 + now)
            before = train[epoch - 1] if epoch else (start or math.log(classes))
            level = before + (train[epoch] - before) * min(1.0, 2 * (step % per_epoch + 1) / per_epoch)
            loss = level * (1 + step_noise * generator.standard_normal()) if steps is None else steps[step]
            error = accuracy_noise * math.sqrt(train_accuracy * (1 - train_accuracy) / batch)
            right = float(np.clip(train_accuracy + error * generator.standard_normal(), 0, 1))
            trial.add_reduction(LOSS, "mean", step, TRAIN, float(loss), collection="losses")
            trial.add_reduction("accuracy", "mean", step, TRAIN, right, collection="metrics")
            if step % 10 == 0:
                ratio = first_update if step == 0 else first_update / 80
                trial.add_reduction("head.0.weight", "update_ratio", step, TRAIN, ratio, collection="weights")
            now += 1
        trial.add_step(epoch, EVAL, global_step=now, time=1000.0 + now)
        trial.add_reduction(LOSS, "mean", epoch, EVAL, valid[epoch], collection="losses")
        now += 1
        if ours:
            trial.add_reduction("accuracy", "mean", epoch, EVAL, float((labels == predictions).mean()))
            trial.add("labels", epoch, EVAL, labels, collection="labels")
            trial.add("predictions", epoch, EVAL, predictions, collection="predictions")
            trial.add("valid_losses", epoch, EVAL, valid[epoch] * shape, collection="valid_losses")
    return trial


def _exponential(size: int) -> np.ndarray:
    """Shares of a loss as they are usual: the worst 1% hold 6% of it."""
    shape = -np.log(1 - (np.arange(size) + 0.5) / size)
    shuffled: np.ndarray = np.random.default_rng(1).permutation(shape / shape.mean())
    return shuffled


def _answers(size: int, classes: int, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of every class alike, and mistakes that are spread evenly over pairs and classes."""
    labels = np.arange(size) % classes
    predictions = labels.copy()
    wrong = np.arange(round(size * (1 - accuracy)))
    predictions[wrong] = (labels[wrong] + 1 + (wrong // classes) % (classes - 1)) % classes
    return labels, predictions


def made_up_profile(
    *,
    cpu: float | Sequence[float] = 60.0,
    gpu: float | Sequence[float] | None = None,
    gpu_memory: float | Sequence[float] = 60.0,
    seconds: float = 100.0,
    start: float = 5.0,
    step: float = 0.1,
    wait: float = 0.01,
    gap: float = 0.001,
    slow: Sequence[int] = (),
    **facts: Any,
) -> Profile:
    """A profile of a job that trained for some seconds, sampled twice a second.

    Args:
        cpu: Utilization of all cores, percent, or of each sample.
        gpu: Likewise; None without a GPU.
        gpu_memory: Likewise.
        seconds: How long it trained.
        start: How long it took to the first step.
        step: Seconds a step.
        wait: How much of it waits for data.
        gap: Seconds between steps.
        slow: Steps that take fifty times as long.
        facts: What is known besides cores=4, batch_size=64, inputs=pictures, workers=4.
    """
    begin = 1_700_000_000.0
    times = begin + np.arange(0, start + seconds, 0.5)
    metrics = {CPU: _metric(times, cpu, "cpu", 4)}
    if gpu is not None:
        metrics |= {GPU: _metric(times, gpu, "gpu", 1), GPU_MEMORY: _metric(times, gpu_memory, "gpu", 1)}
    count = int(seconds / (step + gap))
    durations = np.full(count, step)
    durations[list(slow)] *= 50
    begins = begin + start + np.concatenate([[0.0], np.cumsum(durations + gap)[:-1]])
    numbers = np.arange(count)
    end = float(begins[-1] + durations[-1])
    return Profile(
        system={"algo-1": metrics},
        phases={
            TRAIN_STEP: Spans(numbers, begins, durations),
            DATA: Spans(numbers, begins + 1e-5, np.full(count, wait)),
        },
        timeline=Timeline(begin, begin + start, end, end + 1),
        facts={"cores": 4, "gpus": int(gpu is not None), "batch_size": 64, "inputs": "pictures", "workers": 4, **facts},
        nodes=("algo-1",),
    )


def _metric(times: np.ndarray, value: float | Sequence[float], kind: str, devices: int) -> Metric:
    values = np.broadcast_to(np.resize(np.asarray(value, dtype=np.float64), len(times)), len(times)).copy()
    return Metric(times, values, {f"{kind}{number}": values for number in range(devices)})


def on_two_nodes(first: Profile, second: Profile, *, apart: float = 0.0) -> Profile:
    """The profile of a job that ran on two nodes, of which the second began some seconds later."""
    phases = {}
    for name, one in first.phases.items():
        other = second.phases[name]
        begins = np.concatenate([one.begins, other.begins + apart])
        order = np.argsort(begins, kind="stable")
        columns = [np.concatenate([one.steps, other.steps]), begins, np.concatenate([one.seconds, other.seconds])]
        nodes = np.repeat([0, 1], [len(one), len(other)])
        phases[name] = Spans(*(column[order] for column in columns), nodes[order])
    system = {"algo-1": first.system["algo-1"], "algo-2": second.system["algo-1"]}
    return replace(first, system=system, phases=phases, nodes=("algo-1", "algo-2"))
