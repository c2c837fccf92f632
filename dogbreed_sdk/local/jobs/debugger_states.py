"""The state of a job's managed rules: from the request that asks for them to what DescribeTrainingJob says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

KINDS = {"debugging": "DebugRule", "profiling": "ProfilerRule"}
_LONGEST_DETAILS = 1024  # API reference, DebugRuleEvaluationStatus
_LONGEST_RULE_JOB = 63


def configurations(request: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """A request's rule configurations of a kind: debugging or profiling."""
    return request.get(f"{KINDS[kind]}Configurations") or []


def initial_statuses(request: Mapping[str, Any], arn: str, now: float) -> list[dict[str, Any]]:
    """The state of every rule of a job that was just accepted."""
    return [
        {
            "name": entry["RuleConfigurationName"],
            "kind": kind,
            "arn": _rule_arn(arn, entry["RuleConfigurationName"]),
            "status": "InProgress",
            "details": "",
            "time": now,
        }
        for kind in KINDS
        for entry in configurations(request, kind)
    ]


def with_outcome(statuses: list[dict[str, Any]], outcome: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """The rules' states once they were evaluated; a rule without an answer is an error."""
    missing = {"status": "Error", "details": "the job's supervisor ended before this rule was evaluated"}
    return [{**entry, **outcome.get(entry["name"], missing), "time": now} for entry in statuses]


def described(statuses: list[dict[str, Any]], *, abandoned: Callable[[], bool]) -> dict[str, Any]:
    """DescribeTrainingJob's members about rules.

    Args:
        statuses: The rules' states.
        abandoned: Whether nobody evaluates them any more; asked only where some have no answer yet.
    """
    if any(entry["status"] == "InProgress" for entry in statuses) and abandoned():
        statuses = with_outcome(statuses, {}, statuses[0]["time"])
    return {
        f"{prefix}EvaluationStatuses": [_status(entry) for entry in statuses if entry["kind"] == kind] or None
        for kind, prefix in KINDS.items()
    }


def _status(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "RuleConfigurationName": entry["name"],
        "RuleEvaluationJobArn": entry["arn"],
        "RuleEvaluationStatus": entry["status"],
        "StatusDetails": str(entry["details"])[:_LONGEST_DETAILS] or None,
        "LastModifiedTime": entry["time"],
    }


def _rule_arn(training_job_arn: str, rule: str) -> str:
    before, _, job = training_job_arn.partition(":training-job/")
    name = re.sub(r"[^a-zA-Z0-9]+", "-", f"{job[:40]}-{rule}")[:_LONGEST_RULE_JOB].strip("-")
    return f"{before}:processing-job/{name}"
