"""The report's sections on the machine: the job's phases, and the use of CPU, GPU, memory, disk and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dogbreed_sdk._util.formatting import amount, clipped, counted_more, date, number, percent, seconds
from dogbreed_sdk.debugging.html.sections import NO_PROFILE
from dogbreed_sdk.pages.bars import phases
from dogbreed_sdk.pages.markup import Child, Markup, element, table
from dogbreed_sdk.pages.sections import empty, figure, section
from dogbreed_sdk.pages.series import Charts, chart, line, mark
from training_scripts.recording.profile.profile import (
    CPU,
    DISK,
    GPU,
    GPU_MEMORY,
    NETWORK,
    Metric,
    Profile,
    Statistics,
    Timeline,
)
from training_scripts.recording.profile.summary import seconds_of

MAX_NODES = 4
# Devices whose use is shown one below the other, and into how many columns their time is cut.
MAX_DEVICES = 64
HEAT_COLUMNS = 120
_RATES = (NETWORK, DISK)


def timeline_section(profile: Profile | None) -> Markup:
    """Initialization, training and finalization."""
    title = "Where the time went"
    if profile is None:
        return section("timeline", title, empty(NO_PROFILE))
    parts = _phases(profile.timeline)
    if not parts:
        return section(
            "timeline", title, empty("The profile does not contain the start and end of the job and its training.")
        )
    total = sum(length for _, length in parts)
    rows = [
        (
            element("span", element("span", class_=f"swatch fill-{index}"), name),
            seconds(length),
            percent(length / total if total else None),
        )
        for index, (name, length) in enumerate(parts)
    ]
    began = date(profile.timeline.begin)
    when = f" It started at {began}." if began else ""
    lead = f"The job took {seconds(total)}.{when}"
    content = table(["Phase", "time", "share"], rows, numeric=(1, 2))
    return section("timeline", title, phases(parts), content, lead=lead)


def _phases(line: Timeline) -> list[tuple[str, float]]:
    lengths = seconds_of(line)
    return [
        (name, length)
        for name, key in (
            ("Initialization", "initialization_seconds"),
            ("Training", "training_seconds"),
            ("Finalization", "finalization_seconds"),
        )
        if (length := lengths[key]) is not None
    ]


def usage_section(profile: Profile | None, charts: Charts, *, points: int) -> Markup:
    """The machine's use over time, and its statistics; charts and heat maps are added to `charts`."""
    title = "System usage"
    if profile is None:
        return section("usage", title, empty(NO_PROFILE))
    drawn: list[Child] = [
        _node(node, metrics, profile.timeline, charts, points)
        for node, metrics in list(profile.system.items())[:MAX_NODES]
    ]
    left = len(profile.system) - len(drawn)
    if not drawn:
        drawn = [empty("This source contains only statistics, no samples over time, so there is no chart.")]
    content: Child = _usage_table(profile.usage) if profile.usage else empty("The machine's use was not recorded.")
    more = element("p", f"{counted_more(left)} in the recording.", class_="quiet") if left > 0 else None
    charted = element("div", drawn, class_="nodes")
    return section("usage", title, charted, more, content, lead=_usage_lead(profile))


def _usage_table(entries: Sequence[Statistics]) -> Markup:
    """One row per metric, with the node if there are several."""
    several = len({entry.node for entry in entries}) > 1
    head = ["Metric", *(["Node"] if several else []), "max", "p99", "p95", "p50", "min"]
    rows = [_usage_row(entry, several=several) for entry in entries]
    return table(head, rows, numeric=range(len(head) - 5, len(head)))


def _usage_row(entry: Statistics, *, several: bool) -> list[Child]:
    said = amount if entry.what in _RATES else number
    unit = "/s" if entry.what in _RATES else "%"
    values = (entry.maximum, entry.p99, entry.p95, entry.p50, entry.minimum)
    node = [clipped(entry.node, 60)] if several else []
    return [clipped(entry.what, 60), *node, *(f"{said(value)}{unit}" for value in values)]


