"""A profile as plain values for JSON: statistics instead of samples."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dogbreed_sdk.debugging.formatting import plain
from training_scripts.recording.profile.profile import Profile, Statistics
from training_scripts.recording.profile.summary import seconds_of

MAX_OPERATORS = 50


def profile_document(profile: Profile) -> dict[str, Any]:
    """A profile without its samples; numbers that are none become None.

    Returns:
        source, nodes, facts; timeline (seconds since 1970, and how long each of the job's parts took); usage, steps
        and phases (a list of what, node, max, p99, p95, p50, min, mean, count, total each, and of durations histogram
        and edges); operators, the most expensive first; operators_note; problems.
    """
    content = {
        "source": profile.source,
        "nodes": profile.nodes,
        "facts": profile.facts,
        "timeline": {**asdict(profile.timeline), **seconds_of(profile.timeline)},
        "usage": [_statistics(entry) for entry in profile.usage],
        "steps": [_statistics(entry) for entry in profile.step_statistics],
        "phases": [_statistics(entry) for entry in profile.phase_statistics],
        "operators": [asdict(operator) for operator in profile.operators[:MAX_OPERATORS]],
        "operators_note": profile.operators_note,
        "problems": profile.problems,
    }
    document: dict[str, Any] = plain(content)
    return document


def _statistics(entry: Statistics) -> dict[str, Any]:
    named = asdict(entry)
    named["max"], named["min"] = named.pop("maximum"), named.pop("minimum")
    if not entry.edges:
        del named["histogram"], named["edges"]
    named["total"] = None if entry.mean is None or entry.count is None else entry.mean * entry.count
    return named
