"""Confident learning's counts of mixed-up labels, and the classes that no model can distinguish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Two classes whose pictures are told apart less often than this, where chance is right half the time, ...
MAX_ACCURACY = 0.6
# ... and with enough pictures to say so: the upper end of the 95% interval.
MAX_UPPER_END = 0.75


@dataclass(frozen=True)
class ClassPair:
    """Two classes that out-of-fold predictions do not tell apart.

    Attributes:
        first: Index of one class.
        second: Index of the other.
        accuracy: How often a picture of the two is more like its own class, the mean over both classes; 0.5 is chance.
        pictures: Number of pictures of both.
    """

    first: int
    second: int
    accuracy: float
    pictures: int


def confident_joint(probabilities: Floats, targets: Integers) -> Integers:
    """Counts pictures by their label and the class that they confidently belong to.

    Confidently means: with at least the mean probability that the pictures labeled as the class have for it. Of several
    such classes the most probable counts. Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating
    Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70 (2021), section 3.1.

    Args:
        probabilities: Out-of-fold probabilities [n, classes].
        targets: The labels [n].

    Returns:
        [classes, classes]: the label, and the class that is likely.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(targets)), targets]
    counts = np.bincount(targets, minlength=classes)
    thresholds = np.bincount(targets, weights=own, minlength=classes) / np.maximum(counts, 1)
    thresholds[counts == 0] = np.inf
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = confident.argmax(1)
    counted = confident[np.arange(len(targets)), likely] >= 0
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (targets[counted], likely[counted]), 1)
    return joint


def indistinct_pairs(logits: Floats, targets: Integers) -> list[ClassPair]:
    """Finds pairs of classes that are distinguished hardly better than by chance; the least distinct first.

    Args:
        logits: Out-of-fold logits [n, classes].
        targets: The labels [n].
    """
    classes = logits.shape[1]
    counts = np.bincount(targets, minlength=classes)
    # preferred[a, b]: the share of the pictures labeled a that are more like a than b.
    preferred = np.zeros((classes, classes))
    for label in np.flatnonzero(counts):
        rows = logits[targets == label]
        own = rows[:, label : label + 1]
        preferred[label] = ((own > rows) + 0.5 * (own == rows)).mean(0)
    accuracy = (preferred + preferred.T) / 2
    pictures = counts[:, None] + counts[None, :]
    spread = 1.96 * np.sqrt(0.25 * (1 / np.maximum(counts, 1)[:, None] + 1 / np.maximum(counts, 1)[None, :]) / 4)
    shown = (accuracy <= MAX_ACCURACY) & (accuracy + spread <= MAX_UPPER_END)
    shown &= (counts[:, None] > 0) & (counts[None, :] > 0)
    pairs = [
        ClassPair(int(first), int(second), float(accuracy[first, second]), int(pictures[first, second]))
        for first, second in np.argwhere(np.triu(shown, 1))
    ]
    return sorted(pairs, key=lambda pair: pair.accuracy)
