"""Results of managed rules are part of every form of a report."""

from __future__ import annotations

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.sources.layout import Parts, Recording
from tests.debugging.insights_made_up import made_up_run
from tests.jobs.test_managed_results import described


def test_a_report_has_their_answers_and_is_not_all_well_against_them() -> None:
    recording = Recording("a job", Parts(), job=described(Overfit="IssuesFound", AllZero="Stopped"))
    report = DebugReport("a job", trial=made_up_run(), recording=recording)
    summary = report.to_text()
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
    lines = report.to_text(width=80).split("\n")
    first = lines.index("SageMaker Debugger's rules") + 1
    assert lines[first : first + 4] == [
        "  NoIssuesFound PoorWeightInitialization",
        "      about PoorWeightInitialization",
        "  NoIssuesFound ProfilerReport",
        "",
    ]
    assert lines[first + 4]
