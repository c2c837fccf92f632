"""A loss with the wrong sign, and outputs that are probabilities where the loss takes logits."""

from __future__ import annotations

import math

import numpy as np

from training_scripts._util.number_text import number_text, percent_text
from training_scripts._util.wilson import wilson
from training_scripts.recording.trial.layout import OUTPUT_MAX, OUTPUT_MEAN, OUTPUT_MIN, STEP_SIZE
from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence import curves
from training_scripts.rules.evidence.epochs import loss_names
from training_scripts.rules.evidence.learning_rate import first_update

FALLS_ON = 0.5
"""A loss without a bound falls in the second half by at least this share of its fall in the first; one that converges
by far less."""
WITHOUT_BOUND = 3.0
"""It also falls below zero by this many times its first value."""
SMALL_STEP = 0.1
"""A first update up to this share of a layer's norm does not overshoot."""
ROUNDING = 1e-4
WORSE = 0.4
"""Answers that are right less often than this share of guesses are systematically wrong."""
PARTS = 10
RISING_PARTS = 8
"""Of ten parts of a run, at least this many are above the one before if the loss rises steadily."""
WELL = 0.8
"""A model that is right this often has a loss far below that of a double softmax."""
FALLEN = 0.3
"""It has come at least this share of the way."""
NEAR_SHARE = 0.35
"""The first probabilities of a class are 1 / classes, but for this share of it; ln(2) is 39% above 1/2."""
NEAR_BATCH, FIRST = 0.05, 3
"""The first losses of a softmax over the batch are ln(samples) within this share: small outputs hardly differ."""
APART = 1.5
"""Samples in a step per class from which on ln(samples) is not mistaken for the ln(classes) of guessing."""
NEAR_FLOOR = 0.35
"""A double softmax brings a loss from ln(k) down toward its floor: by then, this share of the way is left at most."""


def find(signs: Signs) -> Cause | None:
    """A fault of the loss function that its values show."""
    return (
        _negative(signs)
        or _ascends(signs)
        or _wrong_dimension(signs)
        or _wrong_dimension_in_the_loss(signs)
        or _probabilities(signs)
    )


