"""Reductions: numbers that are recorded instead of a full tensor, or computed from it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.records import Array

REDUCTIONS: dict[str, Callable[[Array], float]] = {
    "min": lambda array: float(array.min()),
    "max": lambda array: float(array.max()),
    "mean": lambda array: float(array.mean()),
    "std": lambda array: float(array.std()),
    "l2": lambda array: float(np.sqrt(np.square(array, dtype=np.float64).sum())),
    "abs_mean": lambda array: float(np.abs(array).mean()),
    "zero_fraction": lambda array: float((array == 0).mean()),
    "nonfinite_fraction": lambda array: float(1 - np.isfinite(array).mean()),
}
"""Name -> function of a tensor with at least one element."""


def reduce(kind: str, array: Array) -> float:
    """One number for a tensor; NaN for an empty one.

    Args:
        kind: A name of `REDUCTIONS`.
        array: Any shape.
    """
    if not array.size:
        return float("nan")
    with np.errstate(all="ignore"):  # a diverged run's tensors overflow, and the result should show that
        return REDUCTIONS[kind](np.asarray(array, dtype=None if array.dtype.kind == "f" else np.float64))


def reduce_numbers(kind: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Applies `reduce` to each of many tensors of one element."""
    found: NDArray[np.float64]
    if kind in {"l2", "abs_mean"}:
        found = np.abs(values)
    elif kind == "std":
        found = np.where(np.isfinite(values), 0.0, np.nan)
    elif kind == "zero_fraction":
        found = (values == 0).astype(np.float64)
    elif kind == "nonfinite_fraction":
        found = (~np.isfinite(values)).astype(np.float64)
    else:  # one element is its own minimum, maximum and mean
        found = values
    return found


SATURATION = {"sigmoid": (-23.0, 16.99999), "tanh": (-9.4999, 9.4999)}
"""Activation -> the inputs beyond which its output no longer changes in float32 (AWS's SaturatedActivation)."""


def inactive_fraction(outputs: Array, threshold_inactivity: float = 1.0) -> float:
    """The fraction of a layer's units that hardly ever fire.

    Args:
        outputs: Outputs of a ReLU, [batch, units ...], or [batch, channels, height, width], where a channel is a unit.
        threshold_inactivity: A unit is inactive if less than this percentage of its outputs is above zero.
    """
    return _share(~(_by_unit(outputs) <= 0), lambda percent: percent < threshold_inactivity)


def saturated_fraction(inputs: Array, low: float, high: float, threshold_inactivity: float = 1.0) -> float:
    """The fraction of a layer's units that are saturated.

    Args:
        inputs: Inputs of a sigmoid or tanh, shaped as for `inactive_fraction`.
        low: Inputs at or below this value saturate the unit (see `SATURATION`).
        high: Inputs at or above this value saturate the unit.
        threshold_inactivity: A unit is saturated if more than this percentage of its inputs is beyond the limits.
    """
    units = _by_unit(inputs)
    return _share((units <= low) | (units >= high), lambda percent: percent > threshold_inactivity)


def _by_unit(array: Array) -> Array:
    """[passes, units]."""
    if array.ndim == 4:
        return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])
    return array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)


def _share(happened: NDArray[np.bool_], judge: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> float:
    return float(judge(100 * happened.mean(axis=0)).mean()) if happened.size else float("nan")
