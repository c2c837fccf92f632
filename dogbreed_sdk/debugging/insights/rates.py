"""Which learning rate to try instead, and what the recorded updates show about it."""

from __future__ import annotations

import math

from dogbreed_sdk._util.formatting import number
from training_scripts._util.number_text import number_text
from training_scripts.rules.evidence.learning_rate import (
    FIRST_UPDATE,
    LARGEST_STEP,
    TYPICAL_UPDATE,
    first_update,
    round_rate,
    too_large_by,
    too_small_by,
    usual_update,
)
from training_scripts.rules.evidence.run import Run

HIGHEST_RATE = 100.0


def better_rate(run: Run, *, larger: bool) -> dict[str, object]:
    """The learning rate to try, as hyperparameters; empty if the current rate is unknown.

    It differs from the current rate by a factor of at most `LARGEST_STEP`, also after rounding.
    """
    rate = run.settings.get("lr")
    if not rate:
        return {}
    factor = too_small_by(run.trial) if larger else 1 / too_large_by(run.trial)
    wanted = round_rate(rate * factor)
    if not 1 / LARGEST_STEP <= wanted / rate <= LARGEST_STEP:
        wanted = float(f"{rate * factor:.1e}")
    return {"lr": min(wanted, HIGHEST_RATE)}


def update_evidence(run: Run) -> list[str]:
    """What the recorded updates show, in sentences; none if no updates were recorded."""
    first, usual = first_update(run.trial), usual_update(run.trial)
    found = []
    if math.isfinite(first):
        found.append(
            f"The first step changed a layer by {number(first)} of its norm; about"
            f" {number_text(FIRST_UPDATE)} is healthy."
        )
    if math.isfinite(usual):
        found.append(
            f"Over the run the median update was {number(usual)} of a layer's norm; about"
            f" {number_text(TYPICAL_UPDATE)} is usual."
        )
    return found
