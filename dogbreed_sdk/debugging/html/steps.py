"""The report's sections on steps and operators: durations, outliers, and the most expensive operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dogbreed_sdk._util.formatting import clipped, number, percent, seconds
from dogbreed_sdk.debugging.html.sections import NO_PROFILE
from dogbreed_sdk.debugging.operators import costliest
from dogbreed_sdk.debugging.step_times import OUTLIER_SIGMAS, kind_of, outliers, step_spans
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.drawings import histogram
from dogbreed_sdk.pages.markup import Child, Markup, breakable, element, table
from dogbreed_sdk.pages.sections import empty, figure, section
from dogbreed_sdk.pages.series import Chart, Charts, chart, line
from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.profile.profile import Operator, Profile, Spans, Statistics

MAX_PHASES = 24
MAX_OPERATORS = 30
MAX_DOTS = 600


def steps_section(profile: Profile | None, charts: Charts, *, points: int) -> Markup:
    """Durations of steps and their phases; their chart is added to `charts`."""
    title = "Steps"
    if profile is None:
        return section("steps", title, empty(NO_PROFILE))
    steps = step_spans(profile)
    content: list[Child] = []
    if steps:
        charts["steps"] = _step_chart(steps, points)
        content.append(figure("steps", "Duration of each step", note=_outlier_note(steps)))
    if profile.step_statistics:
        content.append(_statistics_table(profile.step_statistics))
        content.append(_histograms(profile.step_statistics))
    if profile.phases:
        content += [element("h3", "By phase"), _phase_table(profile)]
    if not content:
        return section("steps", title, empty("There are no step times: framework metrics were not recorded."))
    return section("steps", title, content, lead=_lead(steps))


def _lead(steps: Mapping[str, Spans]) -> str:
    parts = [
        f"the median of {counted(len(spans.seconds), f'{kind_of(name)} step')} took "
        f"{seconds(float(np.median(spans.seconds)))}"
        for name, spans in steps.items()
    ]
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _step_chart(steps: Mapping[str, Spans], points: int) -> Chart:
    begin = min(float(spans.begins[0]) for spans in steps.values())
    series = []
    for look, (name, spans) in enumerate(list(steps.items())[:4]):
        # A line would bridge evaluations and pauses between steps; too many dots overlap.
        kind = "dots" if len(spans.seconds) <= MAX_DOTS else "line"
        series.append(line(kind_of(name), spans.begins - begin, spans.seconds, look=look, points=points, kind=kind))
        slow = outliers(spans)
        if slow.any():
            where, long = spans.begins[slow] - begin, spans.seconds[slow]
            series.append(line(f"{kind_of(name)}: outliers", where, long, look=look + 4, points=points, kind="dots"))
    return chart(
        series, x="time since the first step", y="seconds per step", unit="seconds", time=True, low=0.0, whole=True
    )


def _outlier_note(steps: Mapping[str, Spans]) -> str:
    count = sum(int(outliers(spans).sum()) for spans in steps.values())
    return (
        f"{counted(count, 'outlier')}: longer than the mean by {number_text(OUTLIER_SIGMAS)} standard deviations"
        if count
        else ""
    )


def _statistics_table(entries: Sequence[Statistics]) -> Markup:
    several = len({entry.node for entry in entries}) > 1
    rows = [
        [
            breakable(clipped(entry.what, 80)),
            *([clipped(entry.node, 60)] if several else []),
            "—" if entry.count is None else number(entry.count),
            seconds(entry.mean),
            *(seconds(value) for value in (entry.maximum, entry.p99, entry.p95, entry.p50, entry.minimum)),
        ]
        for entry in entries[:MAX_PHASES]
    ]
    head = ["Phase", *(["Node"] if several else []), "count", "mean", "max", "p99", "p95", "p50", "min"]
    return table(head, rows, numeric=range(len(head) - 7, len(head)))


def _histograms(entries: Sequence[Statistics]) -> Markup | None:
    drawn = [
        element(
            "div",
            element("p", f"{clipped(entry.what, 80)}, {clipped(entry.node, 60)}", class_="caption"),
            histogram(entry.histogram, entry.edges, label=f"Durations of {clipped(entry.what, 80)}", unit=seconds),
        )
        for entry in entries[:MAX_PHASES]
        if entry.histogram and len(entry.edges) == len(entry.histogram) + 1
    ]
    return element("div", drawn, class_="drawings") if drawn else None


def _phase_table(profile: Profile) -> Markup:
    ranked = sorted(profile.phases.items(), key=lambda item: -float(item[1].seconds.sum()))[:MAX_PHASES]
    longest = max((float(spans.seconds.sum()) for _, spans in ranked), default=0.0) or 1.0
    rows = []
    for name, spans in ranked:
        if not len(spans.seconds):
            continue
        total = float(spans.seconds.sum())
        label = f"{clipped(name, 80)}: {seconds(total)}"
        rows.append(
            [
                breakable(clipped(name, 80)),
                element("td", bar(total / longest, label=label)),
                seconds(total),
                number(len(spans.seconds)),
                seconds(float(np.median(spans.seconds))),
                seconds(float(np.percentile(spans.seconds, 95))),
            ]
        )
    return table(["Phase", "Share of the longest", "total", "count", "p50", "p95"], rows, numeric=(2, 3, 4, 5))


def operators_section(profile: Profile | None) -> Markup:
    """The network's operators, most expensive first."""
    title = "Operators"
    if profile is None:
        return section("operators", title, empty(NO_PROFILE))
    if not profile.operators:
        return section("operators", title, empty(profile.operators_note or "No operators were recorded."))
    cpu, gpu = _whole(profile.operators)
    top = profile.operators[0]
    share = percent(_share(top, cpu, gpu))
    lead = f"{clipped(top.name, 80)} is the most expensive: {share} of the time of all listed operators."
    if profile.facts.get("inputs") == "features":
        lead += " They belong to the head, which trains on stored features; the backbone's are under Feature pass."
    left = len(profile.operators) - MAX_OPERATORS
    more = element("p", f"Not shown: {counted(left, 'cheaper one')}.", class_="quiet") if left > 0 else None
    note = element("p", profile.operators_note, class_="quiet") if profile.operators_note else None
    trains_backbone = profile.source == "profiler" and profile.facts.get("inputs") != "features"
    advice = operator_advice(profile.operators) if trains_backbone else None
    return section("operators", title, advice, operator_table(profile.operators), more, note, lead=lead)


