"""Derives the number of inputs of a layer, and the scale of its initial weights, from a recording."""

from __future__ import annotations

import math

from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.evidence import Evidence


def inputs(run: Evidence, weight: str) -> float | None:
    """Number of inputs of each unit of a layer; None if it is unknown, or if the layer has no units.

    A weight that was recorded in full has a shape. Otherwise the size of the weight is divided by the size of the
    bias, which has one value per unit.
    """
    shape = _shape(run, weight)
    if shape is not None:
        return math.prod(shape[1:]) if len(shape) >= 2 and shape[0] else None
    if not weight.endswith("weight"):
        return None
    bias = weight[: -len("weight")] + "bias"
    of_weight, of_bias = _size(run, weight), _size(run, bias)
    if not of_weight or not of_bias or of_weight <= of_bias:
        return None  # one weight per unit: the scale of a normalization
    number = of_weight / of_bias
    return number if abs(number - round(number)) <= 0.02 * number else None


def gain(run: Evidence, weight: str, limit: int) -> float | None:
    """Initial standard deviation times the square root of the number of inputs; usual recipes give 0.6 to 1.4."""
    spread = run.reduction(weight, "std", TRAIN)
    number = inputs(run, weight)
    if spread is None or number is None or not len(spread) or spread.steps[0] >= limit:
        return None
    first = float(spread.values[0]) * math.sqrt(number)
    return first if math.isfinite(first) else None


def _shape(run: Evidence, name: str) -> tuple[int, ...] | None:
    steps = run.steps_in_full(name, TRAIN)
    return run.value(name, int(steps[0]), TRAIN).shape if len(steps) else None


def _size(run: Evidence, name: str) -> int | None:
    """Number of values n of a tensor, or of its gradient, from l2^2 = n (std^2 + mean^2)."""
    for tensor in (name, selection.GRADIENT + name):
        shape = _shape(run, tensor)
        if shape is not None:
            return math.prod(shape)
        series = [run.reduction(tensor, kind, TRAIN) for kind in ("l2", "std", "mean")]
        if any(one is None or not len(one) for one in series):
            continue
        for length, spread, mean in zip(*(one.values[:5].tolist() for one in series if one is not None), strict=False):
            square = spread * spread + mean * mean
            # Within this range, float32 neither underflows nor overflows when it is squared.
            if 1e-30 < square < 1e30 and math.isfinite(length):
                return round(float(length * length / square))
    return None
