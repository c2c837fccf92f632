"""Where a job's time went: start-up, waiting for data, time lost between steps, slow steps, operators."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.machine import fact
from dogbreed_sdk.debugging.insights.recorded import MOST, count, mapping
from dogbreed_sdk.debugging.insights.words import plural
from dogbreed_sdk.debugging.plain_values import joined, percent, seconds
from training_scripts.recording.profile import DATA, EVAL_STEP, TRAIN_STEP, Profile, Spans
from training_scripts.rules.profiling_steps import waits_of

# Start-up under half a minute, or waits of seconds, are not worth changing anything for.
LONG_START, LARGE_START = 30.0, 0.2
WORTH_SECONDS = 10.0
WAITING, BETWEEN, OUTLYING = 0.2, 0.1, 0.05
FEW_STEPS = 20
# Far outside: six robust standard deviations hardly ever happen by chance.
SIGMAS = 6.0


def _steps(profile: Profile) -> Spans | None:
    """The training steps whose times are known; None where they are too few to tell anything."""
    steps = profile.phases.get(TRAIN_STEP)
    if steps is None or not len(steps.begins) == len(steps.seconds) == len(steps.steps):
        return None
    known = np.isfinite(steps.begins) & np.isfinite(steps.seconds) & (steps.seconds >= 0) & (steps.seconds < MOST)
    chosen = steps if known.all() else steps.where(known)
    return chosen if len(chosen) >= FEW_STEPS else None


def _known(time: float | None) -> float | None:
    return time if time is not None and math.isfinite(time) else None


def _start(profile: Profile) -> Insight | None:
    line = profile.timeline
    begin, training, end = _known(line.begin), _known(line.training), _known(line.end) or _known(line.trained)
    if begin is None or training is None or end is None or not begin < training <= end:
        return None
    start, whole = training - begin, end - begin
    if start < LONG_START or start < LARGE_START * whole:
        return None
    return Insight(
        topic="start-up",
        title=f"{percent(start / whole)} of the job went by before the first step.",
        explanation="Loading packages, the backbone and the data is paid like training, and anew by every job.",
        evidence=(f"Initialisation took {seconds(start)} of the job's {seconds(whole)}.",),
        next_step="Share stored features between jobs (--features stored, the default), and do more in one job "
        "(a search shares them too).",
        severity="hint" if start < whole / 2 else "problem",
    )


def _data(profile: Profile) -> Insight | None:
    steps = _steps(profile)
    waits = waits_of(profile, steps) if steps is not None else None
    if steps is None or waits is None or DATA not in profile.phases:
        return None
    shown, whole = float(waits.sum()), float(steps.seconds.sum())
    share = shown / whole if whole > 0 else 0.0
    spent = share * _training_seconds(profile, whole)
    if share < WAITING or spent < WORTH_SECONDS:
        return None
    workers, cores, inputs = fact(profile, "workers"), fact(profile, "cores"), profile.facts.get("inputs")
    new: dict[str, object] = {}
    if inputs != "features" and workers and cores and workers < cores:
        new = {"workers": 0}
        step = f"Set workers=0 (now {workers}): one decoding thread for each of the {cores} cores."
    elif inputs == "features":
        step = "Read the features from a local disk; they are too many to be kept in memory."
    else:
        step = "Train on stored features (features=auto, unfreeze=0), or take an instance with more cores."
    return Insight(
        topic="data-loading",
        title=f"{percent(share)} of each training step is spent waiting for data.",
        explanation="The network is ready before its next pictures are: decoding and reading are the limit.",
        evidence=(
            (
                f"A step takes {seconds(float(np.median(steps.seconds)))}, of which "
                f"{seconds(float(np.median(waits)))} are "
                f"waiting (medians over {plural(len(steps), 'step')}): about {seconds(spent)} of the job."
            ),
            *([f"{plural(workers, 'worker')} on {plural(cores, 'core')}."] if workers and cores else []),
        ),
        next_step=step,
        severity="problem" if share > 0.5 else "hint",
        hyperparameters=new,
    )


def _training_seconds(profile: Profile, recorded: float) -> float:
    """What all training steps took; of long runs only some are written."""
    steps = count(mapping(profile.facts, "steps").get("TRAIN"))
    return recorded * max(1.0, steps / len(profile.phases[TRAIN_STEP])) if steps else recorded


def _between(profile: Profile) -> Insight | None:
    steps = _steps(profile)
    gaps = _gaps(profile, steps) if steps is not None else np.zeros(0)
    if steps is None or len(gaps) < FEW_STEPS:
        return None
    step = float(np.mean(steps.seconds))
    share = float(gaps.mean()) / (float(gaps.mean()) + step)
    spent = share * _training_seconds(profile, float(steps.seconds.sum())) / (1 - share)
    if share < BETWEEN or spent < WORTH_SECONDS:
        return None
    return Insight(
        topic="between-steps",
        title=f"{percent(share)} of training is lost between steps.",
        explanation="Between the end of a step and the beginning of the next neither data is loaded nor anything "
        "learned: logging, recording, checkpoints, or a loop that fetches its data there.",
        evidence=(
            (
                f"A step takes {seconds(step)} on average, the gap after it {seconds(float(gaps.mean()))} (median "
                f"{seconds(float(np.median(gaps)))}, {len(gaps)} gaps within epochs): about {seconds(spent)} of the "
                "job."
            ),
        ),
        confidence="high" if float(np.median(gaps)) > 0.5 * float(gaps.mean()) else "medium",
        next_step="Record less often (train.save_interval), log less, or make the steps larger.",
        severity="hint",
    )


def _gaps(profile: Profile, steps: Spans) -> NDArray[np.float64]:
    """Seconds between neighbouring steps of one epoch."""
    ends = steps.begins + steps.seconds
    gaps = np.maximum(steps.begins[1:] - ends[:-1], 0.0)
    within = np.diff(steps.steps) == 1
    evaluations = profile.phases.get(EVAL_STEP)
    if evaluations is not None and len(evaluations):
        between = np.searchsorted(evaluations.begins, steps.begins[1:]) - np.searchsorted(evaluations.begins, ends[:-1])
        within &= between == 0
    an_epoch = fact(profile, "steps_per_epoch")
    if an_epoch:
        within &= steps.steps[1:] % an_epoch != 0
    chosen: NDArray[np.float64] = gaps[within]
    return chosen


def _outliers(profile: Profile) -> Insight | None:
    steps = _steps(profile)
    if steps is None:
        return None
    usual = float(np.median(steps.seconds))
    spread = 1.4826 * float(np.median(np.abs(steps.seconds - usual)))
    slow = steps.seconds > max(usual + SIGMAS * spread, 2 * usual)
    slow[0] = False  # the first step allocates and compiles
    lost = float((steps.seconds[slow] - usual).sum())
    if slow.sum() < 3 or lost < OUTLYING * steps.seconds.sum() or lost < WORTH_SECONDS:
        return None
    waits = waits_of(profile, steps)
    waiting = float(waits[slow].sum() / steps.seconds[slow].sum()) if waits is not None else None
    return Insight(
        topic="slow-steps",
        title=f"{plural(int(slow.sum()), 'slow step')} cost {percent(lost / float(steps.seconds.sum()))} of the "
        "training time.",
        explanation="Most steps take the same time; these took far longer: waiting for data, writing a checkpoint, or "
        "another process on the machine.",
        evidence=(
            (
                f"The usual step takes {seconds(usual)}, these {seconds(float(np.median(steps.seconds[slow])))} "
                "(median) and up to "
                f"{seconds(float(steps.seconds[slow].max()))}: {seconds(lost)} lost."
            ),
            *([f"They spent {percent(waiting)} of their time waiting for data."] if waiting is not None else []),
        ),
        confidence="high" if slow.sum() >= 10 else "medium",
        next_step="Raise the number of decoding threads or store features."
        if waiting and waiting > 0.5
        else "Compare these steps with what else the machine did then (the charts of CPU, disk and network).",
        severity="hint",
        steps=tuple(steps.steps[slow][:20].tolist()),
    )


def _operators(profile: Profile) -> Insight | None:
    """The operators that cost most, of jobs that trained long enough for it to matter."""
    line = profile.timeline
    if (
        not profile.operators
        or line.training is None
        or line.trained is None
        or not WORTH_SECONDS <= line.trained - line.training < math.inf
    ):
        return None
    on_gpu = sum(one.gpu_seconds for one in profile.operators) > 0
    costs = {one.name: one.gpu_seconds if on_gpu else one.cpu_seconds for one in profile.operators}
    whole = sum(costs.values())
    if whole <= 0:
        return None
    nested = profile.source == "report"
    first = _largest(costs, nested=nested)
    named = [f"{name} {seconds(costs[name]) if nested else percent(costs[name] / whole)}" for name in first]
    copying = sum(cost for name, cost in costs.items() if name in ("aten::copy_", "aten::to", "aten::_to_copy")) / whole
    return Insight(
        topic="operators",
        title=f"{first[0]} costs most of all operators"
        + (
            "."
            if nested
            else f": {percent(costs[first[0]] / whole)} of the {'GPU' if on_gpu else 'CPU'} time of a step."
        ),
        explanation="Times include the operators that each one calls."
        if nested
        else "Self time over the steps that were looked at. "
        + ("Much of it is copying, not computing." if copying > 0.2 else ""),
        evidence=(f"{'GPU' if on_gpu else 'CPU'} time: {joined(named)}.",),
        severity="info",
    )


def _largest(costs: dict[str, float], *, nested: bool) -> list[str]:
    """The most expensive operators; of those that only call another one, the outermost."""
    first: list[str] = []
    for name in sorted(costs, key=lambda one: -costs[one]):
        if not (nested and first and costs[name] > 0.99 * costs[first[-1]]):
            first.append(name)
    return first[:5]


LOOKS: dict[str, Callable[[Profile], Insight | None]] = {
    "the start": _start,
    "operators": _operators,
    "waiting for data": _data,
    "time between steps": _between,
    "slow steps": _outliers,
}
"""What time was lost on, and what it was spent on."""
