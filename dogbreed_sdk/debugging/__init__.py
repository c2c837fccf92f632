"""Reads what a run recorded: what went wrong, when, why, and what to do about it.

The names in ``__all__`` are what users write their own rules with; each is loaded on first use (PEP 562).

    from dogbreed_sdk.debugging import Finding, register_rule

    @register_rule(name="HighLoss", parameters={"limit": 2.0}, advice="Lower lr.")
    def high_loss(trial, parameters):
        series = trial.tensor("CrossEntropyLoss_output_0").series("TRAIN")
        high = series.steps[series.values > parameters["limit"]]
        return [Finding("The loss is high.", steps=tuple(high.tolist()))] if len(high) else []

Evaluated with the built-in rules by ``DebugReport``, or alone by ``DebugReport.load(job, rules=["HighLoss"])``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training_scripts.recording.profile.profile import Profile
    from training_scripts.recording.trial.trial import MemoryTrial, Series, Trial
    from training_scripts.rules.bounds import Bounds
    from training_scripts.rules.declaration import Answer, Parameters, Rule
    from training_scripts.rules.evaluation import evaluate as evaluate_rules
    from training_scripts.rules.findings import Finding, NotEvaluated, RuleError, RuleResult
    from training_scripts.rules.registry import describe as describe_rules
    from training_scripts.rules.registry import names as rule_names
    from training_scripts.rules.registry import register as register_rule
    from training_scripts.rules.registry import unregister as unregister_rule
    from training_scripts.rules.smdebug_rules import as_rule as smdebug_rule

_HOMES = {
    "Answer": ("training_scripts.rules.declaration", "Answer"),
    "Bounds": ("training_scripts.rules.bounds", "Bounds"),
    "Finding": ("training_scripts.rules.findings", "Finding"),
    "MemoryTrial": ("training_scripts.recording.trial.trial", "MemoryTrial"),
    "NotEvaluated": ("training_scripts.rules.findings", "NotEvaluated"),
    "Parameters": ("training_scripts.rules.declaration", "Parameters"),
    "Profile": ("training_scripts.recording.profile.profile", "Profile"),
    "Rule": ("training_scripts.rules.declaration", "Rule"),
    "RuleError": ("training_scripts.rules.findings", "RuleError"),
    "RuleResult": ("training_scripts.rules.findings", "RuleResult"),
    "Series": ("training_scripts.recording.trial.trial", "Series"),
    "Trial": ("training_scripts.recording.trial.trial", "Trial"),
    "describe_rules": ("training_scripts.rules.registry", "describe"),
    "evaluate_rules": ("training_scripts.rules.evaluation", "evaluate"),
    "register_rule": ("training_scripts.rules.registry", "register"),
    "rule_names": ("training_scripts.rules.registry", "names"),
    "smdebug_rule": ("training_scripts.rules.smdebug_rules", "as_rule"),
    "unregister_rule": ("training_scripts.rules.registry", "unregister"),
}

__all__ = [
    "Answer",
    "Bounds",
    "Finding",
    "MemoryTrial",
    "NotEvaluated",
    "Parameters",
    "Profile",
    "Rule",
    "RuleError",
    "RuleResult",
    "Series",
    "Trial",
    "describe_rules",
    "evaluate_rules",
    "register_rule",
    "rule_names",
    "smdebug_rule",
    "unregister_rule",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, attribute = _HOMES[name]
    return getattr(importlib.import_module(home), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
