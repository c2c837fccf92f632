"""ClassImbalance: classes that have too few pictures, or that the model fails to learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Explanation, Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import selection, statistics
from training_scripts.rules.evidence.confusion import Confusion
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.predictions import (
    SURELY,
    Answers,
    Integers,
    class_name,
    joined,
    knows_some,
    recorded_answers,
    recorded_labels,
    refuse_without_numbers,
    train_steps,
    unused_outputs,
    why_no_answers,
)
from training_scripts.rules.findings import Finding, NotEvaluated

FELT, CHANCE = 0.1, 0.05
"""Small classes do worse if their share of right predictions is lower by ten points or more, and chance does not
explain that with a probability of one in twenty. Fewer points are usual: the model has seen less of them."""


def _imbalance_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: over at least samples labels, the ratio of largest to smallest class, and mispredictions per class."""
    run = evidences.of(trial)
    findings, seen, evaluated = [], 0, False
    for mode in (TRAIN, EVAL, GLOBAL):
        known = [labels for _, labels in recorded_labels(run, parameters["labels_regex"], mode)]
        if known and sum(map(len, known)) >= parameters["samples"]:
            evaluated = True
            findings += _uneven(run, np.bincount(np.concatenate(known)), parameters["threshold_imbalance"], mode)
        answers = joined(recorded_answers(run, parameters, mode), parameters["samples"])
        seen = max(seen, sum(map(len, known)))
        if answers is None or len(answers.labels) < parameters["samples"]:
            continue
        evaluated = True
        confusion = answers.confusion()
        wrong = 1 - confusion.right / np.maximum(confusion.totals, 1)
        often = (confusion.totals > 0) & (wrong > parameters["threshold_misprediction"])
        findings += [_mispredicted(run, index, confusion, answers) for index in np.flatnonzero(often).tolist()]
    if not evaluated:
        raise NotEvaluated(
            why_no_answers(run)
            if not seen
            else f"Only {counted(seen, 'label')} recorded; {parameters['samples']} are needed (samples)."
        )
    return findings


def _uneven(run: Evidence, counts: Integers, threshold: float, mode: str = "") -> list[Finding]:
    """Compares the largest class with the smallest; classes without any pictures are another matter."""
    largest, smallest = int(np.argmax(counts)), int(np.argmin(np.where(counts > 0, counts, counts.max())))
    if counts[largest] <= threshold * counts[smallest]:
        return []
    times = counts[largest] / counts[smallest]
    return [
        Finding(
            f"Class {class_name(run, largest)} has {counts[largest]:,} pictures, {number_text(times, 3)} times as many"
            f" as class {class_name(run, smallest)} with {counts[smallest]:,}.",
            mode=mode,
            steps=(0,) if not mode else (),
            numbers={"largest": int(counts[largest]), "smallest": int(counts[smallest]), "ratio": times},
        )
    ]


def _missing(run: Evidence, counts: Integers, evaluations: list[Answers]) -> list[Finding]:
    """Reports classes without any training picture, which no model can learn."""
    unused = unused_outputs(run.run, counts, [one.labels for one in evaluations])
    missing = np.setdiff1d(np.flatnonzero(counts == 0), unused).tolist()
    if not missing:
        return []
    names = ", ".join(class_name(run, index) for index in missing[:3]) + (", ..." if len(missing) > 3 else "")
    what = f"Class {names} has" if len(missing) == 1 else f"{len(missing)} classes have"
    which = "" if len(missing) == 1 else f": {names}"
    return [
        Finding(
            f"{what} no training pictures, so the model cannot learn {'it' if len(missing) == 1 else 'them'}{which}.",
            steps=(0,),
            numbers={"missing": len(missing), "largest": int(counts.max())},
        )
    ]


