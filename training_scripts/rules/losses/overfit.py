"""Overfit and Overtraining: validation against training loss, by epochs and with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import EVAL, TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, POSITION
from training_scripts.rules.declaration import Answer, Rule
from training_scripts.rules.evidence import curves, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import CLEARLY_BELOW_CHANCE, SIGMAS, chance_loss
from training_scripts.rules.evidence.epochs import EpochLosses, epoch_losses, loss_names, loss_series, training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated

NO_VALIDATION = (
    "Both a training and a validation loss are needed (modes TRAIN and EVAL). Train with a valid split and record"
    " losses in both modes (train.save_interval, eval.save_interval)."
)


def _overfit_aws(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """AWS: (validation loss - training loss) / training loss above ratio_threshold for patience steps.

    Both are the means over the loss tensors: of an EVAL step, and of the TRAIN step before it.
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
        ratio = (value - present) / present if present else math.copysign(math.inf, value)
        streak = streak + 1 if ratio > parameters["ratio_threshold"] else 0
        if streak and streak >= parameters["patience"]:
            steps.append(step)
            worst = max(worst, ratio)
    if not steps:
        return []
    message = (
        f"The validation loss is above the training loss by more than {number_text(parameters['ratio_threshold'])} "
        "of it at"
        f" {len(steps)} EVAL steps, first at {steps[0]}, at worst by {worst:.2f} of it."
    )
    return [Finding(message, mode=EVAL, steps=tuple(steps), numbers={"ratio": worst})]


def _mean_series(run: Evidence, names: list[str], mode: str) -> Series | None:
    """Means over the tensors, at the steps at which all of them were recorded."""
    found = [series for series in (run.reduction(name, "mean", mode) for name in names) if series is not None]
    if not found:
        return None
    first = found[0]
    alike = [series.values for series in found if np.array_equal(series.steps, first.steps)]
    return Series(first.steps, np.mean(alike, axis=0))


def _train_before(run: Evidence, train: Series, valid: Series) -> NDArray[np.int64]:
    """For every EVAL step the place of the last recorded TRAIN step before it; -1 where there is none."""
    whens = []
    for series, mode in ((train, TRAIN), (valid, EVAL)):
        table = run.steps(mode)
        if not len(table.steps):
            return np.searchsorted(train.steps, valid.steps, side="right").astype(np.int64) - 1
        place = np.minimum(np.searchsorted(table.steps, series.steps), len(table.steps) - 1)
        whens.append(table.global_steps[place])
    return np.searchsorted(whens[0], whens[1]).astype(np.int64) - 1


