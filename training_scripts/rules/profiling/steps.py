"""Rules about step times: outliers, the time until the first step, and waiting for data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.profile.profile import DATA, TRAIN_STEP, Profile, Spans
from training_scripts.rules.bounds import COUNT
from training_scripts.rules.declaration import PROFILING, Answer, Explanation, Parameters, Rule
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.profiling.samples import fact, mode_of, scans, steps_per_written

# AWS does not evaluate fewer steps.
LEAST_STEPS = 100
MOST_SHOWN = 100
# Factor from median absolute deviation to standard deviation, for a normal distribution.
MAD = 1.4826


def step_outlier(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """Ours: slow steps, by robust statistics, that cost a noticeable share of the time."""
    findings, details = [], {}
    for name, node, spans in _steps(profile, parameters["mode"]):
        seconds = spans.seconds
        median = float(np.median(seconds))
        spread = MAD * float(np.median(np.abs(seconds - median)))
        limit = max(median + parameters["stddev"] * spread, 2 * median)
        slow = (seconds > limit) & ~_excused(profile, spans, name)
        lost = float((seconds[slow] - median).sum())
        percent = 100 * lost / max(float(seconds.sum()), 1e-9)
        all_lost = lost * steps_per_written(profile, name, spans)
        numbers = {
            "outliers": float(slow.sum()),
            "lost_seconds": all_lost,
            "lost_percent": percent,
            "median": median,
            "worst": float(seconds.max()),
        }
        details[f"{name} {node}"] = numbers
        enough = percent > parameters["lost_percent"] and all_lost > parameters["lost_seconds"]
        if slow.sum() > parameters["n_outliers"] and enough:
            text = (
                f"{slow.sum():,} of {len(spans):,} recorded steps ({name}, {node}) took more than {_time(limit)}, "
                f"while {_time(median)} is usual. This cost {all_lost:.0f} s, {percent:.0f}% of the time in steps."
                + _waited(profile, spans, slow)
            )
            findings.append(Finding(text, mode=mode_of(name), steps=_worst(spans, slow), numbers=numbers))
    return Answer(findings, details)


def step_outlier_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """AWS: more than `n_outliers` steps exceed the mean by `stddev` standard deviations."""
    findings = []
    for name, node, spans in _steps(profile, parameters["mode"]):
        for count in scans(spans.begins):
            seconds = spans.seconds[:count]
            if count <= LEAST_STEPS:
                continue
            limit = float(seconds.mean() + parameters["stddev"] * seconds.std())
            slow = seconds > limit
            if slow.sum() > parameters["n_outliers"]:
                text = (
                    f"{slow.sum():,} of {count:,} steps ({name}, {node}) took more than {_time(limit)}, the mean plus "
                    f"{number_text(parameters['stddev'])} standard deviations."
                )
                numbers = {"outliers": float(slow.sum()), "limit": limit, "mean": float(seconds.mean())}
                whole = np.concatenate([slow, np.zeros(len(spans) - count, dtype=bool)])
                findings.append(Finding(text, mode=mode_of(name), steps=_worst(spans, whole), numbers=numbers))
                break
    return findings


def _steps(profile: Profile, mode: str | None) -> list[tuple[str, str, Spans]]:
    """Phase, node and spans of the steps to evaluate: all, or those of a mode (TRAIN, EVAL) or of a phase."""
    names = [name for name in profile.phases if name.startswith("Step:")]
    if mode:
        names = [name for name in profile.phases if mode in (name, mode_of(name))]
    if not names:
        raise NotEvaluated("No step times were recorded: train with profiler=on (train_model's default).")
    nodes = profile.nodes or ("algo-1",)
    found = [(name, node, profile.phases[name].of_node(at)) for name in names for at, node in enumerate(nodes)]
    enough = [row for row in found if len(row[2]) > LEAST_STEPS]
    if not enough:
        most = max(len(spans) for _, _, spans in found)
        raise NotEvaluated(
            f"Only {counted(most, 'step')} recorded: outliers can be found only among more than {LEAST_STEPS}."
        )
    return enough


def _excused(profile: Profile, spans: Spans, name: str) -> NDArray[np.bool_]:
    """Steps that may be slow: the first one, the first of an epoch or after a gap, and those under torch.profiler."""
    excused = np.zeros(len(spans), dtype=bool)
    excused[0] = True
    gaps = spans.begins[1:] - (spans.begins[:-1] + spans.seconds[:-1])
    follows = np.diff(spans.steps) == 1
    excused[1:] |= follows & (gaps > 2 * np.median(spans.seconds))
    if name == TRAIN_STEP:
        an_epoch = fact(profile, "steps_per_epoch")
        if isinstance(an_epoch, int) and an_epoch > 0:
            excused |= spans.steps % an_epoch == 0
        given = fact(profile, "operator_steps")
        looked_at = [step for step in given if isinstance(step, int)] if isinstance(given, list) else []
        if looked_at:
            after = max(looked_at) + 1  # stopping the profiler slows the next step
            excused |= np.isin(spans.steps, [*looked_at, after])
    return excused


def _waited(profile: Profile, spans: Spans, slow: NDArray[np.bool_]) -> str:
    waits = waits_of(profile, spans)
    if waits is None:
        return ""
    count = int((waits[slow] > spans.seconds[slow] / 2).sum())
    return f" In {count} of them, most of the time was spent waiting for data." if count else ""


def waits_of(profile: Profile, spans: Spans) -> NDArray[np.float64] | None:
    """Seconds that each step waited for its data, float64 [n]; None if unknown."""
    data = profile.phases.get(DATA)
    if data is None or not len(data):
        return None
    waits = np.zeros(len(spans))
    for node in spans.used_nodes:
        here = spans.on_node(node)
        waits[here] = _waits(data.of_node(node), spans.where(here))
    return waits


def _waits(data: Spans, steps: Spans) -> NDArray[np.float64]:
    """Seconds of the wait that begins with or in each step of a node, float64 [n]; 0 for steps without one."""
    if not len(data):
        return np.zeros(len(steps))
    at = np.minimum(np.searchsorted(data.begins, steps.begins - 1e-6), len(data) - 1)
    inside = (data.begins[at] >= steps.begins - 1e-6) & (data.begins[at] < steps.begins + steps.seconds)
    return np.where(inside, data.seconds[at], 0.0)


def max_initialization_time(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """Ours: the first step came late, and the time before it was a large share of the job."""
    begin, first, last = _times(profile)
    seconds = (last if first is None else first) - begin
    percent = 100 * seconds / max(last - begin, 1e-9)
    numbers = {"minutes": seconds / 60, "percent": percent}
    if seconds <= 60 * parameters["threshold"] or percent <= parameters["percent"]:
        return Answer((), numbers)
    text = (
        f"{_came(first)} after {seconds / 60:.0f} minutes, {percent:.0f}% of the job so far (limits "
        f"{number_text(parameters['threshold'])} minutes and {number_text(parameters['percent'])}%)."
    )
    return Answer([Finding(text, numbers=numbers)], numbers)


def max_initialization_time_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """AWS: no step in the first `threshold` minutes of samples."""
    begin, first, last = _times(profile)
    minutes = ((last if first is None else first) - begin) / 60
    if minutes <= parameters["threshold"]:
        return Answer((), {"minutes": minutes})
    text = f"{_came(first)} after {minutes:.0f} minutes (limit {number_text(parameters['threshold'])})."
    return Answer([Finding(text, numbers={"minutes": minutes})], {"minutes": minutes})


def _came(first: float | None) -> str:
    return "No step had begun" if first is None else "The first step came"


def _times(profile: Profile) -> tuple[float, float | None, float]:
    """When the job began, when its first step began (None if there is none yet), and when the profile ends."""
    line = profile.timeline
    samples = [metric.times for metrics in profile.system.values() for metric in metrics.values() if len(metric.times)]
    last = max(
        [time for time in (line.trained, line.end) if time is not None] + [float(one[-1]) for one in samples],
        default=None,
    )
    if line.begin is None or last is None:
        raise NotEvaluated("The beginning of the job is unknown because nothing was sampled.")
    if line.training is None and line.end is not None:
        raise NotEvaluated("No step was recorded in the whole job, so the beginning of training is unknown.")
    return line.begin, line.training, last


def dataloader(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """Ours: the measured time that training steps waited for their data."""
    steps = profile.phases.get(TRAIN_STEP)
    waits = waits_of(profile, steps) if steps is not None and len(steps) else None
    if steps is None or waits is None:
        raise NotEvaluated("Times of loading data were not recorded: train with profiler=on (train_model's default).")
    if len(steps) <= parameters["patience"]:
        raise NotEvaluated(
            f"Only {counted(len(steps), 'training step')}: more than {parameters['patience']} are needed (patience)."
        )
    nodes = len(steps.used_nodes)
    scale = steps_per_written(profile, TRAIN_STEP, steps) / nodes
    waited, percent = scale * float(waits.sum()), 100 * float(waits.sum()) / max(float(steps.seconds.sum()), 1e-9)
    numbers: dict[str, float] = {
        "wait_seconds": waited,
        "wait_percent": percent,
        "p95": float(np.quantile(waits, 0.95)),
    }
    workers, cores = fact(profile, "workers"), fact(profile, "cores")
    numbers |= {name: float(value) for name, value in (("workers", workers), ("cores", cores)) if _count(value)}
    if percent <= parameters["wait_percent"] or waited <= parameters["wait_seconds"]:
        return Answer((), numbers)
    where = f" on each of {nodes} nodes (mean)" if nodes > 1 else ""
    text = f"Training steps waited {waited:.0f} s{where} for data, {percent:.0f}% of their time."
    if _count(workers) and _count(cores) and fact(profile, "inputs") != "features":
        text += f" {workers} workers load the data on {cores} cores."
    return Answer([Finding(text, mode="TRAIN", numbers=numbers)], numbers)


def dataloader_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """AWS: too few or too many workers for the cores, or a GPU without pinned memory."""
    if fact(profile, "inputs") == "features":
        raise NotEvaluated("The inputs are stored features: there are no data loaders.")
    workers, cores = fact(profile, "workers"), fact(profile, "cores")
    if not _count(workers) or not _count(cores):
        raise NotEvaluated("The number of workers or of cores is unknown.")
    percent = 100 * workers / max(1, cores)
    numbers = {"workers": float(workers), "cores": float(cores)}
    findings = []
    if not parameters["min_threshold"] <= percent <= parameters["max_threshold"]:
        text = (
            f"{workers} workers load data on {cores} cores, {percent:.0f}% (AWS recommends"
            f" {number_text(parameters['min_threshold'])} "
            f"to {number_text(parameters['max_threshold'])}%)."
        )
        findings.append(Finding(text, numbers=numbers))
    if fact(profile, "pin_memory") is False and fact(profile, "gpus"):
        text = f"Batches for {fact(profile, 'gpus')} GPU(s) are not in pinned memory, which slows down copying."
        findings.append(Finding(text, numbers=numbers))
    return Answer(findings, numbers)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _worst(spans: Spans, slow: NDArray[np.bool_]) -> tuple[int, ...]:
    chosen = np.flatnonzero(slow)
    chosen = chosen[np.argsort(-spans.seconds[chosen])[:MOST_SHOWN]]
    return tuple(sorted({int(step) for step in spans.steps[chosen] if step >= 0}))


def _time(seconds: float) -> str:
    return f"{number_text(1000 * seconds, 3)} ms" if seconds < 1 else f"{number_text(seconds, 3)} s"


RULES = (
    Rule(
        name="StepOutlier",
        judge=step_outlier,
        judge_aws=step_outlier_aws,
        aws={"stddev": 3, "mode": None, "n_outliers": 10},
        default={
            "stddev": 3,
            "mode": None,
            "n_outliers": 2,  # one or two slow steps need not have a cause
            "lost_percent": 10,
            "lost_seconds": 10,
        },
        description="Single steps take much longer than the others.",
        advice=(
            "Look at what happened at these steps: reading data (raise workers), saving checkpoints or "
            "evaluating too often, a neighbor on the same machine, or garbage collection."
        ),
        kind=PROFILING,
        bounds={"n_outliers": COUNT},
        explanation=Explanation(
            computes=(
                "Steps longer than `max(median + stddev * 1.4826 * MAD, 2 * median)`, without the first step, the "
                "first of an epoch and those under the profiler. Fires if there are more than `n_outliers`, and if "
                "they cost more than `lost_percent` of the time and `lost_seconds`."
            ),
            computes_aws="More than `n_outliers` steps exceed `mean + stddev * standard deviation`.",
            parameters={
                "stddev": "standard deviations",
                "mode": "mode (TRAIN, EVAL) or phase; all steps by default",
                "n_outliers": "largest allowed number of outliers",
                "lost_percent": "percentage of the time in steps that outliers must cost",
                "lost_seconds": "seconds that outliers must cost",
            },
            sources=(
                (
                    "Rousseeuw and Croux, Alternatives to the Median Absolute Deviation (1993): 1.4826 times the MAD "
                    "estimates a standard deviation"
                ),
            ),
        ),
        order=70,
        aws_name="StepOutlier",
    ),
    Rule(
        name="MaxInitializationTime",
        judge=max_initialization_time,
        judge_aws=max_initialization_time_aws,
        aws={"threshold": 20},
        default={"threshold": 20, "percent": 50},
        description="The first step comes late.",
        advice=(
            "Shorten what happens before training: input mode FastFile or Pipe instead of copying all data, "
            "features that were stored by an earlier job, a smaller image, or a warm pool."
        ),
        kind=PROFILING,
        bounds={},
        explanation=Explanation(
            computes=(
                "The first step came after more than `threshold` minutes and more than `percent` percent of the job so "
                "far."
            ),
            computes_aws="The first step came after more than `threshold` minutes.",
            parameters={
                "threshold": "minutes",
                "percent": "percentage of the job so far",
            },
        ),
        order=80,
        aws_name="MaxInitializationTime",
    ),
    Rule(
        name="Dataloader",
        judge=dataloader,
        judge_aws=dataloader_aws,
        aws={"min_threshold": 70, "max_threshold": 200},
        default={"wait_percent": 33, "wait_seconds": 10, "patience": 10},
        description="Loading data holds up training.",
        advice=(
            "Raise workers up to the number of cores; if they are all busy, choose an instance with more "
            "cores, store features first (extract_features) if the backbone is frozen, or store smaller "
            "pictures."
        ),
        kind=PROFILING,
        bounds={"patience": COUNT},
        explanation=Explanation(
            computes=(
                "Measured: training steps waited for their data for more than `wait_percent` percent of their time and "
                "more than `wait_seconds` seconds."
            ),
            computes_aws=(
                "`100 * workers / cores` is outside `min_threshold` to `max_threshold`, or a job with a GPU does not "
                "pin memory."
            ),
            parameters={
                "wait_percent": "percentage of the time in steps",
                "wait_seconds": "seconds",
                "patience": "training steps that must have been recorded",
                "min_threshold": "least workers, in percent of the cores",
                "max_threshold": "most workers, in percent of the cores",
            },
        ),
        order=90,
        aws_name="Dataloader",
    ),
)
