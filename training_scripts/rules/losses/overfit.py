"""Overfit and Overtraining: compare validation and training loss epoch by epoch, with their standard errors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.trial.trial import EVAL, TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, POSITION
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import curves, overfitting, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.epochs import loss_names, loss_series, training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.overfitting import Course
from training_scripts.rules.findings import Finding, NotEvaluated

NO_VALIDATION = (
    "Both a training and a validation loss are needed (modes TRAIN and EVAL). Train with a valid split and record"
    " losses in both modes (train.save_interval, eval.save_interval)."
)


def _overfit_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: (validation loss - training loss) / training loss above ratio_threshold for patience steps.

    Each loss is the mean over the loss tensors. An EVAL step is compared with the TRAIN step before it.
    """
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, loss_names(run))
    train, valid = _mean_series(run, names, TRAIN), _mean_series(run, names, EVAL)
    if train is None or valid is None:
        raise NotEvaluated(NO_VALIDATION)
    before = _train_before(run, train, valid)
    streak, steps, worst = 0, [], -math.inf
    for place, step, value in zip(before.tolist(), valid.steps.tolist(), valid.values.tolist(), strict=True):
        if place < 0 or step < parameters["start_step"]:
            continue
        present = float(train.values[place])
        ratio = curves.quotient(value - present, present)
        streak = streak + 1 if ratio > parameters["ratio_threshold"] else 0
        if streak and streak >= parameters["patience"]:
            steps.append(step)
            worst = max(worst, ratio)
    if not steps:
        return []
    message = (
        f"The validation loss exceeds the training loss by a ratio of more than "
        f"{number_text(parameters['ratio_threshold'])} at {len(steps)} EVAL steps, first at {steps[0]}; the largest "
        f"ratio is {number_text(worst, 3)}."
    )
    return [Finding(message, mode=EVAL, steps=tuple(steps), numbers={"ratio": worst})]


def _mean_series(run: Evidence, names: list[str], mode: str) -> Series | None:
    """The mean over the tensors at each step of the first one; tensors with other steps are left out."""
    found = [series for series in (run.reduction(name, "mean", mode) for name in names) if series is not None]
    if not found:
        return None
    first = found[0]
    alike = [series.values for series in found if np.array_equal(series.steps, first.steps)]
    return Series(first.steps, np.mean(alike, axis=0))


def _train_before(run: Evidence, train: Series, valid: Series) -> NDArray[np.int64]:
    """For each EVAL step, the index of the last recorded TRAIN step before it; -1 if there is none."""
    whens = []
    for series, mode in ((train, TRAIN), (valid, EVAL)):
        table = run.steps(mode)
        if not len(table.steps):
            return np.searchsorted(train.steps, valid.steps, side="right").astype(np.int64) - 1
        place = np.minimum(np.searchsorted(table.steps, series.steps), len(table.steps) - 1)
        whens.append(table.global_steps[place])
    return np.searchsorted(whens[0], whens[1]).astype(np.int64) - 1


def _overtraining_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: no loss is lower than the best by delta for patience_train TRAIN or patience_validation EVAL steps."""
    run = evidences.of(trial)
    findings, evaluated = [], False
    for mode, series, patience in (
        (TRAIN, training_loss(run), parameters["patience_train"]),
        (EVAL, loss_series(run, EVAL), parameters["patience_validation"]),
    ):
        if series is None:
            continue
        evaluated = True
        steps = _without_optimum(series, patience, parameters["delta"])
        if steps:
            findings.append(
                Finding(
                    f"The {mode} loss had no new optimum, better by {number_text(parameters['delta'])}, for "
                    f"{counted(patience, 'step')} at step {steps[0]}.",
                    mode=mode,
                    steps=tuple(steps),
                    numbers={"patience": patience},
                )
            )
    if not evaluated:
        raise NotEvaluated(NO_VALIDATION)
    return findings


def _without_optimum(series: Series, patience: int, delta: float) -> list[int]:
    best, waited, steps = math.inf, 0, []
    for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
        if value < best - delta:
            best, waited = value, 0
        else:
            waited += 1
        if waited >= patience:
            steps.append(step)
    return steps


def _course(trial: Trial, patience: int) -> Course:
    """The validation and training losses of a run, epoch by epoch.

    Raises:
        NotEvaluated: Too few epochs have both losses.
    """
    course = Course.of(trial, patience)
    if course is None:
        count = overfitting.epochs_with_both(trial)
        raise NotEvaluated(
            f"{counted(count, 'epoch')} with both a training and a validation loss; {patience + 2} are needed."
            f" {NO_VALIDATION if not count else 'Train for more epochs or evaluate more often.'}"
        )
    return course


def _at(course: Course, index: int) -> str:
    """When an epoch was, in words: its number, or its last step if epochs are known only by their evaluations.

    Some evaluations may not have been recorded, so counting them does not give the number of an epoch.
    """
    if course.counts_epochs:
        return f"epoch {course.losses.epochs[index]}"
    return f"step {course.losses.train_ends[index]}"


def _within(course: Course, index: int) -> str:
    """The same as `_at`, with the preposition."""
    return f"{'in' if course.counts_epochs else 'at'} {_at(course, index)}"


def _steps_from(course: Course, index: int) -> tuple[int, ...]:
    """The last TRAIN steps of the epochs from an index on."""
    return tuple(course.losses.train_ends[index:].tolist())


MEMORIZED = (
    "More epochs will help little: the model has already learned what these pictures show. Collect more of them, use "
    "more augmentation (views), raise dropout or weight-decay, or make the network smaller."
)
"""The advice if the validation loss never turned: there is no earlier epoch to stop at."""


def _overfit_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: the validation loss rose while the training loss kept falling, or the training pictures are memorized.

    Differences are measured relative to the chance-level loss: a rise from 0.01 to 0.02 is a ratio of 2 and harmless.
    """
    course = _course(trial, parameters["patience"])
    if overfitting.turned(course, parameters):
        return [_turned(course)]
    begin = overfitting.memorized_since(course, parameters)
    return [] if begin is None else Answer([_memorized(course, begin)], advice=MEMORIZED)


