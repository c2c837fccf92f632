"""LossNotDecreasing: the training loss does not fall, or rises."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import curves, learning_rate, selection, statistics
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import BELOW_CHANCE, SIGMAS, Learning, chance_loss, fell, learning
from training_scripts.rules.evidence.epochs import epoch_losses, loss_names, loss_series
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.tensors.vanishing_gradient import Gradients

Floats = NDArray[np.float64]

NO_LOSS = "No loss was recorded. Record the collection losses, best at every step (recorder=builtin does)."

SURE_RISE = 4.0
"""A rise from the lowest stretch must be at least this many standard errors."""

SURE_RISE_ERROR = 1e-3
"""Probability of a false alarm by noise. It is divided among the stretches, since the lowest of them is selected."""

SMALL_STEPS, LARGE_STEPS = 1e-5, 0.03
"""Outside this range of update ratios, the learning rate explains the loss: a hundredth of 0.001, and 30 times it."""

LEAST_EVALUATIONS, SURELY_BETTER = 3, 0.005
"""Evaluations that must fall one after the other, and by which share of it the last must be below chance level."""

LEAPS = 3
"""This many losses far above the initial loss cannot come from a single odd batch."""

IDENTICAL = 1e-6
"""If the mean losses of epochs agree to this share, the network does not change. Shuffling alone changes the mean of
float32 numbers by 1e-7; any update of the weights changes it far more."""


def _loss_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: every num_steps, the loss must be lower by diff_percent than it was at least num_steps before."""
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, loss_names(run))
    if parameters["use_losses_collection"]:
        names = selection.natural(set(names) | selection.members(run, "losses"))
    findings, evaluated = [], False
    for mode in [run.mode(parameters["mode"])] if parameters["mode"] else [EVAL, TRAIN, GLOBAL]:
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
    """Pairs of indices to compare (earlier, later). Each check comes at least num_steps after the one before."""
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
    steps, changes = [], []
    for earlier, later in checks:
        before, after = float(series.values[earlier]), float(series.values[later])
        change = 100 * curves.quotient(after - before, abs(before))
        # Both conditions are AWS's, although with its defaults the second implies the first. NaN is not a fall.
        if not change <= -parameters["diff_percent"] or change > parameters["increase_threshold_percent"]:
            steps.append(int(series.steps[later]))
            changes.append(change)
    if not steps:
        return []
    worst = float(np.max(changes))  # NaN if one of them is
    shown = f"{worst:+.1f}" if math.isfinite(worst) else number_text(worst)
    message = (
        f"{name} ({mode}) did not fall by {number_text(parameters['diff_percent'])}% within"
        f" {parameters['num_steps']} steps"
        f" at {len(steps)} of {len(checks)} checks, first at step {steps[0]}; the worst change was {shown}%."
    )
    return [Finding(message, tensor=name, mode=mode, steps=tuple(steps), numbers={"change_percent": worst})]


