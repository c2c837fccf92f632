"""Whether a learning rate suits a run, and by how much it does not: from how far its steps moved the weights."""

from __future__ import annotations

import math

import numpy as np

from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.evidence.statistics import Z95

FIRST_UPDATE = 0.1
"""The share of its norm by which a good first step moves a fresh layer; first steps are the largest. On 120 breeds the
rate with the lowest validation loss moves the head by 0.12 of its norm in the first step; three times that rate costs
0.05 of loss, ten times it 0.57."""

TYPICAL_UPDATE = 1e-3
"""The share by which later steps of healthy runs move a layer (A. Karpathy, CS231n: ratio of weights to updates)."""

BLIND_FACTOR = 10.0
"""By how much to change the rate where the updates do not show it: the usual step on a logarithmic scale."""

CLEAR_FACTOR, LARGEST_FACTOR = 2.0, 1000.0
"""Updates show by how much the rate is wrong where they are wrong by this factor; a larger ratio than the largest no
longer shows how much."""

BLOW_UP = 1.25
"""A loss that rises by a quarter above that of guessing has overshot; sampling alone does that only to tiny batches."""

EARLY_PICTURES = 128
"""Pictures whose mean loss is compared with that of guessing."""


def first_update(trial: Trial) -> float:
    """The largest share of its norm by which the first step moved a trained layer; NaN where it was not recorded."""
    begin = training_begins(trial)
    firsts = [float(series.values[0]) for series in _updates(trial) if series.steps[0] == begin]
    return max((share for share in firsts if math.isfinite(share)), default=math.nan)


def usual_update(trial: Trial) -> float:
    """The share of its norm by which a step usually moved a layer: median over steps and layers; NaN if unknown."""
    medians = [float(np.median(series.values)) for series in _updates(trial) if np.isfinite(series.values).all()]
    return float(np.median(medians)) if medians else math.nan


def too_large_by(trial: Trial) -> float:
    """The factor by which a rate that is too large exceeds a good one, by what the first step did."""
    factor = first_update(trial) / FIRST_UPDATE
    return min(factor, LARGEST_FACTOR) if factor >= CLEAR_FACTOR else BLIND_FACTOR


def too_small_by(trial: Trial) -> float:
    """The factor by which a good rate exceeds one that is too small, by what the first step did."""
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
    """What to do about a rate that is too large, without a period."""
    return f"Divide lr by about {round_rate(too_large_by(trial)):g}"


def training_begins(trial: Trial) -> int:
    """The first recorded TRAIN step; -1 where there is none."""
    steps = evidences.of(trial).steps(TRAIN).steps
    return int(steps[0]) if len(steps) else -1


def blow_up(run: Run) -> tuple[int, float] | None:
    """Where the training loss overshot, and its mean there; None where it did not.

    The loss of a hundred pictures or more is compared with that of guessing, or of the first step where that is
    larger; the rise must exceed the sampling noise between neighboring steps.
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
    noise = float(np.median(np.abs(np.diff(finite)))) / 0.954 / math.sqrt(width)  # of two normal values' distance
    expected = max(run.chance or 0.0, float(finite[:width].mean()) if worst > width else float(finite[0]))
    if windows[worst] > BLOW_UP * expected and windows[worst] - expected > 2 * Z95 * noise:
        return int(run.losses.steps[worst + int(np.argmax(finite[worst : worst + width]))]), float(windows[worst])
    return None


def _updates(trial: Trial) -> list[Series]:
    """The update ratios of each trained weight that has any, one per recorded step."""
    run = evidences.of(trial)
    found = [run.reduction(name, "update_ratio", TRAIN) for name in selection.trained_weights(run)]
    return [series for series in found if series is not None]
