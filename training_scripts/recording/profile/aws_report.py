"""Reads the JSON files of AWS's profiler report, one per rule, as a profile without samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.profile.files import Problems, Reader, json_or_none, number, short
from training_scripts.recording.profile.profile import DATA, Operator, Profile, Statistics, Timeline
from training_scripts.rules import registry
from training_scripts.rules.findings import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, Finding, RuleResult
from training_scripts.rules.managed import PROFILING_RULES

RULES = PROFILING_RULES
"""Names of the files, and of the rules, in the order in which reports show them."""

SUMMARIES = ("OverallSystemUsage", "OverallFrameworkMetrics")
MOST_ENTRIES = 1000
DEEPEST = 8
_Report = Mapping[str, object]


def find_reports(folder: Path) -> list[Path]:
    """Finds the report's files in a folder: the report itself, or a job's output."""
    below = "profiler-output/profiler-reports"
    folders: Iterable[Path] = (
        folder,
        folder / "profiler-reports",
        folder / below,
        *sorted(folder.glob(f"ProfilerReport*/{below}")),
        *sorted(folder.glob(f"rule-output/ProfilerReport*/{below}")),
    )
    for place in folders:
        found = [place / f"{rule}.json" for rule in RULES if (place / f"{rule}.json").is_file()]
        if found:
            return found
    return []


def read_reports(paths: Iterable[Path]) -> Profile:
    """Reads AWS's findings and statistics as a profile.

    Args:
        paths: Result of `find_reports`.
    """
    problems = Problems()
    reader = Reader(problems)
    reports: dict[str, _Report] = {}
    for path in paths:
        text = reader.text(path)
        content = json_or_none(text) if text is not None else None
        if isinstance(content, Mapping):
            reports[path.stem] = content
        elif text is not None:
            problems.add(f"{path} is not a rule's report.")
    details = {rule: _mapping(report.get("Details")) for rule, report in reports.items()}
    operators = _operators(details.get("OverallFrameworkMetrics", {}))
    usage = _usage(details.get("OverallSystemUsage", {}))
    steps = _steps(details.get("StepOutlier", {}))
    loading = _loading(details.get("Dataloader", {}))
    return Profile(
        source="report",
        usage=usage,
        step_statistics=steps,
        phase_statistics=(*steps, *loading),
        operators=operators,
        operators_note=(
            "Times include the operators that each one calls, so they add up to more than the total."
            if operators
            else "AWS's report lists no operators."
        ),
        timeline=_timeline(details.get("MaxInitializationTime", {})),
        facts=_facts(details),
        results=tuple(_result(rule, reports[rule], details[rule]) for rule in RULES if rule in reports),
        problems=problems.all(),
        nodes=tuple(sorted({one.node for one in usage})),
    )


def _result(rule: str, report: _Report, details: _Report) -> RuleResult:
    triggered, violations, points = (
        int(number(report.get(key)) or 0) for key in ("RuleTriggered", "Violations", "Datapoints")
    )
    parameters = _parameters(report.get("RuleParameters"))
    shown = {**_mapping(_bounded(details)), **_numbers_in_all(details)}
    found = f"{counted(violations, 'violation')} in {counted(points, 'data point')}"
    status, message = NO_ISSUES_FOUND, f"AWS's report: no issue in {counted(points, 'data point')}."
    findings: tuple[Finding, ...] = ()
    if rule in SUMMARIES:
        message = "AWS's report: a summary." if details else "AWS's report is empty."
        status = NO_ISSUES_FOUND if details else NOT_EVALUATED
    elif triggered > 0:
        status = ISSUES_FOUND
        message = f"AWS's report: triggered {counted(triggered, 'time')}, by {found}."
        findings = _findings(rule, message, details, {"violations": violations, "datapoints": points})
    elif points == 0:
        status, message = NOT_EVALUATED, "AWS's report: there were no data points."
    elif points <= (number(parameters.get("patience")) or 0):
        message += f" The rule's patience of {parameters['patience']} data points was not exceeded."
    elif violations:
        message = f"AWS's report: {found}, too few to be an issue."
    advice = registry.rule(rule).advice if status == ISSUES_FOUND else ""
    return RuleResult(rule, status, message, advice, parameters, findings, "profiling", shown)


def _findings(rule: str, message: str, details: _Report, numbers: Mapping[str, float]) -> tuple[Finding, ...]:
    """One finding per device that AWS lists, or one for the run."""
    found = []
    for node, devices in details.items():
        for device, values in _mapping(devices).items() if node.startswith("algo-") else ():
            known = {key: value for key, one in _mapping(values).items() if (value := number(one)) is not None}
            if known:
                listed = ", ".join(f"{key} {number_text(value)}" for key, value in list(known.items())[:4])
                text = f"AWS's report: {short(device)} of {short(node)}: {listed}."
                found.append(Finding(text, numbers={**numbers, **known}))
    steps: tuple[int, ...] = ()
    if rule == "StepOutlier":
        rows = [_mapping(one).get("step_numbers") for one in _mapping(details.get("step_details")).values()]
        listed_steps = [number(step) for row in rows if isinstance(row, list) for step in row[:MOST_ENTRIES]]
        steps = tuple(sorted({int(step) for step in listed_steps if step is not None}))
    return tuple(found[:MOST_ENTRIES]) or (Finding(message, steps=steps, numbers=numbers),)


def _usage(details: _Report) -> tuple[Statistics, ...]:
    found = []
    for metric, nodes in list(details.items())[:MOST_ENTRIES]:
        for node, values in list(_mapping(nodes).items())[:MOST_ENTRIES]:
            row = _row(_mapping(values))
            if row is not None:
                found.append(Statistics(short(metric), short(node), *row))
    return tuple(found)


def _row(values: _Report) -> tuple[float, float, float, float, float] | None:
    """Maximum, p99, p95, p50 and minimum; None where one of them is missing."""
    found = [number(values.get(key)) for key in ("max", "p99", "p95", "p50", "min")]
    maximum, p99, p95, p50, minimum = (math.nan if value is None else value for value in found)
    return None if None in found else (maximum, p99, p95, p50, minimum)


def _steps(details: _Report) -> tuple[Statistics, ...]:
    found = []
    for worker, values in list(_mapping(details.get("step_details")).items())[:MOST_ENTRIES]:
        stats = _mapping(_mapping(values).get("step_stats"))
        row = _row(stats)
        if row is not None:
            counts, edges = _histogram(_mapping(values))
            phase = short(_mapping(values).get("phase") or "Step")
            mean = number(stats.get("mean"))
            found.append(Statistics(phase, short(worker), *row, mean=mean, histogram=counts, edges=edges))
    return tuple(found)


def _loading(details: _Report) -> tuple[Statistics, ...]:
    """The data loading times; AWS omits the 99th percentile, so it is read from the histogram."""
    times = _mapping(details.get("dataloading_time"))
    p50, p95 = number(times.get("p50")), number(times.get("p95"))
    counts, edges = _histogram(times)
    if p50 is None or p95 is None or not counts:
        return ()
    total, below = sum(counts), 0.0
    p99 = edges[-1]
    for count, upper in zip(counts, edges[1:], strict=True):
        below += count
        if below >= 0.99 * total:
            p99 = upper
            break
    row = (edges[-1], max(p99, p95), p95, p50, edges[0])
    return (Statistics(DATA, "algo-1", *row, count=int(total), histogram=counts, edges=edges),)


def _histogram(values: _Report) -> tuple[tuple[float, ...], tuple[float, ...]]:
    counts, edges = values.get("probs"), values.get("binedges")
    if not isinstance(counts, list) or not isinstance(edges, list) or not 0 < len(counts) <= MOST_ENTRIES:
        return (), ()
    read = [[number(one) for one in row] for row in (counts, edges)]
    if len(edges) != len(counts) + 1 or any(one is None for row in read for one in row):
        return (), ()
    return tuple(one or 0.0 for one in read[0]), tuple(one or 0.0 for one in read[1])


def _operators(details: _Report) -> tuple[Operator, ...]:
    """The operators; AWS's CPU_total and GPU_total are microseconds."""
    cpu, gpu = (_mapping(details.get(key)) for key in ("CPU_total", "GPU_total"))
    found = [
        Operator(short(name), 0, (number(cpu.get(name)) or 0) / 1e6, (number(gpu.get(name)) or 0) / 1e6)
        for name in list(dict.fromkeys((*cpu, *gpu)))[:MOST_ENTRIES]
    ]
    return tuple(sorted(found, key=lambda one: -(one.cpu_seconds + one.gpu_seconds)))


