"""Learning curves as they are plotted: loss and accuracy per step, smoothed, and one validation point per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.wilson import Z95, wilson
from training_scripts.recording.trial.trial import EVAL, TRAIN, RecordingError, Series, Trial
from training_scripts.rules.evidence import evidence, step_sizes, task
from training_scripts.rules.evidence.curves import window_sums
from training_scripts.rules.evidence.epochs import Epoch, epoch_losses, epochs, loss_series, training_loss
from training_scripts.rules.evidence.evidence import Evidence

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
        limits: Both ends of the 95% interval of each, float64 [e, 2]; NaN if unknown. Of an accuracy it is not
            symmetric, and ends at 0 and 1.
        best: Index of the best value in `valid`; None if there is none.
    """

    name: str
    train: Series
    smooth: Floats
    numbers: NDArray[np.int64]
    positions: Floats
    valid: Floats
    errors: Floats
    limits: Floats
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
        values, errors = table.valid[known], table.valid_error[known]
        limits = values[:, None] + Z95 * np.outer(errors, (-1, 1))
        return _curve("loss", train, _Epochs(table.epochs[known], ends, values, errors, limits))
    valid = loss_series(trial, EVAL)
    return None if valid is None else _curve("loss", _NOTHING, _by_epoch(trial, valid, are_shares=False))


def _accuracy(trial: Trial) -> Curve | None:
    if not task.has_classes(evidence.of(trial)):
        return None
    names = [name for name in trial.collections.get("metrics", ()) if trial.has(name)] or trial.tensor_names()
    name = next((name for name in sorted(names) if "accuracy" in name.lower()), None)
    if name is None:
        return None
    train, valid = _series(trial, name, TRAIN), _series(trial, name, EVAL)
    if not len(train) and not len(valid):
        return None
    return _curve("accuracy", train, _by_epoch(trial, valid, are_shares=True))


_NOTHING = Series(np.zeros(0, dtype=np.int64), np.zeros(0))


class _Epochs(NamedTuple):
    numbers: NDArray[np.int64]
    positions: Floats
    valid: Floats
    errors: Floats
    limits: Floats


def _curve(name: str, train: Series, epochs: _Epochs) -> Curve:
    finite = np.flatnonzero(np.isfinite(epochs.valid))
    best_of = np.argmin if name == "loss" else np.argmax
    best = int(finite[best_of(epochs.valid[finite])]) if len(finite) else None
    return Curve(name, train, smoothed(train.values), *epochs, best)


def _by_epoch(trial: Trial, valid: Series, *, are_shares: bool) -> _Epochs:
    """The mean value of each epoch; its error is known of shares of the samples."""
    run = evidence.of(trial)
    rows = []
    groups = [(epoch, np.isin(valid.steps, epoch.eval_steps)) for epoch in epochs(run)]
    groups = [(epoch, chosen) for epoch, chosen in groups if chosen.any()]
    sizes = _weights(run, valid, [chosen for _, chosen in groups])
    for epoch, chosen in groups:
        weights = sizes[chosen]
        mean = float(np.average(valid.values[chosen], weights=weights))
        error, low, high = np.nan, np.nan, np.nan
        if are_shares and 0 <= mean <= 1 and step_sizes.batch_sizes(run, EVAL) is not None:
            total = float(weights.sum())
            error = float(np.sqrt(mean * (1 - mean) / total))
            low, high = wilson(mean * total, round(total))
        rows.append((epoch.number, _end(epoch), mean, error, low, high))
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return _Epochs(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3], table[:, 4:])


def _weights(run: Evidence, valid: Series, groups: Sequence[NDArray[np.bool_]]) -> Floats:
    """The weight of each value in the mean of its evaluation: the batch's size, if it is known."""
    there = np.isin(valid.steps, run.steps(EVAL).steps)
    if there.all() and (known := step_sizes.weights_of(run, EVAL, valid.steps)) is not None:
        return known
    weights = np.ones(len(valid.steps))
    places = [np.flatnonzero(chosen) for chosen in groups]
    if not places:
        return weights
    begins, counts = np.array([one[0] for one in places]), np.array([len(one) for one in places])
    if step_sizes.last_accuracy_matters(valid.values, begins, counts):
        run.kept["last batch left out"] = True
        weights[[one[-1] for one in places if len(one) > 1]] = 0.0
    return weights


def _end(epoch: Epoch) -> float:
    return float(epoch.train_steps[-1]) if len(epoch.train_steps) else float("nan")


def _series(trial: Trial, name: str, mode: str) -> Series:
    try:
        return trial.tensor(name).series(mode)
    except RecordingError:
        return _NOTHING
