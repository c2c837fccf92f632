"""Puts insights in order and sees to it that none contradicts another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from dogbreed_sdk.debugging.insights.insight import SEVERITIES, Insight

TOPICS = (
    "divergence",
    "nothing-learned",
    "learning-rate-too-large",
    "not-converged",
    "overfitting",
    "generalisation-gap",
    "too-many-epochs",
    "underfitting",
    "class-imbalance",
    "labels",
    "weak-classes",
    "validation-spikes",
    "training-fluctuations",
    "huge-losses",
    "few-pictures",
    "validation-size",
    "result",
    "confused-classes",
    "evaluation-last-batch",
)
"""Topics about curves, what decides most first; those about hardware follow."""

_FAILURES = {"divergence", "nothing-learned", "learning-rate-too-large"}
# A larger batch means fewer steps: what hardware would like a run that needs more steps cannot have.
_NEEDS_STEPS = {"not-converged", *_FAILURES}


def resolve(found: Iterable[Insight], settings: Mapping[str, object] = MappingProxyType({})) -> list[Insight]:
    """Most important first; where two would set the same hyperparameter differently, one of them does.

    Curves go before hardware, whatever the severity: a machine that is used well is worth nothing to a run that learns
    badly. Among curves, and among hardware, the more important one goes first.

    Args:
        found: The insights.
        settings: The run's hyperparameters; with them, a shorter run and slower learning contradict each other too.
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
    """The insight without advice that contradicts what goes before it, and with the reason."""
    for name, value in insight.hyperparameters.items():
        if name in wanted and wanted[name][0] != value:
            return _set_aside(insight, wanted[name][1], f"it sets {name}={wanted[name][0]}")
    needs_steps = [other for other in before if other.topic in _NEEDS_STEPS]
    if insight.topic not in TOPICS and "batch-size" in insight.hyperparameters and needs_steps:
        return _set_aside(insight, needs_steps[0], "larger batches would leave fewer steps to learn in")
    if _shortens(insight, settings) or _slows(insight, settings):
        for other in before:
            if _shortens(insight, settings) and _slows(other, settings):
                return _set_aside(insight, other, "it makes learning slower, which needs the epochs")
            if _slows(insight, settings) and _shortens(other, settings):
                return _set_aside(insight, other, "it shortens the run, and this would make learning slower")
    return insight


def _shortens(insight: Insight, settings: Mapping[str, object]) -> bool:
    """Whether it asks for fewer epochs than the run had."""
    return _direction(insight, settings, "epochs") < 0


def _slows(insight: Insight, settings: Mapping[str, object]) -> bool:
    """Whether what it sets makes each epoch bring less: smaller steps, fewer of them, or more dropout."""
    return (
        _direction(insight, settings, "lr") < 0
        or _direction(insight, settings, "dropout") > 0
        or _direction(insight, settings, "batch-size") > 0
    )


def _direction(insight: Insight, settings: Mapping[str, object], name: str) -> float:
    """By how much it raises a hyperparameter; 0 where it does not set it, or where its value is unknown."""
    new, old = insight.hyperparameters.get(name), settings.get(name)
    return float(new - old) if isinstance(new, (int, float)) and isinstance(old, (int, float)) else 0.0


def _set_aside(insight: Insight, other: Insight, why: str) -> Insight:
    return replace(
        insight,
        next_step=f"First follow the insight on {other.topic.replace('-', ' ')} says ({why}); then look again.",
        hyperparameters={},
    )
