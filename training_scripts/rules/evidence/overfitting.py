"""Detects overfitting: a validation loss that turned upward, or training pictures that were memorized.

The rules Overfit and Overtraining report it if it does harm. Their parameters are the thresholds; `losses/overfit.py`
gives the reason for each. Insights also mention a small rise. They call the same functions, so they never contradict
the rules.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.wilson import wilson
from training_scripts.recording.trial.trial import Trial
from training_scripts.rules.declaration import Parameters
from training_scripts.rules.evidence import curves, statistics
from training_scripts.rules.evidence.chance_level import CLEARLY_BELOW_CHANCE, SIGMAS, chance_loss
from training_scripts.rules.evidence.run import Run

LONG = 20
"""Epochs. A slow rise counts if it lasts this long after the best epoch, and at least a quarter of the run."""

FAR_BEYOND = 6.0
"""A rise over at most three epochs must be this many times the curve's noise, which few epochs show only roughly."""

MEMORIZED_ACCURACY = 0.95
"""A model that classifies this share of the training pictures correctly has memorized them."""

ACCURACY_GAP = 0.1
"""A gap of 10 points between training and validation accuracy is more than augmentation causes.

A separate test shows whether the gap could be chance."""


class Course:
    """Validation and training loss over the epochs that have both, and how they ended.

    Attributes:
        run: The run.
        patience: How many of the last epochs form the end of the run; their losses are averaged.
        losses: The losses of the epochs that have both [n].
        best: Index of the epoch with the lowest validation loss.
        lowest: The lowest validation loss. From eight epochs on it is smoothed, so that one lucky epoch does not make
            the rise look larger.
        last_valid: Mean validation loss at the end.
        last_train: Mean training loss at the end.
        scale: The chance-level loss, or the loss at the start of the run if that is unknown. Differences between losses
            matter in proportion to it.
        knows_chance: Whether `scale` is the chance-level loss.
        counts_epochs: Whether the recording has the number of steps per epoch. Otherwise evaluations separate epochs.
    """

    def __init__(self, run: Run, patience: int) -> None:
        """Use `Course.of`, which returns None for runs that are too short."""
        self.run, self.patience = run, patience
        self._epochs = _epochs_with_both(run)
        self.losses = run.means.rows(self._epochs)
        self.valid, self.train = self.losses.valid, self.losses.train
        self.best = int(np.argmin(self.valid))
        self.lowest = float(curves.trailing_mean(self.valid, 3 if len(self.valid) >= 8 else 1).min())
        self.last_valid = float(self.valid[-patience:].mean())
        self.last_train = float(self.train[-patience:].mean())
        self.counts_epochs = isinstance(run.trial.run.get("steps_per_epoch"), int)
        chance, first = chance_loss(run.trial), float(run.losses.values[0])
        # If the chance-level loss is unknown, the loss at the start replaces it: the model knew nothing yet.
        initial_loss = max(abs(first) if math.isfinite(first) else 0.0, abs(float(self.valid[0])))
        self.scale = chance if chance is not None else initial_loss
        self.knows_chance = chance is not None

    @classmethod
    def of(cls, trial: Trial, patience: int) -> Course | None:
        """The course of a recorded run; None if fewer than patience + 2 epochs have both losses."""
        run = Run.of(trial)
        return None if run is None or epochs_with_both(trial) < patience + 2 else cls(run, patience)

    @property
    def since(self) -> int:
        """Epochs after the best one."""
        return len(self.valid) - 1 - self.best

    @property
    def rise(self) -> float:
        """How much the validation loss rose from its lowest value to the end."""
        return self.last_valid - self.lowest

    def rises_surely(self) -> bool:
        """Whether the rise since the best epoch exceeds the noise of epochs, and that of single pictures or batches."""
        noise = curves.jitter(self.valid) * math.sqrt(2 / self.patience)
        if self.rise <= SIGMAS * noise:
            return False
        paired = self.run.paired_differences(int(self._epochs[-1]), int(self._epochs[self.best]))
        if paired is None:
            return True
        # A few pictures with a huge loss can raise the mean alone. The model is then more confident, not worse.
        return float(paired.mean()) > SIGMAS * statistics.standard_error(paired)

    def diverges(self) -> bool:
        """Whether the training loss rose too since the best epoch. If so, the model did not memorize pictures."""
        return self.last_train > float(self.train[self.best])


