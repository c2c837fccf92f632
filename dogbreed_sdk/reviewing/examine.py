"""Examines pictures by their features: labels, near-copies, outliers and classes. No file is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.reviewing import confusion, copies, heads, neighbors, outliers
from dogbreed_sdk.reviewing.findings import (
    IndistinctClasses,
    LabelCount,
    NearCopies,
    Outlier,
    ReviewedLabel,
)
from dogbreed_sdk.reviewing.mixture import LabelModel, probabilities
from dogbreed_sdk.reviewing.stored import StoredPictures
from training_scripts.features.unit_rows import UnitFeatures

# A label is flagged if it is more likely wrong than right.
FLAGGED = 0.5
_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Examined:
    """What the features show.

    Attributes:
        labels: Every picture whose label could be judged, the most suspicious first.
        expected_wrong: The expected number of wrong labels.
        counts: Confident learning's counts of mixed-up labels, the largest first.
        near_copies: Groups of pictures that look the same; those in several splits first.
        outliers: Pictures that are unlike the others, the least similar first.
        indistinct: Pairs of classes that cannot be told apart.
        accuracy: Share of the labels that the heads predict.
        not_judged: Number of pictures whose class has too few others.
    """

    labels: tuple[ReviewedLabel, ...]
    expected_wrong: float
    counts: tuple[LabelCount, ...]
    near_copies: tuple[NearCopies, ...]
    outliers: tuple[Outlier, ...]
    indistinct: tuple[IndistinctClasses, ...]
    accuracy: float
    not_judged: int


def examine(pictures: StoredPictures, digests: Sequence[str], thumbnails: Sequence[bytes]) -> Examined:
    """Examines pictures.

    Args:
        pictures: At least three.
        digests: SHA-256 of each file.
        thumbnails: What `near_copies.thumbnail` returned for each.
    """
    near = neighbors.nearest(pictures.features)
    groups = copies.group(near, digests, thumbnails)
    judged = judge_labels(pictures.features, pictures.targets, groups, classes=len(pictures.classes))
    return Examined(
        labels=_labels(pictures, judged),
        expected_wrong=float(judged.scores[judged.known].sum()),
        counts=_counts(pictures, judged),
        near_copies=_near_copies(pictures, groups),
        outliers=_outliers(pictures, thumbnails),
        indistinct=tuple(
            IndistinctClasses(
                (pictures.classes[pair.first], pictures.classes[pair.second]), round(pair.accuracy, 4), pair.pictures
            )
            for pair in confusion.indistinct_pairs(judged.logits[judged.known], pictures.targets[judged.known])
        ),
        accuracy=float((judged.likely == pictures.targets)[judged.known].mean()) if judged.known.any() else 0.0,
        not_judged=int((~judged.known).sum()),
    )


@dataclass(frozen=True)
class JudgedLabels:
    """Labels and what heads say that were not trained on their pictures.

    Attributes:
        logits: [n, classes].
        model: How likely labels are, given the logits.
        likely: The predicted class [n].
        scores: Probability that the label is wrong [n].
        known: Whether the label could be judged [n]: its class has other pictures, in another fold.
    """

    logits: NDArray[np.float32]
    model: LabelModel
    likely: NDArray[np.int64]
    scores: NDArray[np.float64]
    known: NDArray[np.bool_]


def judge_labels(
    features: UnitFeatures, targets: NDArray[np.int64], groups: Sequence[copies.CopyGroup], *, classes: int
) -> JudgedLabels:
    """Judges the labels of all pictures.

    Args:
        features: Features of length 1 [n, width].
        targets: Class of each picture [n].
        groups: Near-copies, which stay in one fold.
        classes: Number of classes.
    """
    group_of = np.arange(len(targets))
    for alike in groups:
        group_of[list(alike.pictures)] = alike.pictures[0]
    logits = heads.out_of_fold(features, targets, heads.folds(targets, group_of), classes=classes)
    known = np.isfinite(logits[np.arange(len(targets)), targets])
    scores = np.zeros(len(targets))
    model = LabelModel.fit(logits[known], targets[known]) if known.any() else LabelModel(1.0, 0.0, 0.0)
    if known.any():
        scores[known] = model.probability_wrong(logits[known], targets[known])
    return JudgedLabels(logits, model, logits.argmax(1), scores, known)


def _labels(pictures: StoredPictures, judged: JudgedLabels) -> tuple[ReviewedLabel, ...]:
    order = np.argsort(-judged.scores, kind="stable")
    return tuple(
        ReviewedLabel(
            pictures.names[index],
            pictures.classes[pictures.targets[index]],
            pictures.classes[judged.likely[index]],
            _rounded(judged.scores[index]),
            bool(judged.scores[index] >= FLAGGED and judged.likely[index] != pictures.targets[index]),
        )
        for index in order.tolist()
        if judged.known[index]
    )


def _rounded(score: float) -> float:
    """Six digits: the ranking of sure ones must stay visible."""
    return float(f"{score:.6g}")


def _counts(pictures: StoredPictures, judged: JudgedLabels) -> tuple[LabelCount, ...]:
    if not judged.known.any():
        return ()
    probable = probabilities(judged.logits[judged.known], judged.model.temperature)
    joint = confusion.confident_joint(probable, pictures.targets[judged.known])
    np.fill_diagonal(joint, 0)
    found = [LabelCount(pictures.classes[a], pictures.classes[b], int(joint[a, b])) for a, b in np.argwhere(joint)]
    return tuple(sorted(found, key=lambda each: -each.count))


def _near_copies(pictures: StoredPictures, groups: Sequence[copies.CopyGroup]) -> tuple[NearCopies, ...]:
    found = []
    for group in groups:
        # Test before valid before train: what a model is measured on comes first.
        members = sorted(group.pictures, key=lambda index: (-_SPLITS.index(pictures.splits[index]), index))
        found.append(
            NearCopies(
                tuple(pictures.names[index] for index in members),
                round(group.similarity, 4),
                tuple(split for split in _SPLITS if any(pictures.splits[index] == split for index in members)),
                tuple(sorted({pictures.classes[pictures.targets[index]] for index in members})),
            )
        )
    return tuple(sorted(found, key=lambda each: (not each.leaks, -each.similarity, each.pictures)))


def _outliers(pictures: StoredPictures, thumbnails: Sequence[bytes]) -> tuple[Outlier, ...]:
    scored = outliers.scores(pictures.features, pictures.targets, classes=len(pictures.classes))
    plain = outliers.flat(thumbnails)
    listed = sorted({*outliers.unusual(scored).tolist(), *np.flatnonzero(plain).tolist()}, key=lambda i: -scored[i])
    return tuple(
        Outlier(
            pictures.names[index],
            round(float(scored[index]), 4),
            pictures.classes[pictures.targets[index]],
            "nearly uniform" if plain[index] else "unlike the others",
        )
        for index in listed
    )
