"""Merges what the workers of a run recorded: one number or tensor per step for all of them.

Each worker of a distributed run computes the loss of its own part of the batch. The loss of the step is their mean,
weighted by the sizes of the parts; NaN in one part makes it NaN. Weights are the same in all workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial import layout
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.trial import Series

Sizes = Sequence["Series | None"]

COMBINED: dict[str, Callable[..., NDArray[np.float64]]] = {
    layout.STEP_SIZE: np.sum,
    layout.OUTPUT_MIN: np.min,
    layout.OUTPUT_MAX: np.max,
}
"""How numbers that are not averaged are combined. Each worker has a share of a step's samples."""
_NEUTRAL = {np.sum: 0.0, np.min: np.inf, np.max: -np.inf}

PER_SAMPLE = layout.PER_RUN - {layout.CLASS_COUNTS}
"""Tensors with a row per sample: the rows of all workers, one worker's after another's."""


def numbers(name: str, series: Sequence[Series], sizes: Sizes) -> Series:
    """Merges a tensor of one element: the mean over the workers that recorded a step, unless `COMBINED` has it.

    Args:
        name: The tensor.
        series: Each worker's.
        sizes: Each worker's step sizes, by which its values are weighted; None if it recorded none. At a step where a
            size is missing, all workers count alike.
    """
    steps, values, there = _aligned(series)
    if name in COMBINED:
        combine = COMBINED[name]
        return Series(steps, combine(np.where(there, values, _NEUTRAL[combine]), axis=0))
    weights = _weights(steps, there, sizes)
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged run's losses overflow, and the mean should show it
        return Series(steps, np.where(there, values * weights, 0.0).sum(axis=0) / weights.sum(axis=0))


def reductions(kind: str, series: Sequence[Series]) -> Series:
    """Merges a reduction of a tensor: the lowest min, the highest max, the mean of any other."""
    steps, values, there = _aligned(series)
    combine = {"min": np.min, "max": np.max}.get(kind)
    if combine is not None:
        return Series(steps, combine(np.where(there, values, _NEUTRAL[combine]), axis=0))
    with np.errstate(invalid="ignore"):
        return Series(steps, np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0))


def values(
    name: str, first: Array, others: Callable[[], Sequence[Array]], sizes: Callable[[], Sequence[float]]
) -> Array:
    """Merges a tensor's values at a step.

    Numbers are averaged, rows of samples joined; of any other tensor, such as a weight, the first worker's is returned.

    Args:
        name: The tensor.
        first: The first worker's value.
        others: Reads the other workers' values.
        sizes: Reads the step sizes of all these workers; empty if one is unknown.
    """
    if name in PER_SAMPLE and first.ndim:
        parts = [first, *others()]
        return np.concatenate(parts) if all(part.shape[1:] == first.shape[1:] for part in parts) else first
    if first.size != 1 or first.dtype.kind not in "fiu":
        return first
    parts = [part for part in (first, *others()) if part.size == 1]
    one = np.array([float(part.reshape(())) for part in parts])
    if name in COMBINED:
        return np.asarray(COMBINED[name](one), dtype=first.dtype).reshape(first.shape)
    if (one == one[0]).all():
        return first
    weights = np.array(sizes())
    merged = np.average(one, weights=weights if len(weights) == len(one) and weights.sum() > 0 else None)
    return np.asarray(merged, dtype=first.dtype if first.dtype.kind == "f" else np.float64).reshape(first.shape)


def _aligned(series: Sequence[Series]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """All steps; values [workers, steps]; which worker recorded which step, likewise."""
    steps = np.unique(np.concatenate([one.steps for one in series]))
    found, there = np.zeros((len(series), len(steps))), np.zeros((len(series), len(steps)), dtype=bool)
    for row, one in enumerate(series):
        at = np.searchsorted(steps, one.steps)
        found[row, at], there[row, at] = one.values, True
    return steps, found, there


def _weights(steps: NDArray[np.int64], there: NDArray[np.bool_], sizes: Sizes) -> NDArray[np.float64]:
    """The weight of each worker at each step, [workers, steps]: its step's size, or 1 for all if one is unknown."""
    plain = there.astype(np.float64)
    if any(one is None for one in sizes):
        return plain
    weights = np.zeros_like(plain)
    for row, one in enumerate(sizes):
        assert one is not None
        known = np.isin(one.steps, steps)
        weights[row, np.searchsorted(steps, one.steps[known])] = one.values[known]
    usable = ((weights > 0) | ~there).all(axis=0) & np.isfinite(weights).all(axis=0)
    return np.where(usable, np.where(there, weights, 0.0), plain)
