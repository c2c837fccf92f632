"""Insights: each a statement about a run, its evidence, and what to do about it."""

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
        topic: What it is about, for programs: overfitting, validation-spikes, gpu-use, ...
        title: The statement, in a sentence.
        explanation: What it means and where it comes from.
        evidence: What was measured, each with its numbers.
        confidence: high, medium or low; the explanation or the evidence has the statistics behind it.
        next_step: The hyperparameter to change and to what, or what else to do; empty where nothing is to be done.
        severity: problem (the model or the bill suffers), hint (worth a try) or info.
        hyperparameters: What to set in the next run, by the names of `train_model`.
        steps: TRAIN steps at which it shows, ascending.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, under the attributes' names."""
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
        }
