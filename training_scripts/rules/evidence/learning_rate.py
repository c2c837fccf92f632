"""Whether the learning rate is too large or too small, and by what factor, from how far steps moved the weights."""

from __future__ import annotations

import math

import numpy as np

from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.evidence.statistics import Z95

FIRST_UPDATE = 0.1
"""A good first step moves a new layer by this share of its norm; first steps are the largest.

With 120 breeds, the learning rate with the lowest validation loss moves the head by 0.12 of its norm in the first step.
Three times that rate increases the loss by 0.05, ten times that rate by 0.57."""

TYPICAL_UPDATE = 1e-3
"""Later steps of healthy runs move a layer by this share of its norm (A. Karpathy, CS231n: ratio of updates)."""

BLIND_FACTOR = 10.0
"""The factor by which to change the rate if the updates do not show it: the usual step on a logarithmic scale."""

CLEAR_FACTOR, LARGEST_FACTOR = 2.0, 1000.0
"""Updates that are wrong by at least the first factor show by how much the rate is wrong.

Beyond the second factor, they no longer show how much."""

BLOW_UP = 1.25
"""A loss a quarter above chance level has overshot. Sampling alone causes that only with tiny batches."""

EARLY_PICTURES = 128
"""The mean loss of this many pictures is compared with the chance-level loss."""


def first_update(trial: Trial) -> float:
    """The largest share of its norm by which the first step moved a trained layer; NaN if not recorded."""
    begin = training_begins(trial)
    firsts = [float(series.values[0]) for series in _updates(trial) if series.steps[0] == begin]
    return max((share for share in firsts if math.isfinite(share)), default=math.nan)


def usual_update(trial: Trial) -> float:
    """The share of its norm by which a step usually moved a layer: median over steps and layers; NaN if unknown."""
    medians = [float(np.median(series.values)) for series in _updates(trial) if np.isfinite(series.values).all()]
    return float(np.median(medians)) if medians else math.nan


def too_large_by(trial: Trial) -> float:
    """The factor by which a rate is too large, estimated from the update of the first step."""
    factor = first_update(trial) / FIRST_UPDATE
    return min(factor, LARGEST_FACTOR) if factor >= CLEAR_FACTOR else BLIND_FACTOR


def too_small_by(trial: Trial) -> float:
    """The factor by which a rate is too small, estimated from the update of the first step."""
    first = first_update(trial)
    factor = FIRST_UPDATE / first if first > 0 else 1.0
    return min(factor, LARGEST_FACTOR) if factor >= CLEAR_FACTOR else BLIND_FACTOR


def round_rate(value: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten: how people write learning rates.

    >>> round_rate(0.00167), round_rate(0.0324)
    (0.002, 0.05)
    """
    size = 10.0 ** math.floor(math.log10(value))
    mantissa = min((1, 2, 5, 10), key=lambda nice: abs(math.log(value / size / nice)))
    return float(f"{mantissa * size:.0e}")


def lower(trial: Trial) -> str:
    """The advice for a rate that is too large, without a period."""
    return f"Divide lr by about {round_rate(too_large_by(trial)):g}"


def training_begins(trial: Trial) -> int:
    """The first recorded TRAIN step; -1 if there is none."""
    steps = evidences.of(trial).steps(TRAIN).steps
    return int(steps[0]) if len(steps) else -1


def blow_up(run: Run) -> tuple[int, float] | None:
    """The step at which the training loss overshot, and the mean loss there; None if it did not.

    The mean loss of a hundred pictures or more is compared with the chance-level loss, or with the loss of the first
    step if that is larger. The rise must exceed the sampling noise between neighboring steps.
    """
    losses = run.losses.values
    if len(losses) < 4 or not np.isfinite(losses[0]):
        return None
    finite = np.where(np.isfinite(losses), losses, 0.0)
    width = max(2, math.ceil(EARLY_PICTURES / (run.batch_size or 64)))
    if len(finite) <= width:
        return None
    sums = np.concatenate([[0.0], np.cumsum(finite)])
    windows = (sums[width:] - sums[:-width]) / width
    worst = int(np.argmax(windows))
    noise = (
        float(np.median(np.abs(np.diff(finite)))) / 0.954 / math.sqrt(width)
    )  # 0.954: median distance of two normal values
    expected = max(run.chance or 0.0, float(finite[:width].mean()) if worst > width else float(finite[0]))
    if windows[worst] > BLOW_UP * expected and windows[worst] - expected > 2 * Z95 * noise:
        return int(run.losses.steps[worst + int(np.argmax(finite[worst : worst + width]))]), float(windows[worst])
    return None


def _updates(trial: Trial) -> list[Series]:
    """The update ratios of each trained weight, one number per recorded step, if they were recorded."""
    run = evidences.of(trial)
    found = [run.reduction(name, "update_ratio", TRAIN) for name in selection.trained_weights(run)]
    return [series for series in found if series is not None]