def _turned(course: Course) -> Finding:
    best = course.best
    return Finding(
        f"The validation loss was lowest {_within(course, best)} ({number_text(course.valid[best], 3)}) and rose to"
        f" {number_text(course.last_valid, 3)} by {_at(course, -1)}, while the training loss went from"
        f" {number_text(course.train[best], 3)} to {number_text(course.last_train, 3)}.",
        mode=TRAIN,
        steps=_steps_from(course, best),
        numbers={
            "best_epoch": int(course.losses.epochs[best]),
            "lowest_valid": float(course.valid[best]),
            "last_valid": course.last_valid,
            "last_train": course.last_train,
        },
    )


def _memorized(course: Course, begin: int) -> Finding:
    return Finding(
        f"From {_at(course, begin)} on the training pictures are memorized: at the end the training loss is"
        f" {number_text(course.last_train, 3)} and the validation loss {number_text(course.last_valid, 3)}, while "
        f"{'guessing gives' if course.knows_chance else 'it began at'} {number_text(course.scale, 3)}.",
        mode=TRAIN,
        steps=_steps_from(course, begin),
        numbers={
            "epoch": int(course.losses.epochs[begin]),
            "last_valid": course.last_valid,
            "last_train": course.last_train,
            "gap": course.last_valid - course.last_train,
        },
    )


