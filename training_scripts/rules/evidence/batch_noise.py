"""How much of a training loss's scatter comes from drawing random batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.layout import LOSS_STD
from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.evidence import curves, step_sizes, task
from training_scripts.rules.evidence.run import Run

Floats = NDArray[np.float64]

ENOUGH_STEPS = 40
# The window of the smoothed loss, in steps.
SMOOTHING = 9
# The initial fall is not a fluctuation.
_INITIAL_SHARE = 5
# Fewer epochs than this do not show how far apart the losses of single pictures usually are.
_LEAST_EPOCHS = 2


@dataclass(frozen=True)
class BatchNoise:
    """The scatter of a training loss around its smoothed curve, and the part of it that random batches cause.

    Attributes:
        steps: The recorded training steps after the first fifth, in which the loss falls most, int64 [n].
        losses: Their losses, float64 [n].
        level: The losses, smoothed, float64 [n].
        expected: Standard deviation that random batches alone give each loss, float64 [n].
        observed: Standard deviation around the smoothed curve.
        caused: Standard deviation that random batches alone would cause, over all these steps.
        batch: Samples per step.
        is_estimated: Whether the losses of single samples are those of the validation split, because those of the
            training steps were not recorded.
    """

    steps: NDArray[np.int64]
    losses: Floats
    level: Floats
    expected: Floats
    observed: float
    caused: float
    batch: int
    is_estimated: bool

    @property
    def share(self) -> float:
        """The share of the scatter's variance that random batches explain, 0 to 1."""
        return min(1.0, (self.caused / self.observed) ** 2) if self.observed > 0 else 1.0


def batch_noise(run: Run) -> BatchNoise | None:
    """Measures the scatter of a run's training loss, and how much of it random batches cause.

    A batch is a random sample: the mean over B of N pictures scatters by s / sqrt(B) * sqrt((N - B) / (N - 1)), where s
    is the standard deviation of the losses of single pictures. The second factor is that of drawing without
    replacement (Cochran, Sampling Techniques, 1977, section 2.5).

    Returns:
        None if the loss is not a cross-entropy, there are too few steps, or nothing shows how far apart the losses of
        single pictures are.
    """
    losses, batch = run.losses.values, run.batch_size
    if not batch or len(losses) < ENOUGH_STEPS or not np.isfinite(losses).all() or not task.is_cross_entropy(run.trial):
        return None
    level = curves.centered_mean(losses, SMOOTHING)
    recorded = _recorded(run)
    spread = _of_validation(run, level) if recorded is None else recorded
    if spread is None:
        return None
    sizes = _sizes(run, batch)
    # A few hard pictures raise both the mean and the spread of their batch, so the spread is averaged over neighbors.
    usual = np.sqrt(curves.centered_mean(np.square(spread), SMOOTHING))
    expected = usual / np.sqrt(sizes) * _without_replacement(sizes, run.size("train"))
    settled = slice(len(losses) // _INITIAL_SHARE, None)
    # A moving average over nine values contains a ninth of the variance of white noise.
    deviations = (losses - level)[settled] / math.sqrt(1 - 1 / SMOOTHING)
    return BatchNoise(
        steps=run.losses.steps[settled],
        losses=losses[settled],
        level=level[settled],
        expected=expected[settled],
        observed=float(deviations.std()),
        caused=float(np.sqrt(np.square(expected[settled]).mean())),
        batch=batch,
        is_estimated=recorded is None,
    )


def _recorded(run: Run) -> Floats | None:
    """The standard deviation of each training step's losses, float64 [n]; None if it is not known of every step."""
    if not run.trial.has(LOSS_STD):
        return None
    series = run.trial.tensor(LOSS_STD).series(TRAIN)
    places = np.searchsorted(series.steps, run.losses.steps)
    if not len(series) or places.max() >= len(series) or (series.steps[places] != run.losses.steps).any():
        return None
    found: Floats = series.values[places].astype(np.float64)
    return found if np.isfinite(found).all() else None


def _of_validation(run: Run, level: Floats) -> Floats | None:
    """Estimates it from validation losses: relative to its mean, the spread is about the same in both splits."""
    found = [losses for epoch in range(run.epochs) if (losses := run.picture_losses(epoch)) is not None]
    ratios = [float(losses.std() / losses.mean()) for losses in found if len(losses) > 1 and losses.mean() > 0]
    return None if len(ratios) < _LEAST_EPOCHS else float(np.median(ratios)) * np.maximum(level, 0.0)


def _sizes(run: Run, batch: int) -> Floats:
    """Samples in each step, float64 [n]; `batch` where the recording does not say."""
    known = step_sizes.weights_of(run.trial, TRAIN, run.losses.steps)
    return np.full(len(run.losses), float(batch)) if known is None else np.maximum(known, 1.0)


def _without_replacement(sizes: Floats, pictures: int | None) -> Floats:
    """The factor sqrt((N - B) / (N - 1)) of each step, float64 [n]; 1 if the number of pictures is unknown."""
    if not pictures or pictures < 2:
        return np.ones(len(sizes))
    factors: Floats = np.sqrt(np.clip((pictures - sizes) / (pictures - 1), 0.0, 1.0))
    return factors
