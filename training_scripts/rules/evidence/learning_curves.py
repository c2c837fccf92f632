"""Learning curves as they are plotted: loss and accuracy per step, smoothed, and one validation point per epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import EVAL, TRAIN, RecordingError, Series, Trial
from training_scripts.rules.evidence import evidence
from training_scripts.rules.evidence.curves import window_sums
from training_scripts.rules.evidence.epochs import Epoch, epoch_losses, epochs, loss_series, training_loss

Floats = NDArray[np.float64]

# The window of a smoothed value, as a share of the run: wide enough to hide batches, too narrow to hide trends.
SMOOTHING_SHARE = 0.03
SMOOTHING_MIN_STEPS = 4


@dataclass(frozen=True)
class Curve:
    """One measure over a run.

    Attributes:
        name: loss or accuracy.
        train: Its values at each recorded training step.
        smooth: `train`, smoothed, float64 [n].
        numbers: Numbers of the epochs that have a validation value, int64 [e].
        positions: The last training step of each, float64 [e].
        valid: Mean validation value of each, float64 [e].
        errors: Standard error of each, float64 [e]; NaN if unknown.
        best: Index of the best value in `valid`; None if there is none.
    """

    name: str
    train: Series
    smooth: Floats
    numbers: NDArray[np.int64]
    positions: Floats
    valid: Floats
    errors: Floats
    best: int | None

    @property
    def begin(self) -> tuple[int, float] | None:
        """The first step with a finite value, and that value, not smoothed; None if there is none.

        The smoothed curve begins with a mean over later steps: the longer the run, the more of them.
        """
        finite = np.flatnonzero(np.isfinite(self.train.values))
        return (int(self.train.steps[finite[0]]), float(self.train.values[finite[0]])) if len(finite) else None


def curves(trial: Trial) -> dict[str, Curve]:
    """The curves of loss and accuracy by name, if they were recorded."""
    run = evidence.of(trial)
    if "curves" not in run.kept:
        found = {"loss": _loss(run), "accuracy": _accuracy(run)}
        run.kept["curves"] = {name: curve for name, curve in found.items() if curve is not None}
    kept: dict[str, Curve] = run.kept["curves"]
    return kept


def smoothed(values: Floats) -> Floats:
    """Weighted means over neighbors on both sides; nearer neighbors weigh more. NaN where a value is not finite.

    Values that are not finite do not affect their neighbors. Means over earlier values alone would lag behind a loss
    that falls.
    """
    half = max(SMOOTHING_MIN_STEPS, round(SMOOTHING_SHARE * len(values))) // 2
    finite = np.isfinite(values)
    sums, weights = np.where(finite, values, 0.0), finite.astype(np.float64)
    with np.errstate(all="ignore"):  # values near the largest float overflow
        for _ in range(2):  # applying a uniform window twice gives a triangular one
            sums, weights = _sums_around(sums, half), _sums_around(weights, half)
        return np.where(finite, sums / weights, np.nan)


def _sums_around(values: Floats, half: int) -> Floats:
    """Sum of each value and up to `half` neighbors on each side."""
    found: Floats = window_sums(np.pad(values, (0, half)), 2 * half + 1)[half:]
    return found


def train_position(trial: Trial, mode: str, steps: NDArray[np.int64]) -> Floats:
    """Positions of a mode's steps on the axis of training steps, float64 [n]; NaN if the order is unknown."""
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
        return _curve("loss", train, _Epochs(table.epochs[known], ends, table.valid[known], table.valid_error[known]))
    valid = loss_series(trial, EVAL)
    return None if valid is None else _curve("loss", _NOTHING, _by_epoch(trial, valid))


def _accuracy(trial: Trial) -> Curve | None:
    names = [name for name in trial.collections.get("metrics", ()) if trial.has(name)] or trial.tensor_names()
    name = next((name for name in sorted(names) if "accuracy" in name.lower()), None)
    if name is None:
        return None
    train, valid = _series(trial, name, TRAIN), _series(trial, name, EVAL)
    if not len(train) and not len(valid):
        return None
    return _curve("accuracy", train, _by_epoch(trial, valid))


_NOTHING = Series(np.zeros(0, dtype=np.int64), np.zeros(0))


class _Epochs(NamedTuple):
    numbers: NDArray[np.int64]
    positions: Floats
    valid: Floats
    errors: Floats


def _curve(name: str, train: Series, epochs: _Epochs) -> Curve:
    finite = np.flatnonzero(np.isfinite(epochs.valid))
    best_of = np.argmin if name == "loss" else np.argmax
    best = int(finite[best_of(epochs.valid[finite])]) if len(finite) else None
    return Curve(name, train, smoothed(train.values), *epochs, best)


def _by_epoch(trial: Trial, valid: Series) -> _Epochs:
    """The mean value of each epoch."""
    rows = []
    for epoch in epochs(trial):
        values = valid.values[np.isin(valid.steps, epoch.eval_steps)]
        if len(values):
            rows.append((epoch.number, _end(epoch), *_mean(trial.run, values)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return _Epochs(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3])


def _end(epoch: Epoch) -> float:
    return float(epoch.train_steps[-1]) if len(epoch.train_steps) else float("nan")


def _mean(run: Mapping[str, object], values: Floats) -> tuple[float, float]:
    """Mean and standard error over an evaluation's batches. The last is weighted by its size if sizes are known."""
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