def operator_table(operators: Sequence[Operator]) -> Markup:
    """The most expensive operators, with their shares of the total."""
    cpu, gpu = _whole(operators)
    rows = [_operator_row(operator, cpu, gpu) for operator in operators[:MAX_OPERATORS]]
    head = ["Operator", "CPU", "time", "share", *(["GPU", "time", "share"] if gpu else []), "calls"]
    return table(head, rows, numeric=(2, 3, 5, 6, 7) if gpu else (2, 3, 4))


def operator_advice(operators: Sequence[Operator]) -> Markup:
    """What to do about the most expensive operators."""
    known = [each for each in costliest(operators) if each.advice]
    return element("ul", *(element("li", element("b", f"{each}. "), each.advice) for each in known))


def _whole(operators: Sequence[Operator]) -> tuple[float, float]:
    """Total seconds of the operators on the CPU and on GPUs."""
    cpu = sum(operator.cpu_seconds for operator in operators) or 1.0
    return cpu, sum(operator.gpu_seconds for operator in operators)


def _share(operator: Operator, cpu: float, gpu: float) -> float:
    return float(operator.gpu_seconds / gpu if gpu else operator.cpu_seconds / cpu)


def _operator_row(operator: Operator, cpu: float, gpu: float) -> list[Child]:
    name = clipped(operator.name, 120)

    def cells(spent: float, total: float, look: int) -> list[Child]:
        drawn = bar(spent / total, label=f"{name}: {percent(spent / total)}", look=look)
        return [element("td", drawn), seconds(spent), percent(spent / total)]

    return [
        element("code", breakable(name)),
        *cells(operator.cpu_seconds, cpu, 0),
        *(cells(operator.gpu_seconds, gpu, 1) if gpu else []),
        number(operator.calls) if operator.calls else "—",
    ]