def _loss_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: the run as a whole must learn, and must not lose what it learned.

    A loss that is low, or that fell and then stays low, has converged: that is not a fault. A loss is flat only if the
    data rule out that it fell by flat_percent. Noisy or short runs cannot show that.
    """
    run = evidences.of(trial)
    if not loss_names(run):
        raise NotEvaluated(NO_LOSS)
    seen = learning(run)
    if seen is None or len(seen.values) < parameters["min_points"]:
        raise NotEvaluated(
            f"{0 if seen is None else len(seen.values)} finite training losses were recorded;"
            f" {parameters['min_points']} are needed to distinguish a trend from noise."
            " Train for more steps or record losses more often (save_interval)."
        )
    found = _frozen(run, seen) or _risen(run, seen, parameters)
    if not found and _had_time(run, parameters) and not _validation_learns(run):
        found = _no_better_than_guessing(run, seen, parameters) or _flat(run, seen, parameters)
    return Answer([found], advice=_advice(run, seen, found)) if found else []


def _advice(run: Evidence, seen: Learning, found: Finding) -> str:
    """Advice chosen by how far the weights moved and by how the loss changed; empty if neither suggests anything."""
    usual = learning_rate.usual_update(run)
    table = Gradients.of(run)
    cut = 0 if table is None else int((table.sizes[:, -1] == 0).sum())
    if table is not None and cut:
        began = float(table.sizes[:, 0].min()) > 0
        what = (
            f"{learning_rate.lower(run)}: gradients stopped during the run"
            if began
            else "This was so from the start, so look for the cause there first"
        )
        return f"No gradient reaches {cut} of {len(table.names)} weights. {what}; see VanishingGradient and DeadRelu."
    if usual < SMALL_STEPS:
        return (
            f"Raise lr: a step changes weights by {number_text(usual, 1)} of their norm; about 0.001 is healthy."
            " If lr is not close to 0, check that no scheduler reduces it that far, and that the weights were passed "
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
    """Whether a running job has come far enough to be called stuck: many runs begin with a plateau."""
    planned = run.run.get("epochs")
    if run.ended or not isinstance(planned, int):
        return True
    needed = max(parameters["patience"], parameters["share_of_run"] * planned)
    return bool(len(epoch_losses(run).epochs) >= needed)


def _validation_learns(run: Evidence) -> bool:
    """Whether every evaluation is better than the one before, and the last one surely, and better than guessing.

    The same samples are evaluated each time, so a slow fall shows there long before it does in the training loss.
    """
    whole, chance = Run.of(run), chance_loss(run)
    if whole is None or chance is None or len(whole.validated) < LEAST_EVALUATIONS:
        return False
    losses = whole.valid.loss[whole.validated]
    first, last = int(whole.validated[0]), int(whole.validated[-1])
    falls = bool((np.diff(losses) < 0).all()) and float(losses[-1]) < (1 - SURELY_BETTER) * chance
    return falls and whole.excess(first, last).score > SIGMAS


def _frozen(run: Evidence, seen: Learning) -> Finding | None:
    """Reports a network that does not change at all: the loss of every epoch, or every evaluation, is the same."""
    means = epoch_losses(run)
    for mode, values, what in ((TRAIN, means.train, "training"), (EVAL, means.valid, "validation")):
        series = loss_series(run, mode)
        if len(values) < 3 or series is None or not np.isfinite(values).all():
            continue
        size = float(np.abs(values).max())
        # A loss of zero, or nearly zero, has no room to change.
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
    """Reports a loss that rose by a large share of its earlier fall, and has not come down again."""
    values = seen.values
    width = max(len(values) // 10, min(5, len(values) // 3), 1)
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
    # The lowest stretch was selected, so it is low partly by chance; and a few values show their spread only roughly.
    noise = curves.usual_jitter(values) / math.sqrt(width)
    needed = statistics.student(SURE_RISE_ERROR * width / len(values), 2 * width - 2)
    sure = rise > max(needed, SURE_RISE) * math.hypot(max(end.error, noise), max(lowest.error, noise))
    # A loss that grows without bound has no stable mean. But then all last values are above the limit, and far above
    # if they are few.
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
    """Index at which a rise begins: the first losses above the noise of the old level, after the last low mean.

    Args:
        values: The losses [n].
        smoothed: Means over windows of n - m + 1 losses, each at the index of its first loss [m].
        level: The mean loss before the rise.
        low: A mean up to this counts as low.
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
    """Reports a loss that ends at chance level or above, and that no longer falls or had leaped up before.

    A fall from the height that a too large step caused does not count. The final loss is compared with the initial loss
    or the chance-level loss.
    """
    guess = seen.chance if seen.chance is not None else seen.initial.mean
    if seen.learned or guess <= 0 or len(seen.values) < 2 * parameters["min_points"]:
        return None
    start = max(guess, seen.initial.mean)
    leaps = np.flatnonzero(seen.values > parameters["leap"] * start)
    leaped = len(leaps) >= LEAPS
    at_least = seen.final.mean - SIGMAS * seen.final.error
    # The loss is clearly above chance level. Only a loss that still falls, or too short a run, excuses that.
    above = at_least > (1 + parameters["flat_percent"] / 100) * guess
    above = above and len(seen.values) >= 3 * parameters["min_points"]
    if seen.chance is None:
        hit = leaped and above and not seen.falling
    else:
        # The fall that follows a leap does not excuse the leap.
        # Some networks begin above chance level, and a short run may end on its way down.
        stuck = above and not seen.falling and not fell(seen.initial, seen.final)
        hit = at_least > BELOW_CHANCE * guess and (leaped or seen.settled or stuck)
    if not hit:
        return None
    begin = int(leaps[0]) if leaped else 0
    high = f" rose to {number_text(seen.values.max(), 3)} (from step {int(seen.steps[begin])} on) and" if leaped else ""
    costs = (
        f"guessing gives {number_text(guess, 3)}" if seen.chance is not None else f"it began at {number_text(guess, 3)}"
    )
    return Finding(
        f"The training loss{high} ended at {number_text(seen.final.mean, 3)} after"
        f" {int(seen.steps[-1] - seen.steps[0]) + 1:,} steps,"
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
    """Reports a loss that never fell below its initial value or chance level, if the run is long enough to show it."""
    if seen.learned or seen.falling:
        return None
    if not math.isfinite(seen.floor) or seen.final.mean < seen.floor:
        return None
    fall, error = _fall(run, seen)
    reference = seen.initial.mean if seen.chance is None else min(seen.initial.mean, seen.chance)
    high = seen.final.mean - seen.final.error > reference
    if fall + 2 * error > parameters["flat_percent"] / 100 and not (high and _spread(seen, reference)):
        return None
    beside = f"; guessing gives {number_text(seen.chance, 3)}" if seen.chance is not None else ""
    return Finding(
        f"The training loss hardly fell, if at all: {number_text(seen.initial.mean, 3)} at the beginning,"
        f" {number_text(seen.final.mean, 3)}"
        f" after {int(seen.steps[-1] - seen.steps[0]) + 1:,} steps{beside}.",
        tensor=_name(run),
        mode=TRAIN,
        steps=(int(seen.steps[0]), int(seen.steps[-1])),
        numbers={"initial": seen.initial.mean, "final": seen.final.mean, "fall_percent": 100 * fall},
    )


def _fall(run: Evidence, seen: Learning) -> tuple[float, float]:
    """The relative fall of the loss over the run and its standard error.

    The fall is estimated as twice the difference between the means of the two halves, which is exact for a straight
    line. It is computed from steps and from epochs; the estimate with the smaller error is returned. Epoch means have
    far less noise, because every epoch sees the same pictures; but there may be too few epochs.
    """
    first, last = np.array_split(seen.values, 2)
    before, after = curves.level(first), curves.level(last)
    scale = (abs(seen.initial.mean) or 1.0) / 2
    views = [((before.mean - after.mean) / scale, math.hypot(before.error, after.error) / scale)]
    means = epoch_losses(run).train
    if len(means) >= 4 and np.isfinite(means).all():
        # the first epoch's mean includes the initial fall; each difference of neighbors is one degree of freedom
        noise = curves.jitter(means) * math.sqrt(2 / (len(means) // 2))
        half = len(means) // 2
        views.append(((float(means[:half].mean()) - float(means[-half:].mean())) / scale, noise / scale))
    return min(views, key=lambda view: view[1])


def _spread(seen: Learning, reference: float) -> bool:
    """Whether the loss often jumps far above the reference, as it does if steps are too large."""
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
            **selection.TENSOR_CHOICE,
            "use_losses_collection": True,
            "num_steps": 10,
            "diff_percent": 0.1,
            "increase_threshold_percent": 5.0,
            "mode": None,
        },
        default={
            # Losses. Fewer do not distinguish a trend from noise.
            "min_points": 10,
            # A loss that certainly fell by less than this over the whole run is flat.
            "flat_percent": 5.0,
            # Epochs that a running job must have completed before it is called stuck: many runs begin with a plateau.
            "patience": 5,
            # It must also have completed this share of its planned epochs.
            "share_of_run": 0.25,
            # A loss this many times the larger of the chance-level loss and the initial loss has leaped up. Only steps
            # that are too large lead there.
            "leap": 2.0,
            # The least rise of the loss, as a share of its fall: a run that loses less still has most of its gain.
            "rise_of_fall": 0.25,
            # The least rise of a cross-entropy, as a share of the chance-level loss: it must matter in absolute terms.
            "rise_of_chance": 0.1,
            # The least rise of other losses, as a share of the initial loss, since their chance level is unknown.
            "rise_of_start": 0.5,
        },
        description="A training loss that does not fall, or rises again.",
        advice=(
            "If the loss rises, jumps or stays where it began, divide lr by 3. If it falls very slowly, raise lr. If"
            " it does not change at all, check that lr is not close to 0, that the weights are trained, and that the "
            "labels match their pictures."
        ),
        bounds={"num_steps": COUNT, "min_points": COUNT, "patience": COUNT, "share_of_run": SHARE},
        explanation=Explanation(
            computes=(
                "Over the whole run, one of four: the mean loss of every epoch is identical (to one in a million); the "
                "loss rose from its lowest stretch by more than `rise_of_fall` of its fall and more than "
                "`rise_of_chance` of the chance-level loss (`rise_of_start` of its start where chance is unknown), "
                "beyond noise; it ends no better than guessing; or the data rule out that it fell by `flat_percent`. "
                "The last two do not count while a running job has not had its time (`patience`, `share_of_run`), or "
                "if every evaluation is better than the one before."
            ),
            computes_aws=(
                "Every `num_steps` steps the loss is compared with the one at least `num_steps` before: `100 * (after "
                "- before) / abs(before)` must be `-diff_percent` or lower, and not above "
                "`increase_threshold_percent`."
            ),
            parameters={
                **selection.TENSOR_CHOICE_MEANING,
                "use_losses_collection": "also read the collection `losses`",
                "num_steps": "steps between two checks",
                "diff_percent": "least fall between two checks, in percent",
                "increase_threshold_percent": "largest rise between two checks, in percent",
                "mode": "TRAIN, EVAL or GLOBAL; all of them if it is not set",
                "min_points": "losses that must have been recorded",
                "flat_percent": "a loss that certainly fell by less than this percentage is flat",
                "patience": "epochs that a running job must have completed before it is called stuck",
                "share_of_run": "share of its planned epochs that a running job must have completed",
                "leap": "a loss this many times the larger of initial and chance-level loss has leaped up",
                "rise_of_fall": "least rise, as a share of the fall before it",
                "rise_of_chance": "least rise of a cross-entropy, as a share of the chance-level loss",
                "rise_of_start": "least rise of another loss, as a share of the initial loss",
            },
            causes=(
                "learning-rate-too-high",
                "learning-rate-too-low",
                "wrong-sign",
                "double-softmax",
                "softmax-dimension",
                "sorted-data",
                "gradients-accumulate",
                "weights-not-updated",
                "schedule-decays-too-early",
                "clipping-too-small",
                "shuffled-labels",
            ),
        ),
        order=50,
        aws_name="LossNotDecreasing",
        collections=("losses",),
    ),
)
