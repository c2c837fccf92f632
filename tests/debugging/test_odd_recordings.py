"""Whatever a folder holds, there is a report on it: as JSON, in a terminal, as a page and in a notebook."""

from __future__ import annotations

import json
import logging
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.html.document import document
from dogbreed_sdk.debugging.verdict import verdict
from tests.debugging import odd
from training_scripts.recording.profile.profile import TRAIN_STEP, Profile, Spans, Timeline
from training_scripts.recording.trial.trial import MemoryTrial

SOURCE = "s\x1b</script>\ud800"


def shown(report: DebugReport) -> list[str]:
    """A report in all its forms; each can be written to a file, and none commands the terminal."""
    forms = [
        json.dumps(report.to_dict(), allow_nan=False, ensure_ascii=False),
        report.to_text(),
        report.headline(),
        document(report).decode(),
        report._repr_html_(),
    ]
    for form in forms:
        form.encode()
    assert "\x1b" not in "".join(forms[1:3])
    return forms


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])
@given(some.one_of(some.none(), odd.trials()), some.one_of(some.none(), odd.profiles()))
def test_every_recording_has_a_report(trial: MemoryTrial | None, profile: Profile | None) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # sums of 1e308 overflow
            shown(DebugReport(SOURCE, trial=trial, profile=profile))
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "timeline",
    [
        Timeline(5.0, 5.0, 5.0, 5.0),
        Timeline(9.0, 5.0, 7.0, 1.0),
        Timeline(math.nan, 5.0, 7.0, math.nan),
        Timeline(5.0, None, None, math.inf),
    ],
)
def test_a_time_that_stands_still_runs_backwards_or_is_none(timeline: Timeline) -> None:
    shown(DebugReport("job", profile=Profile(timeline=timeline)))


def test_phases_without_a_single_pass() -> None:
    none = Spans(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
    report = DebugReport("job", profile=Profile(phases={TRAIN_STEP: none}))
    shown(report)
    assert not [result for result in report.rules if result.status == "Error"]


class TestWhatTheJobsRulesSaid:
    @pytest.mark.parametrize(
        "number", ["9" * 400, "-" + "9" * 400, "1e999", "NaN", "9223372036854775808", "true", "[[1]]"]
    )
    def test_numbers_that_are_none(self, tmp_path: Path, number: str) -> None:
        finding = f'{{"message": "m", "mode": "EVAL", "steps": [{number}, 3], "numbers": {{"n": {number}}}}}'
        rule = f'{{"name": "Odd", "status": "IssuesFound", "findings": [{finding}], "parameters": {{"p": {number}}}, '
        rule += f'"details": {{"p25": {number}, "p50": 1, "p75": 2, "p95": {number}, "workloads": [1, {number}]}}}}'
        _written(tmp_path, f'{{"rules": [{rule}], "stopped": {{"epoch": {number}}}}}')
        report = DebugReport.load(tmp_path)
        shown(report)
        [odd_one] = [result for result in report.rules if result.name == "Odd"]
        assert odd_one.steps == (3,)

    def test_nested_deeper_than_python_bears(self, tmp_path: Path) -> None:
        details = '{"a": ' * 300 + "1" + "}" * 300
        _written(tmp_path, f'{{"rules": [{{"name": "Odd", "status": "Error", "details": {details}}}]}}')
        assert "…" in shown(DebugReport.load(tmp_path))[0]


def _written(root: Path, rules: str) -> None:
    (root / "rule-output").mkdir()
    (root / "rule-output" / "rules.json").write_text(rules)


def test_half_characters_reach_no_form_of_the_report() -> None:
    trial = MemoryTrial()
    trial.problems.append("a file \ud800 from disk")
    report = DebugReport("job \udcff", trial=trial)
    assert verdict(report).level == "unknown"
    shown(report)
