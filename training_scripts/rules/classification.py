"""ClassImbalance and Confusion: which classes a run was given, and which it mistakes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial import EVAL, GLOBAL, TRAIN, Trial
from training_scripts.rules import curves, selection
from training_scripts.rules import evidence as evidences
from training_scripts.rules.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated, Rule
from training_scripts.rules.learning import CLEARLY_BELOW_CHANCE, learning

Integers = NDArray[np.int64]

MOST_CLASSES = 20_000
"""No data set of single-label pictures has more; a larger label is no class but something else."""

NO_ANSWERS = (
    "No labels and predictions were recorded. Record the collections labels and predictions (recorder=builtin does with"
    " a valid split; for smdebug, save tensors named labels and predictions)."
)
SURELY = 0.01
"""Error probability of calling any one of all classes faulty: it is shared among them (Bonferroni)."""


@dataclass(frozen=True)
class Answers:
    """Labels and predictions, class indices [n], of the same pictures; with where they were recorded."""

    labels: Integers
    predictions: Integers
    mode: str
    steps: tuple[int, ...]

    def matrix(self) -> Integers:
        """Counts [classes, classes]: pictures of the row's class that were called the column's."""
        classes = int(max(self.labels.max(), self.predictions.max())) + 1
        joined = self.labels * classes + self.predictions
        return np.bincount(joined, minlength=classes * classes).reshape(classes, classes)


def _indices(value: NDArray[Any], *, argmax: bool) -> Integers | None:
    """Class indices from what was recorded: indices, or one score a class; None for anything else."""
    if value.ndim == 2 and value.shape[1] > 1 and (argmax or value.dtype.kind == "f"):
        value = value.argmax(axis=1)
    value = value.reshape(-1)
    if not value.size or not np.isfinite(value).all():
        return None
    indices = value.astype(np.int64)
    if (indices != value).any() or indices.min() < 0 or indices.max() >= MOST_CLASSES:
        return None
    return indices


def _recorded(run: Evidence, pattern: str, collection: str) -> list[str]:
    named = {name for name in run._names() if re.search(pattern, name)}
    return selection.natural(selection.members(run, collection) or named)


def _answers(run: Evidence, parameters: Mapping[str, Any], mode: str, *, last: int = 0) -> list[Answers]:
    """What was answered at each recorded step of a mode, or at the last few."""
    labels = _recorded(run, parameters["labels_regex"], "labels")
    predictions = _recorded(run, parameters["predictions_regex"], "predictions")
    found = []
    for label, prediction in zip(labels[:1], predictions[:1], strict=False):
        there = np.intersect1d(run._steps_in_full(label, mode), run._steps_in_full(prediction, mode))
        for step in there[-last:].tolist():
            truth = _indices(run._value(label, step, mode), argmax=parameters["argmax"])
            guess = _indices(run._value(prediction, step, mode), argmax=parameters["argmax"])
            if truth is not None and guess is not None and len(truth) == len(guess):
                found.append(Answers(truth, guess, mode, (step,)))
    return found


def _joined(answers: list[Answers], samples: int) -> Answers | None:
    """The latest answers that make up so many samples, as one; all of them where there are fewer."""
    count, chosen = 0, []
    for one in reversed(answers):
        chosen.append(one)
        count += len(one.labels)
        if count >= samples:
            break
    if not chosen:
        return None
    return Answers(
        np.concatenate([one.labels for one in chosen]),
        np.concatenate([one.predictions for one in chosen]),
        chosen[0].mode,
        tuple(sorted(step for one in chosen for step in one.steps)),
    )


def _class_name(run: Evidence, index: int) -> str:
    classes = run.run.get("classes")
    return f"{classes[index]} ({index})" if isinstance(classes, (list, tuple)) and index < len(classes) else f"{index}"


def _imbalance_aws(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """AWS: over at least samples labels, largest / smallest class, and the share of mispredictions of each class."""
    run = evidences.of(trial)
    labels = _recorded(run, parameters["labels_regex"], "labels")
    findings, seen, judged = [], 0, False
    for mode in (TRAIN, EVAL, GLOBAL):
        values = [
            _indices(run._value(name, step, mode), argmax=False)
            for name in labels[:1]
            for step in run._steps_in_full(name, mode).tolist()
        ]
        known = [value for value in values if value is not None]
        if known and sum(map(len, known)) >= parameters["samples"]:
            judged = True
            findings += _uneven(run, np.bincount(np.concatenate(known)), parameters["threshold_imbalance"], mode)
        answers = _joined(_answers(run, parameters, mode), parameters["samples"])
        seen = max(seen, sum(map(len, known)))
        if answers is None or len(answers.labels) < parameters["samples"]:
            continue
        judged = True
        matrix = answers.matrix()
        totals = matrix.sum(axis=1)
        wrong = 1 - np.diag(matrix) / np.maximum(totals, 1)
        for index in np.flatnonzero((totals > 0) & (wrong > parameters["threshold_misprediction"])).tolist():
            findings.append(_mispredicted(run, index, matrix, answers))
    if not judged:
        raise NotEvaluated(
            NO_ANSWERS if not seen else f"{seen} labels were recorded, {parameters['samples']} are needed (samples)."
        )
    return findings


def _uneven(run: Evidence, counts: Integers, threshold: float, mode: str = "") -> list[Finding]:
    largest, smallest = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[largest] <= threshold * counts[smallest]:
        return []
    times = counts[largest] / counts[smallest] if counts[smallest] else float("inf")
    return [
        Finding(
            f"Class {_class_name(run, largest)} has {counts[largest]} pictures, class {_class_name(run, smallest)}"
            f" {counts[smallest]}: {times:.3g} times as many.",
            mode=mode,
            steps=(0,) if not mode else (),
            numbers={"largest": int(counts[largest]), "smallest": int(counts[smallest]), "ratio": times},
        )
    ]


def _mispredicted(run: Evidence, index: int, matrix: Integers, answers: Answers) -> Finding:
    total, right = int(matrix[index].sum()), int(matrix[index, index])
    called = int(matrix[:, index].sum())
    return Finding(
        f"Class {_class_name(run, index)} is mistaken in {total - right} of {total} pictures;"
        f" it is predicted {called} times.",
        mode=answers.mode,
        steps=answers.steps,
        numbers={"class": index, "mistaken": total - right, "of": total, "predicted": called},
    )


def _imbalance_default(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """Ours: counts of the whole split, or what samples of it surely tell; and classes surely worse than the others.

    With ten pictures a class and 120 classes some class always does badly. A class counts as left behind where it
    is mistaken by more than threshold_misprediction, hardly ever predicted (one that is only hard is predicted in
    place of its neighbours as they are in its), and so far worse than the other classes that chance does not explain
    it, in the last two evaluations.
    """
    run = evidences.of(trial)
    findings: list[Finding] = []
    counts, exact = _counts(run, parameters)
    if counts is not None:
        findings += (
            _uneven(run, counts, parameters["threshold_imbalance"], "" if exact else TRAIN)
            if exact or _surely_uneven(counts, parameters["threshold_imbalance"])
            else []
        )
    evaluations = _answers(run, parameters, EVAL, last=2)
    evaluations = [one for one in evaluations if len(one.labels) >= parameters["samples"]]
    if counts is None and not evaluations:
        raise NotEvaluated(NO_ANSWERS)
    latest = [_left_behind(one.matrix(), parameters) for one in evaluations[-2:]] if _knows_some(run) else []
    lasting = set.intersection(*latest) if latest else set()
    found = [_mispredicted(run, index, evaluations[-1].matrix(), evaluations[-1]) for index in sorted(lasting)]
    found = [replace(one, mode=TRAIN, steps=_train_steps(run, one.steps)) for one in found]
    if len(found) > 1:
        names = ", ".join(_class_name(run, int(one.numbers["class"])) for one in found[:3])
        message = f"{len(found)} classes are left behind, hardly ever predicted or right: {names}."
        found = [Finding(message, mode=TRAIN, steps=found[0].steps, numbers={"classes": len(found)}), *found]
    return findings + found


MOSTLY_LEARNED = 0.25
"""A loss below this share of what guessing costs leaves hardly a class unlearned: one of four missing costs more."""


def _knows_some(run: Evidence) -> bool:
    """Whether the model has learned what it will: before, it names few classes, which is no fault of theirs."""
    seen = learning(run)
    classes = run.run.get("classes")
    number = len(classes) if isinstance(classes, (list, tuple)) else 0
    chance = math.log(number) if number > 1 else None if seen is None else seen.chance
    if seen is None or chance is None:
        return True
    # Classes are learned one after the other: while the loss may still fall, those missing may yet come.
    settled = seen.settled and seen.final.mean < CLEARLY_BELOW_CHANCE * chance
    return settled or seen.final.mean < MOSTLY_LEARNED * chance


def _train_steps(run: Evidence, steps: tuple[int, ...]) -> tuple[int, ...]:
    """The TRAIN steps after which evaluations took place: what a reader looks for in the curves."""
    train, evaluated = run.steps(TRAIN), run.steps(EVAL)
    place = np.searchsorted(evaluated.steps, steps)
    known = place < len(evaluated.steps)
    before = np.searchsorted(train.global_steps, evaluated.global_steps[place[known]]) - 1
    return tuple(train.steps[before[before >= 0]].tolist())


def _counts(run: Evidence, parameters: Mapping[str, Any]) -> tuple[Integers | None, bool]:
    """Pictures of each class of the train split, and whether that is all of them."""
    given = run.run.get("class_counts")
    if isinstance(given, (list, tuple)) and given and all(isinstance(one, int) for one in given):
        return np.array(given, dtype=np.int64), True
    for name in selection.natural(selection.members(run, "class_counts")):
        steps = run._steps_in_full(name, TRAIN)
        if len(steps):
            value = run._value(name, int(steps[0]), TRAIN)
            if value.ndim == 1 and value.size and value.dtype.kind in "iu":
                return value.astype(np.int64), True
    labels = [
        _indices(run._value(name, step, TRAIN), argmax=False)
        for name in _recorded(run, parameters["labels_regex"], "labels")[:1]
        for step in run._steps_in_full(name, TRAIN).tolist()
    ]
    known = [one for one in labels if one is not None]
    if not known or sum(map(len, known)) < parameters["samples"]:
        return None, False
    return np.bincount(np.concatenate(known)), False


def _surely_uneven(counts: Integers, threshold: float) -> bool:
    """Whether a sample tells that the largest class has more than threshold times the pictures of the smallest.

    Given both counts, the smaller one is binomial with a share of 1 / (1 + threshold) at the boundary.
    """
    small, large = int(counts.min()), int(counts.max())
    error = SURELY / len(counts) ** 2  # the pair was chosen among all pairs
    return curves.at_least(large, small + large, threshold / (1 + threshold)) < error


def _left_behind(matrix: Integers, parameters: Mapping[str, Any]) -> set[int]:
    totals, right, called = matrix.sum(axis=1), np.diag(matrix), matrix.sum(axis=0)
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
        usual, differ = curves.shares(totals[others] - right[others], totals[others])
        if curves.at_least_of_differing(wrong, total, usual, differ) < SURELY / len(present):
            found.add(index)
    return found


def _confusion_aws(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """AWS, to the letter of its page: each class's share of the diagonal, and what else is in each column.

    confusion[i][i] / sum_j(confusion[j][j]) >= min_diag, and confusion[j][i] / sum_j(confusion[j][i]) <= max_off_diag
    must hold. With more than one class, the first asks each class to hold 0.9 of all right answers, so it always
    fires: that is what the page says.
    """
    run = evidences.of(trial)
    answers = _all_answers(run, parameters)
    matrix = answers.matrix()
    size = int(parameters["category_no"] or len(matrix))
    square = np.zeros((max(size, len(matrix)),) * 2, dtype=np.int64)
    square[: len(matrix), : len(matrix)] = matrix
    diagonal, columns = np.diag(square), square.sum(axis=0)
    shares = diagonal / max(int(diagonal.sum()), 1)
    low = np.flatnonzero(shares < parameters["min_diag"])
    off = square / np.maximum(columns, 1)
    np.fill_diagonal(off, 0)
    high = np.argwhere(off > parameters["max_off_diag"])
    findings = []
    if len(low):
        worst = int(low[np.argmin(shares[low])])
        findings.append(
            Finding(
                f"{len(low)} of {len(square)} classes hold less than {parameters['min_diag']:g} of the diagonal of the"
                f" confusion matrix; the least is class {_class_name(run, worst)} with {shares[worst]:.2f}.",
                mode=answers.mode,
                steps=answers.steps,
                numbers={"classes": len(low), "least": float(shares[worst])},
            )
        )
    for label, prediction in high.tolist():
        findings.append(
            Finding(
                f"{off[label, prediction]:.2f} of what is called {_class_name(run, prediction)} is"
                f" {_class_name(run, label)}.",
                mode=answers.mode,
                steps=answers.steps,
                numbers={"label": label, "prediction": prediction, "share": float(off[label, prediction])},
            )
        )
    return findings


def _all_answers(run: Evidence, parameters: Mapping[str, Any]) -> Answers:
    wanted = {
        "labels_regex": parameters["labels"],
        "predictions_regex": parameters["predictions"],
        "argmax": False,
    }
    for mode in (EVAL, TRAIN, GLOBAL):
        found = _answers(run, wanted, mode)
        if found:
            # An evaluation is a whole split; of training batches all together make one.
            answers = found[-1] if mode == EVAL else _joined(found, 1 << 62)
            if answers is not None:
                return answers
    raise NotEvaluated(NO_ANSWERS)


def _confusion_default(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """Ours: most pictures of a class are called one other class, surely, in the last two evaluations."""
    run = evidences.of(trial)
    wanted = {
        "labels_regex": parameters["labels"],
        "predictions_regex": parameters["predictions"],
        "argmax": False,
    }
    evaluations = _answers(run, wanted, EVAL, last=2)
    if not evaluations:
        raise NotEvaluated(NO_ANSWERS)
    last = evaluations[-1].matrix()
    needed = _pictures_needed(len(last), parameters["max_off_diag"])
    if last.sum(axis=1).max() < needed:
        raise NotEvaluated(
            f"With {len(last)} classes at least {needed} pictures of a class are needed to tell confusion from chance;"
            f" the largest class has {int(last.sum(axis=1).max())}. Use a larger valid split."
        )
    if not _knows_some(run):
        return []
    latest = [_mostly_called(one.matrix(), parameters["max_off_diag"]) for one in evaluations[-2:]]
    pairs = sorted(set.intersection(*latest))
    findings = [_confused(run, label, prediction, last, evaluations[-1]) for label, prediction in pairs]
    findings = [replace(one, mode=TRAIN, steps=_train_steps(run, one.steps)) for one in findings]
    if len(findings) > 1:
        targets = {prediction for _, prediction in pairs}
        into = f"; all of them as {_class_name(run, targets.pop())}" if len(targets) == 1 else ""
        message = f"{len(findings)} classes are mostly taken for another one{into}."
        first = Finding(message, mode=TRAIN, steps=findings[0].steps, numbers={"classes": len(findings)})
        findings = [first, *findings]
    return findings


def _pictures_needed(classes: int, share: float) -> int:
    """The fewest pictures of a class of which all in one wrong class would be more than chance."""
    return int(np.ceil(np.log(SURELY / classes) / np.log(share))) if 0 < share < 1 else 1


def _mostly_called(matrix: Integers, share: float) -> set[tuple[int, int]]:
    found = set()
    for label, row in enumerate(matrix):
        total = int(row.sum())
        others = row.copy()
        others[label] = 0
        prediction = int(np.argmax(others))
        if total and curves.surely_above(int(others[prediction]), total, share, SURELY / len(matrix)):
            found.add((label, prediction))
    return found


def _confused(run: Evidence, label: int, prediction: int, matrix: Integers, answers: Answers) -> Finding:
    count, total = int(matrix[label, prediction]), int(matrix[label].sum())
    return Finding(
        f"{count} of {total} pictures of class {_class_name(run, label)} are called {_class_name(run, prediction)}.",
        mode=answers.mode,
        steps=answers.steps,
        numbers={"label": label, "prediction": prediction, "count": count, "of": total},
    )


_TENSORS = {"argmax": False, "labels_regex": ".*labels", "predictions_regex": ".*predictions"}

RULES = (
    Rule(
        name="ClassImbalance",
        judge=_imbalance_default,
        judge_aws=_imbalance_aws,
        aws={"threshold_imbalance": 10.0, "threshold_misprediction": 0.7, "samples": 500, **_TENSORS},
        default={
            "threshold_imbalance": 10.0,  # AWS's
            "threshold_misprediction": 0.7,  # AWS's, beside being surely worse than the other classes
            "hardly_predicted": 0.1,  # of the times it should be
            "samples": 20,  # fewer tell nothing; how much more is needed, the tests below say by themselves
            **_TENSORS,
        },
        description="Classes with too few pictures, or that the model never learned to name.",
        advice=(
            "Add pictures to the small classes, or repeat or weight them in training; more epochs help a class that is"
            " only slower than the others."
        ),
    ),
    Rule(
        name="Confusion",
        judge=_confusion_default,
        judge_aws=_confusion_aws,
        aws={
            "category_no": None,
            "labels": "labels",
            "predictions": "predictions",
            "min_diag": 0.9,
            "max_off_diag": 0.1,
        },
        default={
            "labels": "labels",
            "predictions": "predictions",
            "max_off_diag": 0.5,  # most of a class: no model that is any good takes one class for another that often
        },
        description="Classes that are taken for one another.",
        advice=(
            "Look at the pictures of both classes: labels may be exchanged, or one class may be hidden in the other. If"
            " all classes end in one, the model has not learned: see LossNotDecreasing and ClassImbalance."
        ),
    ),
)
