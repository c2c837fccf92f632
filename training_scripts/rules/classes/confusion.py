"""Confusion: classes that the model confuses with each other."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, Trial
from training_scripts.rules.bounds import POSITION, SHARE
from training_scripts.rules.declaration import Explanation, Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.confusion import Confusion
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.predictions import (
    SURELY,
    Answers,
    class_name,
    joined,
    knows_some,
    recorded_answers,
    refuse_without_numbers,
    train_steps,
    why_no_answers,
)
from training_scripts.rules.findings import Finding, NotEvaluated

MIXED = 0.25
"""The least share of two classes' pictures that is classified as the other class: half of what a coin toss gives."""


def _confusion_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS, exactly as documented: each class's share of the diagonal, and the mistakes in each column.

    confusion[i][i] / sum_j(confusion[j][j]) >= min_diag, and confusion[j][i] / sum_j(confusion[j][i]) <= max_off_diag
    must hold. The first condition requires each class to have 0.9 of all right answers. So with more than one class the
    rule always fires; that is what AWS documents.
    """
    run = evidences.of(trial)
    answers = _all_answers(run, parameters)
    confusion = answers.confusion(classes=int(parameters["category_no"] or 0))
    shares = confusion.right / max(int(confusion.right.sum()), 1)
    low = np.flatnonzero(shares < parameters["min_diag"])
    findings = []
    if len(low):
        worst = int(low[np.argmin(shares[low])])
        findings.append(
            Finding(
                f"{len(low)} of {len(confusion)} classes have less than {number_text(parameters['min_diag'])} of the "
                f"diagonal of the confusion matrix; class {class_name(run, worst)} has the least, "
                f"{shares[worst]:.2f}.",
                mode=answers.mode,
                steps=answers.steps,
                numbers={"classes": len(low), "least": float(shares[worst])},
            )
        )
    for label, prediction, count in confusion.mistakes():
        share = count / int(confusion.called[prediction])
        if share > parameters["max_off_diag"]:
            findings.append(
                Finding(
                    f"{share:.2f} of the predictions of {class_name(run, prediction)} are pictures of"
                    f" {class_name(run, label)}.",
                    mode=answers.mode,
                    steps=answers.steps,
                    numbers={"label": label, "prediction": prediction, "share": share},
                )
            )
    return findings


def _all_answers(run: Evidence, parameters: Parameters) -> Answers:
    wanted = _recorded_as(parameters)
    for mode in (EVAL, TRAIN, GLOBAL):
        found = recorded_answers(run, wanted, mode)
        if found:
            # One evaluation covers the whole split. Training batches must be merged to cover theirs.
            answers = found[-1] if mode == EVAL else joined(found, 1 << 62)
            if answers is not None:
                return answers
    raise NotEvaluated(why_no_answers(run))


def _recorded_as(parameters: Parameters) -> dict[str, Any]:
    """The parameters of `recorded_answers`, which are called as in ClassImbalance."""
    return {"labels_regex": parameters["labels"], "predictions_regex": parameters["predictions"], "argmax": False}


def _confusion_default(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Ours: in the last two evaluations, significantly more than max_off_diag of a class is predicted as another."""
    run = evidences.of(trial)
    evaluations = recorded_answers(run, _recorded_as(parameters), EVAL, last=2)
    if not evaluations:
        raise NotEvaluated(why_no_answers(run))
    refuse_without_numbers(run)
    confusions = [one.confusion() for one in evaluations[-2:]]
    last = confusions[-1]
    needed = _pictures_needed(len(last), parameters["max_off_diag"])
    if last.totals.max() < needed:
        raise NotEvaluated(
            f"With {len(last):,} classes, at least {needed:,} pictures per class are needed to distinguish confusion "
            f"from chance; the largest class has {int(last.totals.max()):,}. Use a larger valid split."
        )
    if not knows_some(run):
        return []
    latest = [_mostly_called(one, parameters["max_off_diag"]) for one in confusions]
    pairs = sorted(set.intersection(*latest))
    findings = [_confused(run, label, prediction, last, evaluations[-1]) for label, prediction in pairs]
    told = {frozenset(pair) for pair in pairs}
    mixed = [_mixed_up(one, parameters) for one in confusions]
    for first, second in sorted(set.intersection(*mixed)):
        if frozenset((first, second)) not in told:
            findings.append(_not_told_apart(run, first, second, last, evaluations[-1]))
    findings = [replace(one, mode=TRAIN, steps=train_steps(run, one.steps)) for one in findings]
    if len(findings) > 1:
        targets = {prediction for _, prediction in pairs}
        one_target = len(targets) == 1 and len(pairs) == len(findings)
        into = f"; all of them as {class_name(run, targets.pop())}" if one_target else ""
        message = f"{len(findings)} classes are mostly classified as another class{into}."
        if not pairs:
            message = f"{len(findings)} pairs of classes are not distinguished."
        summary = Finding(message, mode=TRAIN, steps=findings[0].steps, numbers={"classes": len(findings)})
        findings = [summary, *findings]
    return findings


def _pictures_needed(classes: int, share: float) -> int:
    """The smallest class for which it is significant if all pictures are classified as one wrong class."""
    return int(np.ceil(np.log(SURELY / classes) / np.log(share))) if 0 < share < 1 else 1


