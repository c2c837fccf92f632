"""Finds the cause of what is wrong with a run: the first in the order from root cause to symptom."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from training_scripts.recording.trial.trial import Trial, despite_damage
from training_scripts.rules.causes import (
    learning_rate,
    loss_function,
    network,
    nonfinite,
    optimizer,
    order,
    shapes,
    splits,
)
from training_scripts.rules.causes.cause import NOTHING_LEARNED, Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult

BY_RULE = {
    "ExplodingTensor": "learning-rate-too-high",
    "AllZero": "bad-initialization",
    "PoorWeightInitialization": "bad-initialization",
    "VanishingGradient": "vanishing-gradients",
    "DeadRelu": "dead-relus",
    "SaturatedActivation": "saturated-activations",
    "UnchangedTensor": "weights-not-updated",
    "ClassImbalance": "class-imbalance",
    "Overfit": "overfitting",
    "Overtraining": "overfitting",
    "Confusion": "confused-classes",
}
"""The cause that a rule's finding shows if no other explains it, from root cause to symptom."""


def find(trial: Trial, results: Sequence[RuleResult]) -> Cause | None:
    """The cause of what is wrong with a run; None if nothing is, or if its trace is not in the recording.

    Args:
        trial: The recording.
        results: The results of the debugging rules.
    """
    run = evidences.of(trial)
    issues = {result.name: result for result in results if result.status == ISSUES_FOUND}
    signs = Signs(run, issues)
    with np.errstate(all="ignore"):  # diverging runs overflow, as they should
        for detect in _DETECTORS:
            found: Cause | None = despite_damage(functools.partial(detect, signs))
            if found is not None:
                return _of_a_run_that_learned(found) if signs.better_than_guessing else found
    return None


def _of_a_run_that_learned(cause: Cause) -> Cause:
    """The cause under its own name: it disturbed the run, but something was learned."""
    return replace(cause, topic="") if cause.topic == NOTHING_LEARNED else cause


def explained(results: Sequence[RuleResult], cause: Cause | None) -> list[RuleResult]:
    """The results, with the cause's id; and with its advice where the rules cannot know the cause.

    The rules' own advice agrees with causes that rules report, and with a learning rate that is wrong. Any other cause
    would be contradicted by it.
    """
    if cause is None:
        return list(results)
    return [
        replace(result, cause=cause.id, advice=result.advice if _agrees(result.name, cause) else cause.advice)
        if result.status == ISSUES_FOUND and result.kind == "debugging" and result.name not in cause.spares
        else result
        for result in results
    ]


def _agrees(rule: str, cause: Cause) -> bool:
    """Whether a rule's own advice agrees with a cause."""
    of_rules = {*BY_RULE.values(), "learning-rate-too-high", "learning-rate-too-low"}
    if cause.id == "weights-not-updated":
        return False  # the rules advise a learning rate, which is of no use without updates
    return cause.id in of_rules or (rule == "ExplodingTensor" and bool(cause.alternatives))


def of_rule(results: Sequence[RuleResult]) -> str:
    """The id of the cause that the rules' findings stand for; empty if they stand for none."""
    found = {result.name for result in results}
    return next((cause for name, cause in BY_RULE.items() if name in found), "")


_DETECTORS: tuple[Callable[[Signs], Cause | None], ...] = (
    # Faults that make all other signs meaningless.
    shapes.find,
    loss_function.find,
    nonfinite.find,
    order.find,
    # Between the gradient and the weights.
    optimizer.find_no_update,
    optimizer.find_kept_gradients,
    optimizer.find_weight_decay,
    # The network, from its start on.
    network.find_unscaled_inputs,
    network.find_initialization,
    network.find_blocked,
    optimizer.find_clipping,
    network.find_dropout,
    learning_rate.find_too_high,
    learning_rate.find_schedule,
    learning_rate.find_too_low,
    # The data: training works, or nothing else explains that it does not.
    splits.find_training_mode,
    splits.find_other_classes,
    splits.find_mismatch,
    splits.find_unlearnable,
    learning_rate.find_rise,
    order.small_last_batch,
)
"""From root cause to symptom: the first that finds its trace is the cause."""
