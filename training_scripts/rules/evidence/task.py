"""What a run was trained for: whether it has classes, and whether its loss is a cross-entropy over them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.layout import ACCURACY, LABELS, PREDICTIONS, VALID_LOSSES
from training_scripts.recording.trial.trial import EVAL, MODES
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.epochs import epoch_losses, epochs, loss_names
from training_scripts.rules.evidence.evidence import Evidence

CROSS_ENTROPY = re.compile(r"cross_?entropy|nll|softmax", re.IGNORECASE)

ALIKE = 0.02
"""A loss that differs by less from the mean cross-entropy of the same samples is that cross-entropy.

Label smoothing, class weights and a focal loss differ by more, unless they do hardly anything."""

MOST_CLASSES = 2_000
"""A larger index is not a class, unless the run names that many classes: it may be a token, or a number."""


def has_classes(run: Evidence) -> bool:
    """Whether the run classifies, so that accuracies and numbers of classes mean something."""
    if "has classes" not in run.kept:
        run.kept["has classes"] = _has_classes(run)
    return bool(run.kept["has classes"])


def _has_classes(run: Evidence) -> bool:
    task = run.run.get("task")
    if task in ("classification", "regression"):
        return bool(task == "classification")
    if run.run.get("classes") or run.run.get("class_counts") or selection.members(run, "labels"):
        return True
    if any(CROSS_ENTROPY.search(name) for name in loss_names(run)) and ACCURACY not in run.recorded_names():
        return True
    # A loop without classes that had to report a number of right answers reported none.
    names = [name for name in run.recorded_names() if ACCURACY in name.lower()]
    series = [run.reduction(name, "mean", mode) for name in names for mode in MODES]
    return any(bool((one.values != 0).any()) for one in series if one is not None)


def number_of_classes(run: Evidence) -> int | None:
    """The number of classes, as the run says or as its labels and predictions show; None if unknown or without any."""
    if not has_classes(run):
        return None
    for name in ("classes", "class_counts"):
        told = run.run.get(name)
        if isinstance(told, (list, tuple)) and told:
            return len(told)
    counts = _label_counts(run)
    return None if counts is None else len(counts)


def most_classes(run: Evidence) -> int:
    """The number that every class index of a run is below."""
    names = run.run.get("classes")
    return max(MOST_CLASSES, len(names) if isinstance(names, (list, tuple)) else 0)


def label_shares(run: Evidence) -> NDArray[np.float64] | None:
    """The share of each class among the validation labels, float64 [classes]; None if unknown."""
    counts = _label_counts(run) if has_classes(run) else None
    return None if counts is None else counts / counts.sum()


def _label_counts(run: Evidence) -> NDArray[np.int64] | None:
    """Labels per class at the last evaluation that recorded them; at least as many classes as were predicted."""
    if "label counts" not in run.kept:
        found = [_indices(run, name) for name in (LABELS, PREDICTIONS)]
        most = max((int(one.max()) for one in found if one is not None), default=0)
        labels = found[0]
        run.kept["label counts"] = None if labels is None or not most else np.bincount(labels, minlength=most + 1)
    kept: NDArray[np.int64] | None = run.kept["label counts"]
    return kept


def _indices(run: Evidence, name: str) -> NDArray[np.int64] | None:
    steps = run.steps_in_full(name, EVAL) if name in run.recorded_names() else np.zeros(0)
    if not len(steps):
        return None
    value = run.value(name, int(steps[-1]), EVAL).ravel()
    usual = value.dtype.kind in "iu" and len(value) and value.min() >= 0 and value.max() < most_classes(run)
    return value.astype(np.int64) if usual else None


def is_cross_entropy(run: Evidence) -> bool:
    """Whether the loss is a cross-entropy over the classes: by its name, or as that of single samples shows."""
    if "is cross-entropy" not in run.kept:
        run.kept["is cross-entropy"] = has_classes(run) and (
            any(CROSS_ENTROPY.search(name) for name in loss_names(run)) or _like_single_losses(run)
        )
    return bool(run.kept["is cross-entropy"])


def _like_single_losses(run: Evidence) -> bool:
    """Whether the mean cross-entropy of the validation samples, where it was recorded, is the validation loss."""
    names = selection.natural(selection.members(run, VALID_LOSSES))
    means = epoch_losses(run)
    rows = {int(number): row for row, number in enumerate(means.epochs)}
    pairs = []
    for epoch in epochs(run) if names else ():
        there = np.intersect1d(run.steps_in_full(names[0], EVAL), epoch.eval_steps)
        if len(there) and epoch.number in rows:
            pairs.append(
                (float(run.value(names[0], int(there[-1]), EVAL).mean()), float(means.valid[rows[epoch.number]]))
            )
    known = [(single, loss) for single, loss in pairs if np.isfinite([single, loss]).all()]
    return bool(known) and all(abs(single - loss) <= ALIKE * abs(single) for single, loss in known)
