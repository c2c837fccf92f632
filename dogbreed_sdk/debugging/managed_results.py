"""What the managed Debugger's own rules say of a job: read from its description, and waited for while they judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

IN_PROGRESS = "InProgress"
ISSUES_FOUND = "IssuesFound"
_KINDS = {"debugging": "DebugRuleEvaluationStatuses", "profiling": "ProfilerRuleEvaluationStatuses"}


@dataclass(frozen=True, slots=True)
class ManagedRule:
    """One managed rule's answer.

    Attributes:
        name: Of the rule's configuration.
        kind: debugging or profiling.
        status: InProgress, NoIssuesFound, IssuesFound, Error, Stopping or Stopped (it had nothing to look at).
        details: What it found, or why it did not judge.
    """

    name: str
    kind: str
    status: str
    details: str = ""

    def to_dict(self) -> dict[str, str]:
        """It as plain values for JSON."""
        return asdict(self)


def managed_rules(described: Mapping[str, Any]) -> list[ManagedRule]:
    """The managed rules of a job.

    Args:
        described: DescribeTrainingJob's answer.
    """
    return [
        ManagedRule(
            name=str(entry.get("RuleConfigurationName", "")),
            kind=kind,
            status=str(entry.get("RuleEvaluationStatus", "")),
            details=str(entry.get("StatusDetails") or ""),
        )
        for kind, key in _KINDS.items()
        for entry in described.get(key) or ()
    ]


def judging(described: Mapping[str, Any]) -> list[str]:
    """Names of the managed rules that have not answered yet."""
    return [rule.name for rule in managed_rules(described) if rule.status == IN_PROGRESS]


def when_judged(
    describe: Callable[[], dict[str, Any]],
    *,
    timeout: float,
    pause: float,
    say: Callable[[Mapping[str, Any], str], None],
) -> dict[str, Any]:
    """A job's description once its managed rules have answered, or when the timeout has expired.

    Rules finish after the job; a late answer does not fail the job.

    Args:
        describe: Gives DescribeTrainingJob's answer.
        timeout: Seconds to wait at most.
        pause: Seconds between two looks.
        say: Called with the description and a line, whenever the rules that are waited for change.
    """
    deadline = time.monotonic() + timeout
    described = describe()
    before: list[str] = []
    while left := judging(described):
        if time.monotonic() >= deadline:
            say(described, f"Rules are still judging: {', '.join(left)}. rule_summary() has their answers later.")
            break
        if left != before:
            say(described, f"Waiting for rules to judge: {', '.join(left)}")
            before = left
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        described = describe()
    return described
