"""What a run's model made of the validation pictures, in the form in which evaluations show their mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.endpoints.evaluation.content import (
    TYPICAL_PER_CLASS,
    EvaluationContent,
    Mistake,
    PictureResult,
)
from dogbreed_sdk.endpoints.evaluation.statistics import calibration_bins, coverage_curve
from dogbreed_sdk.endpoints.evaluation.tables import class_results, confusion_matrix, worst_first
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.own_words import Words


@dataclass(frozen=True)
class Validation:
    """The answers on the validation pictures after one epoch.

    Attributes:
        content: The answers. Paths are the pictures' names in the validation split, or their numbers if names were not
            recorded.
        epoch: The epoch, from 1.
        is_best: Whether the validation loss was lowest after this epoch.
        is_named: Whether the names of the pictures were recorded.
    """

    content: EvaluationContent
    epoch: int
    is_best: bool
    is_named: bool


def validation(evidence: Evidence) -> Validation | None:
    """The answers after the epoch with the lowest validation loss, or after the last one for which they were recorded.

    None for runs without classes, and for those that did not record their answers.
    """
    run = Run.of(evidence)
    if run is None:
        return None
    words, best = Words.of(evidence.run, evidence.recorded_names()), run.best
    for epoch in [*([] if best is None else [best]), *reversed(range(run.epochs))]:
        shown = run.answers(epoch)
        if shown is not None and run.size("valid") in (None, len(shown[0])):  # not one batch of several
            content, is_named = _content(run, words, epoch, *shown)
            return Validation(content, epoch + 1, epoch == best, is_named)
    return None


def _content(
    run: Run, words: Words, epoch: int, labels: NDArray[np.int64], predictions: NDArray[np.int64]
) -> tuple[EvaluationContent, bool]:
    """The answers after an epoch (from 0), and whether pictures have names."""
    names = [Path(name) for name in run.picture_names]
    is_named = len(names) == len(labels)
    if not is_named:
        sample = "picture" if words.has_pictures else "sample"
        names = [Path(f"validation {sample} {number}") for number in range(1, len(labels) + 1)]
    losses, probabilities = run.picture_losses(epoch), run.picture_probabilities(epoch)
    losses = losses if losses is not None and len(losses) == len(labels) else None
    probabilities = probabilities if probabilities is not None and len(probabilities) == len(labels) else None
    classes = _classes(run, labels, predictions)
    results = [
        (PictureResult if actual == predicted else Mistake)(
            path, classes[actual], classes[predicted], *_numbers(losses, probabilities, place), None
        )
        for place, (path, actual, predicted) in enumerate(
            zip(names, labels.tolist(), predictions.tolist(), strict=True)
        )
    ]
    known = [classes[index] for index in sorted(set(labels.tolist()))]
    right = (labels == predictions).tolist()
    sure = [] if probabilities is None else probabilities.tolist()
    return _gathered(results, known, sure, right if sure else []), is_named


def _numbers(
    losses: NDArray[np.float64] | None, probabilities: NDArray[np.float64] | None, place: int
) -> tuple[float | None, float | None]:
    """The probability of the predicted class and the loss of a picture; None where not recorded."""
    return (
        None if probabilities is None else float(probabilities[place]),
        None if losses is None else float(losses[place]),
    )


def _classes(run: Run, labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> dict[int, str]:
    """The names of the classes that occur, by index."""
    occurring = sorted({*labels.tolist(), *predictions.tolist()})
    names = run.class_names
    # Two classes of the same name would become one.
    unique = names if len(set(names)) == len(names) else ()
    return {index: unique[index] if index < len(unique) else f"class {index}" for index in occurring}


def _gathered(
    results: Sequence[PictureResult], known: Sequence[str], probabilities: Sequence[float], right: Sequence[bool]
) -> EvaluationContent:
    pairs = Counter((each.actual, each.predicted) for each in results)
    numbered = (*known, *sorted({predicted for _, predicted in pairs} - set(known)))
    confusion = confusion_matrix(pairs, numbered)
    return EvaluationContent(
        n=len(results),
        per_class=class_results(confusion, numbered, len(known)),
        classes=numbered,
        confusion=confusion,
        mistakes=worst_first((each.loss or 0.0, each) for each in results if isinstance(each, Mistake)),
        typical=_typical(results, known),
        calibration=calibration_bins(probabilities, right) if probabilities else (),
        coverage=coverage_curve(probabilities, right),
    )


def _typical(results: Sequence[PictureResult], known: Sequence[str]) -> tuple[PictureResult, ...]:
    """For each class, the right answers with the lowest losses."""
    right: dict[str, list[PictureResult]] = {name: [] for name in known}
    for each in results:
        if each.is_correct:
            right[each.actual].append(each)
    best = (sorted(own, key=lambda each: each.loss or 0.0)[:TYPICAL_PER_CLASS] for own in right.values())
    return tuple(each for own in best for each in own)
