"""A trial: one training job of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Trial:
    """One training job of a search.

    Attributes:
        name: Name of the training job.
        hyperparameters: The values that the search chose, by name.
        objective: Final value of the objective metric, or None if the job reported none.
        status: The training job's status.
        seconds: Wall time of the training, or None before it started.
        failure: SageMaker's FailureReason, or an empty string.
        started: When the training started, or None.
        ended: When the training ended, or None.
        definition: Name of its training job definition; empty where the search has only one.
        reason: Why it failed, was stopped or has no objective, in a sentence, where a report has found out; else empty.
    """

    name: str
    hyperparameters: Mapping[str, object]
    objective: float | None
    status: str
    seconds: float | None
    failure: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    definition: str = ""
    reason: str = ""
