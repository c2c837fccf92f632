"""How many samples each recorded step had, so that means over batches count every sample once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.layout import ACCURACY, LABELS, PREDICTIONS, STEP_SIZE, VALID_LOSSES
from training_scripts.recording.trial.trial import EVAL, TRAIN, Series, StepTable
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.evidence import Evidence

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST = 2.0**53
"""No batch or split is larger; larger numbers would overflow in sums."""

APART = 0.02
"""Losses of the last and of the other batches must differ by this share to show the size of the last batch.

A recorded loss is a float32 number, so its rounding shifts the computed size by less than a sample then."""

LOSS_DIFFERS, ACCURACY_DIFFERS = 0.1, 0.02
"""If leaving out the last batch changes a mean by less than this share of a loss, or by less than two points of an
accuracy, its size hardly matters, and all batches count alike."""


def batch_sizes(run: Evidence, mode: str) -> Floats | None:
    """Samples in each recorded step of a mode, float64 [steps]; None if unknown.

    Taken from the recorded sizes; otherwise from labels recorded at every step, from the sizes of batch and split, or
    from the labels and losses of a whole evaluation.
    """
    key = f"batch sizes {mode}"
    if key not in run.kept:
        found = None
        if len(run.steps(mode).steps):
            found = _recorded(run, mode)
            found = _of_labels(run, mode) if found is None else found
            found = _planned(run, mode) if found is None else found
            found = _deduced(run) if found is None and mode == EVAL else found
        run.kept[key] = found
    kept: Floats | None = run.kept[key]
    return kept


def usual_batch(run: Evidence) -> int | None:
    """Samples in most training steps; None if unknown."""
    sizes = batch_sizes(run, TRAIN)
    return None if sizes is None else int(np.median(sizes))


def evaluations(run: Evidence) -> list[Integers]:
    """The EVAL steps of each evaluation: those between two training steps, as places in the table of EVAL steps."""
    train, table = run.steps(TRAIN), run.steps(EVAL)
    before = np.searchsorted(train.global_steps, table.global_steps)
    return [np.flatnonzero(before == one) for one in np.unique(before)]


def weights_of(run: Evidence, mode: str, steps: Integers) -> Floats | None:
    """Samples in each of these steps, which must be recorded, float64 [n]; None if unknown."""
    sizes = batch_sizes(run, mode)
    return None if sizes is None else sizes[np.searchsorted(run.steps(mode).steps, steps)]


def last_loss_matters(values: Floats, begins: Integers, counts: Integers) -> bool:
    """Whether mean losses of evaluations depend on the size of their last batch, if that is unknown.

    Args:
        values: One loss per batch, evaluation after evaluation [n].
        begins: Where each evaluation begins in `values` [evaluations].
        counts: How many batches it has [evaluations].
    """
    finite = np.abs(values[np.isfinite(values)])
    return bool(len(finite)) and _by_the_last(values, begins, counts) > LOSS_DIFFERS * float(np.median(finite))


def last_accuracy_matters(values: Floats, begins: Integers, counts: Integers) -> bool:
    """The same for accuracies."""
    return _by_the_last(values, begins, counts) > ACCURACY_DIFFERS


def _by_the_last(values: Floats, begins: Integers, counts: Integers) -> float:
    """By how much the last batch usually changes the mean of an evaluation; 0 if there are no finite means."""
    several = counts > 1
    sums = np.add.reduceat(values, begins)[several]
    last, count = values[begins + counts - 1][several], counts[several]
    changes = np.abs(sums / count - (sums - last) / (count - 1))
    changes = changes[np.isfinite(changes)]
    return float(np.median(changes)) if len(changes) else 0.0


def _recorded(run: Evidence, mode: str) -> Floats | None:
    series = run.reduction(STEP_SIZE, "mean", mode) if STEP_SIZE in run.recorded_names() else None
    return None if series is None else _spread(run.steps(mode), series)


def _spread(table: StepTable, series: Series) -> Floats | None:
    """Sizes for all steps of a table; the usual size where none was recorded. None if a size is not a positive number.

    A batch may also be missing because its file was damaged.
    """
    there = np.isin(series.steps, table.steps)
    values = series.values[there]
    if not len(values) or not ((values >= 1) & (values <= MOST)).all():
        return None
    sizes = np.full(len(table.steps), float(np.median(values)))
    sizes[np.searchsorted(table.steps, series.steps[there])] = values
    return sizes


def _of_labels(run: Evidence, mode: str) -> Floats | None:
    """Sizes of labels that were recorded at every step of a mode, as scripts with smdebug's hook do.

    Labels at the last step of each evaluation alone are those of the whole evaluation.
    """
    steps = run.steps(mode).steps
    for name in selection.natural(selection.members(run, "labels") or run.recorded_names() & {"labels"}):
        if len(steps) > 1 and np.array_equal(run.steps_in_full(name, mode), steps):
            if mode == EVAL and all(len(places) == 1 for places in evaluations(run)):
                return None
            sizes = np.array([run.value(name, step, mode).shape[:1] or (1,) for step in steps.tolist()])
            return sizes[:, 0].astype(np.float64) if (sizes > 0).all() else None
    return None


def _planned(run: Evidence, mode: str) -> Floats | None:
    """Sizes from those of batch and split: only the last batch of an epoch or evaluation is smaller."""
    sizes: Any = run.run.get("sizes")
    batch = run.run.get("batch_size")
    size = sizes.get("train" if mode == TRAIN else "valid") if isinstance(sizes, dict) else None
    if not (isinstance(batch, int) and isinstance(size, int) and 0 < batch < MOST and 0 < size < MOST):
        return None
    table = run.steps(mode)
    found = np.full(len(table.steps), float(batch))
    whole = -(-size // batch)
    if mode == TRAIN:
        if run.run.get("steps_per_epoch") in (None, whole):  # otherwise the last batch is dropped
            found[(table.steps + 1) % whole == 0] = size % batch or batch
        return found
    for places in evaluations(run):
        if len(places) == whole:
            found[places[-1]] = size % batch or batch
    return found


def _deduced(run: Evidence) -> Floats | None:
    """Sizes from evaluations whose single losses, or labels and predictions, were recorded with their last batch.

    With n samples, of which r are in the last of k batches, n mean = (n - r) others + r last. So r follows from the
    mean of all samples, the mean of the other batches, which have the same size, and that of the last batch.
    """
    table, parts = run.steps(EVAL).steps, evaluations(run)
    counts: dict[int, int] = {}  # the samples of an evaluation, by its number of batches
    rests: dict[int, int] = {}  # those of its last batch
    for batches, singles in (_loss_and_its_parts(run), _accuracy_and_its_parts(run)):
        if batches is None or not np.array_equal(batches.steps, table):
            continue
        for places in parts:
            single = singles(int(table[places[-1]])) if len(places) not in rests else None
            if single is not None and single.size:
                counts[len(places)] = single.size
                rest = _rest(batches.values[places], float(single.mean()), single.size)
                rests |= {} if rest is None else {len(places): rest}
    found = np.full(len(table), math.nan)
    for places in parts:
        count, several = counts.get(len(places), 0), len(places) > 1
        rest = rests.get(len(places), 0) if several else count
        if not count or not rest:
            return None
        found[places] = (count - rest) / max(len(places) - 1, 1)
        found[places[-1]] = rest
    return found


Singles = Callable[[int], "Floats | None"]


def _loss_and_its_parts(run: Evidence) -> tuple[Series | None, Singles]:
    """The loss of each EVAL step, and a function of an EVAL step: the losses of all samples, recorded there."""
    names = selection.natural(selection.members(run, VALID_LOSSES) or run.recorded_names() & {VALID_LOSSES})
    losses = [run.reduction(name, "mean", EVAL) for name in selection.members(run, "losses") - set(names)]

    def singles(step: int) -> Floats | None:
        there = names and step in run.steps_in_full(names[0], EVAL)
        return run.value(names[0], step, EVAL).ravel().astype(np.float64) if there else None

    return max((one for one in losses if one is not None), key=len, default=None), singles


def _accuracy_and_its_parts(run: Evidence) -> tuple[Series | None, Singles]:
    """The accuracy of each EVAL step, and a function of an EVAL step: which samples were right, recorded there."""

    def singles(step: int) -> Floats | None:
        if not all(step in run.steps_in_full(name, EVAL) for name in (LABELS, PREDICTIONS)):
            return None
        labels, predictions = (run.value(name, step, EVAL).ravel() for name in (LABELS, PREDICTIONS))
        return (labels == predictions).astype(np.float64) if len(labels) == len(predictions) else None

    known = run.recorded_names() >= {ACCURACY, LABELS, PREDICTIONS}
    return run.reduction(ACCURACY, "mean", EVAL) if known else None, singles


def _rest(batches: Floats, mean: float, count: int) -> int | None:
    """The size of the last batch; None if it cannot be computed, or contradicts that it is the smallest."""
    if len(batches) < 2 or not np.isfinite([*batches, mean]).all():
        return None
    others, last = float(batches[:-1].mean()), float(batches[-1])
    if abs(last - others) <= APART * max(abs(others), abs(last)):
        return None
    rest = round(count * (mean - others) / (last - others))
    whole = (count - rest) / (len(batches) - 1)
    return rest if 1 <= rest <= whole and whole == round(whole) else None
