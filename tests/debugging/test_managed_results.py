"""The answers of managed rules: waited for while they judge, and part of every form of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.managed_results import ManagedRule, managed_rules, when_judged
from dogbreed_sdk.debugging.sources.layout import Parts, Recording
from tests.debugging.insights_made_up import made_up_run


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
    found = when_judged(lambda: next(looks), timeout=timeout, pause=0.001, say=lambda _, line: said.append(line))
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
    assert said == ["Waiting for rules to judge: Overfit, AllZero", "Waiting for rules to judge: Overfit"]


def test_rules_that_take_too_long_are_named_and_left() -> None:
    found, said = judged(iter([described(Overfit="InProgress")]), 0.0)
    assert managed_rules(found)[0].status == "InProgress"
    assert said == ["Rules are still judging: Overfit. rule_summary() has their answers later."]


def test_a_report_has_their_answers_and_is_not_all_well_against_them() -> None:
    recording = Recording("a job", Parts(), job=described(Overfit="IssuesFound", AllZero="Stopped"))
    report = DebugReport("a job", trial=made_up_run(), recording=recording)
    summary = report.summary()
    assert "SageMaker Debugger's own rules found issues: Overfit." in summary
    assert "  IssuesFound   Overfit         about Overfit" in summary
    assert "  Stopped       AllZero         about AllZero" in summary
    assert report.to_dict()["managed_rules"][0] == {
        "name": "Overfit",
        "kind": "debugging",
        "status": "IssuesFound",
        "details": "about Overfit",
    }
    assert report.to_dict()["verdict"]["level"] == "hint"


def test_a_rule_without_details_leaves_no_empty_line_in_a_narrow_terminal() -> None:
    recording = Recording("a job", Parts(), job=described(PoorWeightInitialization="NoIssuesFound"))
    report = DebugReport("a job", trial=made_up_run(), recording=recording)
    lines = report.summary(width=80).split("\n")
    first = lines.index("SageMaker Debugger's rules") + 1
    assert lines[first : first + 4] == [
        "  NoIssuesFound PoorWeightInitialization",
        "      about PoorWeightInitialization",
        "  NoIssuesFound ProfilerReport",
        "",
    ]
    assert lines[first + 4]
