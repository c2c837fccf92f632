"""Explains a recorded run: what happened, how certain that is, and what to change. Pure functions of arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from dogbreed_sdk.debugging.insights import (
    classes,
    convergence,
    fluctuation,
    gap,
    hardware,
    learning,
    overfitting,
    pictures,
    smallness,
    spikes,
    underfitting,
)
from dogbreed_sdk.debugging.insights.guard import Guard
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.resolve import resolve
from training_scripts.recording.profile.profile import Profile
from training_scripts.recording.trial.trial import Trial
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.findings import RuleResult
from training_scripts.rules.own_words import Words

__all__ = ["Insight", "insights"]


def insights(
    trial: Trial | None, profile: Profile | None, results: Sequence[RuleResult], *, problems: list[str] | None = None
) -> list[Insight]:
    """What a recorded run shows, most important first; few insights, or none, if there is little to report.

    Args:
        trial: The recording; without it, there are no insights about curves.
        profile: The profile; without it, there are no insights about hardware.
        results: The results of the rules, which explain why a network cannot learn.
        problems: Gets a sentence for each insight that failed. Default: failures are logged as warnings.
    """
    guard, found = Guard(), list[Insight]()
    with np.errstate(all="ignore"):  # unusual values give NaN, which every insight handles
        run = guard.value("the run", lambda: Run.of(trial)) if trial is not None else None
        if run is not None:
            found += _of_curves(run, results, guard)
        if profile is not None:
            found += hardware.find(profile, guard, [*results, *profile.results])
    if problems is not None:
        problems += guard.problems
    for problem in guard.problems if problems is None else ():
        _LOGGER.warning(problem)
    if run is None:
        return resolve(found)
    words = run.words
    return [_in_own_words(insight, words) for insight in resolve(found, run.settings)]


def _in_own_words(insight: Insight, words: Words) -> Insight:
    """An insight in the run's own words. Hyperparameters for which the run has no name are in the text alone."""
    if words.is_ours:
        return insight
    return replace(
        insight,
        title=words.put(insight.title),
        explanation=words.put(insight.explanation),
        evidence=tuple(words.put(line) for line in insight.evidence),
        next_step=words.put(insight.next_step),
        hyperparameters={
            words.own[name]: value for name, value in insight.hyperparameters.items() if name in words.own
        },
    )


def _of_curves(run: Run, results: Sequence[RuleResult], guard: Guard) -> list[Insight]:
    failed = guard.insights("failures", lambda: learning.failures(run, results))
    small = guard.insights("small_data_sets", lambda: smallness.find(run))
    if any(insight.severity == "problem" for insight in failed):  # the curves of a failed run show nothing else
        return [*failed, *small]
    found = [*failed, *guard.insights("the_result", lambda: convergence.result(run)), *small]
    for name, find in _FINDERS.items():
        found += guard.insights(name, partial(find, run))
    turned = any(insight.topic == "overfitting" for insight in found)
    return [
        insight for insight in found if not (turned and insight.topic == "too-many-epochs")
    ]  # overfitting implies it


_LOGGER = logging.getLogger(__name__)
_FINDERS: dict[str, Callable[[Run], list[Insight]]] = {
    "convergence": convergence.find,
    "overfitting": overfitting.find,
    "generalization_gap": gap.find,
    "underfitting": underfitting.find,
    "spikes": spikes.find,
    "pictures": pictures.find,
    "fluctuations": fluctuation.find,
    "classes": classes.find,
}
