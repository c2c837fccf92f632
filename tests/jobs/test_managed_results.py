"""Results of managed rules: read from a description, and waited for while they are evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from dogbreed_sdk.jobs.managed_results import ManagedRule, managed_rules, wait_for_rules


def described(**statuses: str) -> dict[str, Any]:
    """A job's description with the debugging rules' statuses, and one profiling rule's."""
    return {
        "TrainingJobStatus": "Completed",
        "DebugRuleEvaluationStatuses": [
            {"RuleConfigurationName": name, "RuleEvaluationStatus": status, "StatusDetails": f"about {name}"}
            for name, status in statuses.items()
        ],
        "ProfilerRuleEvaluationStatuses": [
            {"RuleConfigurationName": "ProfilerReport", "RuleEvaluationStatus": "NoIssuesFound"}
        ],
    }


def test_rules_are_read_of_both_kinds() -> None:
    assert managed_rules(described(Overfit="IssuesFound")) == [
        ManagedRule("Overfit", "debugging", "IssuesFound", "about Overfit"),
        ManagedRule("ProfilerReport", "profiling", "NoIssuesFound"),
    ]
    assert managed_rules({"DebugRuleEvaluationStatuses": None}) == []


def judged(looks: Iterator[dict[str, Any]], timeout: float) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    found = wait_for_rules(
        lambda: cast("Any", next(looks)), timeout=timeout, pause=0.001, report=lambda _, line: said.append(line)
    )
    return found, said


def test_they_are_waited_for_and_each_change_is_said_once() -> None:
    looks = [
        described(Overfit="InProgress", AllZero="InProgress"),
        described(Overfit="InProgress", AllZero="InProgress"),
        described(Overfit="InProgress", AllZero="NoIssuesFound"),
        described(Overfit="IssuesFound", AllZero="NoIssuesFound"),
    ]
    found, said = judged(iter(looks), 60.0)
    assert found == looks[-1]
    assert said == ["Waiting for rules: Overfit, AllZero", "Waiting for rules: Overfit"]


def test_rules_that_take_too_long_are_named_and_left() -> None:
    found, said = judged(iter([described(Overfit="InProgress")]), 0.0)
    assert managed_rules(found)[0].status == "InProgress"
    assert said == ["Rules still evaluating: Overfit. Call rule_summary() later for the results."]