def _negative(signs: Signs) -> Cause | None:
    """A loss below zero that keeps falling."""
    seen = signs.seen
    if seen is None or len(seen.values) < PARTS or not (seen.values[-len(seen.values) // 5 :] < 0).all():
        return None
    values = seen.values
    if values.min() >= -1 - ROUNDING and values.max() <= ROUNDING and _is_likelihood(signs):
        return _log_of_nothing(signs)
    half = len(values) // 2
    begin = curves.level(values[: max(3, len(values) // 10)]).mean
    middle, end = curves.level(values[half - 2 : half + 3]).mean, seen.final.mean
    endless = begin - end > WITHOUT_BOUND * abs(begin) and middle - end > FALLS_ON * (begin - middle)
    worse = _below_chance(signs)
    if not (signs.never_negative or (worse and end < begin) or endless):
        return None
    known = "This loss has no negative values. " if signs.never_negative else ""
    sure = signs.never_negative or bool(worse)
    return Cause(
        id="wrong-sign",
        title=f"The loss is negative and keeps falling (to {number_text(end, 3)}): its sign is wrong.",
        explanation=(
            f"{known}Training minimizes the negative of what it should, so the predictions become as wrong as "
            "possible, and there is no lower bound."
        ),
        evidence=(
            f"The loss went from {number_text(begin, 3)} over {number_text(middle, 3)} to {number_text(end, 3)}.",
            *worse,
        ),
        advice=(
            "Remove the minus sign before the loss (or maximize=True in the optimizer); the learning rate is not the "
            "cause."
            + (
                ""
                if sure
                else " If the loss is a log-likelihood of a density, which may be negative, bound it instead."
            )
        ),
        confidence="high" if sure else "medium",
        steps=(int(seen.steps[np.argmax(values < 0)]),),
    )


def _is_likelihood(signs: Signs) -> bool:
    """Whether the loss is a negative log-likelihood of classes, by its name or by its outputs."""
    if any("nll" in name.lower() for name in loss_names(signs.evidence)):
        return True
    if signs.classes is None or signs.takes_logits:
        return False
    return _within_unit(signs) is not None or _begins_at_a_share(signs, signs.classes)


def _begins_at_a_share(signs: Signs, classes: int) -> bool:
    """Whether the loss begins at -1 / classes: the probability of each class before anything was learned.

    A cross-entropy of the wrong sign begins at -ln(classes) instead.
    """
    seen = signs.seen
    return seen is not None and abs(-seen.initial.mean * classes - 1) < NEAR_SHARE


def _log_of_nothing(signs: Signs) -> Cause:
    seen = signs.seen
    assert seen is not None
    return Cause(
        id="probabilities-as-log-probabilities",
        title="The negative log-likelihood lies between -1 and 0: it gets probabilities instead of their logarithms.",
        explanation="NLLLoss only picks a number per sample; given probabilities, it rewards them without the "
        "logarithm.",
        evidence=(f"The loss went from {number_text(seen.initial.mean, 3)} to {number_text(seen.final.mean, 3)}.",),
        advice="Apply log_softmax instead of softmax, or use CrossEntropyLoss on the logits.",
        steps=(int(seen.steps[0]),),
    )


def _below_chance(signs: Signs) -> tuple[str, ...]:
    """A sentence on predictions that are right significantly less often than guesses; empty otherwise."""
    run, classes = signs.run, signs.classes
    if run is None or not run.epochs or not classes:
        return ()
    guess = 1 / classes
    broken = run.losses.steps[~np.isfinite(run.losses.values)]
    known = run.accuracies.values[run.accuracies.steps < (broken[0] if len(broken) else math.inf)]
    values = known[-max(3, len(known) // 4) :]
    seen = len(values) * (run.batch_size or 1)
    trained = float(values.mean()) if len(values) else math.nan
    if seen and wilson(trained * seen, seen)[1] < WORSE * guess:
        return (f"Of the training samples, {percent_text(trained)} are right; guessing gives {percent_text(guess)}.",)
    validated, size = signs.accuracy[1], run.valid_size or 0
    if (
        not seen
        and not len(broken)
        and size
        and math.isfinite(validated)
        and wilson(validated * size, size)[1] < WORSE * guess
    ):
        return (
            f"Of the validation samples, {percent_text(validated)} are right; guessing gives {percent_text(guess)}.",
        )
    return ()


def _ascends(signs: Signs) -> Cause | None:
    """A loss that rises steadily from the first step, with predictions worse than guesses."""
    seen = signs.seen
    if seen is None or len(seen.values) < PARTS or not seen.final.mean > 1.5 * max(seen.initial.mean, 0.0):
        return None
    parts = np.array([part.mean() for part in np.array_split(seen.values, PARTS)])
    if (np.diff(parts) > 0).sum() < RISING_PARTS or parts[0] < seen.initial.mean * 0.9:
        return None
    worse = _below_chance(signs)
    # The gradient of a cross-entropy is bounded, so small steps downhill cannot make it rise from the start.
    gently = seen.entropy and first_update(signs.evidence) < SMALL_STEP
    if not worse and not gently:
        return None
    return Cause(
        id="wrong-sign",
        alternatives=() if worse else ("learning-rate-too-high",),
        confidence="high" if worse else "medium",
        title=f"The loss rises steadily from the first step (to {number_text(seen.final.mean, 3)}): the steps lead "
        "uphill.",
        explanation="Steps that are too large make predictions random, not systematically wrong. Here the loss is "
        "maximized: by a wrong sign in the loss or the step, or by maximize=True.",
        evidence=(
            f"The loss of ten parts of the run: {', '.join(number_text(float(part), 3) for part in parts)}.",
            *worse,
        ),
        advice="Remove the minus sign, or maximize=True in the optimizer"
        + ("; the learning rate is not the cause." if worse else ". If there is neither, lower lr."),
        steps=(int(seen.steps[0]),),
    )


def _within_unit(signs: Signs) -> np.ndarray | None:
    """The mean output of each step if all outputs lie between 0 and 1; None otherwise."""
    low, high, mean = (signs.scalar(name) for name in (OUTPUT_MIN, OUTPUT_MAX, OUTPUT_MEAN))
    if low is None or high is None or mean is None or len(mean) < 5:
        return None
    if low.values.min() < -ROUNDING or high.values.max() > 1 + ROUNDING:
        return None
    return mean.values


def _wrong_dimension(signs: Signs) -> Cause | None:
    """Outputs that sum to 1 over the batch."""
    means, sizes, classes = _within_unit(signs), signs.scalar(STEP_SIZE), signs.classes
    if means is None or sizes is None or not classes or len(sizes) != len(means):
        return None
    over_batch = np.abs(means * sizes.values - 1) < 1e-3
    over_classes = np.abs(means * classes - 1) < 1e-3
    if over_batch.mean() < 0.95 or over_classes.mean() > 0.5:
        return None
    return Cause(
        id="softmax-dimension",
        title="The outputs sum to 1 over the batch instead of the classes: softmax has the wrong dimension.",
        explanation="The probabilities of one class are shared among the samples of a batch, so they do not answer "
        "which class a sample has.",
        evidence=(
            (
                f"All outputs lie between 0 and 1, and their mean is 1 / (samples in the step) at "
                f"{int(over_batch.sum()):,} of {len(means):,} steps; over {classes:,} classes it would be "
                f"{number_text(1 / classes, 3)}."
            ),
        ),
        advice="Remove the softmax, since CrossEntropyLoss takes logits; or apply it over the last dimension (dim=1).",
        steps=(int(sizes.steps[0]),),
    )


def _wrong_dimension_in_the_loss(signs: Signs) -> Cause | None:
    """A loss that begins at ln(samples in the step) instead of ln(classes), and stays above what that allows."""
    seen, sizes, classes = signs.seen, signs.scalar(STEP_SIZE), signs.run.classes if signs.run is not None else None
    if seen is None or sizes is None or not classes or len(seen.values) < PARTS or len(sizes) != len(seen.values):
        return None
    if not (sizes.values > APART * classes).all():
        return None
    guesses = np.log(sizes.values)
    begins = (np.abs(seen.values[:FIRST] / guesses[:FIRST] - 1) < NEAR_BATCH).all()
    # At best, the samples of a class share its probability, so about ln(samples / classes) remains.
    if not begins or (seen.values < 0.8 * (guesses - math.log(classes))).any():
        return None
    size = int(sizes.values[0])
    return Cause(
        id="softmax-dimension",
        alternatives=("bad-initialization",),
        confidence="medium",
        title="The loss compares the samples of a batch instead of the classes: its softmax has the wrong dimension.",
        explanation="The probability of a class is shared among the samples of a batch, so guessing gives the "
        "logarithm of their number, and the outputs do not answer which class a sample has.",
        evidence=(
            (
                f"The loss begins at {number_text(float(seen.values[0]), 3)} with {size} samples in the step; "
                f"ln({size}) is {number_text(math.log(size), 3)}, and guessing among {classes} classes gives "
                f"{number_text(math.log(classes), 3)}."
            ),
        ),
        advice="Apply softmax or log_softmax over the classes (dim=1 for outputs of [samples, classes]), or use "
        "CrossEntropyLoss on the logits. If it already is over the classes, the last layer's initial weights are too "
        "large.",
        steps=(int(seen.steps[0]),),
    )


def _probabilities(signs: Signs) -> Cause | None:
    """Outputs that are probabilities, and a loss that stays above the floor of a double softmax."""
    seen, classes = signs.seen, signs.classes
    if seen is None or not classes or classes < 2 or len(seen.values) < PARTS:
        return None
    ceiling = math.log(math.e + classes - 1)
    floor = ceiling - 1
    means = _within_unit(signs)
    inside = seen.values.min() >= floor - 1e-3 and seen.values.max() <= ceiling + 1e-3
    if means is not None:
        sums_to_one = bool((np.abs(means * classes - 1) < 1e-3).mean() > 0.95)
        # The loss of probabilities through a logarithm also begins at ln(k), but it would not stop at the floor.
        if not inside or not ((sums_to_one and signs.takes_logits) or _stops_at(signs, floor)):
            return None
        what = (
            "All outputs lie between 0 and 1 and sum to 1: they are probabilities."
            if sums_to_one
            else "All outputs lie between 0 and 1: they passed a sigmoid or softmax."
        )
        return _double(signs, floor, what, "high")
    # With two classes, label smoothing or noisy labels bring a loss to rest there as well.
    if signs.scalar(OUTPUT_MIN) is not None or classes < 3 or not inside or not _stops_at(signs, floor):
        return None
    return _double(signs, floor, "", "medium")


def _stops_at(signs: Signs, floor: float) -> bool:
    """Whether the loss rests just above a floor although nearly all samples are right."""
    seen = signs.seen
    assert seen is not None
    right = min((value for value in signs.accuracy if math.isfinite(value)), default=math.nan)
    start = math.log(signs.classes or 2)
    if not seen.initial.mean - seen.final.mean > FALLEN * (start - floor):
        return False
    if not right >= WELL or seen.final.mean > floor + (1 - right) + NEAR_FLOOR * (start - floor):
        return False
    last = seen.values[-max(5, len(seen.values) // 4) :]
    rest = curves.level(last[: len(last) // 2 + 1]).mean - curves.level(last[len(last) // 2 :]).mean
    return rest < 0.1 * (start - floor)


def _double(signs: Signs, floor: float, outputs: str, confidence: str) -> Cause:
    seen = signs.seen
    assert seen is not None
    right = max((value for value in signs.accuracy if math.isfinite(value)), default=math.nan)
    answers = f", with {percent_text(right)} right" if math.isfinite(right) else ""
    return Cause(
        id="double-softmax",
        title=(
            f"The outputs pass softmax twice: the loss cannot fall below {number_text(floor, 3)}, and gradients stay "
            "small."
        ),
        explanation=(
            f"CrossEntropyLoss applies softmax itself. Given probabilities, its lowest value for {signs.classes} "
            "classes is ln(e + k - 1) - 1, and it learns slowly, however well the run ends."
        ),
        evidence=(
            *((outputs,) if outputs else ()),
            (
                f"The loss ends at {number_text(seen.final.mean, 3)}{answers}; the lowest one of all steps is "
                f"{number_text(float(seen.values.min()), 3)}."
            ),
        ),
        advice=(
            "Remove the softmax (or sigmoid) at the end of the network, and apply it only to show probabilities."
            + ("" if outputs else " If there is none, look for a strong label smoothing, which also bounds the loss.")
        ),
        confidence="high" if confidence == "high" else "medium",
        steps=(int(seen.steps[-1]),),
    )
