"""Loss and accuracy of a recorded run as they are drawn: step by step, smoothed, and one validation point an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial import EVAL, TRAIN, RecordingError, Series, Trial
from training_scripts.rules.epochs import Epoch, epoch_losses, epochs, loss_series, training_loss

Floats = NDArray[np.float64]

# A smoothed curve forgets at this share of its length: enough to hide batches, too little to hide trends.
SMOOTHING_SHARE = 0.04
SMOOTHING_MIN_STEPS = 4


@dataclass(frozen=True)
class Curve:
    """One measure over a run.

    Attributes:
        name: loss or accuracy.
        train: Its values at each recorded training step.
        smooth: `train`, smoothed, float64 [n].
        numbers: Numbers of the epochs whose validation is known, int64 [e].
        positions: The last training step of each, float64 [e].
        valid: Mean validation value of each, float64 [e].
        errors: Standard error of each, float64 [e]; NaN where it is not known.
        best: Index of the best of `valid`; None where there is none.
    """

    name: str
    train: Series
    smooth: Floats
    numbers: NDArray[np.int64]
    positions: Floats
    valid: Floats
    errors: Floats
    best: int | None


def curves(trial: Trial) -> dict[str, Curve]:
    """Loss and accuracy by name, as far as they were recorded."""
    found = {"loss": _loss(trial), "accuracy": _accuracy(trial)}
    return {name: curve for name, curve in found.items() if curve is not None}


def smoothed(values: Floats) -> Floats:
    """An exponential moving average without bias at the beginning; what is not finite neither counts nor spreads."""
    window = max(SMOOTHING_MIN_STEPS, SMOOTHING_SHARE * len(values))
    keep = 1 - 1 / window
    result = np.full(len(values), np.nan)
    total = weight = 0.0
    for index, value in enumerate(values.tolist()):
        if np.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1.0
            result[index] = total / weight
    return result


def train_position(trial: Trial, mode: str, steps: NDArray[np.int64]) -> Floats:
    """Where steps of a mode lie on the axis of training steps, float64 [n]; NaN where the order is not known."""
    if mode in (TRAIN, ""):
        return steps.astype(np.float64)
    table, train = trial.steps(mode), trial.steps(TRAIN)
    if not len(table.steps) or not len(train.steps):
        return np.full(len(steps), np.nan)
    indices = np.minimum(np.searchsorted(table.steps, steps), len(table.steps) - 1)
    before = np.searchsorted(train.global_steps, table.global_steps[indices]) - 1
    positions: Floats = train.steps[np.maximum(before, 0)].astype(np.float64)
    return positions


def _loss(trial: Trial) -> Curve | None:
    train = training_loss(trial)
    if train is not None:
        table = epoch_losses(trial)
        known = np.isfinite(table.valid) | (table.counts > 0)
        ends = table.train_ends[known].astype(np.float64)
        return _curve("loss", train, table.epochs[known], ends, table.valid[known], table.valid_error[known])
    valid = loss_series(trial, EVAL)
    return None if valid is None else _curve("loss", _NOTHING, *_by_epoch(trial, valid))


def _accuracy(trial: Trial) -> Curve | None:
    names = [name for name in trial.collections.get("metrics", ()) if trial.has(name)] or trial.tensor_names()
    name = next((name for name in sorted(names) if "accuracy" in name.lower()), None)
    if name is None:
        return None
    train, valid = _series(trial, name, TRAIN), _series(trial, name, EVAL)
    if not len(train) and not len(valid):
        return None
    return _curve("accuracy", train, *_by_epoch(trial, valid))


_NOTHING = Series(np.zeros(0, dtype=np.int64), np.zeros(0))


def _curve(
    name: str, train: Series, numbers: NDArray[np.int64], positions: Floats, valid: Floats, errors: Floats
) -> Curve:
    finite = np.flatnonzero(np.isfinite(valid))
    best_of = np.argmin if name == "loss" else np.argmax
    best = int(finite[best_of(valid[finite])]) if len(finite) else None
    return Curve(name, train, smoothed(train.values), numbers, positions, valid, errors, best)


def _by_epoch(trial: Trial, valid: Series) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Epoch numbers, last training steps, mean values and standard errors of a measure between 0 and 1."""
    rows = []
    for epoch in epochs(trial):
        judged = valid.values[np.isin(valid.steps, epoch.eval_steps)]
        if len(judged):
            rows.append((epoch.number, _end(epoch), *_mean(trial.run, judged)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3]


def _end(epoch: Epoch) -> float:
    return float(epoch.train_steps[-1]) if len(epoch.train_steps) else float("nan")


def _mean(run: Mapping[str, object], values: Floats) -> tuple[float, float]:
    """Mean and standard error of an evaluation's batches, the last counting by its size where sizes are known."""
    sizes, batch = run.get("sizes"), run.get("batch_size")
    size = sizes.get("valid") if isinstance(sizes, Mapping) else None
    if not isinstance(size, int) or not isinstance(batch, int) or batch < 1 or len(values) != -(-size // batch):
        return float(values.mean()), float("nan")
    weights = np.full(len(values), float(batch))
    weights[-1] = size - batch * (len(values) - 1)
    mean = float(np.average(values, weights=weights))
    error = float(np.sqrt(mean * (1 - mean) / size)) if 0 <= mean <= 1 else float("nan")
    return mean, error


def _series(trial: Trial, name: str, mode: str) -> Series:
    try:
        return trial.tensor(name).series(mode)
    except RecordingError:
        return _NOTHING
