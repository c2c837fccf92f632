"""The parameter values that a rule is evaluated with: a parameter set with overrides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_scripts._util.suggestions import did_you_mean
from training_scripts.rules.bounds import NOT_NEGATIVE
from training_scripts.rules.declaration import Rule
from training_scripts.rules.findings import RuleError


def settle(rule: Rule, parameters: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a rule: those of a parameter set with overrides.

    An override may be text, as on a command line; it is converted to the type of the parameter.

    Raises:
        RuleError: The rule does not have a parameter, or a value is not allowed for it.
    """
    values = dict(rule.aws if parameters == "aws" else rule.default)
    for name, value in overrides.items():
        if name not in values:
            hint = did_you_mean(name, list(values)) or "."
            raise RuleError(
                f"{rule.name} has no parameter {name!r} in the set {parameters}{hint}"
                f" It has: {', '.join(values) or 'none'}."
            )
        read = _read(f"{rule.name}.{name}", value, values[name])
        values[name] = _checked(rule, name, read, values[name])
    return values


def _read(what: str, value: Any, like: Any) -> Any:
    """The value; text is converted to the type of the default."""
    if not isinstance(value, str) or isinstance(like, str):
        return value
    text = value.strip()
    if text.lower() in ("none", ""):
        return None
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise RuleError(f"{what} must be true or false, not {value!r}.")
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        if like is None:
            return text
        raise RuleError(f"{what} must be a number, not {value!r}.") from None
    return int(number) if isinstance(like, int) and number.is_integer() else number


def _checked(rule: Rule, name: str, value: Any, like: Any) -> Any:
    """The value, checked against the bounds that the rule declares; an int if they require a whole number."""
    if rule.bounds is None:
        return value
    what = f"{rule.name}.{name}"
    if not _is_number(value):
        if _is_number(like):
            raise RuleError(f"{what} must be a number, not {value!r}.")
        return value
    bounds = rule.bounds.get(name, NOT_NEGATIVE)
    if not bounds.allow(value):
        raise RuleError(f"{what} must be {bounds}, not {value!r}.")
    return int(value) if bounds.whole else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
