"""The type of a cause: the one fault that explains what the rules found, or the few that could."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

INDEPENDENT = frozenset({"CheckInputImages", "SimilarAcrossRuns", "StalledTraining", "TensorVariance"})
"""Rules whose findings no fault of the training loop explains."""

NOTHING_LEARNED = "nothing-learned"
"""Topic of the insight that reports a cause by which a run stays at guessing."""


@dataclass(frozen=True)
class Cause:
    """The cause of what is wrong with a run.

    Attributes:
        id: A stable name for programs, one of `catalog.CATALOG`.
        title: The statement, in a sentence.
        explanation: How this fault leads to what was seen.
        advice: What to do about it. If other causes are possible, it says what tells them apart.
        evidence: The trace in the recording, as sentences with numbers.
        alternatives: Ids of other causes that leave the same trace; empty if only this one does.
        confidence: high, medium or low.
        severity: problem, or hint if the run is only disturbed.
        topic: The topic of the insight that reports it; empty for the id.
        hyperparameters: Values to set in the next run, by `train_model`'s names.
        steps: TRAIN steps at which it can be seen, ascending.
        spares: Rules whose findings have another cause, so they keep their own advice.
    """

    id: str
    title: str
    explanation: str
    advice: str
    evidence: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    confidence: Literal["high", "medium", "low"] = "high"
    severity: Literal["problem", "hint"] = "problem"
    topic: str = ""
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    spares: frozenset[str] = INDEPENDENT

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: id, alternatives, confidence, title, evidence, advice."""
        return {
            "id": self.id,
            "alternatives": list(self.alternatives),
            "confidence": self.confidence,
            "title": self.title,
            "evidence": list(self.evidence),
            "advice": self.advice,
        }
