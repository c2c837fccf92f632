"""Results of the managed Debugger's rules: read from a job's description, and waited for while they evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

IN_PROGRESS = "InProgress"
ISSUES_FOUND = "IssuesFound"


@dataclass(frozen=True, slots=True)
class ManagedRule:
    """The result of one managed rule.

    Attributes:
        name: Name of the rule's configuration.
        kind: debugging or profiling.
        status: InProgress, NoIssuesFound, IssuesFound, Error, Stopping or Stopped (there was nothing to evaluate).
        details: What it found, or why it was not evaluated.
    """

    name: str
    kind: str
    status: str
    details: str = ""

    def to_dict(self) -> dict[str, str]:
        """The result as plain values for JSON."""
        return asdict(self)


def managed_rules(described: DescribeTrainingJobResponseTypeDef) -> list[ManagedRule]:
    """The managed rules of a job.

    Args:
        described: DescribeTrainingJob's response.
    """
    statuses = (
        ("debugging", described.get("DebugRuleEvaluationStatuses")),
        ("profiling", described.get("ProfilerRuleEvaluationStatuses")),
    )
    return [
        ManagedRule(
            name=str(entry.get("RuleConfigurationName", "")),
            kind=kind,
            status=str(entry.get("RuleEvaluationStatus", "")),
            details=str(entry.get("StatusDetails") or ""),
        )
        for kind, entries in statuses
        for entry in entries or ()
    ]


def unfinished(described: DescribeTrainingJobResponseTypeDef) -> list[str]:
    """Names of the managed rules that are still being evaluated."""
    return [rule.name for rule in managed_rules(described) if rule.status == IN_PROGRESS]


def wait_for_rules(
    describe: Callable[[], DescribeTrainingJobResponseTypeDef],
    *,
    timeout: float,
    pause: float,
    report: Callable[[DescribeTrainingJobResponseTypeDef, str], None],
) -> DescribeTrainingJobResponseTypeDef:
    """Waits until all managed rules of a job have finished, or until the timeout expires.

    Rules finish after the job; a late result does not fail the job.

    Args:
        describe: Returns DescribeTrainingJob's response.
        timeout: Longest time to wait, in seconds.
        pause: Seconds between two requests.
        report: Called with the description and a message whenever the set of unfinished rules changes.

    Returns:
        The last description.
    """
    deadline = time.monotonic() + timeout
    described = describe()
    before: list[str] = []
    while left := unfinished(described):
        if time.monotonic() >= deadline:
            report(described, f"Rules still evaluating: {', '.join(left)}. Call rule_summary() later for the results.")
            break
        if left != before:
            report(described, f"Waiting for rules: {', '.join(left)}")
            before = left
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        described = describe()
    return described
