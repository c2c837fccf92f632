"""Explains a recorded run in words: what happened, how sure that is, and what to change. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed_sdk.debugging.insights import (
    classes,
    convergence,
    fluctuation,
    hardware,
    learning,
    overfitting,
    pictures,
    smallness,
    spikes,
)
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.resolve import resolve
from dogbreed_sdk.debugging.insights.run import Run
from training_scripts.recording.profile import Profile
from training_scripts.recording.trial import Trial
from training_scripts.rules.findings import RuleResult

__all__ = ["Insight", "insights"]


def insights(trial: Trial | None, profile: Profile | None, results: Sequence[RuleResult]) -> list[Insight]:
    """What a recorded run tells, most important first; little or nothing where there is nothing to tell.

    Args:
        trial: The recording; without it, nothing is said about curves.
        profile: The profile; without it, nothing is said about hardware.
        results: The rules' answers, which explain why a network cannot learn.
    """
    run = Run.of(trial) if trial is not None else None
    found = [*(_of_curves(run, results) if run else ()), *(hardware.look(profile) if profile else ())]
    return resolve(found)


def _of_curves(run: Run, results: Sequence[RuleResult]) -> list[Insight]:
    failed = learning.failures(run, results)
    if failed:  # the curves of a run that failed say nothing about anything else
        return [*failed, *smallness.look(run)]
    reached = convergence.result(run)
    found = [*([reached] if reached else ()), *smallness.look(run)]
    for look in (
        convergence.look,
        overfitting.look,
        overfitting.underfitting,
        spikes.look,
        pictures.look,
        fluctuation.look,
        classes.look,
    ):
        found += look(run)
    return found
