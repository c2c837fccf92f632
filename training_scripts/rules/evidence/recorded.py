"""Validates recorded values: counts, accuracies as shares, and labels as indices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import Series, Trial
from training_scripts.rules.evidence.learning_curves import curves

Values = NDArray[np.float64]

# No split, batch or loss is larger than this. Larger values would overflow in sums and squares.
MOST = 2.0**53
# Above this, accuracies are percentages: no share exceeds 1, and no run stays below two percent throughout.
PERCENT = 2.0


def accuracy_of(trial: Trial) -> tuple[Series, dict[int, float]]:
    """The accuracy of each training step, and the validation accuracy of each epoch by its number.

    The report's curves show the same means. Percentages are converted to shares; values outside 0 to 1 become NaN.
    """
    curve = curves(trial).get("accuracy")
    if curve is None:
        return Series(np.zeros(0, dtype=np.int64), np.zeros(0)), {}
    every = np.concatenate([curve.train.values, curve.valid])
    unit = 100.0 if (every[np.isfinite(every)] > PERCENT).any() else 1.0
    valid = dict(zip(curve.numbers.tolist(), _shares(curve.valid / unit).tolist(), strict=True))
    return Series(curve.train.steps, _shares(curve.train.values / unit)), valid


def _shares(values: Values) -> Values:
    return np.where((values >= 0) & (values <= 1), values, math.nan)


def epoch_means(series: Series, groups: Sequence[NDArray[np.int64]], sizes: Values | None) -> Values:
    """The mean over each epoch's steps, float64 [epochs]; NaN if there are none, or if one of them is NaN.

    Args:
        series: One number per step [n].
        groups: Each epoch's steps.
        sizes: Samples in each step of the series [n]; None if unknown.
    """
    means = np.full(len(groups), math.nan)
    for place, steps in enumerate(groups):
        first, end = np.searchsorted(series.steps, [steps[0], steps[-1] + 1]) if len(steps) else (0, 0)
        if end > first:
            means[place] = np.average(series.values[first:end], weights=None if sizes is None else sizes[first:end])
    return means


def mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping recorded under a name; empty if there is none."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def count(value: Any) -> int | None:
    """A positive count; None for anything else."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if plain and 1 <= value <= MOST else None


def numbers(values: Any) -> Values | None:
    """Finite numbers, float64 [n]; None if one of them is not."""
    if values is None or isinstance(values, (str, bytes, Mapping)):
        return None
    try:
        found = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        return None
    return found if np.isfinite(found).all() else None


def whole_numbers(values: Any) -> NDArray[np.int64] | None:
    """Counts or indices, int64 [n]; None if one of them is negative or not a whole number."""
    found = numbers(values)
    if found is None or (found != np.floor(found)).any() or (found < 0).any() or (found > MOST).any():
        return None
    return found.astype(np.int64)