def _mostly_called(confusion: Confusion, share: float) -> set[tuple[int, int]]:
    most: dict[int, tuple[int, int]] = {}  # of each class: its most frequent mistake, of equal ones the first
    for label, prediction, count in confusion.mistakes():
        if count > most.get(label, (0, 0))[1]:
            most[label] = prediction, count
    return {
        (label, prediction)
        for label, (prediction, count) in most.items()
        if statistics.surely_above(count, int(confusion.totals[label]), share, SURELY / len(confusion))
    }


def _mixed_up(confusion: Confusion, parameters: Parameters) -> set[tuple[int, int]]:
    """Pairs of classes that are distinguished hardly better than by a coin toss, while the other classes are learned.

    Only pictures of both classes that are classified as either of them are compared. The measure is the share that is
    classified as the first class, among pictures of the first class minus among those of the second. It is 1 if the two
    are distinguished perfectly and 0 for a coin toss, even with a biased coin.
    """
    totals, right = confusion.totals, confusion.right
    present = totals > 0
    classes = int(present.sum())
    if classes < 3:
        return set()
    recalls = np.where(present, right / np.maximum(totals, 1), 0.0)
    sum_of_recalls = float(recalls.sum())
    sigmas = NormalDist().inv_cdf(1 - SURELY / (classes * (classes - 1) / 2))
    found = set()
    for first, second in {(min(cell), max(cell)) for *cell, _ in confusion.mistakes()}:
        wrong = confusion[first, second], confusion[second, first]
        if not (present[first] and present[second]) or sum(wrong) < MIXED * (totals[first] + totals[second]):
            continue
        others = (sum_of_recalls - recalls[first] - recalls[second]) / (classes - 2)
        shares, variance = [], 0.0
        # Pictures of both classes that are called the first one, and that are called either.
        for called_first, either in (
            (int(right[first]), int(right[first]) + wrong[0]),
            (wrong[1], wrong[1] + int(right[second])),
        ):
            # Two more right and two more wrong: the interval of Agresti and Coull, which is valid for small counts.
            shares.append((called_first + 2.0) / (either + 4.0))
            variance += shares[-1] * (1 - shares[-1]) / (either + 4.0)
        at_most = shares[0] - shares[1] + sigmas * math.sqrt(variance)
        if others >= parameters["others_right"] and at_most < parameters["told_apart"]:
            found.add((first, second))
    return found


def _not_told_apart(run: Evidence, first: int, second: int, confusion: Confusion, answers: Answers) -> Finding:
    wrong = confusion[first, second] + confusion[second, first]
    total = int(confusion.totals[first] + confusion.totals[second])
    return Finding(
        f"Classes {class_name(run, first)} and {class_name(run, second)} are distinguished no better than by a coin "
        f"toss: {wrong:,} of their {total:,} pictures are classified as the other one.",
        mode=answers.mode,
        steps=answers.steps,
        numbers={"label": first, "prediction": second, "count": wrong, "of": total},
    )


def _confused(run: Evidence, label: int, prediction: int, confusion: Confusion, answers: Answers) -> Finding:
    count, total = confusion[label, prediction], int(confusion.totals[label])
    return Finding(
        f"{count:,} of {total:,} pictures of class {class_name(run, label)} are classified as"
        f" {class_name(run, prediction)}.",
        mode=answers.mode,
        steps=answers.steps,
        numbers={"label": label, "prediction": prediction, "count": count, "of": total},
    )


RULES = (
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
            # The measure of `_mixed_up`, of which the upper confidence limit counts: if pictures of both classes are
            # right equally often, 0.4 means that 70% of them are.
            "told_apart": 0.4,
            # The least accuracy on the other classes. With less, the model as a whole is the problem, not the pair.
            "others_right": 0.7,
            # More than half of a class: no good model confuses one class with another that often.
            "max_off_diag": 0.5,
        },
        description="Classes that are confused with one another.",
        advice=(
            "Look at the pictures of both classes: labels may be swapped, or one class may be part of the "
            "other. If all classes are classified as one, the model has not learned: see LossNotDecreasing and "
            "ClassImbalance."
        ),
        bounds={
            "category_no": POSITION,
            "min_diag": SHARE,
            "max_off_diag": SHARE,
            "told_apart": SHARE,
            "others_right": SHARE,
        },
        explanation=Explanation(
            computes=(
                "In both of the last two evaluations: more than `max_off_diag` of a class is predicted as one other "
                "class (lower confidence limit); or two classes are told apart no better than a coin toss: `share "
                "called A among pictures of A - share called A among pictures of B`, whose upper confidence limit is "
                "below `told_apart`, while the other classes reach an accuracy of `others_right`."
            ),
            computes_aws=(
                "`confusion[i][i] / sum_j(confusion[j][j]) >= min_diag` and `confusion[j][i] / sum_j(confusion[j][i]) "
                "<= max_off_diag` must hold. With more than one class the first never holds for all of them, so the "
                "rule always fires; that is what AWS documents."
            ),
            parameters={
                "category_no": "number of classes; by default as many as were seen",
                "labels": "regular expression of the labels",
                "predictions": "regular expression of the predictions",
                "min_diag": "least share of the diagonal",
                "max_off_diag": "largest share of a class that may be predicted as one other; for AWS, of a column",
                "told_apart": "largest measure at which two classes count as not told apart",
                "others_right": "least accuracy on the other classes",
            },
            causes=("confused-classes", "labels-shifted"),
            sources=(
                (
                    "Agresti and Coull, Approximate is better than exact for interval estimation of binomial "
                    "proportions (1998)"
                ),
            ),
        ),
        order=140,
        aws_name="Confusion",
        collections=(
            "labels",
            "predictions",
        ),
    ),
)
