"""Where the time of a run's steps went: inside them, between them, and in outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import clipped, seconds
from training_scripts._util.number_text import counted
from training_scripts.recording.profile.profile import Profile, Spans
from training_scripts.rules.evidence.recorded import count

# AWS's StepOutlier: a step is an outlier if it is this many standard deviations longer than the mean.
OUTLIER_SIGMAS = 3.0
_NAMES = {"TRAIN": "training", "EVAL": "evaluation", "PREDICT": "feature-pass"}


@dataclass(frozen=True)
class StepTimes:
    """The times of one kind of step, in seconds of wall time, summed over nodes.

    They are of the recorded steps: of tens of thousands, the profiler records only some.

    Attributes:
        kind: training, evaluation or feature-pass.
        count: Number of recorded steps.
        inside: Time in them.
        between: Time between neighboring steps, without evaluations and the ends of epochs.
        median: Time of a step.
        slowest: Time of the slowest step.
        outliers: Number of steps that took longer than the mean by three standard deviations (AWS's StepOutlier).
        in_outliers: Time that those took.
    """

    kind: str
    count: int
    inside: float
    between: float
    median: float
    slowest: float
    outliers: int
    in_outliers: float

    def __str__(self) -> str:
        """The times in one line."""
        lost = f"{counted(self.outliers, 'outlier')} ({seconds(self.in_outliers)})" if self.outliers else "no outliers"
        return (
            f"{counted(self.count, f'{self.kind} step')}: {seconds(self.inside)} inside (median "
            f"{seconds(self.median)}, slowest {seconds(self.slowest)}), {seconds(self.between)} between them, {lost}"
        )


def step_times(profile: Profile) -> list[StepTimes]:
    """The times of each kind of step, the kind that took longest first."""
    known = {
        name: spans.where(np.isfinite(spans.begins + spans.seconds)) for name, spans in step_spans(profile).items()
    }
    found = [_times(profile, name, spans) for name, spans in known.items() if len(spans)]
    return sorted(found, key=lambda times: -times.inside)


def step_spans(profile: Profile) -> Mapping[str, Spans]:
    """The phases that are steps, by name, without those that never ran."""
    return {name: spans for name, spans in profile.phases.items() if name.startswith("Step") and len(spans)}


def kind_of(phase: str) -> str:
    """Step:ModeKeys.TRAIN -> training."""
    mode = phase.rpartition(".")[2]
    return _NAMES.get(mode, clipped(mode, 40))


def outliers(spans: Spans) -> NDArray[np.bool_]:
    """Which steps took longer than the mean by three standard deviations, bool [n]."""
    limit = float(spans.seconds.mean() + OUTLIER_SIGMAS * spans.seconds.std())
    found: NDArray[np.bool_] = spans.seconds > limit
    return found if len(spans) > 2 else np.zeros(len(spans), dtype=bool)


def gaps(profile: Profile, phase: str, spans: Spans) -> NDArray[np.float64]:
    """Seconds between neighboring steps of a phase on the same node within an epoch, float64 [gaps]."""
    others = [other for name, other in step_spans(profile).items() if name != phase]
    steps = count(profile.facts.get("steps_per_epoch")) if kind_of(phase) == "training" else None
    found = [
        _gaps(spans.of_node(node), [other.of_node(node) for other in others], steps or 0) for node in spans.used_nodes
    ]
    return np.concatenate([np.zeros(0), *found])


def _gaps(spans: Spans, others: Sequence[Spans], steps_per_epoch: int) -> NDArray[np.float64]:
    """The gaps of one node; 0 steps per epoch: unknown."""
    ends = spans.begins + spans.seconds
    between = np.maximum(spans.begins[1:] - ends[:-1], 0.0)
    within = np.diff(spans.steps) == 1
    for other in others:
        within &= np.searchsorted(other.begins, spans.begins[1:]) == np.searchsorted(other.begins, ends[:-1])
    if steps_per_epoch:
        within &= spans.steps[1:] % steps_per_epoch != 0
    chosen: NDArray[np.float64] = between[within]
    return chosen


def _times(profile: Profile, name: str, spans: Spans) -> StepTimes:
    slow = outliers(spans)
    return StepTimes(
        kind=kind_of(name),
        count=len(spans),
        inside=float(spans.seconds.sum()),
        between=float(gaps(profile, name, spans).sum()),
        median=float(np.median(spans.seconds)),
        slowest=float(spans.seconds.max()),
        outliers=int(slow.sum()),
        in_outliers=float(spans.seconds[slow].sum()),
    )
