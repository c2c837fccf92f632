"""Whether a run overfits: a validation loss that turned, or training pictures that were memorized.

The rules Overfit and Overtraining report it where it costs something; the thresholds are their parameters and stand,
with their reasons, in `losses/overfit.py`. Insights also mention a turn that is small, and never contradict the rules:
they ask the same functions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import Trial
from training_scripts.rules.declaration import Parameters
from training_scripts.rules.evidence import curves, statistics
from training_scripts.rules.evidence.chance_level import CLEARLY_BELOW_CHANCE, SIGMAS, chance_loss
from training_scripts.rules.evidence.run import Run

LONG = 20
"""Epochs after the best one, and a quarter of the run: a slow rise must last this long to count."""

FAR_BEYOND = 6.0
"""A curve's scatter is known from few epochs only: a rise of three epochs must be this many times as large."""

MEMORIZED_ACCURACY = 0.95
"""A model that classifies this share of the training pictures right knows them."""

ACCURACY_GAP = 0.1
"""A gap of 10 points between training and validation accuracy is more than augmentation causes; that it is not chance
is tested."""


class Course:
    """Validation against training loss over the epochs that have both, and how it ended.

    Attributes:
        run: The run.
        patience: How many of the last epochs are taken together as its end.
        losses: Of the epochs that have both losses [n].
        best: Index of the epoch with the lowest validation loss.
        lowest: The lowest validation loss, smoothed where epochs suffice: a lucky one is not a measure of a rise.
        last_valid: Mean validation loss of the end.
        last_train: Mean training loss of the end.
        scale: What knowing nothing costs: the measure of what matters.
        counts_epochs: Whether epochs are known as such, and not only as what lies between two evaluations.
    """

    def __init__(self, run: Run, patience: int) -> None:
        """Use `Course.of`, which refuses runs that are too short."""
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
        # Where it is unknown what guessing costs, what was known at first is the measure.
        known_at_first = max(abs(first) if math.isfinite(first) else 0.0, abs(float(self.valid[0])))
        self.scale = chance if chance is not None else known_at_first

    @classmethod
    def of(cls, trial: Trial, patience: int) -> Course | None:
        """The course of a recording's run; None where fewer than patience + 2 epochs have both losses."""
        run = Run.of(trial)
        return None if run is None or epochs_with_both(trial) < patience + 2 else cls(run, patience)

    @property
    def since(self) -> int:
        """Epochs after the best one."""
        return len(self.valid) - 1 - self.best

    @property
    def rise(self) -> float:
        """By how much the validation loss rose from its lowest to the end."""
        return self.last_valid - self.lowest

    def rises_surely(self) -> bool:
        """Whether the rise since the best epoch is more than noise: of epochs, and of single pictures or batches."""
        noise = curves.jitter(self.valid) * math.sqrt(2 / self.patience)
        if self.rise <= SIGMAS * noise:
            return False
        paired = self.run.paired_differences(int(self._epochs[-1]), int(self._epochs[self.best]))
        if paired is None:
            return True
        # A few pictures with a huge loss can lift the mean alone; then the model is surer, not worse.
        return float(paired.mean()) > SIGMAS * statistics.standard_error(paired)

    def diverges(self) -> bool:
        """Whether the training loss rose since the best epoch too: nothing was memorized then."""
        return self.last_train > float(self.train[self.best])


def epochs_with_both(trial: Trial) -> int:
    """How many epochs have both a training and a validation loss."""
    run = Run.of(trial)
    return 0 if run is None else len(_epochs_with_both(run))


def turned(course: Course, parameters: Parameters) -> bool:
    """Whether validation turned and rose while training did not: surely, for long enough, and by enough to matter.

    Args:
        course: With the rule's patience.
        parameters: Of the rule Overfit.
    """
    material = max(parameters["rise_of_chance"] * course.scale, parameters["ratio_threshold"] * abs(course.lowest))
    # With nothing left to learn from, what validation loses for long is overfitting however slowly it loses it.
    nothing_left = course.last_train < parameters["memorized_loss"] * course.scale
    if nothing_left and course.since >= max(LONG, len(course.valid) / 4):
        slow = max(parameters["memorized_rise"] * course.scale, parameters["memorized_ratio"] * abs(course.lowest))
        material = min(material, slow)
    long = course.since >= course.patience
    return long and course.rise > material and course.rises_surely() and not course.diverges()


def memorized_since(course: Course, parameters: Parameters) -> int | None:
    """Index of the epoch from which on the training pictures were memorized, by the losses; None where they are not.

    As long as validation gets better, training on is right however wide the gap between the losses is.

    Args:
        course: With the rule's patience.
        parameters: Of the rule Overfit.
    """
    gap, scale, counts = course.valid - course.train, course.scale, course.losses.counts
    # The spread of two or three batches is itself hardly known (Student's distribution has long tails there).
    valid_error = course.losses.valid_error * np.where(counts >= 8, 1.0, 1 + 4 / np.maximum(counts - 1, 1))
    errors = np.hypot(np.nan_to_num(valid_error), np.nan_to_num(course.losses.train_error))
    # Without a spread (one batch) only the larger gap counts.
    nothing_left = (course.train < parameters["memorized_loss"] * scale) & np.isfinite(valid_error)
    smaller, usual = float(parameters["memorized_gap"]), float(parameters["gap_of_chance"])
    material = np.where(nothing_left, smaller, usual) * scale
    wide = (gap > np.maximum(material, SIGMAS * errors)) & (course.train < course.valid / 2)
    wide &= course.train < CLEARLY_BELOW_CHANCE * scale  # a model that memorizes knows more than nothing
    better = float(course.valid[: -course.patience].min()) - course.last_valid
    if not wide[-course.patience :].all() or better > parameters["still_better"] * scale:
        return None
    return len(wide) - int(np.argmin(wide[::-1])) if not wide.all() else 0


def accuracies_part(run: Run) -> bool:
    """Whether the best epoch classifies its training pictures right, and unseen ones much less often, beyond chance."""
    best, size = run.best, run.valid_size
    if best is None or not size:
        return False
    trained, judged = float(run.train.accuracy[best]), float(run.valid.accuracy[best])
    high = statistics.wilson(judged * size, size)[1]
    return trained >= MEMORIZED_ACCURACY and trained - judged >= ACCURACY_GAP and trained > high


def trends_upwards(run: Run, best: int) -> bool:
    """Whether the validation loss has a trend upwards after an epoch, and does not just wobble above it.

    A wobble has a lowest point too, and every later epoch lies above it. But around one level the epochs after it come
    in any order: so their slope is tested, without the lowest point, which was chosen. Up to three epochs have too few
    orders for that: they must rise one by one, far beyond the scatter of the curve before.
    """
    after = run.valid.loss[run.judged[run.judged > best]]
    if len(after) > 3:
        return curves.trend(after) > statistics.t_quantile(len(after) - 2, statistics.Z99)
    climbs = np.diff(np.concatenate([[run.valid.loss[best]], after]))
    scatter = curves.smooth_jitter(run.valid.loss[run.judged])
    return len(after) > 1 and bool((climbs > 0).all()) and bool(climbs.sum() > FAR_BEYOND * scatter)


def _epochs_with_both(run: Run) -> NDArray[np.int64]:
    # A run may begin with an evaluation; an epoch without one shows nothing here.
    return np.flatnonzero(np.isfinite(run.means.train) & np.isfinite(run.means.valid))
