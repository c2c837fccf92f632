"""Rules that summarize the use of the machine and the time of the steps. They never report findings."""

from __future__ import annotations

from typing import Any

from training_scripts.recording.profile.profile import BACKWARD, CPU, DATA, FORWARD, GPU, Profile
from training_scripts.rules.declaration import PROFILING, Answer, Explanation, Parameters, Rule
from training_scripts.rules.findings import NotEvaluated
from training_scripts.rules.profiling.samples import steps_per_written

SHOWN = 20


def overall_system_usage(profile: Profile, parameters: Parameters) -> Answer:  # noqa: ARG001
    """Metric -> node -> max, p99, p95, p50, min."""
    details: dict[str, dict[str, dict[str, float]]] = {}
    for one in profile.usage:
        row = {"max": one.maximum, "p99": one.p99, "p95": one.p95, "p50": one.p50, "min": one.minimum}
        details.setdefault(one.what, {})[one.node] = {name: round(value, 2) for name, value in row.items()}
    if not details:
        raise NotEvaluated("The machine was not sampled: train with profiler=on and psutil installed.")
    shown = [
        f"{one.what} of {one.node} {one.p50:.0f}% (p95 {one.p95:.0f}%)"
        for one in profile.usage
        if one.what in (CPU, GPU)
    ]
    return Answer((), details, f"Median utilization: {', '.join(shown)}." if shown else "")


def overall_framework_metrics(profile: Profile, parameters: Parameters) -> Answer:  # noqa: ARG001
    """Shares of the job's time by phase, of the steps' time by part, and of the operators' time."""
    total = {name: float(spans.seconds.sum()) for name, spans in profile.phases.items() if len(spans)}
    steps = {name: seconds for name, seconds in total.items() if name.startswith("Step:")}
    if not steps:
        raise NotEvaluated("No step times were recorded: train with profiler=on (train_model's default).")
    begins = [float(spans.begins[0]) for spans in profile.phases.values() if len(spans)]
    ends = [float((spans.begins + spans.seconds).max()) for spans in profile.phases.values() if len(spans)]
    line = profile.timeline
    begin = line.begin if line.begin is not None else min(begins)
    job = max((line.end if line.end is not None else max(ends)) - begin, 1e-9) * max(1, len(profile.nodes))
    phase = {
        name: 100 * seconds * steps_per_written(profile, name, profile.phases[name]) / job
        for name, seconds in steps.items()
    }
    phase["others"] = max(0.0, 100 - sum(phase.values()))
    stepped = max(sum(steps.values()), 1e-9)
    general = {name: 100 * total[name] / stepped for name in (DATA, FORWARD, BACKWARD) if name in total}
    details: dict[str, Any] = {"phase": phase, "general": general}
    for device, seconds_of in (("CPU", "cpu_seconds"), ("GPU", "gpu_seconds")):
        rows = {one.name: getattr(one, seconds_of) for one in profile.operators if getattr(one, seconds_of) > 0}
        whole = sum(rows.values())
        top = sorted(rows.items(), key=lambda item: -item[1])[:SHOWN]
        details[device] = {name: 100 * seconds / whole for name, seconds in top}
        details[f"{device}_total"] = {name: round(1e6 * seconds) for name, seconds in top}  # AWS's microseconds
    if fact := profile.facts.get("launch_times"):
        details["launch_times"] = fact
    listed = ", ".join(f"{name} {value:.0f}%" for name, value in {**phase, **general}.items())
    return Answer((), details, f"Shares of the job's time, then of the steps' time: {listed}.")


RULES = (
    Rule(
        name="OverallSystemUsage",
        judge=overall_system_usage,
        aws={},
        default={},
        description="Summarizes how busy the machine was.",
        advice="",
        kind=PROFILING,
        bounds={},
        explanation=Explanation(
            computes="Maximum, p99, p95, p50 and minimum of each metric of each node. It never fires.",
        ),
        order=100,
        aws_name="OverallSystemUsage",
    ),
    Rule(
        name="OverallFrameworkMetrics",
        judge=overall_framework_metrics,
        aws={},
        default={},
        description="Summarizes how the time of the steps was spent.",
        advice="",
        kind=PROFILING,
        bounds={},
        explanation=Explanation(
            computes=(
                "Shares of the job's time by phase, of the steps' time by part, and of the operators' time. It never "
                "fires."
            ),
        ),
        order=110,
        aws_name="OverallFrameworkMetrics",
    ),
)