def _overtraining_aws(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """AWS: no loss lower than the best by delta for patience_train TRAIN or patience_validation EVAL steps."""
    run = evidences.of(trial)
    findings, judged = [], False
    for mode, series, patience in (
        (TRAIN, training_loss(run), parameters["patience_train"]),
        (EVAL, loss_series(run, EVAL), parameters["patience_validation"]),
    ):
        if series is None:
            continue
        judged = True
        steps = _without_optimum(series, patience, parameters["delta"])
        if steps:
            findings.append(
                Finding(
                    f"The {mode} loss had no new optimum, better by {number_text(parameters['delta'])}, for"
                    f" {patience} steps at"
                    f" step {steps[0]}.",
                    mode=mode,
                    steps=tuple(steps),
                    numbers={"patience": patience},
                )
            )
    if not judged:
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


LONG = 20
"""Epochs after the best one, and a quarter of the run: so long a slow rise must last to count."""


class _Course:
    """What both of our rules look at: the epochs that have both losses, the best of them, and the last few."""

    def __init__(self, run: Evidence, patience: int) -> None:
        losses = epoch_losses(run)
        there = np.isfinite(losses.train) & np.isfinite(losses.valid)
        # A run may begin with an evaluation; an epoch without one tells nothing here.
        self.losses = EpochLosses(*(column[there] for column in losses))
        count = len(self.losses.epochs)
        if count < patience + 2:
            raise NotEvaluated(
                f"{count} epochs have both a training and a validation loss, {patience + 2} are needed."
                f" {NO_VALIDATION if not count else 'Train for more epochs or evaluate more often.'}"
            )
        self.run, self.patience = run, patience
        self.counts_epochs = isinstance(run.run.get("steps_per_epoch"), int)
        self.valid, self.train = self.losses.valid, self.losses.train
        smoothed = curves.trailing_mean(self.valid, 3 if count >= 8 else 1)
        # The epoch that everybody else calls the best; a single lucky one is no measure of a rise.
        self.best = int(np.argmin(self.valid))
        self.lowest = float(smoothed.min())
        self.last_valid = float(self.valid[-patience:].mean())
        self.last_train = float(self.train[-patience:].mean())
        self.rise = self.last_valid - self.lowest
        begin = training_loss(run)
        chance = chance_loss(run)
        # What knowing nothing costs is the measure of what matters; where it is unknown, what was known at first.
        first = float(begin.values[0]) if begin is not None and np.isfinite(begin.values[0]) else 0.0
        self.scale = chance if chance is not None else max(abs(first), abs(float(self.valid[0])))

    def rises_surely(self) -> bool:
        """Whether the rise since the best epoch is more than noise: of epochs, and of single pictures or batches."""
        noise = curves.jitter(self.valid) * math.sqrt(2 / self.patience)
        if self.rise <= SIGMAS * noise:
            return False
        pairs = self._pairs()
        if pairs is None:
            return True
        spread = float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
        # A few pictures with a huge loss can lift the mean alone; then the model is surer, not worse.
        return float(pairs.mean()) > SIGMAS * spread

    def _pairs(self) -> NDArray[np.float64] | None:
        """How much the loss of each validation batch rose from the best epoch to the last; None below 5 batches."""
        series, epochs = loss_series(self.run, EVAL), self.losses.epochs
        if series is None:
            return None
        numbers = self.run.kept["epoch numbers"][1]
        table = self.run.steps(EVAL).steps
        steps = [table[numbers == epochs[place]] for place in (self.best, len(epochs) - 1)]
        values = [series.values[np.isin(series.steps, chosen)] for chosen in steps]
        if len(values[0]) != len(values[1]) or len(values[0]) < 5:
            return None
        return values[1] - values[0]

    def diverges(self) -> bool:
        """Whether the training loss rose since the best epoch too: nothing was learned by heart then."""
        return self.last_train > float(self.train[self.best])

    def at(self, place: int) -> str:
        """When an epoch was, in words; where only evaluations part epochs, some may be missing, and steps tell."""
        if self.counts_epochs:
            return f"epoch {self.losses.epochs[place]}"
        return f"step {self.losses.train_ends[place]}"

    def within(self, place: int) -> str:
        """As `at`, with its preposition."""
        return f"{'in' if self.counts_epochs else 'at'} {self.at(place)}"

    def steps_from(self, place: int) -> tuple[int, ...]:
        """The last TRAIN steps of the epochs from a place on."""
        return tuple(self.losses.train_ends[place:].tolist())


BY_HEART = (
    "More epochs bring little: what is left to learn is not in these pictures. Collect more of them, or use more views;"
    " with a hidden layer raise dropout or weight-decay, or make it smaller."
)
"""The advice where validation never turned: there is no earlier epoch to stop at."""


def _overfit_default(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding] | Answer:
    """Ours: validation turned and rose while training went on falling, or training is learned by heart.

    Measured in units of what guessing costs: a rise from 0.01 to 0.02 is a ratio of 2 and no harm.
    """
    course = _Course(evidences.of(trial), parameters["patience"])
    turned = _turned(course, parameters)
    if turned:
        return [turned]
    found = _by_heart(course, parameters)
    return Answer([found], advice=BY_HEART) if found else []


def _turned(course: _Course, parameters: Mapping[str, Any]) -> Finding | None:
    since = len(course.valid) - 1 - course.best
    material = max(parameters["rise_of_chance"] * course.scale, parameters["ratio_threshold"] * abs(course.lowest))
    # With nothing left to learn from, what validation loses for long is overfitting however slowly it loses it.
    if course.last_train < parameters["memorized_loss"] * course.scale and since >= max(LONG, len(course.valid) / 4):
        slow = max(parameters["memorized_rise"] * course.scale, parameters["memorized_ratio"] * abs(course.lowest))
        material = min(material, slow)
    if since < course.patience or course.rise <= material or not course.rises_surely():
        return None
    if course.diverges():
        return None
    epochs = course.losses.epochs
    return Finding(
        f"The validation loss was lowest {course.within(course.best)} ({number_text(course.valid[course.best], 3)})"
        " and rose to"
        f" {number_text(course.last_valid, 3)} by {course.at(-1)}, while the training loss went from"
        f" {number_text(course.train[course.best], 3)} to {number_text(course.last_train, 3)}.",
        mode=TRAIN,
        steps=course.steps_from(course.best),
        numbers={
            "best_epoch": int(epochs[course.best]),
            "lowest_valid": float(course.valid[course.best]),
            "last_valid": course.last_valid,
            "last_train": course.last_train,
        },
    )


def _by_heart(course: _Course, parameters: Mapping[str, Any]) -> Finding | None:
    gap, scale = course.valid - course.train, course.scale
    counts = course.losses.counts
    # The spread of two or three batches is itself hardly known (Student's distribution has long tails there).
    valid_error = course.losses.valid_error * np.where(counts >= 8, 1.0, 1 + 4 / np.maximum(counts - 1, 1))
    errors = np.hypot(np.nan_to_num(valid_error), np.nan_to_num(course.losses.train_error))
    # Without a spread (one batch) only the larger gap counts.
    by_heart = (course.train < parameters["memorized_loss"] * scale) & np.isfinite(valid_error)
    material = np.where(by_heart, parameters["memorized_gap"], parameters["gap_of_chance"]) * scale
    wide = (gap > np.maximum(material, SIGMAS * errors)) & (course.train < course.valid / 2)
    wide &= course.train < CLEARLY_BELOW_CHANCE * scale  # who learns by heart knows more than nothing
    # As long as validation gets better, training on is right however wide the gap is.
    better = float(course.valid[: -course.patience].min()) - course.last_valid
    if not wide[-course.patience :].all() or better > parameters["still_better"] * course.scale:
        return None
    begin = len(wide) - int(np.argmin(wide[::-1])) if not wide.all() else 0
    epochs = course.losses.epochs
    return Finding(
        f"From {course.at(begin)} on the training pictures are learned by heart: training loss"
        f" {number_text(course.last_train, 3)}, validation loss {number_text(course.last_valid, 3)} at the end, when"
        " guessing costs"
        f" {number_text(course.scale, 3)}.",
        mode=TRAIN,
        steps=course.steps_from(begin),
        numbers={
            "epoch": int(epochs[begin]),
            "last_valid": course.last_valid,
            "last_train": course.last_train,
            "gap": course.last_valid - course.last_train,
        },
    )


def _overtraining_default(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """Ours: training went on for long after the best epoch, and validation got worse. Standing still is no fault."""
    course = _Course(evidences.of(trial), min(parameters["patience_validation"], 3))
    since = len(course.valid) - 1 - course.best
    material = max(parameters["rise_of_chance"] * course.scale, parameters["delta"] * abs(course.lowest))
    long = since >= max(parameters["patience_validation"], len(course.valid) / 4)
    if not long or course.rise <= material or course.diverges() or not course.rises_surely():
        return []
    epochs = course.losses.epochs
    passes = "epochs" if course.counts_epochs else "evaluations"
    return [
        Finding(
            f"Validation was best {course.within(course.best)} with a loss of "
            f"{number_text(course.valid[course.best], 3)};"
            f" {since} more {passes} brought it to {number_text(course.last_valid, 3)}.",
            mode=TRAIN,
            steps=course.steps_from(course.best),
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
            "patience": 3,  # epochs: one or two may be worse by chance
            "ratio_threshold": 0.1,  # AWS's 10 %, of the lowest validation loss
            "rise_of_chance": 0.1,  # a rise by a tenth of what guessing costs
            "gap_of_chance": 0.5,  # validation worse than training by half of what guessing costs, or
            "memorized_gap": 0.25,  # by a quarter, where the training loss is below
            "memorized_rise": 0.02,  # there a rise by a fiftieth, and
            "memorized_ratio": 0.25,  # by a quarter of the lowest validation loss, is enough if it lasts
            "memorized_loss": 0.02,  # of what guessing costs: nothing is left to learn from these pictures
            "still_better": 0.01,  # of what guessing costs: validation still improves over patience epochs
        },
        description="A validation loss that rises, or stays high, while the training loss falls.",
        advice=(
            "Keep the best epoch (train_model does) and stop there: set patience to 3, or epochs to the best epoch."
            " Then raise weight-decay or dropout, use a smaller hidden, more views, or more pictures."
        ),
        bounds={"start_step": POSITION, "patience": COUNT},
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
            "patience_validation": 5,  # epochs after the best one, and at least a quarter of the run
            "delta": 0.1,  # worse by a tenth of the lowest validation loss
            "rise_of_chance": 0.05,  # and by a twentieth of what guessing costs
        },
        description="Training that went on long after the best epoch and made the model worse.",
        advice="Set patience (5) so that training ends by itself, or epochs to the best epoch; the best epoch is kept.",
        bounds={"patience_train": COUNT, "patience_validation": COUNT},
        order=70,
        aws_name="Overtraining",
        collections=("losses",),
    ),
)