def epochs_with_both(trial: Trial) -> int:
    """How many epochs have both a training and a validation loss."""
    run = Run.of(trial)
    return 0 if run is None else len(_epochs_with_both(run))


def turned(course: Course, parameters: Parameters) -> bool:
    """Whether the validation loss turned upward while the training loss did not.

    The rise must be significant, last long enough, and be large enough to matter.

    Args:
        course: The run, with the rule's patience.
        parameters: The parameters of the rule Overfit.
    """
    material = max(parameters["rise_of_chance"] * course.scale, parameters["ratio_threshold"] * abs(course.lowest))
    # If the training pictures are memorized, even a slow rise of the validation loss is overfitting, provided that it
    # lasts.
    nothing_left = course.last_train < parameters["memorized_loss"] * course.scale
    if nothing_left and course.since >= max(LONG, len(course.valid) / 4):
        slow = max(parameters["memorized_rise"] * course.scale, parameters["memorized_ratio"] * abs(course.lowest))
        material = min(material, slow)
    long = course.since >= course.patience
    return long and course.rise > material and course.rises_surely() and not course.diverges()


def memorized_since(course: Course, parameters: Parameters) -> int | None:
    """Index of the epoch from which the losses show that the training pictures are memorized; None if they do not.

    While the validation loss still falls, more training helps, however wide the gap between the losses is.

    Args:
        course: The run, with the rule's patience.
        parameters: The parameters of the rule Overfit.
    """
    gap, scale, counts = course.valid - course.train, course.scale, course.losses.counts
    # Two or three batches show their own spread only roughly, so the error is widened as Student's t requires.
    valid_error = course.losses.valid_error * np.where(counts >= 8, 1.0, 1 + 4 / np.maximum(counts - 1, 1))
    errors = np.hypot(np.nan_to_num(valid_error), np.nan_to_num(course.losses.train_error))
    # One batch has no spread, so the larger gap is required.
    nothing_left = (course.train < parameters["memorized_loss"] * scale) & np.isfinite(valid_error)
    smaller, usual = float(parameters["memorized_gap"]), float(parameters["gap_of_chance"])
    material = np.where(nothing_left, smaller, usual) * scale
    wide = (gap > np.maximum(material, SIGMAS * errors)) & (course.train < course.valid / 2)
    wide &= course.train < CLEARLY_BELOW_CHANCE * scale  # a model that has memorized pictures is better than chance
    better = float(course.valid[: -course.patience].min()) - course.last_valid
    if not wide[-course.patience :].all() or better > parameters["still_better"] * scale:
        return None
    return len(wide) - int(np.argmin(wide[::-1])) if not wide.all() else 0


def accuracies_diverge(run: Run) -> bool:
    """Whether the best epoch classifies training pictures correctly, but unseen ones significantly less often."""
    best, size = run.best, run.valid_size
    if best is None or not size:
        return False
    trained, validated = float(run.train.accuracy[best]), float(run.valid.accuracy[best])
    high = wilson(validated * size, size)[1]
    return trained >= MEMORIZED_ACCURACY and trained - validated >= ACCURACY_GAP and trained > high


def trends_upward(run: Run, best: int) -> bool:
    """Whether the validation loss trends upward after the best epoch, and does not just fluctuate above it.

    A curve that fluctuates around one level has a lowest point too, and all later epochs lie above that point. But they
    come in no particular order, so the slope of the later epochs is tested. The lowest point is left out, because it
    was selected. Three epochs or fewer are too few for this test: each must be higher than the one before, and the
    total rise must be far beyond the noise of the curve.
    """
    after = run.valid.loss[run.validated[run.validated > best]]
    if len(after) > 3:
        return curves.trend(after) > statistics.t_quantile(len(after) - 2, statistics.Z99)
    climbs = np.diff(np.concatenate([[run.valid.loss[best]], after]))
    scatter = curves.smooth_jitter(run.valid.loss[run.validated])
    return len(after) > 1 and bool((climbs > 0).all()) and bool(climbs.sum() > FAR_BEYOND * scatter)


def _epochs_with_both(run: Run) -> NDArray[np.int64]:
    # A run may begin with an evaluation, which has no training loss. Other epochs may have no evaluation.
    return np.flatnonzero(np.isfinite(run.means.train) & np.isfinite(run.means.valid))
