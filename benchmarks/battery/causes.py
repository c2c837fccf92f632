"""Which cause the report names for a run, and whether it is the right one."""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.verdict import verdict
from training_scripts.recording.trial.trial import MemoryTrial


def named_causes(trial: MemoryTrial) -> tuple[str, ...]:
    """Ids of the causes that the report names, the likeliest first; empty if it names none."""
    judged = verdict(DebugReport("battery", trial=trial))
    return (judged.cause, *judged.alternatives) if judged.cause else ()


def is_right(named: Sequence[str], causes: Sequence[str]) -> bool:
    """Whether a true cause is named, alone or among the few that leave the same trace."""
    return bool(set(named) & set(causes))
