"""Rules that find what went wrong in a recorded run, and at which step. They are pure functions of arrays.

Users reach them through `dogbreed_sdk.debugging`. To add a rule, see `declaration`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training_scripts.rules.declaration import Answer, Rule
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

_HOMES = {
    "ERROR": "findings",
    "ISSUES_FOUND": "findings",
    "NOT_EVALUATED": "findings",
    "NO_ISSUES_FOUND": "findings",
    "PARAMETER_SETS": "findings",
    "Answer": "declaration",
    "Finding": "findings",
    "NotEvaluated": "findings",
    "Rule": "declaration",
    "RuleError": "findings",
    "RuleResult": "findings",
    "describe": "registry",
    "evaluate": "evaluation",
    "names": "registry",
    "register": "registry",
    "rule": "registry",
    "unregister": "registry",
}

__all__ = [
    "ERROR",
    "ISSUES_FOUND",
    "NOT_EVALUATED",
    "NO_ISSUES_FOUND",
    "PARAMETER_SETS",
    "Answer",
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


def __getattr__(name: str) -> object:
    """Loads a public name from its module on first use, so that scripts that evaluate no rule need not import NumPy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
