"""Whether the learning rate is too large or too small, and what to change, from how far steps moved the weights.

Advice moves the rate by at most `LARGEST_STEP`, however wrong it looks: the updates of a few recorded steps show its
direction better than its size, and a run that follows wrong advice must not be lost.
"""

from __future__ import annotations

import math

import numpy as np

from training_scripts._util.wilson import Z95
from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.evidence import curves, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.run import Run

FIRST_UPDATE = 0.1
"""A good first step moves a new layer by this share of its norm; first steps are the largest.

With 120 breeds, the learning rate with the lowest validation loss moves the head by 0.12 of its norm in the first step.
Three times that rate increases the loss by 0.05, ten times that rate by 0.57."""

TYPICAL_UPDATE = 1e-3
"""Later steps of healthy runs move a layer by this share of its norm (A. Karpathy, CS231n: ratio of updates)."""

LARGEST_STEP = 3.0
"""The largest factor by which advice changes a rate: half of the usual step on a logarithmic scale."""

CLEAR_FACTOR = 2.0
"""Updates that are wrong by at least this factor show that the rate is wrong: those of healthy runs vary as much."""

BLOW_UP, BLOW_UP_OF_SOUND = 1.25, 5.0
"""A loss a quarter above chance level has overshot. Sampling alone causes that only with tiny batches.

A run that ends well may have begun with steps that were slightly too large, as a good learning rate often does; only a
leap to several times the chance-level loss is worth reporting there."""

FEW_SAMPLES = 8
"""Samples per step if that is unknown. A larger number would take the noise of small batches for a rise."""

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
    """The factor by which to divide a rate that is too large, estimated from the update of the first step."""
    factor = first_update(trial) / FIRST_UPDATE
    return min(factor, LARGEST_STEP) if factor >= CLEAR_FACTOR else LARGEST_STEP


def too_small_by(trial: Trial) -> float:
    """The factor by which to multiply a rate that is too small, estimated from the update of the first step."""
    first = first_update(trial)
    factor = FIRST_UPDATE / first if first > 0 else 1.0
    return min(factor, LARGEST_STEP) if factor >= CLEAR_FACTOR else LARGEST_STEP


def steps_are_small(trial: Trial) -> bool:
    """Whether first and usual updates show that the steps are too small; False if one of them is unknown.

    The first update alone does not: it is that of one batch, and small where a network was trained before, or where
    the gradient of a single batch of a few samples is.
    """
    first, usual = first_update(trial), usual_update(trial)
    return first < FIRST_UPDATE / CLEAR_FACTOR and usual < TYPICAL_UPDATE / CLEAR_FACTOR


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
    run = Run.of(trial)
    if run is not None and run.does_well:
        return "The run got over it; warm lr up over the first steps, or clip gradients"
    factor = first_update(trial) / FIRST_UPDATE
    again = ", and again until the updates have a usual size" if factor > LARGEST_STEP**2 else ""
    return f"Divide lr by about {math.ceil(too_large_by(trial))}{again}"


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
    width = max(2, math.ceil(EARLY_PICTURES / (run.batch_size or FEW_SAMPLES)))
    if len(finite) <= width:
        return None
    windows = curves.window_sums(finite, width)[width - 1 :] / width
    worst = int(np.argmax(windows))
    noise = curves.usual_jitter(finite)
    began = float(finite[:width].mean()) if worst > width else float(finite[0])
    expected = max(run.chance or 0.0, began)
    # Chance level has no error, but the loss of the first step is that of a single batch.
    of_first = (
        0.0 if run.chance is not None and run.chance >= began else noise / math.sqrt(width if worst > width else 1)
    )
    error = math.hypot(noise / math.sqrt(width), of_first)
    limit = BLOW_UP_OF_SOUND if run.does_well else BLOW_UP
    if windows[worst] > limit * expected and windows[worst] - expected > 2 * Z95 * error:
        return int(run.losses.steps[worst + int(np.argmax(finite[worst : worst + width]))]), float(windows[worst])
    return None


def _updates(trial: Trial) -> list[Series]:
    """The update ratios of each trained weight, one number per recorded step, if they were recorded."""
    run = evidences.of(trial)
    found = [run.reduction(name, "update_ratio", TRAIN) for name in selection.trained_weights(run)]
    return [series for series in found if series is not None]
