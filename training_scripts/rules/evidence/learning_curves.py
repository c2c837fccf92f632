"""Loss and accuracy of a recorded run as they are drawn: step by step, smoothed, and one validation point per epoch."""

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

# A smoothed value takes in this share of the run: enough to hide batches, too little to hide trends.
SMOOTHING_SHARE = 0.03
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

    @property
    def begin(self) -> tuple[int, float] | None:
        """The first step with a value, and that value as it was; None where there is none.

        The smoothed curve begins with a mean over later steps, and the more of them the longer the run gets.
        """
        finite = np.flatnonzero(np.isfinite(self.train.values))
        return (int(self.train.steps[finite[0]]), float(self.train.values[finite[0]])) if len(finite) else None


def curves(trial: Trial) -> dict[str, Curve]:
    """Loss and accuracy by name, as far as they were recorded."""
    run = evidence.of(trial)
    if "curves" not in run.kept:
        found = {"loss": _loss(run), "accuracy": _accuracy(run)}
        run.kept["curves"] = {name: curve for name, curve in found.items() if curve is not None}
    kept: dict[str, Curve] = run.kept["curves"]
    return kept


def smoothed(values: Floats) -> Floats:
    """Means over neighbors on both sides, nearer ones counting more; NaN where a value is not finite.

    What is not finite neither counts nor spreads. A mean of earlier values alone would show a falling loss too high.
    """
    half = max(SMOOTHING_MIN_STEPS, round(SMOOTHING_SHARE * len(values))) // 2
    finite = np.isfinite(values)
    sums, weights = np.where(finite, values, 0.0), finite.astype(np.float64)
    with np.errstate(all="ignore"):  # a value may be as large as a float can be
        for _ in range(2):  # twice an even window makes a triangle
            sums, weights = _sums_around(sums, half), _sums_around(weights, half)
        return np.where(finite, sums / weights, np.nan)


def _sums_around(values: Floats, half: int) -> Floats:
    """Sums over each value and `half` neighbors on both sides, as far as there are any."""
    found: Floats = window_sums(np.pad(values, (0, half)), 2 * half + 1)[half:]
    return found


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
    """The epochs' mean values."""
    rows = []
    for epoch in epochs(trial):
        judged = valid.values[np.isin(valid.steps, epoch.eval_steps)]
        if len(judged):
            rows.append((epoch.number, _end(epoch), *_mean(trial.run, judged)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return _Epochs(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3])


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
