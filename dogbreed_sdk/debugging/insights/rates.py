"""Learning rates: how far a run's steps moved the weights, and which rate to try instead."""

from __future__ import annotations

import math

import numpy as np

from dogbreed_sdk.debugging.formatting import number
from dogbreed_sdk.debugging.insights.words import round_rate
from training_scripts._util.number_text import number_text
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.evidence.statistics import Z95

# The first steps of a fresh layer are its largest. On 120 breeds the rate with the lowest validation loss moves the
# head by 12 % of its norm in the first step; three times that rate costs 0.05 of loss, ten times it 0.57.
FIRST_UPDATE = 0.1
# Later on, a thousandth a step is what healthy runs show (A. Karpathy, CS231n: ratio of weights to updates).
TYPICAL_UPDATE = 1e-3
# Where the updates tell nothing: the usual step on a logarithmic scale.
BLIND_FACTOR = 10.0
CLEAR_FACTOR = 2.0
LARGEST_FACTOR = 1000.0
# A loss that rises by a quarter above that of guessing has overshot; sampling alone does that only to tiny batches.
BLOW_UP = 1.25
EARLY_PICTURES = 128


def first_update(run: Run) -> float:
    """The largest share of its norm by which the first step moved a layer; NaN where it was not recorded."""
    first = [
        float(series.values[0])
        for series in run.reduction("update_ratio", "weights").values()
        if len(series) and series.steps[0] == run.losses.steps[0]
    ]
    return max(first, default=math.nan)


def usual_update(run: Run) -> float:
    """The median share of its norm by which a step moved a layer, largest over layers; NaN where not recorded."""
    medians = [float(np.median(series.values)) for series in run.reduction("update_ratio", "weights").values()]
    return max(medians, default=math.nan)


def better_rate(run: Run, *, larger: bool) -> dict[str, object]:
    """The learning rate to try, as hyperparameters; empty where the present one is unknown."""
    rate = run.settings.get("lr")
    if not rate:
        return {}
    ratio = first_update(run)
    factor = FIRST_UPDATE / ratio if math.isfinite(ratio) and ratio > 0 else 1.0
    # What the updates say must agree with the curve, and clearly; otherwise the curve is believed.
    if (factor < CLEAR_FACTOR) if larger else (factor > 1 / CLEAR_FACTOR):
        factor = BLIND_FACTOR if larger else 1 / BLIND_FACTOR
    factor = min(max(factor, 1 / LARGEST_FACTOR), LARGEST_FACTOR)
    return {"lr": min(round_rate(rate * factor), 100.0)}


def update_evidence(run: Run) -> list[str]:
    """What the recorded updates say, in words; nothing where none were recorded."""
    first, usual = first_update(run), usual_update(run)
    found = []
    if math.isfinite(first):
        found.append(
            f"The first step changed a layer by {number(first)} of its norm; about {number_text(FIRST_UPDATE)} is "
            "healthy."
        )
    if math.isfinite(usual):
        found.append(
            f"Over the run the median update was {number(usual)} of a layer's norm; about "
            f"{number_text(TYPICAL_UPDATE)} is usual."
        )
    return found


def blow_up(run: Run) -> tuple[int, float] | None:
    """Where the training loss overshot, and its mean there; None where it did not.

    The loss of a hundred pictures or more is compared with that of guessing, or of the first step where that is
    larger; the rise must exceed the sampling noise between neighbouring steps.
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
