"""Summarizes a profile: the statistics of its metrics and phases, and how long the job's parts took."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.profile.profile import Metric, Spans, Statistics, Timeline

BINS = 50


def statistics(what: str, node: str, values: NDArray[np.float64], *, histogram: bool = False) -> Statistics:
    """The statistics of a metric's or a phase's values.

    Args:
        what: The metric or phase.
        node: algo-1, ...
        values: At least one, float64 [n].
        histogram: Whether to add a histogram: `BINS` equal bins from the minimum to the 99th percentile. The last
            bin also counts larger values; otherwise a single outlier would squeeze all others into the first bin.
    """
    p50, p95, p99 = (float(value) for value in np.quantile(values, [0.5, 0.95, 0.99]))
    counts, edges = np.zeros(0), np.zeros(0)
    if histogram:
        counts, edges = np.histogram(np.minimum(values, p99), bins=BINS)
    return Statistics(
        what,
        node,
        float(values.max()),
        p99,
        p95,
        p50,
        float(values.min()),
        mean=float(values.mean()),
        count=len(values),
        histogram=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
    )


def usage_statistics(system: Mapping[str, Mapping[str, Metric]]) -> tuple[Statistics, ...]:
    """The statistics of every system metric of every node."""
    return tuple(
        statistics(name, node, metric.values)
        for node, metrics in system.items()
        for name, metric in metrics.items()
        if len(metric.values)
    )


def phase_statistics(phases: Mapping[str, Spans], nodes: tuple[str, ...]) -> tuple[Statistics, ...]:
    """The statistics of every phase on every node, with histograms."""
    found = []
    for name, spans in phases.items():
        for number, node in enumerate(nodes or ("algo-1",)):
            seconds = spans.of_node(number).seconds
            if len(seconds):
                found.append(statistics(name, node, seconds, histogram=True))
    return tuple(found)


def seconds_of(timeline: Timeline) -> dict[str, float | None]:
    """Durations of the job and its phases, in seconds; None if a time is unknown, or the end precedes the begin."""
    marks = {
        "initialization_seconds": (timeline.begin, timeline.training),
        "training_seconds": (timeline.training, timeline.trained),
        "finalization_seconds": (timeline.trained, timeline.end),
        "job_seconds": (timeline.begin, timeline.end),
    }
    return {name: _between(begin, end) for name, (begin, end) in marks.items()}


def _between(begin: float | None, end: float | None) -> float | None:
    length = math.nan if begin is None or end is None else end - begin
    return length if 0 <= length < math.inf else None
