"""Rules written for smdebug run beside ours, on recordings of smdebug and of ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from training_scripts.rules import RuleError
from training_scripts.rules.smdebug_rules import as_rule

RUNNING = Path(__file__).with_name("smdebug_rule_running.py")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def results(smdebug_python: Path, fixtures_folder: Path) -> dict[str, dict[str, Any]]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["TRAINING_END_DELAY_REFRESH"] = "0"
    trial = fixtures_folder / "smdebug-trials" / "healthy"
    done = subprocess.run(
        [smdebug_python, RUNNING, REPOSITORY, trial],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return {result["name"]: result for result in json.loads(done.stdout.splitlines()[-1])}


def test_a_rule_of_smdebug_fires_where_smdebug_would_let_it_fire(results: dict[str, dict[str, Any]]) -> None:
    # The recording's losses are 1.88, 1.53, 1.26, 1.14, 0.96, ...: three are above 1.2.
    found = results["HighLoss"]
    assert found["status"] == "IssuesFound"
    assert found["steps"] == [0, 1, 2]
    assert found["advice"] == "Lower lr."
    assert found["parameters"] == {"limit": 1.2}


def test_a_rule_whose_tensors_were_not_recorded_is_not_evaluated(results: dict[str, dict[str, Any]]) -> None:
    assert results["Absent"]["status"] == "NotEvaluated"


def test_a_rule_that_fails_is_an_error_of_its_own(results: dict[str, dict[str, Any]]) -> None:
    assert results["Broken"]["status"] == "Error"
    assert "of the user's making" in results["Broken"]["message"]


def test_what_cannot_be_a_rule_of_smdebug_is_refused_with_what_to_do() -> None:
    with pytest.raises(RuleError, match=r"Install dogbreed-sdk\[smdebug\]|not a subclass"):
        as_rule(object)
