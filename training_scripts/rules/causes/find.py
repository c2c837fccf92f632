"""Finds the cause of what is wrong with a run: the first in the order from root cause to symptom."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from training_scripts.recording.trial.trial import Trial, despite_damage
from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult

BY_RULE = {
    "ExplodingTensor": "learning-rate-too-high",
    "AllZero": "bad-initialization",
    "PoorWeightInitialization": "bad-initialization",
    "VanishingGradient": "vanishing-gradients",
    "DeadRelu": "dead-relus",
    "SaturatedActivation": "saturated-activations",
    "UnchangedTensor": "weights-not-updated",
    "Overfit": "overfitting",
    "Overtraining": "overfitting",
    "ClassImbalance": "class-imbalance",
    "Confusion": "confused-classes",
}
"""The cause that a rule's finding shows if no other explains it."""


def find(trial: Trial, results: Sequence[RuleResult]) -> Cause | None:
    """The cause of what is wrong with a run; None if nothing is, or if its trace is not in the recording.

    Args:
        trial: The recording.
        results: The results of the debugging rules.
    """
    run = evidences.of(trial)
    issues = {result.name: result for result in results if result.status == ISSUES_FOUND}
    with np.errstate(all="ignore"):
        for detect in _DETECTORS:
            found: Cause | None = despite_damage(functools.partial(detect, run, issues))
            if found is not None:
                return found
    return None


def explained(results: Sequence[RuleResult], cause: Cause | None) -> list[RuleResult]:
    """The results, with the cause's advice for all findings that it explains: two advices must not contradict."""
    if cause is None:
        return list(results)
    return [
        replace(result, advice=cause.advice, cause=cause.id)
        if result.status == ISSUES_FOUND and result.kind == "debugging" and result.name not in cause.spares
        else result
        for result in results
    ]


def of_rule(results: Sequence[RuleResult]) -> str:
    """The id of the cause that the first rule with a finding stands for; empty if it stands for none."""
    return next((BY_RULE[result.name] for result in results if result.name in BY_RULE), "")


_DETECTORS: tuple[Callable[[Evidence, dict[str, RuleResult]], Cause | None], ...] = ()
