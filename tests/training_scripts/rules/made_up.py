"""Recordings made up for the rules' tests: a few numbers each, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial

LOSS = "CrossEntropyLoss_output_0"
Numbers = Sequence[float] | np.ndarray


def trial(
    train: Numbers = (),
    valid: Numbers = (),
    *,
    steps_per_epoch: int = 10,
    batches: int = 1,
    name: str = LOSS,
    begin: float = 0.0,
    **run: Any,
) -> MemoryTrial:
    """A trial with a training loss a step and, after each epoch, `batches` validation losses; a second a step."""
    made = MemoryTrial(name="made up", ended=True, run=run)
    position, evaluated = 0, 0
    for step, value in enumerate(train):
        made.add_step(step, TRAIN, global_step=position, time=begin + position)
        made.add(name, step, TRAIN, np.float32(value), collection="losses")
        position += 1
        if (step + 1) % steps_per_epoch == 0:
            for value_of_batch in valid[evaluated : evaluated + batches]:
                made.add_step(evaluated, EVAL, global_step=position, time=begin + position)
                made.add(name, evaluated, EVAL, np.float32(value_of_batch), collection="losses")
                position += 1
                evaluated += 1
    return made


def full(
    made: MemoryTrial, name: str, values: Mapping[int, Any], *, collection: str | None = None, mode: str = TRAIN
) -> MemoryTrial:
    """The same trial, with all of a tensor at some steps."""
    for step, value in values.items():
        made.add(name, step, mode, np.asarray(value), collection=collection)
    return made


def reduced(
    made: MemoryTrial, name: str, numbers: Mapping[str, Numbers], *, interval: int = 10, collection: str | None = None
) -> MemoryTrial:
    """The same trial, with reductions of a tensor at every interval-th step."""
    for kind, values in numbers.items():
        for place, value in enumerate(values):
            made.add_reduction(name, kind, place * interval, TRAIN, float(value), collection=collection)
    return made


def answers(
    made: MemoryTrial, labels: Numbers, predictions: Numbers, *, evaluations: int = 3, mode: str = EVAL
) -> MemoryTrial:
    """The same trial, with the same labels and predictions at the last steps of a mode."""
    known = made.steps(mode).steps.tolist() or list(range(evaluations))
    for step in known[-evaluations:]:
        full(made, "labels", {step: np.array(labels, dtype=np.int32)}, collection="labels", mode=mode)
        full(made, "predictions", {step: np.array(predictions, dtype=np.int32)}, collection="predictions", mode=mode)
    return made


def falling(
    steps: int = 60, *, begin: float = 1.6, end: float = 0.02, noise: float = 0.03, seed: int = 0
) -> np.ndarray:
    """A loss that falls as that of a healthy run does."""
    generator = np.random.default_rng(seed)
    curve = end + (begin - end) * np.exp(-np.arange(steps) / (steps / 8))
    return curve * (1 + noise * generator.standard_normal(steps))


def level(steps: int = 60, *, value: float = 1.61, noise: float = 0.005, seed: int = 0) -> np.ndarray:
    """A loss that stays where it is."""
    return value * (1 + noise * np.random.default_rng(seed).standard_normal(steps))
