"""Rules that say what went wrong in a recorded run, and when: pure functions of arrays."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training_scripts.rules.evaluation import evaluate
    from training_scripts.rules.findings import (
        ERROR,
        ISSUES_FOUND,
        NO_ISSUES_FOUND,
        NOT_EVALUATED,
        PARAMETER_SETS,
        Finding,
        NotEvaluated,
        RuleError,
        RuleResult,
    )
    from training_scripts.rules.registry import describe, names, register, rule, unregister
    from training_scripts.rules.rule import Rule

_HOMES = {
    "evaluation": ("evaluate",),
    "findings": (
        "ERROR",
        "ISSUES_FOUND",
        "NO_ISSUES_FOUND",
        "NOT_EVALUATED",
        "PARAMETER_SETS",
        "Finding",
        "NotEvaluated",
        "Rule",
        "RuleError",
        "RuleResult",
    ),
    "registry": ("describe", "names", "register", "rule", "unregister"),
}
_HOME_OF = {name: home for home, members in _HOMES.items() for name in members}

__all__ = [
    "ERROR",
    "ISSUES_FOUND",
    "NOT_EVALUATED",
    "NO_ISSUES_FOUND",
    "PARAMETER_SETS",
    "Finding",
    "NotEvaluated",
    "Rule",
    "RuleError",
    "RuleResult",
    "describe",
    "evaluate",
    "names",
    "register",
    "rule",
    "unregister",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its module on first use: a script that judges nothing need not import NumPy."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
