"""NaN and infinity: from the inputs, the targets, the loss itself, the initial weights, or steps that are too large."""

from __future__ import annotations

import math

import numpy as np

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.trial.layout import (
    INPUT_IMAGE,
    INPUT_MEAN,
    INPUT_STD,
    OUTPUT_MAX,
    OUTPUT_MIN,
    TARGET_MEAN,
)
from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.causes import network
from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence import layers, learning_rate, selection, workers
from training_scripts.rules.evidence.learning_rate import FIRST_UPDATE
from training_scripts.rules.evidence.run import KEEPS_BEST
from training_scripts.rules.findings import in_workers

TOPIC = "divergence"
USUAL_LOSSES = 20
"""Losses before the explosion that show the usual level."""
GROWN = 2.0
"""The last losses before the explosion are this many times the usual level if they grew; noise rarely doubles them."""
GROWN_TENSOR = 10.0
"""Likewise for outputs and weights, whose size hardly changes in a healthy run."""
REPLACED = 1.0
"""An update as large as the weights themselves replaces them."""
WIDE_GAIN = 10.0
FEW_BEFORE = 5
"""With fewer losses before it, growth within two or three steps cannot be excluded."""
HUGE_FIRST = 10.0
"""A first loss this many times the chance-level loss comes from the initial weights; the rule has the same limit."""


def find(signs: Signs) -> Cause | None:
    """Why values became NaN or infinite: what was finite first."""
    begin = _begin(signs)
    if begin is None:
        return None
    return (
        _from_outside(signs, begin) or _grown(signs, begin) or _in_the_loss(signs, begin) or _of_the_batch(signs, begin)
    )


def _begin(signs: Signs) -> int | None:
    """The first TRAIN step at which the loss, a weight or a gradient is not finite, or about to overflow."""
    run = signs.run
    broken = run.losses.steps[~np.isfinite(run.losses.values)] if run is not None else np.zeros(0)
    steps = [int(broken[0])] if len(broken) else []
    exploding = signs.issues.get("ExplodingTensor")
    if exploding is not None:
        steps += [finding.steps[0] for finding in exploding.findings if finding.steps and finding.mode == TRAIN]
    return min(steps, default=None)


def _from_outside(signs: Signs, begin: int) -> Cause | None:
    """Inputs or targets that are not finite, at this step or the one before the weights broke."""
    for name in (INPUT_MEAN, TARGET_MEAN):
        series = signs.scalar(name)
        if series is None:
            continue
        bad = series.steps[~np.isfinite(series.values)]
        if len(bad) and bad[0] <= begin:
            return _outside(signs, name, int(bad[0]), len(bad))
    if INPUT_IMAGE in signs.evidence.recorded_names():
        series = signs.evidence.reduction(INPUT_IMAGE, "mean", TRAIN)
        if series is not None and not np.isfinite(series.values[series.steps <= begin]).all():
            step = int(series.steps[~np.isfinite(series.values)][0])
            return _outside(signs, INPUT_IMAGE, step, 1)
    return None


def _outside(signs: Signs, name: str, step: int, count: int) -> Cause:
    id_, what = ("nan-target", "targets") if name == TARGET_MEAN else ("nan-input", "inputs")
    before = _before(signs, step)
    where = in_workers(workers.not_finite(signs.evidence, name, step))
    fine = f"; the loss before was {number_text(before, 3)}" if math.isfinite(before) else ""
    return Cause(
        id=id_,
        title=f"The {what} of step {step}{where} contain NaN or infinity, and so does everything after it.",
        explanation=(
            f"Loss and weights were finite until then. One such value makes the loss NaN, its gradient makes all "
            f"weights NaN, and no later step can repair them.{_kept(signs)}"
        ),
        evidence=(
            f"The mean of the {what} is not finite at {counted(count, 'step')}, first at step {step}{where}{fine}.",
        ),
        advice=(
            f"Look at the batch of step {step}{where}: find the values that are NaN, infinite or a division by zero, "
            "and repair or remove them (assert torch.isfinite(x).all() where batches are made). The learning rate is "
            "not the cause."
        ),
        topic=TOPIC,
        steps=(step,),
    )


def _before(signs: Signs, step: int) -> float:
    """The usual loss just before a step; NaN if there was none."""
    run = signs.run
    if run is None:
        return math.nan
    values = run.losses.values[(run.losses.steps < step) & np.isfinite(run.losses.values)][-5:]
    return float(np.median(values)) if len(values) else math.nan


def _kept(signs: Signs) -> str:
    run = signs.run
    if run is None or not run.keeps_best or run.best is None:
        return ""
    return f" {KEEPS_BEST}: epoch {run.best + 1}."


