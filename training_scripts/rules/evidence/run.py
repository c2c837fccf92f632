"""A recorded run: its epochs, curves, hyperparameters and single pictures, read once for rules and insights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.layout import LEARNING_RATE, OUTPUTS, TARGETS, VALID_PROBABILITIES
from training_scripts.recording.trial.trial import EVAL, TRAIN, RecordingError, Series, Trial
from training_scripts.rules.evidence import curves, statistics, step_sizes, task
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import chance_loss
from training_scripts.rules.evidence.epochs import EpochLosses, epoch_losses, epochs, loss_series, training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.recorded import (
    MOST,
    accuracy_of,
    count,
    epoch_means,
    mapping,
    numbers,
    whole_numbers,
)
from training_scripts.rules.own_words import Words
from training_scripts.training import hyperparameters

Values = NDArray[np.float64]

# An epoch within 1% of the best loss is as good as the best.
AS_GOOD = 0.01
LEAST_BATCHES = 5
"""With fewer batches, the scatter of their losses is unknown."""
LOST = 0.25
"""A run whose validation loss rose by this share of the chance-level loss has lost what it learned."""
FEW_LEFT, LEARNED, HALVED = 0.2, 0.35, 0.5
"""A run has learned most of what there is to learn with at most this share of the mistakes of guessing, or a loss below
this share of the chance-level loss; where that is unknown, below this share of the loss at the start."""
KEEPS_BEST = "train_model keeps the weights of the epoch with the lowest validation loss"


@dataclass(frozen=True)
class Curve:
    """Values per epoch in one mode, float64 [epochs] each; NaN for unknown values.

    Attributes:
        loss: Mean loss.
        accuracy: Accuracy, as a share of 1.
        error: Standard error of the mean loss.
    """

    loss: Values
    accuracy: Values
    error: Values


@dataclass(frozen=True)
class Difference:
    """How much the validation loss of one epoch exceeds that of another.

    Attributes:
        mean: The difference.
        error: Its standard error; NaN if unknown.
        source: Where the error comes from, in words.
    """

    mean: float
    error: float
    source: str

    @property
    def score(self) -> float:
        """The difference in standard errors; 0 if the error is unknown."""
        if not math.isfinite(self.error):
            return 0.0
        return self.mean / self.error if self.error > 0 else math.copysign(math.inf, self.mean) if self.mean else 0.0


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        trial: The recording.
        losses: The loss of each training step.
        accuracies: The accuracy of each training step; empty if it was not recorded.
        train: Training values per epoch, measured while the weights changed.
        valid: Validation values per epoch, measured at its end.
        means: The same losses, with the numbers, counts and last steps of the epochs.
        train_steps: TRAIN steps of each epoch.
        eval_steps: EVAL steps of each epoch.
    """

    trial: Evidence
    losses: Series
    accuracies: Series
    train: Curve
    valid: Curve
    means: EpochLosses
    train_steps: Sequence[NDArray[np.int64]] = field(default_factory=tuple)
    eval_steps: Sequence[NDArray[np.int64]] = field(default_factory=tuple)

    @classmethod
    def of(cls, trial: Trial) -> Run | None:
        """The run of a recording, read only once; None if it has no training loss."""
        evidence = evidences.of(trial)
        if "run" not in evidence.kept:
            evidence.kept["run"] = cls._read(evidence)
        kept: Run | None = evidence.kept["run"]
        return kept

    @classmethod
    def _read(cls, trial: Evidence) -> Run | None:
        losses = training_loss(trial)
        means = epoch_losses(trial)
        if losses is None or not len(losses) or not len(means.epochs):
            return None
        rows = {int(number): row for row, number in enumerate(means.epochs)}
        parts = [part for part in epochs(trial) if part.number in rows and len(part.train_steps)]
        order = [rows[part.number] for part in parts]
        accuracies, validated = accuracy_of(trial)
        train_steps = [part.train_steps for part in parts]
        eval_steps = [part.eval_steps for part in parts]
        return cls(
            trial=trial,
            losses=losses,
            accuracies=accuracies,
            train=Curve(
                means.train[order],
                epoch_means(accuracies, train_steps, _sizes(trial, accuracies)),
                means.train_error[order],
            ),
            valid=Curve(
                means.valid[order],
                np.array([validated.get(part.number, math.nan) for part in parts]),
                means.valid_error[order],
            ),
            means=means.rows(np.array(order, dtype=np.int64)),
            train_steps=train_steps,
            eval_steps=eval_steps,
        )

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(self.train_steps)

    @property
    def keeps_best(self) -> bool:
        """Whether train_model made the run, which keeps the model of the best epoch, not of the last."""
        return self.words.is_ours

    @cached_property
    def words(self) -> Words:
        """What the run calls its hyperparameters and samples."""
        return Words.of(self.trial.run, self.trial.recorded_names())

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Hyperparameters by train_model's dashed names, in Python types; empty if unknown.

        Of a loop of another author, only the numbers that most loops have: `own_words.NAMES`.
        """
        if not self.words.is_ours:
            return {
                name: int(value) if name in ("epochs", "batch-size") else value
                for name, value in {**self._recorded_rate(), **self.words.values}.items()
                if math.isfinite(value)
            }
        written = {
            str(name).replace("_", "-"): value for name, value in mapping(self.trial.run, "hyperparameters").items()
        }
        known = set(hyperparameters.names("train_model"))
        try:
            read = hyperparameters.validate({name: value for name, value in written.items() if name in known})
        except hyperparameters.HyperparameterError:
            return {}
        return {name: getattr(read, name.replace("-", "_")) for name in written if name in known}

    @cached_property
    def rates(self) -> Series | None:
        """The learning rate of each recorded training step, of the first parameter group; None if not recorded."""
        known = LEARNING_RATE in self.trial.recorded_names()
        return self.trial.reduction(LEARNING_RATE, "mean", TRAIN) if known else None

    def _recorded_rate(self) -> dict[str, float]:
        """The highest recorded learning rate: that which a schedule reaches after its warm-up."""
        return {} if self.rates is None else {"lr": float(self.rates.values.max())}

    @cached_property
    def batch_size(self) -> int | None:
        """Samples per training step."""
        recorded = step_sizes.usual_batch(self.trial)
        return recorded or count(self.trial.run.get("batch_size")) or self.settings.get("batch-size")

    def size(self, split: str) -> int | None:
        """Number of samples in a split: as the run says, or as its steps add up over an epoch; None if unknown."""
        told = count(mapping(self.trial.run, "sizes").get(split))
        mode = {"train": TRAIN, "valid": EVAL}.get(split)
        return told if told or mode is None else self._samples(mode)

    def _samples(self, mode: str) -> int | None:
        """Samples in an epoch's steps of a mode; in most epochs, if they differ. None if unknown."""
        sizes = step_sizes.batch_sizes(self.trial, mode)
        if sizes is None:
            return None
        table = self.trial.steps(mode).steps
        parts = self.train_steps if mode == TRAIN else self.eval_steps
        totals = [float(sizes[np.searchsorted(table, steps)].sum()) for steps in parts if len(steps)]
        return count(float(np.median(totals))) if totals else None

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in index order; empty if unknown."""
        names = self.trial.run.get("classes")
        return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else ()

    @cached_property
    def class_counts(self) -> NDArray[np.int64]:
        """Training pictures per class; empty if unknown, or if their number does not match the classes."""
        counts: object = self.trial.run.get("class_counts")
        if counts is None and self.trial.has("class_counts"):
            values = self.trial.tensor("class_counts").values(TRAIN)
            counts = values[-1][1] if values else None
        found = whole_numbers(counts)
        if found is None or (self.class_names and len(found) != len(self.class_names)) or not found.any():
            return np.zeros(0, dtype=np.int64)
        return found

    @cached_property
    def classes(self) -> int | None:
        """Number of classes; None if unknown, or if the run has none."""
        if not task.has_classes(self.trial):
            return None
        return len(self.class_names) or len(self.class_counts) or task.number_of_classes(self.trial)

    @cached_property
    def chance(self) -> float | None:
        """The chance-level validation loss, for guesses by the class shares of the train split; None if unknown."""
        if not self.classes or not task.is_cross_entropy(self.trial):
            return chance_loss(self.trial)
        uniform = math.log(self.classes)
        shown = self.answers(self.epochs - 1)
        if shown is None or len(self.class_counts) != self.classes or self.class_counts.min() < 1:
            return uniform
        shares = self.class_counts / self.class_counts.sum()
        return min(uniform, float(-np.log(shares[shown[0]]).mean()))

    @cached_property
    def validated(self) -> NDArray[np.int64]:
        """Epochs (from 0) that were validated with a finite loss."""
        return np.flatnonzero(np.isfinite(self.valid.loss))

    @cached_property
    def best(self) -> int | None:
        """The epoch (from 0) of the lowest validation loss; None without validation."""
        return int(self.validated[np.argmin(self.valid.loss[self.validated])]) if len(self.validated) else None

    @cached_property
    def rests(self) -> int:
        """The first epoch (from 0) whose validation loss is practically the best. At least one must be validated."""
        losses = self.valid.loss[self.validated]
        return int(self.validated[np.argmax(losses <= (1 + AS_GOOD) * losses.min())])

    @cached_property
    def scale(self) -> float:
        """The loss of a model that knows nothing: at chance level, or if that is unknown at the start of the run."""
        first = self.losses.values[: max(1, len(self.losses) // 20)]
        first = first[np.isfinite(first)]
        return self.chance or (float(np.abs(first).max()) if len(first) else 0.0)

    @cached_property
    def does_well(self) -> bool:
        """Whether the run learned most of what there is to learn, and kept it. If so, its hyperparameters are sound."""
        if self.best is None or not np.isfinite(self.losses.values[-1]):
            watched, best = self.train.loss, int(np.argmin(np.nan_to_num(self.train.loss, nan=math.inf)))
            last = watched[-1]
        else:
            watched, best = self.valid.loss, self.best
            # The last epoch may not be validated: it is still running, or not every epoch is.
            last = next(watched[epoch] for epoch in reversed(range(self.epochs)) if len(self.eval_steps[epoch]))
        scale = self.scale
        if not math.isfinite(last) or last > watched[best] + LOST * scale:
            return False
        accuracy = float(self.valid.accuracy[best])
        if self.classes and math.isfinite(accuracy) and 1 - accuracy <= FEW_LEFT * (1 - 1 / self.classes):
            return True
        return bool(watched[best] <= (LEARNED if self.chance else HALVED) * scale)

    @cached_property
    def valid_size(self) -> int | None:
        """Number of validation pictures."""
        shown = self.answers(self.epochs - 1)
        return self.size("valid") or (len(shown[0]) if shown is not None else None)

    def picture_losses(self, epoch: int) -> Values | None:
        """The loss of each validation picture after an epoch (from 0), float64 [n]; None if one of them is invalid."""
        found = numbers(self._at("valid_losses", epoch))
        return None if found is None or not len(found) or not (found >= 0).all() or found.max() > MOST else found

    def picture_probabilities(self, epoch: int) -> Values | None:
        """The probability of each validation picture's predicted class after an epoch (from 0), float64 [n].

        None if it was not recorded, or one of them is not a probability.
        """
        found = numbers(self._at(VALID_PROBABILITIES, epoch))
        # Rounding may exceed 1 a little.
        return None if found is None or not len(found) or found.min() < 0 or found.max() > 1.001 else found.clip(0, 1)

    @property
    def picture_names(self) -> tuple[str, ...]:
        """Names of the validation pictures, in the order of their losses; empty if unknown."""
        names = self.trial.run.get("valid_names")
        return tuple(map(str, names)) if isinstance(names, (list, tuple)) else ()

    def answers(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Labels and predictions of the validation pictures after an epoch (from 0), int64 [n] each.

        None if one of them is not a class index.
        """
        if not task.has_classes(self.trial):
            return None
        labels = whole_numbers(self._at("labels", epoch))
        predictions = whole_numbers(self._at("predictions", epoch))
        if labels is None or predictions is None or len(labels) != len(predictions) or not len(labels):
            return None
        if self.classes and max(labels.max(), predictions.max()) >= self.classes:
            return None
        return labels, predictions

    def targets_and_outputs(self, epoch: int) -> tuple[Values, Values] | None:
        """Targets and outputs of the validation samples of a regression after an epoch (from 0), float64 [n, ...] each.

        None if they were not recorded, or one of them is not finite.
        """
        targets, outputs = self._at(TARGETS, epoch), self._at(OUTPUTS, epoch)
        if targets is None or outputs is None or targets.shape != outputs.shape or not targets.ndim:
            return None
        flat = numbers(targets), numbers(outputs)
        if flat[0] is None or flat[1] is None:
            return None
        return flat[0].reshape(targets.shape), flat[1].reshape(targets.shape)

    def certainty(self, epoch: int) -> float:
        """The mean probability of the right predictions after an epoch (from 0); NaN if unknown."""
        losses, shown = self.picture_losses(epoch), self.answers(epoch)
        if losses is None or shown is None or len(losses) != len(shown[0]):
            return math.nan
        right = shown[0] == shown[1]
        return float(np.exp(-losses[right]).mean()) if right.any() else math.nan

    def excess(self, epoch: int, other: int) -> Difference:
        """How much the validation loss after `epoch` exceeds that after `other` (both from 0).

        The same pictures are evaluated both times, so the error is that of the differences picture by picture, or batch
        by batch. If neither was recorded, it comes from the noise of the curve.
        """
        mean = float(self.valid.loss[epoch] - self.valid.loss[other])
        paired = self.paired_differences(epoch, other)
        if paired is not None:
            pictures = self.picture_losses(epoch)
            singly = pictures is not None and len(pictures) == len(paired)
            what = "picture by picture over {} validation pictures" if singly else "batch by batch over {} batches"
            return Difference(mean, statistics.standard_error(paired), what.format(len(paired)))
        noise = curves.smooth_jitter(self.valid.loss[self.validated])
        return Difference(mean, noise * math.sqrt(2), "from the noise between neighboring epochs")

    def paired_differences(self, epoch: int, other: int) -> Values | None:
        """How much the loss of each validation picture after `epoch` exceeds that after `other`, float64 [n].

        If single pictures were not recorded, the differences are those of batches; None for fewer than five batches.
        """
        pictures = self.picture_losses(epoch), self.picture_losses(other)
        if pictures[0] is not None and pictures[1] is not None and len(pictures[0]) == len(pictures[1]) > 1:
            return pictures[0] - pictures[1]
        batches = self._batch_losses(epoch), self._batch_losses(other)
        alike = len(batches[0]) == len(batches[1]) >= LEAST_BATCHES
        return batches[0] - batches[1] if alike else None

    def _batch_losses(self, epoch: int) -> Values:
        """The mean loss of each validation batch after an epoch (from 0)."""
        series = loss_series(self.trial, EVAL)
        if series is None:
            return np.zeros(0)
        return series.values[np.isin(series.steps, self.eval_steps[epoch])]

    def last_step(self, epoch: int) -> int:
        """The last TRAIN step of an epoch (from 0)."""
        return int(self.train_steps[epoch][-1])

    @cached_property
    def epoch_seconds(self) -> float:
        """Wall time of an epoch, including validation; NaN if unknown."""
        table = self.trial.steps(TRAIN)
        times = dict(zip(table.steps.tolist(), table.times.tolist(), strict=True))
        starts = [times.get(int(steps[0]), math.nan) for steps in self.train_steps]
        gaps = np.diff(np.array(starts))
        gaps = gaps[np.isfinite(gaps)]
        return float(np.median(gaps)) if len(gaps) else math.nan

    def reduction(self, kind: str, collection: str) -> dict[str, Series]:
        """One reduction of a collection's tensors over the TRAIN steps, by tensor name; only of those that have it."""
        found = {}
        for name in self.trial.collections.get(collection, ()):
            if self.trial.has(name) and kind in self.trial.tensor(name).reductions(TRAIN):
                found[name] = self.trial.tensor(name).reduction(kind, TRAIN)
        return found

    def _at(self, name: str, epoch: int) -> NDArray[Any] | None:
        if not self.trial.has(name) or not 0 <= epoch < len(self.eval_steps):
            return None
        tensor = self.trial.tensor(name)
        steps = set(self.eval_steps[epoch].tolist())
        there = [step for step in tensor.steps(EVAL) if step in steps]
        try:
            return np.asarray(tensor.value(there[-1], EVAL)) if there else None
        except RecordingError:  # recorded only as reductions
            return None


def _sizes(trial: Evidence, series: Series) -> Values | None:
    """Samples in the training steps of a series; None if unknown."""
    if not np.isin(series.steps, trial.steps(TRAIN).steps).all():
        return None
    return step_sizes.weights_of(trial, TRAIN, series.steps)