def _overtraining_default(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Ours: training continued long after the best epoch, and validation got worse. A plateau is not a fault."""
    course = _course(trial, min(parameters["patience_validation"], 3))
    since = course.since
    material = max(parameters["rise_of_chance"] * course.scale, parameters["delta"] * abs(course.lowest))
    long = since >= max(parameters["patience_validation"], len(course.valid) / 4)
    if not long or course.rise <= material or course.diverges() or not course.rises_surely():
        return []
    epochs = course.losses.epochs
    passes = "epochs" if course.counts_epochs else "evaluations"
    return [
        Finding(
            f"Validation was best {_within(course, course.best)} with a loss of "
            f"{number_text(course.valid[course.best], 3)};"
            f" {since} more {passes} brought it to {number_text(course.last_valid, 3)}.",
            mode=TRAIN,
            steps=_steps_from(course, course.best),
            numbers={
                "best_epoch": int(epochs[course.best]),
                "epochs_since": since,
                "lowest_valid": float(course.valid[course.best]),
                "last_valid": course.last_valid,
            },
        )
    ]


RULES = (
    Rule(
        name="Overfit",
        judge=_overfit_default,
        judge_aws=_overfit_aws,
        aws={"tensor_regex": None, "start_step": 0, "patience": 1, "ratio_threshold": 0.1},
        default={
            # Except for AWS's 10%, the values were chosen on the battery in benchmarks/rule_battery.py: no finding on
            # a healthy run, one on each overfitted run. The measured numbers below are from its fixed runs, seed 0.
            #
            # Epochs. The rise must last this long, because one or two epochs may be worse by chance. The losses at the
            # end of the run are means over as many epochs.
            "patience": 3,
            # The least rise of the validation loss, as a share of its lowest value. AWS takes 10% of the
            # training loss. That loss approaches 0, where any difference exceeds 10% of it.
            "ratio_threshold": 0.1,
            # The least rise as a share of the chance-level loss. A converged loss may rise by many times its value and
            # do no harm. Healthy runs rise by at most 0.03 of the chance-level loss, overfitted ones by at least 0.7.
            "rise_of_chance": 0.1,
            # The gap between validation and training loss above which the pictures count as memorized, as a share of
            # the chance-level loss. A third would be too low: a healthy run with many classes ends with a gap of 0.36.
            "gap_of_chance": 0.5,
            # The same if the training loss is below `memorized_loss`. Half the usual gap is enough evidence then:
            # healthy runs with so low a training loss have a gap of at most 0.02, overfitted ones of at least 1.5.
            "memorized_gap": 0.25,
            # With such a training loss, a slow rise of the validation loss counts too, if it lasts for 20 epochs and a
            # quarter of the run: it may stay below `rise_of_chance` however long it lasts. In the hard cases of the
            # tests, a rise by 0.09 of the chance-level loss is overfitting and one by 0.01 is not.
            "memorized_rise": 0.02,
            # A slow rise must also be this share of the lowest validation loss: a smaller one is not worth reporting.
            "memorized_ratio": 0.25,
            # A training loss below this share of the chance-level loss leaves nothing to learn from these pictures.
            # Overfitted runs end at 0.003 or less.
            "memorized_loss": 0.02,
            # While the validation loss still improves by more than this share of the chance-level loss over patience
            # epochs, more training helps, so a wide gap is not reported.
            "still_better": 0.01,
        },
        description="A validation loss that rises, or stays high, while the training loss falls.",
        advice=(
            "Keep the best epoch (train_model does), and end training when the validation loss no longer improves"
            " (patience). Then raise weight-decay or dropout, use a smaller network (hidden), more augmentation"
            " (views), or more pictures."
        ),
        bounds={"start_step": POSITION, "patience": COUNT},
        explanation=Explanation(
            computes=(
                "Epoch by epoch. Turned: the validation loss rose from its lowest value by more than `rise_of_chance` "
                "of the chance-level loss and more than `ratio_threshold` of its lowest value, for at least `patience` "
                "epochs, beyond the noise of epochs and of single pictures, while the training loss fell. Memorized: "
                "over the last `patience` epochs `validation loss - training loss > gap_of_chance * chance-level "
                "loss`, with a training loss below half the validation loss, and the validation loss no longer "
                "improves by `still_better`. If the training loss is below `memorized_loss`, the smaller "
                "`memorized_gap`, `memorized_rise` and `memorized_ratio` apply."
            ),
            computes_aws=(
                "`(validation loss - training loss) / training loss > ratio_threshold` at `patience` EVAL steps in a "
                "row, from `start_step` on. Each loss is the mean over the loss tensors; an EVAL step is compared with "
                "the TRAIN step before it."
            ),
            parameters={
                "start_step": "first EVAL step that is evaluated",
                "patience": "epochs that the rise must last; EVAL steps in a row for AWS",
                "ratio_threshold": (
                    "least rise as a share of the lowest validation loss; for AWS the gap as a share of the training "
                    "loss"
                ),
                "rise_of_chance": "least rise as a share of the chance-level loss",
                "gap_of_chance": (
                    "gap between the losses above which the pictures count as memorized, as a share of the "
                    "chance-level loss"
                ),
                "memorized_gap": "the same, if the training loss is below `memorized_loss`",
                "memorized_rise": "with such a training loss: least slow rise, as a share of the chance-level loss",
                "memorized_ratio": (
                    "with such a training loss: least slow rise, as a share of the lowest validation loss"
                ),
                "memorized_loss": "training loss, as a share of the chance-level loss, that leaves nothing to learn",
                "still_better": (
                    "improvement of the validation loss, as a share of the chance-level loss, that excuses a wide gap"
                ),
                "tensor_regex": "regular expression of the loss tensors",
            },
            causes=(
                "overfitting",
                "evaluation-in-training-mode",
                "labels-shifted",
                "validation-preprocessing",
                "shuffled-labels",
            ),
        ),
        order=60,
        aws_name="Overfit",
        collections=("losses",),
    ),
    Rule(
        name="Overtraining",
        judge=_overtraining_default,
        judge_aws=_overtraining_aws,
        aws={"patience_train": 5, "patience_validation": 10, "delta": 0.01},
        default={
            # Epochs. Training must have continued for so long after the best one, and for a quarter of the run.
            "patience_validation": 5,
            # The least rise, as a share of the lowest validation loss, as in Overfit.
            "delta": 0.1,
            # The least rise, as a share of the chance-level loss. It is half of the limit in Overfit.
            "rise_of_chance": 0.05,
        },
        description="Training that continued long after the best epoch and made the model worse.",
        advice=(
            "End training when the validation loss no longer improves (patience), and keep the best epoch (train_model"
            " does)."
        ),
        bounds={"patience_train": COUNT, "patience_validation": COUNT},
        explanation=Explanation(
            computes=(
                "The best epoch is at least `patience_validation` epochs and a quarter of the run ago, and since then "
                "the validation loss rose, beyond noise, by more than `delta` of its lowest value and more than "
                "`rise_of_chance` of the chance-level loss."
            ),
            computes_aws=(
                "No loss is lower than the best one by `delta` for `patience_train` TRAIN steps or "
                "`patience_validation` EVAL steps."
            ),
            parameters={
                "patience_train": "TRAIN steps without a new optimum",
                "patience_validation": "epochs since the best one; for AWS EVAL steps without a new optimum",
                "delta": "least rise as a share of the lowest validation loss; for AWS the least improvement of a loss",
                "rise_of_chance": "least rise as a share of the chance-level loss",
            },
            causes=("overfitting",),
        ),
        order=70,
        aws_name="Overtraining",
        collections=("losses",),
    ),
)