def _grown(signs: Signs, begin: int) -> Cause | None:
    """Values that grew before they overflowed: from the start, or by steps that were too large."""
    wide = _wide(signs)
    seen, run = signs.seen, signs.run
    first = float(run.losses.values[0]) if run is not None and len(run.losses) else math.nan
    huge = seen is not None and seen.chance is not None and first > HUGE_FIRST * seen.chance
    evidence = _growth(signs, begin)
    at_start = begin <= 0 or not math.isfinite(first)
    if wide and (huge or at_start or evidence):
        return _initialization(signs, begin, wide, first)
    unscaled = network.find_unscaled_inputs(signs)
    if unscaled is not None:
        return unscaled
    if huge and not _large_updates(signs, begin):
        return _initialization(signs, begin, wide, first)
    if not evidence and not _large_updates(signs, begin):
        return None
    return Cause(
        id="learning-rate-too-high",
        title=f"Training diverged: the steps were too large, and from step {begin} on values are not finite.",
        explanation=(
            "Each step overshot by more than the one before, until the computation overflowed; nothing after that step "
            f"is usable.{_kept(signs)}"
        ),
        evidence=(*evidence, *_large_updates(signs, begin)),
        advice=f"{learning_rate.lower(signs.evidence)}, warm it up over the first steps, or clip gradients.",
        topic=TOPIC,
        steps=(begin,),
    )


def _wide(signs: Signs) -> list[str]:
    """Sentences on layers whose initial weights amplify signals too much."""
    found = []
    for name in selection.trained_weights(signs.evidence):
        gain = layers.gain(signs.evidence, name, 10)
        if gain is not None and gain > WIDE_GAIN:
            found.append(
                f"{name} begins with a standard deviation of {number_text(gain, 2)} / sqrt(inputs); about 1 is usual."
            )
    return found


def _initialization(signs: Signs, begin: int, wide: list[str], first: float) -> Cause:
    evidence = list(wide[:3])
    if math.isfinite(first):
        guess = f"; guessing gives {number_text(signs.chance, 3)}" if signs.chance else ""
        evidence.append(f"The first loss is {number_text(first, 3)}{guess}.")
    else:
        evidence.append("The loss is not finite from the first step on, before any weight was changed.")
    return Cause(
        id="bad-initialization",
        title=f"The initial weights are far too large: from step {begin} on, values are not finite.",
        explanation=(
            "Each layer multiplies its signals, so outputs and gradients were huge before the first step was taken."
            f"{_kept(signs)}"
        ),
        evidence=tuple(evidence),
        advice=(
            "Initialize weights with a standard deviation of about 1 / sqrt(inputs) (Xavier, He; PyTorch's default "
            "does). A lower lr does not repair such a start."
        ),
        topic=TOPIC,
        steps=(begin,),
    )


def _growth(signs: Signs, begin: int) -> list[str]:
    """Sentences on losses, outputs and weights that grew before a step."""
    found, run = [], signs.run
    if run is not None:
        before = run.losses.values[run.losses.steps < begin]
        before = before[np.isfinite(before)]
        if len(before) > 1:
            level = float(np.median(np.abs(before[-USUAL_LOSSES:]))) if len(before) > 5 else abs(float(before[0]))
            # Two in a row: a single batch may be an exception.
            last = np.abs(before[-3:]) if len(before) > 5 else np.abs(before[-1:])
            high = float(np.sort(last)[-2:].min())
            if high > GROWN * max(level, signs.chance or 0.0):
                found.append(
                    f"The loss grew from {number_text(level, 3)} to {number_text(float(before[-1]), 3)} "
                    "in the steps before."
                )
    outputs = _output_sizes(signs)
    if outputs is not None:
        steps, sizes = outputs
        there = sizes[(steps < begin) & np.isfinite(sizes)]
        if len(there) > 1 and there[-1] > GROWN_TENSOR * max(float(np.median(there[-USUAL_LOSSES:])), 1e-3):
            found.append(f"Outputs grew up to {number_text(float(there[-1]), 3)} in the step before.")
    weights = signs.total("weights")
    if weights is not None:
        there = weights.values[(weights.steps <= begin) & np.isfinite(weights.values)]
        if len(there) > 1 and there[-1] > GROWN_TENSOR * there[0] > 0:
            found.append(f"The weights grew to {number_text(float(there[-1] / there[0]), 2)} times their norm.")
    return found


def _output_sizes(signs: Signs) -> tuple[np.ndarray, np.ndarray] | None:
    low, high = signs.scalar(OUTPUT_MIN), signs.scalar(OUTPUT_MAX)
    if low is None or high is None or len(low) != len(high):
        return None
    return high.steps, np.maximum(np.abs(low.values), np.abs(high.values))


