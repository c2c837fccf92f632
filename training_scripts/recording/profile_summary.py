"""Sums a profile up: the statistics of its metrics and phases, and plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.profile import Metric, Profile, Spans, Statistics, Timeline

BINS = 50
SHOWN_OPERATORS = 50


def statistics(what: str, node: str, values: NDArray[np.float64], *, histogram: bool = False) -> Statistics:
    """The statistics of a metric's or a phase's values.

    Args:
        what: The metric or phase.
        node: algo-1, ...
        values: At least one, float64 [n].
        histogram: Whether to count them by size: `BINS` equal bins from the least to the 99th percentile; the last
            one also holds what is above, or a single hiccup would leave all others in the first.
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


def to_dict(profile: Profile) -> dict[str, Any]:
    """Plain values for JSON, without samples: numbers that are none become None.

    Returns:
        source, nodes, timeline (with the phases' seconds), usage, steps, phases, operators, operators_note, facts,
        problems.
    """
    content = {
        "source": profile.source,
        "nodes": profile.nodes,
        "timeline": {**asdict(profile.timeline), **seconds_of(profile.timeline)},
        "usage": [asdict(one) for one in profile.usage],
        "steps": [asdict(one) for one in profile.step_statistics],
        "phases": [asdict(one) for one in profile.phase_statistics],
        "operators": [asdict(one) for one in profile.operators[:SHOWN_OPERATORS]],
        "operators_note": profile.operators_note,
        "facts": profile.facts,
        "problems": profile.problems,
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def seconds_of(timeline: Timeline) -> dict[str, float | None]:
    """How long the job and its phases took; None where a time is unknown."""
    marks = {
        "initialisation_seconds": (timeline.begin, timeline.training),
        "training_seconds": (timeline.training, timeline.trained),
        "finalisation_seconds": (timeline.trained, timeline.end),
        "job_seconds": (timeline.begin, timeline.end),
    }
    return {
        name: None if begin is None or end is None else max(0.0, end - begin) for name, (begin, end) in marks.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
