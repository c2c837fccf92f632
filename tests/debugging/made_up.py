"""Recordings that no run made: as rich, as long or as odd as a test wants them."""

from __future__ import annotations

import math

import numpy as np

from training_scripts.recording.profile.profile import (
    CPU,
    CPU_MEMORY,
    DISK,
    GPU,
    GPU_MEMORY,
    IO_WAIT,
    NETWORK,
    Metric,
    Operator,
    Profile,
    Spans,
    Statistics,
    Timeline,
)
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial

LOSS = "CrossEntropyLoss_output_0"
BEGIN = 1_750_000_000.0


def trial(
    *, epochs: int = 12, steps: int = 25, layers: int = 6, turns: int = 5, seed: int = 3, begin: float = BEGIN
) -> MemoryTrial:
    """A run that overfits: validation turns after some epochs, and its last layer's gradients vanish.

    Args:
        epochs: How many.
        steps: Training steps an epoch; one evaluation batch an epoch.
        layers: Layers, alternately with weights in a collection of their own.
        turns: The epoch after which the validation loss rises.
        seed: Of the noise.
        begin: When the job began, seconds since 1970.
    """
    noise = np.random.default_rng(seed)
    made = MemoryTrial(name="made up", ended=True)
    made.run.update(
        hyperparameters={"lr": 0.01, "batch-size": 32, "optimizer": "adamw"},
        steps_per_epoch=steps,
        batch_size=32,
        epochs=epochs,
        sizes={"train": 32 * steps, "valid": 160},
        classes=["001.Affenpinscher", "002.Afghan_hound", "003.Airedale_terrier"],
        inputs="features",
    )
    count = 0
    for epoch in range(epochs):
        for step in range(epoch * steps, (epoch + 1) * steps):
            made.add_step(step, TRAIN, global_step=count, time=begin + 40 + 0.1 * count)
            loss = 2.2 * math.exp(-step / (2.2 * steps)) + 0.03 + 0.09 * float(noise.standard_normal())
            made.add(LOSS, step, TRAIN, max(loss, 0.004), collection="losses")
            right = min(1.0, max(0.0, 1 - 0.38 * loss + 0.03 * float(noise.standard_normal())))
            made.add("accuracy", step, TRAIN, right, collection="metrics")
            if step % max(1, steps // 5) == 0:
                _add_layers(made, step, layers, step / (epochs * steps), noise)
            count += 1
        made.add_step(epoch, EVAL, global_step=count, time=begin + 40 + 0.1 * count)
        count += 1
        loss = 2.0 * math.exp(-epoch / 2) + 0.42 + 0.035 * max(0, epoch - turns) + 0.02 * float(noise.standard_normal())
        made.add(LOSS, epoch, EVAL, loss, collection="losses")
        made.add("accuracy", epoch, EVAL, min(0.97, 1.02 - 0.35 * loss), collection="metrics")
    return made


def _add_layers(made: MemoryTrial, step: int, layers: int, share: float, noise: np.random.Generator) -> None:
    for layer in range(layers):
        name = f"Sequential_{layer}.weight"
        size = 10 ** -(1 + 0.4 * layer + (9 * share if layer == layers - 1 else share))
        gradient = f"gradient/{name}"
        wobble = 1 + 0.2 * float(noise.standard_normal())
        made.add_reduction(gradient, "abs_mean", step, TRAIN, size * abs(wobble), collection="gradients")
        made.add_reduction(gradient, "std", step, TRAIN, 1.3 * size * abs(wobble), collection="gradients")
        made.add_reduction(name, "l2", step, TRAIN, 4 + layer + 2 * share + 0.1 * wobble, collection="weights")
        made.add_reduction(name, "std", step, TRAIN, 0.02 * (1 + share), collection="weights")
        made.add_reduction(name, "update_ratio", step, TRAIN, 3e-3 * abs(wobble) * (1.2 - share), collection="weights")
        relu = f"ReLU_{layer}_relu_output_0"
        inactive = min(1.0, 0.1 + 0.1 * layer + 0.3 * share)
        made.add_reduction(relu, "inactive_fraction", step, TRAIN, inactive, collection="relu_output")


def profile(*, seconds: int = 300, cores: int = 8, steps: int = 300, seed: int = 4) -> Profile:
    """A job on a machine with one GPU: slow start, GPU waiting for data, a few steps that took far too long."""
    noise = np.random.default_rng(seed)
    times = BEGIN + np.arange(0, seconds, 0.5)
    n = len(times)
    busy = (times > BEGIN + 40) & (times < BEGIN + seconds - 12)
    cpus = np.clip(np.where(busy, 70, 25) + 22 * noise.standard_normal((cores, n)), 0, 100)
    gpu = np.clip(np.where(busy, 45 + 35 * np.sin(np.arange(n) / 9), 0) + 6 * noise.standard_normal(n), 0, 100)
    rates = np.where(busy, 2e6, 4e7) * np.abs(1 + 0.4 * noise.standard_normal(n))
    values = {
        CPU: cpus.mean(axis=0),
        CPU_MEMORY: np.linspace(12, 34, n),
        GPU: gpu,
        GPU_MEMORY: np.where(busy, 61.0, 2.0),
        IO_WAIT: np.clip(np.where(busy, 6, 25) + 5 * noise.standard_normal(n), 0, 100),
        NETWORK: rates,
        DISK: rates / 3,
    }
    devices = {f"cpu{core}": cpus[core] for core in range(cores)}
    system = {name: Metric(times, each, devices if name == CPU else {}) for name, each in values.items()}
    begins = BEGIN + 40 + np.arange(steps) * (seconds - 52) / steps
    long = 0.055 + 0.006 * np.abs(noise.standard_normal(steps))
    long[[17, steps // 2, steps - 20]] = (0.6, 0.45, 0.9)
    counts, edges = np.histogram(long, bins=40)
    phases = {
        "Step:ModeKeys.TRAIN": Spans(np.arange(steps), begins, long),
        "DataLoaderIter": Spans(np.arange(steps), begins, 0.5 * long),
        "Forward": Spans(np.arange(steps), begins + 0.5 * long, 0.2 * long),
        "Backward(post-forward)": Spans(np.arange(steps), begins + 0.7 * long, 0.25 * long),
    }
    step = _statistics("Step:ModeKeys.TRAIN", long)
    return Profile(
        system={"algo-1": system},
        phases=phases,
        usage=tuple(_statistics(name, each) for name, each in values.items()),
        step_statistics=(
            Statistics(
                **{**vars(step), "histogram": tuple(map(float, counts)), "edges": tuple(map(float, edges))},
            ),
        ),
        operators=(
            Operator("aten::mkldnn_convolution", 1200, 8.9, 9.6),
            Operator("aten::addmm", 640, 3.2, 1.2),
            Operator("aten::copy_", 900, 2.5, 0.9),
            Operator("aten::batch_norm<float, 3>", 300, 0.8, 0.4),
        ),
        timeline=Timeline(BEGIN, BEGIN + 40, BEGIN + seconds - 12, BEGIN + seconds),
        facts={"cores": cores, "gpus": 1, "batch_size": 32},
    )


def _statistics(name: str, values: np.ndarray) -> Statistics:
    p99, p95, p50 = (float(np.percentile(values, share)) for share in (99, 95, 50))
    return Statistics(
        name, "algo-1", float(values.max()), p99, p95, p50, float(values.min()), float(values.mean()), len(values)
    )