def _large_updates(signs: Signs, begin: int) -> list[str]:
    """Sentences on updates that replaced weights, before a step."""
    worst = 0.0
    for series in signs.updates.values():
        there = series.values[(series.steps < max(begin, 1)) & np.isfinite(series.values)]
        worst = max(worst, float(there.max()) if len(there) else 0.0)
    if worst <= REPLACED:
        return []
    return [
        f"A step changed a layer by {number_text(worst, 2)} times its norm; {number_text(FIRST_UPDATE)} is healthy."
    ]


def _in_the_loss(signs: Signs, begin: int) -> Cause | None:
    """A loss, or its gradient, that is not finite although inputs and outputs are."""
    outputs, inputs = _output_sizes(signs), signs.scalar(INPUT_MEAN)
    if outputs is None or inputs is None:
        return None
    steps, sizes = outputs
    here = sizes[steps == begin]
    run = signs.run
    loss = run.losses.values[run.losses.steps == begin] if run is not None else np.zeros(0)
    if not len(here):
        return None
    finite_outputs = bool(np.isfinite(here[0]))
    if not finite_outputs:
        before = sizes[steps == begin - 1]
        if not len(before) or not np.isfinite(before[0]):
            return None
        where = (
            f"Outputs ({number_text(float(before[0]), 3)} at most) and loss of step {begin - 1} are of a usual size, "
            f"but its gradient made the weights NaN: the outputs of step {begin} are not finite, with finite inputs."
        )
        what, step = "The gradient of the loss", begin - 1
    else:
        of_loss = "the loss is not" if len(loss) and not np.isfinite(loss[0]) else "the gradients are not"
        where = f"At step {begin}, inputs and outputs are finite (at most {number_text(float(here[0]), 3)}), {of_loss}."
        what, step = "The loss itself" if "loss" in of_loss else "The gradient of the loss", begin
    return Cause(
        id="undefined-loss",
        title=f"{what} is not finite at step {step}, though inputs and outputs are: log(0), sqrt(0) or 0/0.",
        explanation=(
            "The values before it had not grown, so the learning rate is not the cause: the loss computes something "
            "undefined, such as the logarithm of 0, the gradient of a square root at 0, or a division by "
            f"0.{_kept(signs)}"
        ),
        evidence=(where,),
        advice=(
            "Compute the loss from logits (CrossEntropyLoss, BCEWithLogitsLoss), or add a small number inside the "
            "logarithm, the root or the denominator (torch.log(p + 1e-8)); torch.autograd.set_detect_anomaly(True) "
            "names the line. Check that no target is NaN."
        ),
        topic=TOPIC,
        steps=(step,),
    )


def _sudden_start(begin: int) -> Cause:
    """Values that are not finite after so few recorded losses that their growth may be hidden."""
    return Cause(
        id="learning-rate-too-high",
        alternatives=("nan-input", "bad-initialization", "undefined-loss"),
        confidence="low",
        title=f"From step {begin} on, values are not finite: steps that are far too large, or a batch with NaN.",
        explanation="Too few losses were recorded before that step to see whether they grew.",
        advice=(
            f"Check the batches up to step {begin} with torch.isfinite(x).all(). If they pass, print the loss of each "
            "of these steps: if it grows, lower lr; if the first one is huge, the initial weights are too large; if "
            "it is usual until the last, the loss itself is undefined (log(0), sqrt(0), 0/0)."
        ),
        topic=TOPIC,
        steps=(begin,),
    )


def _of_the_batch(signs: Signs, begin: int) -> Cause | None:
    """A sudden NaN without a trace of where it came from."""
    before = _before(signs, begin)
    clean = signs.scalar(INPUT_STD) is not None
    run = signs.run
    # Losses that were recorded at intervals, or a start of a few steps, may hide the growth.
    few = run is None or int((run.losses.steps < begin).sum()) < FEW_BEFORE
    if few and not clean:
        return _sudden_start(begin)
    fine = f"The loss before was {number_text(before, 3)}, without growth." if math.isfinite(before) else ""
    first, second = ("undefined-loss", "learning-rate-too-high") if clean else ("nan-input", "undefined-loss")
    could = (
        "the loss is undefined there (log(0), sqrt(0), 0/0), or a step was far too large"
        if clean
        else "that batch contains NaN or infinity, or the loss is undefined for it (log(0), sqrt(0), 0/0)"
    )
    return Cause(
        id=first,
        alternatives=(second,),
        confidence="medium",
        title=f"From step {begin} on, values are not finite, all at once: {could}.",
        explanation=f"Nothing grew before that step, as it would if weights diverged step by step.{_kept(signs)}",
        evidence=(fine,) if fine else (),
        advice=(
            f"Check the batch of step {begin} with torch.isfinite(x).all(): if it fails, repair these inputs. If it "
            "passes, run the step with torch.autograd.set_detect_anomaly(True), which names the operation that is "
            "undefined; only if that names none, lower lr."
        ),
        topic=TOPIC,
        steps=(begin,),
    )
