"""Recordings as no job of ours makes them: whatever may lie in a folder, drawn by Hypothesis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as some

from training_scripts.recording.profile.profile import (
    CPU,
    DISK,
    GPU,
    GPU_MEMORY,
    IO_WAIT,
    NETWORK,
    TRAIN_STEP,
    Metric,
    Profile,
    Spans,
    Timeline,
)
from training_scripts.recording.profile.summary import usage_statistics
from training_scripts.recording.trial.trial import MODES, MemoryTrial

NUMBERS = some.one_of(
    some.floats(),
    some.sampled_from([0.0, -1.0, 1e308, 1e-320, math.nan, math.inf, 0.5, 1.0, 2.3]),
    some.integers(-5, 5),
)
JUNK: some.SearchStrategy[Any] = some.recursive(
    some.one_of(
        some.none(), some.booleans(), some.integers(-10, 10), some.just(2**70), some.floats(), some.text(max_size=6)
    ),
    lambda inner: some.one_of(
        some.lists(inner, max_size=3), some.dictionaries(some.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KNOWN = ("labels", "predictions", "valid_losses", "class_counts", "inputs")
LAYERS = ("head.0.weight", "gradient/head.0.weight", "relu_output_0")
NAMES = some.sampled_from(
    ["CrossEntropyLoss_output_0", "accuracy", *LAYERS, *KNOWN, "</script><x>", "$\\x$", "\x1b[31m", "\ud800"]
)
USUAL = ("losses", "metrics", "weights", "biases", "gradients", "relu_output", "sigmoid_output", "tanh_input")
COLLECTIONS = some.sampled_from([None, *USUAL, *KNOWN])
RUN_KEYS = ["hyperparameters", "sizes", "steps_per_epoch", "batch_size", "epochs", "classes", "class_counts"]
RUN_KEYS += ["valid_names", "inputs", "started", "learning_rate", "job"]
FACTS = ["cores", "gpus", "batch_size", "workers", "inputs", "instance_type", "steps", "steps_per_epoch", "device"]


@some.composite
def trials(draw: some.DrawFn) -> MemoryTrial:
    """A recording: perhaps of epochs, as far as they go, with tensors of any name, kind and shape in any collection."""
    made = MemoryTrial(ended=draw(some.booleans()))
    made.run |= draw(_runs())
    if draw(some.booleans()):
        _add_epochs(draw, made)
    for _ in range(draw(some.integers(0, 6))):
        name, mode, collection = draw(NAMES), draw(some.sampled_from(MODES)), draw(COLLECTIONS)
        kind = draw(some.integers(0, 2))
        if kind == 2:
            reduction = draw(some.sampled_from(["mean", "abs_mean", "std", "inactive_fraction", "min", "max"]))
            for step in range(draw(some.integers(1, 3))):
                made.add_reduction(name, reduction, step, mode, float(draw(NUMBERS)), collection=collection)
        else:
            value = draw(some.lists(NUMBERS, max_size=4)) if kind else draw(NUMBERS)
            made.add(name, draw(some.integers(0, 5)), mode, np.array(value, dtype=float), collection=collection)
    return made


@some.composite
def _runs(draw: some.DrawFn) -> dict[str, Any]:
    run: dict[str, Any] = {}
    if draw(some.booleans()):
        run = {
            "recorder": "builtin",
            "hyperparameters": {"lr": "0.1", "batch-size": "4", "epochs": "3"},
            "sizes": {"train": draw(some.integers(0, 20)), "valid": draw(some.integers(0, 9))},
            "steps_per_epoch": draw(some.integers(0, 5)),
            "batch_size": draw(some.integers(0, 6)),
            "epochs": 3,
            "classes": ["a", "b", "c"],
            "class_counts": draw(some.lists(some.integers(-1, 9), min_size=2, max_size=3)),
            "valid_names": draw(some.lists(some.text(max_size=3), max_size=6)),
        }
    return run | draw(some.dictionaries(some.sampled_from(RUN_KEYS), JUNK, max_size=2))


def _add_epochs(draw: some.DrawFn, made: MemoryTrial) -> None:
    count, steps, size = 0, draw(some.integers(1, 6)), draw(some.integers(1, 9))
    loss = draw(some.sampled_from(["CrossEntropyLoss_output_0", "loss"]))
    indices = some.lists(some.integers(-1, 4), min_size=size, max_size=size)
    for epoch in range(draw(some.integers(0, 8))):
        for step in range(epoch * steps, (epoch + 1) * steps):
            made.add_step(step, "TRAIN", global_step=count, time=draw(some.sampled_from([count, math.nan])))
            count += 1
            made.add(loss, step, "TRAIN", draw(NUMBERS), collection="losses")
            made.add("accuracy", step, "TRAIN", draw(NUMBERS), collection="metrics")
            made.add_reduction("w", "update_ratio", step, "TRAIN", draw(NUMBERS), collection="weights")
        if draw(some.booleans()):
            made.add_step(epoch, "EVAL", global_step=count)
            count += 1
            made.add(loss, epoch, "EVAL", draw(NUMBERS), collection="losses")
            made.add("accuracy", epoch, "EVAL", draw(NUMBERS), collection="metrics")
            for name in ("labels", "predictions"):
                made.add(name, epoch, "EVAL", np.array(draw(indices)), collection=name)


@some.composite
def profiles(draw: some.DrawFn) -> Profile:
    """A profile: of any metrics and facts, with or without steps, in a time that may run backwards or stand still."""
    count = draw(some.integers(0, 30))
    times = 1000 + 0.5 * np.arange(count)

    def metric() -> Metric:
        values = np.array(draw(some.lists(NUMBERS, min_size=count, max_size=count)), dtype=float)
        return Metric(times, values, {f"d{index}": values for index in range(draw(some.integers(0, 3)))})

    kinds = some.sets(some.sampled_from([CPU, GPU, GPU_MEMORY, IO_WAIT, NETWORK, DISK]))
    system = {"algo-1": {name: metric() for name in sorted(draw(kinds))}} if draw(some.booleans()) else {}
    phases = {}
    if draw(some.booleans()):
        steps = draw(some.integers(0, 30))
        lasted = np.array(draw(some.lists(some.floats(0, 5), min_size=steps, max_size=steps)), dtype=float)
        phases = {TRAIN_STEP: Spans(np.arange(steps), 1000.0 + np.arange(steps), lasted)}
    moment = some.one_of(some.none(), some.floats(900, 1100), some.just(1000.0), some.just(math.nan))
    with np.errstate(all="ignore"):
        usage = usage_statistics(system)
    return Profile(
        source=draw(some.sampled_from(["profiler", "report"])),
        system=system,
        phases=phases,
        usage=usage,
        timeline=Timeline(*(draw(moment) for _ in range(4))),
        facts=draw(some.dictionaries(some.sampled_from(FACTS), JUNK)),
    )
