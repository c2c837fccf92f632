"""Rules are written from `dogbreed_sdk.debugging`: every name loads, and type checkers see the same ones."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import DebugReport, debugging
from dogbreed_sdk.debugging import (
    Bounds,
    Finding,
    MemoryTrial,
    NotEvaluated,
    RuleError,
    Trial,
    register_rule,
    rule_names,
    unregister_rule,
)


def test_every_public_name_loads_and_says_what_it_is() -> None:
    for name in debugging.__all__:
        assert getattr(debugging, name).__doc__, name
    assert set(debugging._HOMES) == set(debugging.__all__) == set(dir(debugging))
    assert not hasattr(debugging, "Findings")


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(debugging.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == debugging._HOMES


def test_importing_the_package_imports_no_numpy() -> None:
    code = "import sys; import dogbreed_sdk.debugging; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_rule_written_with_these_names_alone_is_in_the_report() -> None:
    @register_rule(name="HighLoss", parameters={"limit": 2.0}, advice="Lower lr.", bounds={"limit": Bounds(highest=9)})
    def high_loss(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
        """A loss above a limit."""
        if not trial.has("CrossEntropyLoss_output_0"):
            raise NotEvaluated("No loss was recorded.")
        series = trial.tensor("CrossEntropyLoss_output_0").series("TRAIN")
        high = series.steps[series.values > parameters["limit"]]
        return [Finding("The loss is high.", steps=tuple(high.tolist()))] if len(high) else []

    trial = MemoryTrial(name="made up")
    for step, loss in enumerate([0.5, 3.0, 0.4]):
        trial.add("CrossEntropyLoss_output_0", step, "TRAIN", loss, collection="losses")
    try:
        [result] = DebugReport("made up", trial=trial, rules=["HighLoss"]).rules
        [empty] = DebugReport("empty", trial=MemoryTrial(name="empty"), rules=["HighLoss"]).rules
        assert "HighLoss" in debugging.describe_rules()
        with pytest.raises(RuleError, match="from 0 to 9, not 10"):
            debugging.evaluate_rules(trial=trial, overrides={"HighLoss": {"limit": 10}})
    finally:
        unregister_rule("HighLoss")
    assert (result.status, result.steps, result.advice) == ("IssuesFound", (1,), "Lower lr.")
    assert (empty.status, empty.message) == ("NotEvaluated", "No loss was recorded.")
    assert "HighLoss" not in rule_names()
