"""The epochs of a run, and their mean losses with standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, Series, Trial
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import selection, step_sizes
from training_scripts.rules.evidence.evidence import Evidence

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


LAST_LEFT_OUT = (
    "The sizes of the validation batches were not recorded, and the last batch of each evaluation may be smaller than"
    " the others. Validation means leave it out; record the size of each step, or labels and predictions, to have it"
    " counted."
)
LONGEST_EPOCH = 2**62
"""Steps. A larger number would not fit 64 bits, and such a run has only one epoch anyway."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the train split, as far as it was recorded.

    Attributes:
        number: From 1; 0 for an evaluation before any training.
        train_steps: Its recorded TRAIN steps, ascending.
        eval_steps: The recorded EVAL steps of the evaluation after it, ascending; empty if there was none.
    """

    number: int
    train_steps: Integers
    eval_steps: Integers


class EpochLosses(NamedTuple):
    """Mean losses per epoch, one entry for each epoch that has a training loss; NaN for unknown values.

    Attributes:
        epochs: Epoch numbers [n].
        train: Mean training loss [n], measured while the weights changed.
        train_error: Its standard error [n], from the spread of the batches.
        valid: Mean validation loss [n].
        valid_error: Its standard error [n], from the losses of single pictures if they were recorded, otherwise from
            the spread of the batches.
        counts: Number of pictures in each validation mean if known, otherwise number of batches [n]; 0 for none.
        train_ends: The last recorded TRAIN step of each epoch [n].
    """

    epochs: Integers
    train: Floats
    train_error: Floats
    valid: Floats
    valid_error: Floats
    counts: Integers
    train_ends: Integers

    def rows(self, chosen: Integers) -> EpochLosses:
        """The losses of some epochs, by their indices."""
        return EpochLosses(
            self.epochs[chosen],
            self.train[chosen],
            self.train_error[chosen],
            self.valid[chosen],
            self.valid_error[chosen],
            self.counts[chosen],
            self.train_ends[chosen],
        )


def epochs(trial: Trial) -> list[Epoch]:
    """The epochs of a run, by `steps_per_epoch` if the recording has it, otherwise by its evaluations.

    Without either, all training steps form one epoch.
    """
    run = evidences.of(trial)
    train, evaluated = run.steps(TRAIN).steps, run.steps(EVAL).steps
    of_train, of_eval = _numbers_of(run)
    return [
        Epoch(int(number), train[of_train == number], evaluated[of_eval == number])
        for number in np.union1d(of_train, of_eval)
    ]


def epoch_losses(trial: Trial) -> EpochLosses:
    """The mean losses of every epoch with their standard errors; empty arrays if no loss was recorded.

    Each batch is weighted by its size. If the sizes are unknown and the last batch of evaluations differs from the
    others by enough to matter, the means leave it out, because it may be a single sample: see `notes`.
    """
    run = evidences.of(trial)
    if "epoch losses" not in run.kept:
        with np.errstate(all="ignore"):  # the mean over a diverged loss may overflow
            run.kept["epoch losses"] = _epoch_losses(run)
    kept: EpochLosses = run.kept["epoch losses"]
    return kept


def notes(trial: Trial) -> list[str]:
    """Sentences on what the means of epochs leave out."""
    run = evidences.of(trial)
    epoch_losses(run)
    if "last batch left out" not in run.kept:
        return []
    return [LAST_LEFT_OUT]


def loss_names(trial: Trial) -> list[str]:
    """Names of the recorded losses with one number per step: collection losses, otherwise tensors named loss."""
    run = evidences.of(trial)
    kept: list[str] | None = run.kept.get("loss names")
    if kept is None:
        names = selection.members(run, "losses") or {name for name in run.recorded_names() if "loss" in name.lower()}
        usual = {name for name in names if "loss" in name.lower() and "output" in name.lower()}
        single = selection.members(run, "valid_losses")  # one number per picture, not per step
        kept = run.kept["loss names"] = selection.natural((usual or names) - single)
    return kept


def loss_series(trial: Trial, mode: str) -> Series | None:
    """The loss of a mode, one number per step. Of several losses, the one recorded most often."""
    run = evidences.of(trial)
    found = [run.reduction(name, "mean", mode) for name in loss_names(run)]
    return max((series for series in found if series is not None), key=len, default=None)


def training_loss(trial: Trial) -> Series | None:
    """The training loss, one number per step, from mode TRAIN or from a recording without modes."""
    found = loss_series(trial, TRAIN)
    return found if found is not None else loss_series(trial, GLOBAL)


def _numbers_of(run: Evidence) -> tuple[Integers, Integers]:
    """The epoch number of each recorded TRAIN step, and of each recorded EVAL step."""
    if "epoch numbers" not in run.kept:
        train, evaluated = run.steps(TRAIN), run.steps(EVAL)
        before = np.searchsorted(train.global_steps, evaluated.global_steps)  # TRAIN steps before each EVAL step
        a_pass = run.run.get("steps_per_epoch")
        if isinstance(a_pass, int) and a_pass > 0:
            of_train = train.steps // min(a_pass, LONGEST_EPOCH) + 1
        else:
            ends = np.unique(before[before > 0])
            of_train = np.searchsorted(ends, np.arange(len(train.steps)), side="right") + 1
        of_eval = np.where(before > 0, of_train[np.maximum(before, 1) - 1] if len(of_train) else 0, 0)
        run.kept["epoch numbers"] = of_train.astype(np.int64), of_eval.astype(np.int64)
    kept: tuple[Integers, Integers] = run.kept["epoch numbers"]
    return kept


def _epoch_losses(run: Evidence) -> EpochLosses:
    train, valid = training_loss(run), loss_series(run, EVAL)
    of_train, of_eval = _numbers_of(run)
    nothing = np.zeros(0)
    none = np.zeros(0, dtype=np.int64)
    if train is None or not len(of_train):
        return EpochLosses(none, nothing, nothing, nothing, nothing, none, none)
    numbers, mean, error, _, ends = _grouped(run, train, TRAIN, of_train)
    empty = np.full(len(numbers), np.nan)
    if valid is None or not len(of_eval):
        return EpochLosses(numbers, mean, error, empty, empty, np.zeros(len(numbers), dtype=np.int64), ends)
    valid_numbers, valid_mean, valid_error, batches, valid_ends = _grouped(run, valid, EVAL, of_eval)
    valid_error, batches = _of_pictures(run, valid_ends, valid_error, batches)
    place = np.searchsorted(valid_numbers, numbers)
    there = place < len(valid_numbers)
    there[there] = valid_numbers[place[there]] == numbers[there]
    columns = []
    for column in (valid_mean, valid_error, batches.astype(np.float64)):
        spread = empty.copy()
        spread[there] = column[place[there]]
        columns.append(spread)
    counts = np.nan_to_num(columns[2]).astype(np.int64)
    return EpochLosses(numbers, mean, error, columns[0], columns[1], counts, ends)


def _grouped(
    run: Evidence, series: Series, mode: str, epoch_of_step: Integers
) -> tuple[Integers, Floats, Floats, Integers, Integers]:
    """Epoch numbers, and for each epoch its weighted mean, standard error, number of batches and last step."""
    table = run.steps(mode).steps
    place = np.minimum(np.searchsorted(table, series.steps), len(table) - 1)
    known = table[place] == series.steps
    numbers, steps, values = epoch_of_step[place[known]], series.steps[known], series.values[known]
    if not len(numbers):
        return numbers, values, values, numbers, numbers
    begins = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
    counts = np.diff(np.r_[begins, len(numbers)])
    last = begins + counts - 1
    share = step_sizes.weights_of(run, mode, steps)
    if share is None:
        share = np.ones(len(values))
        if mode == EVAL and step_sizes.last_loss_matters(values, begins, counts):
            run.kept["last batch left out"] = True
            share[last[counts > 1]] = 0.0
    weight = np.add.reduceat(share, begins)
    mean = np.add.reduceat(values * share, begins) / weight
    counted = np.add.reduceat((share > 0).astype(np.int64), begins)
    spread = np.add.reduceat(share * np.square(values - np.repeat(mean, counts)), begins) / weight
    several = counted > 1
    error = np.full(len(mean), np.nan)
    error[several] = np.sqrt(spread[several] / (counted[several] - 1))
    return numbers[begins], mean, error, counted, steps[last]


def _of_pictures(run: Evidence, ends: Integers, error: Floats, batches: Integers) -> tuple[Floats, Integers]:
    """Standard errors from the losses of single pictures, if these were recorded at the last step of an evaluation."""
    names = selection.natural(selection.members(run, "valid_losses"))
    if not names:
        return error, batches
    spread, mean = run.reduction(names[0], "std", EVAL), run.reduction(names[0], "mean", EVAL)
    if spread is None or mean is None:
        return error, batches
    error, counts = error.copy(), batches.copy()
    full = set(run.steps_in_full(names[0], EVAL).tolist())
    size = None
    for step, value in zip(spread.steps.tolist(), spread.values.tolist(), strict=True):
        place = np.flatnonzero(ends == step)
        if not len(place) or step not in full:
            continue
        if size is None:  # the valid split does not change during a run
            size = run.value(names[0], step, EVAL).size
        if size > 1:
            error[place] = value / np.sqrt(size - 1)
            counts[place] = size
    return error, counts