def _do_harm(counts: Integers, evaluations: list[Answers], threshold: float) -> bool:
    """Whether the classes with far fewer pictures than the largest do worse than the others; True if that is unknown.

    A class that is learned despite its few pictures is not a problem. The last evaluation must show both a difference
    that matters and one that chance does not explain.
    """
    if not evaluations:
        return True
    confusion = evaluations[-1].confusion()
    few = np.zeros(len(confusion), dtype=bool)
    known = min(len(counts), len(confusion))
    few[:known] = (counts[:known] > 0) & (counts[:known] * threshold < counts.max())
    totals, right = confusion.totals, confusion.right
    shown, usual = int(totals[few].sum()), right[~few].sum() / max(int(totals[~few].sum()), 1)
    if not shown:
        return True
    hits = int(right[few].sum())
    return hits / shown < usual - FELT and statistics.at_most(hits, shown, float(usual)) < CHANCE


def _mispredicted(run: Evidence, index: int, confusion: Confusion, answers: Answers) -> Finding:
    total, right, called = (int(each[index]) for each in (confusion.totals, confusion.right, confusion.called))
    return Finding(
        f"{total - right:,} of {total:,} pictures of class {class_name(run, index)} are misclassified;"
        f" the class is predicted {counted(called, 'time')}.",
        mode=answers.mode,
        steps=answers.steps,
        numbers={"class": index, "mistaken": total - right, "of": total, "predicted": called},
    )


