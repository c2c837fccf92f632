"""The states of a job's managed rules: from the request for them to what DescribeTrainingJob reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dogbreed_sdk.local.states import RuleOutcome, RuleStatus

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CreateTrainingJobRequestTypeDef,
        DebugRuleConfigurationUnionTypeDef,
        ProfilerRuleConfigurationUnionTypeDef,
    )

    RuleConfiguration = DebugRuleConfigurationUnionTypeDef | ProfilerRuleConfigurationUnionTypeDef

DEBUGGING, PROFILING = "debugging", "profiling"
# How DescribeTrainingJob's members about rules of that kind begin.
KINDS = {DEBUGGING: "DebugRule", PROFILING: "ProfilerRule"}
_LONGEST_DETAILS = 1024  # API reference, DebugRuleEvaluationStatus
_LONGEST_RULE_JOB = 63


def configurations(request: CreateTrainingJobRequestTypeDef, kind: str) -> Sequence[RuleConfiguration]:
    """A request's rule configurations of a kind: debugging or profiling."""
    if kind == DEBUGGING:
        return request.get("DebugRuleConfigurations") or []
    return request.get("ProfilerRuleConfigurations") or []


def initial_statuses(request: CreateTrainingJobRequestTypeDef, arn: str, now: float) -> list[RuleStatus]:
    """The states of all rules of a job that was just accepted."""
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


def with_outcome(statuses: Sequence[RuleStatus], outcome: Mapping[str, RuleOutcome], now: float) -> list[RuleStatus]:
    """The rules' states after their evaluation; without an outcome, the status of one that wasn't stopped is Error."""
    missing: RuleOutcome = {"status": "Error", "details": "the job's supervisor ended before this rule was evaluated"}
    return [
        {**entry, **outcome.get(entry["name"], missing), "time": now} if entry["status"] == "InProgress" else entry
        for entry in statuses
    ]


def described(statuses: Sequence[RuleStatus], *, abandoned: Callable[[], bool]) -> dict[str, object]:
    """DescribeTrainingJob's members about rules.

    Args:
        statuses: The rules' states.
        abandoned: Whether their evaluator has gone; called only where some have no outcome yet.
    """
    if any(entry["status"] == "InProgress" for entry in statuses) and abandoned():
        statuses = with_outcome(statuses, {}, statuses[0]["time"])
    return {
        f"{prefix}EvaluationStatuses": [_status(entry) for entry in statuses if entry["kind"] == kind] or None
        for kind, prefix in KINDS.items()
    }


def _status(entry: RuleStatus) -> dict[str, object]:
    return {
        "RuleConfigurationName": entry["name"],
        "RuleEvaluationJobArn": entry["arn"],
        "RuleEvaluationStatus": entry["status"],
        "StatusDetails": entry["details"][:_LONGEST_DETAILS] or None,
        "LastModifiedTime": entry["time"],
    }


def _rule_arn(training_job_arn: str, rule: str) -> str:
    before, _, job = training_job_arn.partition(":training-job/")
    name = re.sub(r"[^a-zA-Z0-9]+", "-", f"{job[:40]}-{rule}")[:_LONGEST_RULE_JOB].strip("-")
    return f"{before}:processing-job/{name}"