def _usage_lead(profile: Profile) -> str:
    medians = {name: [entry.p50 for entry in profile.usage if entry.what == name] for name in (CPU, GPU, GPU_MEMORY)}
    said = [f"{name} {_range(values)}%" for name, values in medians.items() if values]
    facts = [
        f"{profile.facts[name] or 'no'} {word}{'s' if profile.facts[name] not in (0, 1) else ''}"
        for name, word in (("cores", "core"), ("gpus", "GPU"))
        if name in profile.facts
    ]
    machine = f" The machine has {' and '.join(facts)}." if facts else ""
    return f"Median use: {', '.join(said)}.{machine}" if said else ""


def _range(values: Sequence[float]) -> str:
    """The value of a single node, or the lowest and the highest of several."""
    ends = dict.fromkeys(number(value, digits=3) for value in (min(values), max(values)))
    return " to ".join(ends)


def _node(node: str, metrics: Mapping[str, Metric], line_of_time: Timeline, charts: Charts, points: int) -> list[Child]:
    known = {name: metric for name, metric in metrics.items() if len(metric.times)}
    if not known:
        return [empty(f"{clipped(node, 60)}: no samples.")]
    begin = min(float(metric.times[0]) for metric in known.values())
    marks = [
        mark("phase", start - begin, name, to=stop - begin)
        for name, start, stop in (
            ("initialization", line_of_time.begin, line_of_time.training),
            ("training", line_of_time.training, line_of_time.trained),
            ("finalization", line_of_time.trained, line_of_time.end),
        )
        if start is not None and stop is not None and stop > start
    ]
    found: list[Child] = []
    shares = {name: metric for name, metric in known.items() if name not in _RATES}
    rates = {name: metric for name, metric in known.items() if name in _RATES}
    for key, title, group, unit in (("use", "Utilization", shares, "percent"), ("rate", "Transfers", rates, "bytes")):
        if group:
            name = f"{key}:{node}"
            charts[name] = chart(
                [
                    line(clipped(what, 60), metric.times - begin, metric.values, look=index % 8, points=points)
                    for index, (what, metric) in enumerate(group.items())
                ],
                x="time since the first sample",
                y="percent" if unit == "percent" else "bytes per second",
                unit=unit,
                time=True,
                marks=marks if unit == "percent" else (),
                low=0.0,
                whole=True,
                high=100.0 if unit == "percent" else None,
                link=f"machine:{node}",
                log=False,
            )
            found.append(figure(name, f"{title}, {clipped(node, 60)}"))
    return [*found, *_heat_maps(node, known, begin, charts)]


def _heat_maps(node: str, known: Mapping[str, Metric], begin: float, charts: Charts) -> list[Child]:
    """The use of each core and each GPU, one row per device."""
    found: list[Child] = []
    for what, metric in known.items():
        devices = dict(list(metric.devices.items())[:MAX_DEVICES])
        if len(devices) < 2 or what not in (CPU, GPU, GPU_MEMORY):
            continue
        name = f"heat:{node}:{what}"
        columns = min(HEAT_COLUMNS, len(metric.times))
        cuts = np.linspace(0, len(metric.times), columns + 1).astype(int)[:-1]
        charts[name] = {
            "heat": True,
            "seconds": float(metric.times[-1] - begin),
            "rows": [
                {"name": clipped(device, 40), "values": _cells(np.asarray(values, dtype=np.float64), cuts)}
                for device, values in devices.items()
            ],
        }
        found.append(figure(name, f"{clipped(what, 60)} by device, {clipped(node, 60)}", note="darker is busier"))
    return found


def _cells(
    values: np.ndarray[Any, np.dtype[np.float64]], cuts: np.ndarray[Any, np.dtype[np.int64]]
) -> list[int | None]:
    counts = np.diff(np.append(cuts, len(values)))
    means = np.add.reduceat(values, cuts) / np.maximum(1, counts)
    return [round(value) if np.isfinite(value) else None for value in means.tolist()]