def _timeline(details: _Report) -> Timeline:
    """The timeline; AWS writes times of jobs in seconds, of steps in microseconds."""
    steps = _mapping(details.get("step_num"))
    first, last = (None if (value := number(steps.get(key))) is None else value / 1e6 for key in ("first", "last"))
    end = number(details.get("job_end"))
    # AWS's last sample may precede the last step.
    return Timeline(number(details.get("job_start")), first, last, end if end is None else max(end, last or end))


def _facts(details: Mapping[str, _Report]) -> dict[str, object]:
    loader = details.get("Dataloader", {})
    facts: dict[str, object] = {}
    for ours, theirs in (("cores", "cores"), ("workers", "num_workers"), ("pin_memory", "pin_memory")):
        if isinstance(loader.get(theirs), (int, bool)):
            facts[ours] = loader[theirs]
    usage = details.get("OverallSystemUsage")
    if usage is not None:
        named = {
            short(device)
            for rule in ("LowGPUUtilization", "GPUMemoryIncrease", "BatchSize")
            for node in details.get(rule, {}).values()
            for device in _mapping(node)
        }
        facts["gpus"] = max(len(named), 1) if _mapping(usage.get("GPU")) else 0
    return facts


def _parameters(text: object) -> dict[str, object]:
    """Parses lines such as `threshold:50`; integers, decimals and None become values."""
    parameters: dict[str, object] = {}
    for line in short(text or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            known = number(value)
            parameters[name.strip()] = (
                (int(known) if known == int(known) else known)
                if known is not None
                else (None if value.strip() == "None" else value.strip())
            )
    return parameters


def _bounded(value: object, depth: int = 0) -> object:
    """A report's details, limited in depth, length and number."""
    if depth >= DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {short(key): _bounded(one, depth + 1) for key, one in list(value.items())[:MOST_ENTRIES]}
    if isinstance(value, list):
        return [_bounded(one, depth + 1) for one in value[:MOST_ENTRIES]]
    return short(value) if isinstance(value, str) else value


def _numbers_in_all(details: _Report) -> dict[str, object]:
    """The number of entries of each part of the details that `_bounded` shortens, by name: `bottlenecks_in_all`."""
    return {
        f"{short(name)}_in_all": len(part)
        for name, part in details.items()
        if isinstance(part, (Mapping, list)) and len(part) > MOST_ENTRIES
    }


def _mapping(value: object) -> _Report:
    return value if isinstance(value, Mapping) else {}
