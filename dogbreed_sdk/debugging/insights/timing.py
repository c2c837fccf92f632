"""Where a job's time went: start-up, waiting for data, time lost between steps, slow steps, operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dogbreed_sdk._util.formatting import joined, percent, seconds
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.machine import fact, ours
from dogbreed_sdk.debugging.step_times import gaps
from training_scripts._util.number_text import counted
from training_scripts.recording.profile.profile import DATA, TRAIN_STEP, Profile, Spans
from training_scripts.rules.declaration import Answer
from training_scripts.rules.evidence.recorded import MOST, count, mapping
from training_scripts.rules.findings import NotEvaluated
from training_scripts.rules.profiling.steps import step_outlier, waits_of

# A start-up of less than half a minute, or waits of a few seconds, are not worth changing.
LONG_START, LARGE_START = 30.0, 0.2
WORTH_SECONDS = 10.0
WAITING, BETWEEN = 0.2, 0.1
FEW_STEPS = 20
COPIES, MUCH_COPYING = ("aten::copy_", "aten::to", "aten::_to_copy"), 0.2
# The parameters of the rule StepOutlier, for training steps.
SLOW = {"mode": TRAIN_STEP, "stddev": 3, "n_outliers": 2, "lost_percent": 10, "lost_seconds": WORTH_SECONDS}


def _steps(profile: Profile) -> Spans | None:
    """The training steps whose times are known; None if there are too few."""
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
        title=f"{percent(start / whole)} of the job passed before the first step.",
        explanation="Loading packages, the backbone and the data is billed like training, and every job repeats it.",
        evidence=(f"Initialization took {seconds(start)} of the job's {seconds(whole)}.",),
        next_step="Share stored features between jobs (--features stored, the default), and do more in one job "
        "(a search shares them too)."
        if ours(profile)
        else "Prepare the data once for all jobs, read it when it is needed, and do more in one job.",
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
        step = "Read the features from a local disk; there are too many to keep in memory."
    elif ours(profile):
        step = "Train on stored features (features=auto, unfreeze=0), or use an instance with more cores."
    else:
        step = "Use as many workers as there are cores, prepare the data before training, or use more cores."
    return Insight(
        topic="data-loading",
        title=f"{percent(share)} of each training step is spent waiting for data.",
        explanation="The network is ready before the next pictures are: decoding and reading limit the speed.",
        evidence=(
            (
                f"A step takes {seconds(float(np.median(steps.seconds)))}, of which "
                f"{seconds(float(np.median(waits)))} are "
                f"waiting (medians over {counted(len(steps), 'step')}): about {seconds(spent)} of the job."
            ),
            *([f"{counted(workers, 'worker')} on {counted(cores, 'core')}."] if workers and cores else []),
        ),
        next_step=step,
        severity="problem" if share > 0.5 else "hint",
        hyperparameters=new,
    )


def _training_seconds(profile: Profile, recorded: float) -> float:
    """Seconds of all training steps, estimated from those written: of long runs only some are.

    Nodes train at the same time, so theirs are not added up.
    """
    written = profile.phases[TRAIN_STEP]
    nodes = max(1, len(written.used_nodes))
    steps = count(mapping(profile.facts, "steps").get("TRAIN"))
    return recorded / nodes * (max(1.0, nodes * steps / len(written)) if steps else 1.0)


def _between(profile: Profile) -> Insight | None:
    steps = _steps(profile)
    lost = gaps(profile, TRAIN_STEP, steps) if steps is not None else np.zeros(0)
    if steps is None or len(lost) < FEW_STEPS:
        return None
    step = float(np.mean(steps.seconds))
    share = float(lost.mean()) / (float(lost.mean()) + step)
    spent = share * _training_seconds(profile, float(steps.seconds.sum())) / (1 - share)
    if share < BETWEEN or spent < WORTH_SECONDS:
        return None
    return Insight(
        topic="between-steps",
        title=f"{percent(share)} of training is lost between steps.",
        explanation=(
            "Between the end of a step and the beginning of the next, nothing is learned. Usual causes are logging, "
            "recording, checkpoints, or a loop that loads its data there."
        ),
        evidence=(
            (
                f"A step takes {seconds(step)} on average, the gap after it {seconds(float(lost.mean()))} (median "
                f"{seconds(float(np.median(lost)))}, {len(lost)} gaps within epochs): about {seconds(spent)} of the "
                "job."
            ),
        ),
        confidence="high" if float(np.median(lost)) > 0.5 * float(lost.mean()) else "medium",
        next_step="Record less often (train.save_interval), log less, or make the steps larger."
        if ours(profile)
        else "Log and record less often, or make the steps larger.",
        severity="hint",
    )


def _outliers(profile: Profile) -> Insight | None:
    """Reports slow steps, as the rule StepOutlier defines them."""
    steps = _steps(profile)
    if steps is None:
        return None
    known = {**profile.facts, "steps_per_epoch": fact(profile, "steps_per_epoch")}
    try:
        answer = step_outlier(replace(profile, facts=known, phases={**profile.phases, TRAIN_STEP: steps}), SLOW)
    except NotEvaluated:
        return None
    findings = answer.findings if isinstance(answer, Answer) else answer
    if not findings:
        return None
    found, waits = findings[0], waits_of(profile, steps)
    worst = np.isin(steps.steps, found.steps)
    spent = float(steps.seconds[worst].sum())
    waiting = waits is not None and float(waits[worst].sum()) > spent / 2
    written = count(mapping(profile.facts, "steps").get("TRAIN")) or 0
    thinned = (
        f" Of the {written:,} steps of this long run, {len(steps):,} were recorded." if written > len(steps) else ""
    )
    return Insight(
        topic="slow-steps",
        title=f"{counted(int(found.numbers['outliers']), 'slow step')} cost "
        f"{percent(found.numbers['lost_percent'] / 100)} of the training time.",
        explanation="Most steps take the same time; these took far longer. "
        + (
            "They mostly waited for data."
            if waiting
            else "They hardly waited for data, so the likely cause is other work on the machine, or checkpoints."
            if waits is not None
            else "Waiting for data, other work on the machine, or checkpoints may be the cause."
        ),
        evidence=(f"{found.message}{thinned}",),
        confidence="medium",
        next_step="Raise the number of decoding threads or store features."
        if waiting
        else "Check what else ran on the machine at these steps (see the charts of CPU, disk and network).",
        severity="hint",
        steps=found.steps[:20],
    )


def _operators(profile: Profile) -> Insight | None:
    """Reports operators that copy rather than compute, if the job trained long enough for it to matter."""
    line = profile.timeline
    if (
        not profile.operators
        or line.training is None
        or line.trained is None
        or not WORTH_SECONDS <= line.trained - line.training < math.inf
        or profile.source == "report"  # whose times include the operators that each one calls
    ):
        return None
    on_gpu = sum(one.gpu_seconds for one in profile.operators) > 0
    costs = {one.name: one.gpu_seconds if on_gpu else one.cpu_seconds for one in profile.operators}
    whole = sum(costs.values())
    copying = sum(costs.get(name, 0.0) for name in COPIES) / whole if whole > 0 else 0.0
    if copying < MUCH_COPYING:
        return None
    largest = [f"{name} {percent(costs[name] / whole)}" for name in sorted(costs, key=lambda one: -costs[one])[:5]]
    return Insight(
        topic="operators",
        title=f"{percent(copying)} of the {'GPU' if on_gpu else 'CPU'} time of a step is copying, not computing.",
        explanation="This is the self time of operators over the profiled steps. Tensors are moved between devices, "
        "types or memory layouts.",
        evidence=(f"{'GPU' if on_gpu else 'CPU'} time: {joined(largest)}.",),
        confidence="medium",
        next_step="Store features (--features stored), so that pictures are converted once."
        if ours(profile) and profile.facts.get("inputs") != "features"
        else "Keep tensors on one device and in one type, and move each batch once.",
        severity="info",
    )


LOOKS: dict[str, Callable[[Profile], Insight | None]] = {
    "the start": _start,
    "operators": _operators,
    "waiting for data": _data,
    "time between steps": _between,
    "slow steps": _outliers,
}
"""Name of each check -> the function that returns its insight."""
