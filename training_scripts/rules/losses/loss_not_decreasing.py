"""LossNotDecreasing: the training loss does not fall, or rises."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Parameters, Rule
from training_scripts.rules.evidence import curves, learning_rate, selection, statistics
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import BELOW_CHANCE, SIGMAS, Learning, learning
from training_scripts.rules.evidence.epochs import epoch_losses, loss_names, loss_series
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.tensors.vanishing_gradient import Gradients

Floats = NDArray[np.float64]

NO_LOSS = "No loss was recorded. Record the collection losses, best at every step (recorder=builtin does)."

SURE_RISE = 4.0
"""Standard errors that a rise from the lowest stretch must have at least,"""

SURE_RISE_ERROR = 1e-3
"""and the probability that noise alone makes one, shared among the stretches of which the lowest is taken."""

SMALL_STEPS, LARGE_STEPS = 1e-5, 0.03
"""Update ratios outside which the learning rate explains what the loss does: a hundredth, and 30 times, of 0.001."""

LEAPS = 3
"""This many losses far above the beginning are not a single odd batch."""

IDENTICAL = 1e-6
"""Epochs whose mean losses agree to this share saw a network that does not change: shuffling alone moves a mean of
float32 numbers by 1e-7, any update of the weights by far more."""


def _loss_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: every num_steps, the loss must be lower by diff_percent than at least num_steps before."""
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, loss_names(run))
    if parameters["use_losses_collection"]:
        names = selection.natural(set(names) | selection.members(run, "losses"))
    findings, evaluated = [], False
    for mode in [parameters["mode"]] if parameters["mode"] else [EVAL, TRAIN, GLOBAL]:
        for name in names:
            series = run.reduction(name, "mean", mode)
            if series is None:
                continue
            checks = _checks(series, parameters["num_steps"])
            evaluated = evaluated or bool(checks)
            findings += _unfallen(series, checks, name, mode, parameters)
    if not evaluated:
        if not names:
            raise NotEvaluated(NO_LOSS)
        raise NotEvaluated(
            f"No loss was recorded over {parameters['num_steps']} steps or more (num_steps)."
            " Train for more steps, or record losses more often (save_interval)."
        )
    return findings


def _checks(series: Series, num_steps: int) -> list[tuple[int, int]]:
    """Places that are compared (earlier, later): the next check is at least num_steps after the last one."""
    pairs, due = [], int(series.steps[0]) + num_steps
    for later, step in enumerate(series.steps.tolist()):
        if step >= due:
            earlier = int(np.searchsorted(series.steps, step - num_steps, side="right")) - 1
            pairs.append((earlier, later))
            due = step + num_steps
    return pairs


def _unfallen(
    series: Series, checks: list[tuple[int, int]], name: str, mode: str, parameters: Parameters
) -> list[Finding]:
    steps, worst = [], -math.inf
    for earlier, later in checks:
        before, after = float(series.values[earlier]), float(series.values[later])
        change = (after - before) / abs(before) * 100 if before else math.copysign(math.inf, after - before)
        # Both of AWS's conditions; the first holds wherever the second does, with AWS's numbers. NaN is not a fall.
        if not change <= -parameters["diff_percent"] or change > parameters["increase_threshold_percent"]:
            steps.append(int(series.steps[later]))
            worst = max(worst, change)
    if not steps:
        return []
    message = (
        f"{name} ({mode}) did not fall by {number_text(parameters['diff_percent'])} % within"
        f" {parameters['num_steps']} steps"
        f" at {len(steps)} of {len(checks)} checks, first at step {steps[0]}; the worst change was {worst:+.1f} %."
    )
    return [Finding(message, tensor=name, mode=mode, steps=tuple(steps), numbers={"change_percent": worst})]


