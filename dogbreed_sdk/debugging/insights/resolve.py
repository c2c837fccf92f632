"""Sorts insights by importance, and removes advice that contradicts other advice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from dogbreed_sdk.debugging.insights.insight import SEVERITIES, Insight
from training_scripts.rules.causes.catalog import CATALOG

_CAUSES = tuple(CATALOG)
TOPICS = (
    "divergence",
    "nothing-learned",
    "learning-rate-too-large",
    *(cause for cause in _CAUSES if cause not in ("overfitting", "class-imbalance")),
    "not-converged",
    "overfitting",
    "generalization-gap",
    "too-many-epochs",
    "underfitting",
    "class-imbalance",
    "labels",
    "weak-classes",
    "validation-spikes",
    "training-fluctuations",
    "huge-losses",
    "few-pictures",
    "unused-outputs",
    "validation-size",
    "result",
    "batch-noise",
    "confused-classes",
    "evaluation-last-batch",
)
"""Topics about curves, the most important first. Topics about hardware follow after them."""

_FAILURES = {"divergence", "nothing-learned", "learning-rate-too-large", *_CAUSES}
# These runs need more steps, but a larger batch, which would use the hardware better, means fewer.
_NEEDS_STEPS = {"not-converged", *_FAILURES}


def resolve(found: Iterable[Insight], settings: Mapping[str, object] = MappingProxyType({})) -> list[Insight]:
    """Sorts insights, the most important first. If two set a hyperparameter differently, only one keeps its advice.

    Advice about curves wins over advice about hardware, whatever the severity: good use of the machine is worthless to
    a run that learns badly. Among insights about curves, and among those about hardware, the more important one wins.

    Args:
        found: The insights.
        settings: The run's hyperparameters. If they are given, advice for a shorter run also contradicts advice that
            makes learning slower.
    """
    settled: list[Insight] = []
    wanted: dict[str, tuple[object, Insight]] = {}
    for insight in sorted(found, key=lambda one: (one.topic not in TOPICS, _importance(one))):
        settled.append(resolved := _yielding(insight, wanted, settled, settings))
        for name, value in resolved.hyperparameters.items():
            wanted.setdefault(name, (value, resolved))
    return sorted(settled, key=_importance)


def _importance(insight: Insight) -> tuple[int, int]:
    topic = TOPICS.index(insight.topic) if insight.topic in TOPICS else len(TOPICS)
    return SEVERITIES.index(insight.severity), topic


def _yielding(
    insight: Insight,
    wanted: dict[str, tuple[object, Insight]],
    before: list[Insight],
    settings: Mapping[str, object],
) -> Insight:
    """The insight. If its advice contradicts an insight before it, the reason replaces the advice."""
    for name, value in insight.hyperparameters.items():
        if name in wanted and wanted[name][0] != value:
            return _set_aside(insight, wanted[name][1], f"it sets {name}={wanted[name][0]}")
    needs_steps = [other for other in before if other.topic in _NEEDS_STEPS]
    if insight.topic not in TOPICS and "batch-size" in insight.hyperparameters and needs_steps:
        return _set_aside(insight, needs_steps[0], "larger batches would leave fewer steps to learn in")
    if _shortens(insight, settings) or _slows(insight, settings):
        for other in before:
            if _shortens(insight, settings) and _slows(other, settings):
                return _set_aside(insight, other, "it makes learning slower, so the epochs are needed")
            if _slows(insight, settings) and _shortens(other, settings):
                return _set_aside(insight, other, "it shortens the run, and this would make learning slower")
    return insight


def _shortens(insight: Insight, settings: Mapping[str, object]) -> bool:
    """Whether its advice is to train for fewer epochs than the run did."""
    return _direction(insight, settings, "epochs") < 0


def _slows(insight: Insight, settings: Mapping[str, object]) -> bool:
    """Whether its advice makes each epoch less effective: smaller steps, fewer steps, or more dropout."""
    return (
        _direction(insight, settings, "lr") < 0
        or _direction(insight, settings, "dropout") > 0
        or _direction(insight, settings, "batch-size") > 0
    )


def _direction(insight: Insight, settings: Mapping[str, object], name: str) -> float:
    """How much it raises a hyperparameter; 0 if it does not set it, or if the current value is unknown."""
    new, old = insight.hyperparameters.get(name), settings.get(name)
    return float(new - old) if isinstance(new, (int, float)) and isinstance(old, (int, float)) else 0.0


def _set_aside(insight: Insight, other: Insight, why: str) -> Insight:
    return replace(
        insight,
        next_step=f"First follow the insight on {other.topic.replace('-', ' ')} ({why}); then check this again.",
        hyperparameters={},
    )
