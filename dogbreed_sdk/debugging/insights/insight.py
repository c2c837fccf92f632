"""The type of an insight: a statement about a run, its evidence, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["problem", "hint", "info"]
Confidence = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("problem", "hint", "info")


@dataclass(frozen=True)
class Insight:
    """One thing that a recording shows.

    Attributes:
        topic: A name for programs: overfitting, validation-spikes, gpu-use, ...
        title: The statement, in a sentence.
        explanation: What it means and what causes it.
        evidence: The measurements, as sentences with numbers.
        confidence: high, medium or low; the explanation or the evidence gives the statistics.
        next_step: Which hyperparameter to set to which value, or what else to do; empty if there is nothing to do.
        severity: problem (it harms the model or wastes money), hint (worth a try) or info.
        hyperparameters: Values to set in the next run, by `train_model`'s names, or by the run's own where its author
            gave them.
        steps: TRAIN steps at which it can be seen, ascending.
        cause: The id of the cause that it reports, as in the documentation's table of causes; empty if it reports none.
        alternatives: Ids of other causes that leave the same trace.
    """

    topic: str
    title: str
    explanation: str
    evidence: tuple[str, ...] = ()
    confidence: Confidence = "high"
    next_step: str = ""
    severity: Severity = "info"
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    cause: str = ""
    alternatives: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the names of the attributes as keys."""
        return {
            "topic": self.topic,
            "title": self.title,
            "explanation": self.explanation,
            "evidence": list(self.evidence),
            "confidence": self.confidence,
            "next_step": self.next_step,
            "severity": self.severity,
            "hyperparameters": dict(self.hyperparameters),
            "steps": list(self.steps),
            "cause": self.cause,
            "alternatives": list(self.alternatives),
        }