def _imbalance_default(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Ours: class counts of the train split that do harm, and classes that are significantly worse than the others.

    If only a sample of the split was recorded, the imbalance must be significant too. With 120 classes of ten pictures,
    some class always does badly. So three conditions must hold in the last two evaluations: the share of mistakes
    exceeds threshold_misprediction; the class is hardly ever predicted; and it is worse than the other classes by more
    than chance explains. A class that is only difficult is still predicted, in place of similar classes.
    """
    run = evidences.of(trial)
    findings: list[Finding] = []
    evaluations = recorded_answers(run, parameters, EVAL, last=2)
    evaluations = [one for one in evaluations if len(one.labels) >= parameters["samples"]]
    counts, exact = _counts(run, parameters)
    if counts is not None:
        threshold = parameters["threshold_imbalance"]
        sure = exact or _surely_uneven(counts, threshold)
        uneven = _uneven(run, counts, threshold, "" if exact else TRAIN) if sure else []
        findings += uneven if _do_harm(counts, evaluations, threshold) else []
        findings += _missing(run, counts, evaluations) if exact else []
    if counts is None and not evaluations:
        raise NotEvaluated(why_no_answers(run))
    if not findings:
        refuse_without_numbers(run)  # the class counts are evidence enough without predictions
    confusions = [one.confusion() for one in evaluations[-2:]] if knows_some(run) else []
    latest = [_left_behind(one, parameters) for one in confusions]
    lasting = set.intersection(*latest) if latest else set()
    found = [_mispredicted(run, index, confusions[-1], evaluations[-1]) for index in sorted(lasting)]
    found = [replace(one, mode=TRAIN, steps=train_steps(run, one.steps)) for one in found]
    if len(found) > 1:
        names = ", ".join(class_name(run, int(one.numbers["class"])) for one in found[:3])
        message = f"{len(found)} classes are rarely predicted, and most of their pictures are misclassified: {names}."
        found = [Finding(message, mode=TRAIN, steps=found[0].steps, numbers={"classes": len(found)}), *found]
    return findings + found


def _counts(run: Evidence, parameters: Parameters) -> tuple[Integers | None, bool]:
    """The number of train pictures per class, and whether all pictures are counted."""
    given = run.run.get("class_counts")
    if isinstance(given, (list, tuple)) and given and all(_is_count(one) for one in given):
        return np.array(given, dtype=np.int64), True
    for name in selection.natural(selection.members(run, "class_counts")):
        steps = run.steps_in_full(name, TRAIN)
        if len(steps):
            value = run.value(name, int(steps[0]), TRAIN)
            if value.ndim == 1 and value.size and all(map(_is_count, value.tolist())):
                return value.astype(np.int64), True
    known = [labels for _, labels in recorded_labels(run, parameters["labels_regex"], TRAIN)]
    if not known or sum(map(len, known)) < parameters["samples"]:
        return None, False
    return np.bincount(np.concatenate(known)), False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 53


def _surely_uneven(counts: Integers, threshold: float) -> bool:
    """Whether a sample shows that the largest class has more than threshold times as many pictures as the smallest.

    A class that is not in the sample may not exist, so the smallest is that of the others, as in `_uneven`. Given the
    sum of both counts, the smaller one is binomial with a probability of 1 / (1 + threshold) at the limit.
    """
    there = counts[counts > 0]
    small, large = int(there.min()), int(there.max())
    error = SURELY / len(there) ** 2  # the pair was selected from all pairs
    return statistics.at_least(large, small + large, threshold / (1 + threshold)) < error


def _left_behind(confusion: Confusion, parameters: Parameters) -> set[int]:
    totals, right, called = confusion.totals, confusion.right, confusion.called
    found = set()
    present = np.flatnonzero(totals > 0)
    for index in present.tolist():
        total, wrong = int(totals[index]), int(totals[index] - right[index])
        if (
            wrong <= parameters["threshold_misprediction"] * total
            or called[index] > parameters["hardly_predicted"] * total
        ):
            continue
        others = present[present != index]
        usual, differ = statistics.shares(totals[others] - right[others], totals[others])
        if statistics.at_least_of_differing(wrong, total, usual, differ) < SURELY / len(present):
            found.add(index)
    return found


_TENSORS = {"argmax": False, "labels_regex": ".*labels", "predictions_regex": ".*predictions"}

RULES = (
    Rule(
        name="ClassImbalance",
        judge=_imbalance_default,
        judge_aws=_imbalance_aws,
        aws={"threshold_imbalance": 10.0, "threshold_misprediction": 0.7, "samples": 500, **_TENSORS},
        default={
            "threshold_imbalance": 10.0,  # AWS's
            "threshold_misprediction": 0.7,  # AWS's; the class must also be significantly worse than the others
            "hardly_predicted": 0.1,  # predictions of the class, as a share of its pictures
            "samples": 20,  # fewer show nothing; significance tests decide how many more are needed
            **_TENSORS,
        },
        description="Classes that have too few pictures, or that the model never learned to predict.",
        advice=(
            "Add pictures to the small classes, or oversample or weight them in training; more epochs help a class "
            "that is only learned more slowly than the others."
        ),
        bounds={"threshold_misprediction": SHARE, "samples": COUNT, "hardly_predicted": SHARE},
        explanation=Explanation(
            computes=(
                "The largest class of the train split has more than `threshold_imbalance` times the pictures of the "
                "smallest, and the small classes do significantly worse; a class has no pictures; or, in both of the "
                "last two evaluations, a class with more than `threshold_misprediction` mistakes is predicted for less "
                "than `hardly_predicted` of its number of pictures and is worse than the others by more than chance "
                "explains."
            ),
            computes_aws=(
                "Over at least `samples` labels: `largest class / smallest class > threshold_imbalance`, or the share "
                "of mistakes of a class exceeds `threshold_misprediction`."
            ),
            parameters={
                "threshold_imbalance": "largest allowed ratio of class sizes",
                "threshold_misprediction": "largest allowed share of mistakes of a class",
                "hardly_predicted": (
                    "predictions of a class, as a share of its pictures, below which it is hardly predicted"
                ),
                "samples": "labels that must have been recorded",
                "argmax": "predictions are scores per class, of which the largest counts",
                "labels_regex": "regular expression of the labels",
                "predictions_regex": "regular expression of the predictions",
            },
            causes=("class-imbalance", "labels-shifted"),
        ),
        order=130,
        aws_name="ClassImbalance",
        collections=(
            "labels",
            "predictions",
        ),
    ),
)
