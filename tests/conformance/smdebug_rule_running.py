"""Runs a user's rule of smdebug on a recording and prints the result as JSON; runs in smdebug's environment.

Usage: smdebug_rule_running.py REPOSITORY TRIAL
"""

from __future__ import annotations

import json
import sys
from typing import Any

sys.path.insert(0, sys.argv[1])

from smdebug.rules.rule import Rule

from training_scripts import rules
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.rules.smdebug_rules import as_rule


class HighLoss(Rule):
    """The loss is above a limit."""

    def __init__(self, base_trial: Any, other_trials: Any = None, limit: float = 1.0) -> None:
        super().__init__(base_trial, action_str="", other_trials=other_trials)
        self.limit = limit

    def invoke_at_step(self, step: int) -> bool:
        return bool(self.base_trial.tensor("CrossEntropyLoss_output_0").value(step) > self.limit)


class Absent(HighLoss):
    def invoke_at_step(self, step: int) -> bool:
        return bool(self.base_trial.tensor("absent").value(step) > self.limit)


class Broken(HighLoss):
    def invoke_at_step(self, step: int) -> bool:
        raise ZeroDivisionError("of the user's making")


for kind in (HighLoss, Absent, Broken):
    rules.register(as_rule(kind, limit=1.0, advice="Lower lr."))
results = rules.evaluate(
    trial=FileTrial(sys.argv[2]), only=["HighLoss", "Absent", "Broken"], overrides={"HighLoss": {"limit": "1.2"}}
)
print(json.dumps([result.to_dict() for result in results]))