def _loss_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: the run as a whole must learn, and must not lose again what it learned.

    A loss that is low, or that fell and then stays, is converged and no fault. A loss is flat only where the data
    rule out that it fell by flat_percent; noisy or short runs are not evaluated.
    """
    run = evidences.of(trial)
    if not loss_names(run):
        raise NotEvaluated(NO_LOSS)
    seen = learning(run)
    if seen is None or len(seen.values) < parameters["min_points"]:
        raise NotEvaluated(
            f"{0 if seen is None else len(seen.values)} finite training losses were recorded,"
            f" {parameters['min_points']} are needed to distinguish a trend from noise."
            " Train for more steps or record losses more often (save_interval)."
        )
    found = _frozen(run, seen) or _risen(run, seen, parameters)
    if not found and _had_time(run, parameters):
        found = _no_better_than_guessing(run, seen, parameters) or _flat(run, seen, parameters)
    return Answer([found], advice=_advice(run, seen, found)) if found else []


def _advice(run: Evidence, seen: Learning, found: Finding) -> str:
    """One thing to do, chosen by how far the weights moved and by what the loss did; empty where neither shows it."""
    usual = learning_rate.usual_update(run)
    table = Gradients.of(run)
    cut = 0 if table is None else int((table.sizes[:, -1] == 0).sum())
    if table is not None and cut:
        began = float(table.sizes[:, 0].min()) > 0
        what = (
            f"{learning_rate.lower(run)}: it stopped during the run"
            if began
            else "It has been so from the start: look there first"
        )
        return f"No gradient reaches {cut} of {len(table.names)} weights. {what}; see VanishingGradient and DeadRelu."
    if usual < SMALL_STEPS:
        return (
            f"Raise lr: a step changes weights by {number_text(usual, 1)} of their norm; about 0.001 is healthy."
            " If lr itself is not nearly 0, check that no scheduler makes it so and that the weights were passed "
            "to the optimizer."
        )
    if usual > LARGE_STEPS or (
        {"highest", "lowest"} & set(found.numbers) and found.numbers["final"] > seen.initial.mean
    ):
        far = f": a step changes weights by {number_text(usual, 1)} of their norm; about 0.001 is healthy"
        told = "" if math.isnan(usual) else far
        return f"{learning_rate.lower(run)}{told}."
    return ""


def _had_time(run: Evidence, parameters: Parameters) -> bool:
    """Whether a run that is under way has come far enough to be called stuck: many begin with a plateau."""
    planned = run.run.get("epochs")
    if run.ended or not isinstance(planned, int):
        return True
    needed = max(parameters["patience"], parameters["share_of_run"] * planned)
    return bool(len(epoch_losses(run).epochs) >= needed)


def _frozen(run: Evidence, seen: Learning) -> Finding | None:
    """The network does not change at all: every epoch, or every evaluation, gives exactly the same loss."""
    means = epoch_losses(run)
    for mode, values, what in ((TRAIN, means.train, "training"), (EVAL, means.valid, "validation")):
        series = loss_series(run, mode)
        if len(values) < 3 or series is None or not np.isfinite(values).all():
            continue
        size = float(np.abs(values).max())
        # A loss of exactly or nearly nothing has nothing left to change.
        if size > IDENTICAL and float(np.ptp(values)) <= IDENTICAL * size:
            return Finding(
                f"The {what} loss is {number_text(values[0], 6)} in every epoch up to step {int(seen.steps[-1])}: "
                "the network does not change.",
                tensor=_name(run),
                mode=TRAIN,
                steps=(int(seen.steps[0]), int(seen.steps[-1])),
                numbers={"first": float(values[0]), "last": float(values[-1])},
            )
    return None


def _risen(run: Evidence, seen: Learning, parameters: Parameters) -> Finding | None:
    """The loss is higher at the end than it was before: by much of what it had fallen, for long, and still is."""
    values = seen.values
    width = max(len(values) // 10, min(5, len(values) // 3))
    smoothed = curves.trailing_mean(values, width)[width - 1 :]
    past = smoothed[:-width] if len(smoothed) > width else smoothed[:1]
    best = int(np.argmin(past))
    lowest = curves.level(values[best : best + width])
    if seen.initial.mean < lowest.mean:
        lowest = seen.initial
    start = seen.initial.mean
    scale = seen.chance if seen.chance is not None else math.log(2) if seen.entropy else abs(start)
    limit = max(
        parameters["rise_of_fall"] * max(start - lowest.mean, 0.0),
        (parameters["rise_of_chance"] if seen.entropy else parameters["rise_of_start"]) * scale,
    )
    end = curves.level(values[-width:])
    rise = end.mean - lowest.mean
    # The lowest of all stretches is low by chance as well, and few values show their spread badly.
    noise = curves.usual_jitter(values) / math.sqrt(width)
    needed = statistics.student(SURE_RISE_ERROR * width / len(values), 2 * width - 2)
    sure = rise > max(needed, SURE_RISE) * math.hypot(max(end.error, noise), max(lowest.error, noise))
    # A loss that grows without bound has no stable mean, but every value is above; of few values, far above.
    above = max(start, lowest.mean + limit)
    sure = sure or bool((values[-width:] > (above if width >= 10 else 2 * above)).all())
    if rise <= limit or not sure or (seen.learned and seen.falling):
        return None
    begin = _onset(values, smoothed, lowest.mean, lowest.mean + min(0.1 * rise, limit / 2))
    steps = (int(seen.steps[begin]), int(seen.steps[-1]))
    return Finding(
        f"The training loss rose from {number_text(lowest.mean, 3)} (from step {int(seen.steps[begin])} on) to"
        f" {number_text(end.mean, 3)} by step {int(seen.steps[-1])}.",
        tensor=_name(run),
        mode=TRAIN,
        steps=steps,
        numbers={"lowest": lowest.mean, "final": end.mean, "initial": seen.initial.mean},
    )


def _onset(values: Floats, smoothed: Floats, level: float, low: float) -> int:
    """Where a rise begins: the first losses out of the old level's noise, after it was low for the last time.

    Args:
        values: The losses [n].
        smoothed: Means over as many losses as n exceeds their number, each at its first.
        level: What the losses were before.
        low: Up to this a mean counts as low.
    """
    last = np.flatnonzero(smoothed <= low)
    if not len(last):
        return 0
    width = len(values) - len(smoothed) + 1
    begin = int(last[-1])
    noise = curves.usual_jitter(values[max(begin - width, 0) : begin + width])
    outside = values[begin:] > max(level + SIGMAS * noise, low)
    place = curves.first_streak(outside, min(3, len(outside)))
    return begin + (place if place >= 0 else width // 2)


def _no_better_than_guessing(run: Evidence, seen: Learning, parameters: Parameters) -> Finding | None:
    """The loss ends at what guessing costs or above, whatever it fell from, and has stopped falling or had leapt up.

    A fall back from where too long a step had thrown it is none: it is measured by where it began or by guessing.
    """
    guess = seen.chance if seen.chance is not None else seen.initial.mean
    if seen.learned or guess <= 0 or len(seen.values) < 2 * parameters["min_points"]:
        return None
    start = max(guess, seen.initial.mean)
    leaps = np.flatnonzero(seen.values > parameters["leap"] * start)
    leapt = len(leaps) >= LEAPS
    at_least = seen.final.mean - SIGMAS * seen.final.error
    # Surely above guessing by more than a little: it would take a fall to excuse that, or too short a run.
    above = at_least > (1 + parameters["flat_percent"] / 100) * guess
    above = above and len(seen.values) >= 3 * parameters["min_points"]
    if seen.chance is None:
        hit = leapt and above and not seen.falling
    else:
        # A leap is never excused by the fall that follows it.
        hit = at_least > BELOW_CHANCE * guess and (leapt or seen.settled or (above and not seen.falling))
    if not hit:
        return None
    begin = int(leaps[0]) if leapt else 0
    high = f" rose to {number_text(seen.values.max(), 3)} (from step {int(seen.steps[begin])} on) and" if leapt else ""
    costs = (
        f"guessing costs {number_text(guess, 3)}" if seen.chance is not None else f"it began at {number_text(guess, 3)}"
    )
    return Finding(
        f"The training loss{high} ended at {number_text(seen.final.mean, 3)} after"
        f" {int(seen.steps[-1] - seen.steps[0]) + 1} steps,"
        f" no better than {'guessing' if seen.chance is not None else 'at the beginning'}: {costs}.",
        tensor=_name(run),
        mode=TRAIN,
        steps=(int(seen.steps[begin]), int(seen.steps[-1])),
        numbers={
            "initial": seen.initial.mean,
            "final": seen.final.mean,
            "highest": float(seen.values.max()),
            "guessing": guess,
        },
    )


def _flat(run: Evidence, seen: Learning, parameters: Parameters) -> Finding | None:
    """The loss never got below where it began, or below guessing, although there was time and evidence enough."""
    if seen.learned or seen.falling:
        return None
    if not math.isfinite(seen.floor) or seen.final.mean < seen.floor:
        return None
    fall, error = _fall(run, seen)
    reference = seen.initial.mean if seen.chance is None else min(seen.initial.mean, seen.chance)
    high = seen.final.mean - seen.final.error > reference
    if fall + 2 * error > parameters["flat_percent"] / 100 and not (high and _spread(seen, reference)):
        return None
    beside = f"; guessing costs {number_text(seen.chance, 3)}" if seen.chance is not None else ""
    return Finding(
        f"The training loss hardly fell, if at all: {number_text(seen.initial.mean, 3)} at the beginning,"
        f" {number_text(seen.final.mean, 3)}"
        f" after {int(seen.steps[-1] - seen.steps[0]) + 1} steps{beside}.",
        tensor=_name(run),
        mode=TRAIN,
        steps=(int(seen.steps[0]), int(seen.steps[-1])),
        numbers={"initial": seen.initial.mean, "final": seen.final.mean, "fall_percent": 100 * fall},
    )


def _fall(run: Evidence, seen: Learning) -> tuple[float, float]:
    """The loss's relative fall over the run, and its standard error, from the better of two views.

    The fall is twice the difference between the halves' means, which it is for a straight line.

    Epochs see the same pictures, so the means of epochs are far less noisy than steps; but there may be too few.
    """
    first, last = np.array_split(seen.values, 2)
    before, after = curves.level(first), curves.level(last)
    scale = (abs(seen.initial.mean) or 1.0) / 2
    views = [((before.mean - after.mean) / scale, math.hypot(before.error, after.error) / scale)]
    means = epoch_losses(run).train
    if len(means) >= 4 and np.isfinite(means).all():
        # the first epoch's mean has the transient in it; one difference of neighbors is one degree of freedom
        noise = curves.jitter(means) * math.sqrt(2 / (len(means) // 2))
        half = len(means) // 2
        views.append(((float(means[:half].mean()) - float(means[-half:].mean())) / scale, noise / scale))
    return min(views, key=lambda view: view[1])


def _spread(seen: Learning, reference: float) -> bool:
    """Whether the loss jumps about, far above where it began, as it does where steps are too long."""
    last = seen.values[len(seen.values) // 2 :]
    return float((last > 2 * reference).mean()) > 0.15


def _name(run: Evidence) -> str:
    names = loss_names(run)
    return names[0] if names else ""


RULES = (
    Rule(
        name="LossNotDecreasing",
        judge=_loss_default,
        judge_aws=_loss_aws,
        aws={
            "collection_names": None,
            "tensor_regex": None,
            "use_losses_collection": True,
            "num_steps": 10,
            "diff_percent": 0.1,
            "increase_threshold_percent": 5.0,
            "mode": None,
        },
        default={
            "min_points": 10,  # losses; fewer do not distinguish a trend from noise
            "flat_percent": 5.0,  # a fall by less over the whole run, surely, is none
            "patience": 5,  # epochs, and
            "share_of_run": 0.25,  # of the planned epochs, before a run under way is called stuck
            "leap": 2.0,  # times guessing and the beginning: where only too long a step leads
            "rise_of_fall": 0.25,  # a quarter of what had been gained is lost again, and
            "rise_of_chance": 0.1,  # a tenth of what guessing costs; where that is unknown,
            "rise_of_start": 0.5,  # half of the loss at the beginning
        },
        description="A training loss that does not fall, or rises again.",
        advice=(
            "Where it rises, jumps about or stays at guessing, divide lr by 10. Where it creeps, raise lr. Where it"
            " does not move at all, check that lr is not nearly 0, that weights are trained, and that the labels "
            "match their pictures."
        ),
        bounds={"num_steps": COUNT, "min_points": COUNT, "patience": COUNT, "share_of_run": SHARE},
        order=50,
        aws_name="LossNotDecreasing",
        collections=("losses",),
    ),
)
