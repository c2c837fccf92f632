"""Which rules there are: the built-in ones, and those that users register."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from training_scripts._util.suggestions import did_you_mean
from training_scripts.rules import bounds
from training_scripts.rules.findings import Finding, Judge, Rule, RuleError

DEBUGGING, PROFILING = KINDS = ("debugging", "profiling")

_MODULES = (
    "tensors.vanishing_gradient",
    "tensors.exploding_tensor",
    "losses.loss_not_decreasing",
    "losses.overfit",
    "tensors.initialization",
    "tensors.activations",
    "tensors.weight_updates",
    "classes.class_imbalance",
    "classes.confusion",
    "tensors.input_images",
    "losses.similar_across_runs",
    "losses.stalled_training",
)
"""The modules that hold built-in debugging rules, each as a tuple RULES, in the order in which they are evaluated."""

_PROFILING_MODULES = ("profiling.rules",)
"""Likewise for profiling rules: not imported where nothing was profiled."""

_registered: dict[str, Rule] = {}


@runtime_checkable
class RuleClass(Protocol):
    """A user's rule as a class: made without arguments, it judges a trial or a profile."""

    name: str
    parameters: Mapping[str, Any]

    def judge(self, recorded: Any, parameters: Mapping[str, Any]) -> Sequence[Finding]:
        """The findings; none where all is well. May raise NotEvaluated."""


Registrable = TypeVar("Registrable")


def register(
    given: Any = None,
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    kind: str = DEBUGGING,
    description: str = "",
    advice: str = "",
) -> Any:
    """Adds a rule, which `evaluate` then judges with the built-in ones; also a decorator.

    Args:
        given: A function of (trial or profile, parameters) that gives findings; a class with `name`, `parameters`
            and a method `judge(recorded, parameters)`; or a `Rule`. None: used as a decorator with arguments.
        name: What it is called; the class's or the function's own name where it is not given.
        parameters: Its parameters with their values, the same in both sets.
        kind: debugging (it gets a trial) or profiling (it gets a profile).
        description: What it looks for; the first line of its docstring where it is not given.
        advice: What to do where it finds something.

    Returns:
        What was given, so that a decorated function stays what it is.

    Raises:
        RuleError: A built-in rule has this name, or what was given is no rule.

    Example:
        >>> from training_scripts import rules
        >>> @rules.register(name="HighLoss", parameters={"limit": 2.0}, advice="Lower lr.")
        ... def high_loss(trial, parameters):
        ...     series = trial.tensor("CrossEntropyLoss_output_0").series("TRAIN")
        ...     high = series.steps[series.values > parameters["limit"]]
        ...     return [rules.Finding("The loss is high.", steps=tuple(high.tolist()))] if len(high) else []
        >>> "HighLoss" in rules.names("debugging")
        True
        >>> rules.unregister("HighLoss")
    """
    if given is None:
        return functools.partial(
            register, name=name, parameters=parameters, kind=kind, description=description, advice=advice
        )
    made = _as_rule(given, name=name, parameters=parameters or {}, kind=kind, description=description, advice=advice)
    if made.kind not in KINDS:
        raise RuleError(f"Rule {made.name}: kind must be debugging or profiling, not {made.kind!r}.")
    if any(made.name in _built_in(one) for one in KINDS):
        raise RuleError(f"{made.name} is a built-in rule; give yours another name.")
    _registered[made.name] = made
    return given


def unregister(name: str) -> None:
    """Takes back what `register` added.

    Raises:
        RuleError: No such rule was registered.
    """
    if name not in _registered:
        raise RuleError(f"No rule {name!r} was registered; registered are: {', '.join(_registered) or 'none'}.")
    del _registered[name]


def names(kind: str | None = None) -> list[str]:
    """Names of all rules in the order of evaluation; of one kind (debugging, profiling) where it is given."""
    return [name for name, made in _all(kind).items() if kind is None or made.kind == kind]


def rule(name: str) -> Rule:
    """A rule by its name.

    Raises:
        RuleError: There is none of this name; the message lists those there are.
    """
    known = _all(DEBUGGING)
    if name not in known:
        known = _all()
    if name not in known:
        raise RuleError(f"There is no rule {name!r}{_hint(name, list(known))} Rules: {', '.join(known)}.")
    return known[name]


def describe() -> str:
    """One line a rule, and below it its parameters under both sets."""
    lines = []
    for made in _all().values():
        lines.append(f"{made.name} ({made.kind}): {made.description}")
        for parameter in dict.fromkeys((*made.default, *made.aws)):
            ours = repr(made.default[parameter]) if parameter in made.default else "(not used)"
            theirs = repr(made.aws[parameter]) if parameter in made.aws else "(not used)"
            lines.append(f"    {parameter}: default {ours}, aws {theirs}")
    return "\n".join(lines)


def settle(made: Rule, parameters: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a rule: those of a set, with single ones replaced.

    Values may be text, as a command line has them; they are read as what the parameter is.

    Raises:
        RuleError: A parameter that the rule does not have, or a value that does not fit.
    """
    values = dict(made.aws if parameters == "aws" else made.default)
    for name, value in overrides.items():
        if name not in values:
            there = ", ".join(values) or "none"
            raise RuleError(
                f"{made.name} has no parameter {name!r} in the set {parameters}{_hint(name, list(values))}"
                f" It has: {there}."
            )
        read = _read(f"{made.name}.{name}", value, values[name])
        built_in = made.name not in _registered  # what a user's own parameters may be, the user knows
        values[name] = bounds.check(made.name, name, read, values[name]) if built_in else read
    return values


def _read(what: str, value: Any, like: Any) -> Any:
    """A value, read as what the present one is where it came as text."""
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


def _hint(name: str, known: Sequence[str]) -> str:
    return did_you_mean(name, known) or "."


def _as_rule(
    given: Any, *, name: str | None, parameters: Mapping[str, Any], kind: str, description: str, advice: str
) -> Rule:
    if isinstance(given, Rule):
        return given
    judge: Judge
    if isinstance(given, (type, RuleClass)):
        instance = given() if isinstance(given, type) else given
        if not isinstance(instance, RuleClass):
            raise RuleError(
                f"{given!r} is no rule: a class needs name, parameters and judge(recorded, parameters)."
                " For a Rule of smdebug, see training_scripts.rules.smdebug_rules.as_rule."
            )
        name, parameters, judge = name or instance.name, parameters or instance.parameters, instance.judge
        kind = getattr(instance, "kind", kind)
        description, advice = (
            description or getattr(instance, "description", ""),
            advice or getattr(instance, "advice", ""),
        )
    elif callable(given):
        name, judge = name or getattr(given, "__name__", type(given).__name__), cast("Callable[..., Any]", given)
    else:
        raise RuleError(f"{given!r} is no rule: give a function of (trial, parameters), a class with judge, or a Rule.")
    documented = (getattr(given, "__doc__", None) or "").strip().splitlines()
    return Rule(
        name=name,
        judge=judge,
        aws=dict(parameters),
        default=dict(parameters),
        description=description or (documented[0] if documented else ""),
        advice=advice,
        kind=kind,
    )


@functools.cache
def _built_in(kind: str) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for module in _MODULES if kind == DEBUGGING else _PROFILING_MODULES:
        for made in importlib.import_module(f"training_scripts.rules.{module}").RULES:
            found[made.name] = made
    return found


def _all(kind: str | None = None) -> dict[str, Rule]:
    """The built-in rules of a kind, or of both, and all that were registered."""
    found: dict[str, Rule] = {}
    for one in KINDS if kind is None else (kind,):
        found.update(_built_in(one))
    return {**found, **_registered}
