"""How much of the training loss's fluctuation is the luck of random batches."""

from __future__ import annotations

import math

import numpy as np

from dogbreed_sdk._util.formatting import number, percent
from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import Z95
from training_scripts.rules.evidence.batch_noise import BatchNoise, batch_noise
from training_scripts.rules.evidence.run import Run

# The scatter of a curve agrees with that of random batches if it is at most this many times as large.
AGREES = 1.25
# Readers ask about scatter that they see: of this size, or of this share of the loss.
SEEN, SEEN_SHARE = 0.05, 0.1


def find(run: Run) -> list[Insight]:
    """Explains the fluctuations of the training loss, if the recording shows where they come from."""
    noise = batch_noise(run)
    if noise is None or noise.observed < min(SEEN, SEEN_SHARE * float(np.median(noise.level))):
        return []
    return [_explained(noise)]


def evidence(run: Run) -> tuple[str, ...]:
    """What random batches contribute, in a sentence; empty if it is unknown."""
    noise = batch_noise(run)
    return () if noise is None else (_by_batches(noise),)


def _explained(noise: BatchNoise) -> Insight:
    agrees = noise.observed <= AGREES * noise.caused
    batch = counted(noise.batch, "picture")
    error = Z95 / math.sqrt(2 * len(noise.losses))
    return Insight(
        topic="batch-noise",
        title=f"The training loss fluctuates because random batches of {batch} differ."
        if agrees
        else f"Random batches of {batch} explain {percent(noise.share)} of the training loss's fluctuation.",
        explanation="The loss of a step is the mean over its batch. Some pictures are harder than others, so the mean "
        "goes up and down with the draw, even if the weights do not change."
        + ("" if agrees else " The rest comes from the weights: each step changes them, and the curve still moves."),
        evidence=(
            (
                f"From step to step, the loss scatters by ± {number(noise.observed)} around its smoothed curve "
                f"(known to ± {percent(error)} of that; without the first fifth of the run)."
            ),
            _by_batches(noise),
        ),
        confidence="medium" if noise.is_estimated else "high",
        next_step="Nothing has to be changed: judge the run by the smoothed curve and by the validation loss. A batch "
        "four times as large halves this scatter; it does not make the model better."
        if agrees
        else "",
        severity="info",
    )


def _by_batches(noise: BatchNoise) -> str:
    source = "the validation pictures" if noise.is_estimated else "the pictures of each batch"
    return (
        f"Random batches of {counted(noise.batch, 'picture')} alone cause ± {number(noise.caused)}, computed from how "
        f"far apart the losses of {source} are: {percent(noise.share)} of the variance."
    )
