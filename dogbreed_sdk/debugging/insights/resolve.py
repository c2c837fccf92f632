"""Puts insights in order and sees to it that none contradicts another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dogbreed_sdk.debugging.insights.insight import SEVERITIES, Insight

TOPICS = (
    "divergence",
    "nothing-learned",
    "learning-rate-too-large",
    "not-converged",
    "overfitting",
    "underfitting",
    "class-imbalance",
    "labels",
    "weak-classes",
    "generalisation-gap",
    "validation-spikes",
    "training-fluctuations",
    "huge-losses",
    "few-pictures",
    "validation-size",
    "result",
    "too-many-epochs",
    "confused-classes",
    "evaluation-last-batch",
)
"""Topics about curves, what decides most first; those about hardware follow."""

_FAILURES = {"divergence", "nothing-learned", "learning-rate-too-large"}
# A larger batch means fewer steps: what hardware would like a run that needs more steps cannot have.
_NEEDS_STEPS = {"not-converged", *_FAILURES}


def resolve(found: Iterable[Insight]) -> list[Insight]:
    """Most important first; where two would set the same hyperparameter differently, the first one does."""
    ordered = sorted(found, key=_importance)
    settled: list[Insight] = []
    wanted: dict[str, tuple[object, Insight]] = {}
    for insight in ordered:
        settled.append(resolved := _yielding(insight, wanted, settled))
        for name, value in resolved.hyperparameters.items():
            wanted.setdefault(name, (value, resolved))
    return settled


def _importance(insight: Insight) -> tuple[int, int]:
    topic = TOPICS.index(insight.topic) if insight.topic in TOPICS else len(TOPICS)
    return SEVERITIES.index(insight.severity), topic


def _yielding(insight: Insight, wanted: dict[str, tuple[object, Insight]], before: list[Insight]) -> Insight:
    """The insight without advice that contradicts what is more important, and with the reason."""
    for name, value in insight.hyperparameters.items():
        if name in wanted and wanted[name][0] != value:
            other = wanted[name][1]
            return _set_aside(insight, other, f"it sets {name}={wanted[name][0]}")
    needs_steps = [other for other in before if other.topic in _NEEDS_STEPS and other is not insight]
    if insight.topic not in TOPICS and "batch-size" in insight.hyperparameters and needs_steps:
        return _set_aside(insight, needs_steps[0], "larger batches would leave fewer steps to learn in")
    failed = [other for other in before if other.topic in _FAILURES]
    if failed and insight.topic in TOPICS and insight.hyperparameters:
        return _set_aside(insight, failed[0], "what a failed run says about other settings counts for little")
    return insight


def _set_aside(insight: Insight, other: Insight, why: str) -> Insight:
    return replace(
        insight,
        next_step=f"First do what the insight on {other.topic.replace('-', ' ')} says ({why}); then look again.",
        hyperparameters={},
    )
