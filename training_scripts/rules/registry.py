"""Finds rules by name: built-in rules, and rules that users register.

To add a rule, see `declaration`: this module finds it there without being changed.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast, overload, runtime_checkable

from training_scripts._util.suggestions import did_you_mean
from training_scripts.rules.bounds import Bounds
from training_scripts.rules.declaration import DEBUGGING, KINDS, PROFILING, Answer, Judge, Parameters, Rule
from training_scripts.rules.findings import Finding, RuleError

PACKAGES = {DEBUGGING: ("losses", "tensors", "classes"), PROFILING: ("profiling",)}
"""Kind -> packages of its built-in rules. Each of their modules has a tuple RULES.

The package of profiling rules is imported only if something was profiled.
"""

_registered: dict[str, Rule] = {}


@runtime_checkable
class RuleClass(Protocol):
    """A user's rule as a class. It is created without arguments and evaluates a trial or a profile."""

    name: str
    parameters: Parameters

    def judge(self, recorded: Any, parameters: Parameters) -> Sequence[Finding] | Answer:
        """Returns the findings, or none if nothing is wrong. May raise NotEvaluated."""


Registrable = TypeVar("Registrable")


@overload
def register(
    given: None = None,
    *,
    name: str | None = None,
    parameters: Parameters | None = None,
    kind: str = DEBUGGING,
    description: str = "",
    advice: str = "",
    bounds: Mapping[str, Bounds] | None = None,
) -> Callable[[Registrable], Registrable]: ...


@overload
def register(
    given: Registrable,
    *,
    name: str | None = None,
    parameters: Parameters | None = None,
    kind: str = DEBUGGING,
    description: str = "",
    advice: str = "",
    bounds: Mapping[str, Bounds] | None = None,
) -> Registrable: ...


def register(
    given: object = None,
    *,
    name: str | None = None,
    parameters: Parameters | None = None,
    kind: str = DEBUGGING,
    description: str = "",
    advice: str = "",
    bounds: Mapping[str, Bounds] | None = None,
) -> object:
    """Adds a rule that is evaluated after the built-in ones. It can also be used as a decorator.

    Args:
        given: A function of (trial or profile, parameters) that returns findings; a class with `name`, `parameters`
            and a method `judge(recorded, parameters)`; or a `Rule`, for which the other arguments are ignored. None:
            used as a decorator with arguments.
        name: The rule's name. Default: the name of the class or function.
        parameters: The rule's parameters with their values, the same in both parameter sets.
        kind: debugging (the rule gets a trial) or profiling (it gets a profile).
        description: What the rule looks for. Default: the first line of the docstring.
        advice: What to do if the rule finds something.
        bounds: Parameter name -> allowed numbers. None: nothing is checked.

    Returns:
        `given` unchanged, so that a decorated function can still be called.

    Raises:
        RuleError: A built-in rule has this name, or `given` is not a rule.

    Examples:
        >>> from dogbreed_sdk.debugging import Finding, register_rule, rule_names, unregister_rule
        >>> @register_rule(name="HighLoss", parameters={"limit": 2.0}, advice="Lower lr.")
        ... def high_loss(trial, parameters):
        ...     series = trial.tensor("CrossEntropyLoss_output_0").series("TRAIN")
        ...     high = series.steps[series.values > parameters["limit"]]
        ...     return [Finding("The loss is high.", steps=tuple(high.tolist()))] if len(high) else []
        >>> "HighLoss" in rule_names("debugging")
        True
        >>> unregister_rule("HighLoss")
    """
    if given is None:
        return functools.partial(
            register,
            name=name,
            parameters=parameters,
            kind=kind,
            description=description,
            advice=advice,
            bounds=bounds,
        )
    if isinstance(given, Rule):
        made = given
    else:
        made = _rule_of(
            given,
            name=name,
            parameters=parameters,
            kind=kind,
            description=description,
            advice=advice,
            bounds=bounds,
        )
    if any(made.name in built_in(one) for one in KINDS):
        raise RuleError(f"{made.name} is a built-in rule; give yours another name.")
    _registered[made.name] = made
    return given


def unregister(name: str) -> None:
    """Removes a rule that `register` added.

    Args:
        name: The name of the rule.

    Raises:
        RuleError: No rule of this name was registered.

    Examples:
        >>> from dogbreed_sdk.debugging import register_rule, rule_names, unregister_rule
        >>> def quiet(trial, parameters):
        ...     return []
        >>> _ = register_rule(quiet)
        >>> unregister_rule("quiet")
        >>> "quiet" in rule_names()
        False
    """
    if name not in _registered:
        raise RuleError(f"No rule {name!r} was registered. Registered rules: {', '.join(_registered) or 'none'}.")
    del _registered[name]


def names(kind: str | None = None) -> list[str]:
    """Names of all rules in the order of evaluation, or only those of one kind (debugging, profiling).

    Args:
        kind: debugging or profiling; None for both.

    Examples:
        >>> from dogbreed_sdk.debugging import rule_names
        >>> rule_names("debugging")[:3]
        ['VanishingGradient', 'ExplodingTensor', 'AllZero']
    """
    return [name for name, found in rules(kind).items() if kind is None or found.kind == kind]


def rule(name: str) -> Rule:
    """The rule with this name.

    Raises:
        RuleError: No rule has this name; the message lists the names of all rules.
    """
    known = rules(DEBUGGING)
    if name not in known:
        known = rules()
    if name not in known:
        hint = did_you_mean(name, list(known)) or "."
        raise RuleError(f"Unknown rule {name!r}{hint} Rules: {', '.join(known)}.")
    return known[name]


def rules(kind: str | None = None) -> dict[str, Rule]:
    """Name -> rule, in the order of evaluation: built-in rules of one kind or of both, then all registered rules."""
    found: dict[str, Rule] = {}
    for one in KINDS if kind is None else (kind,):
        found.update(built_in(one))
    return {**found, **_registered}


def describe() -> str:
    """One line per rule, followed by its parameters in both sets.

    Examples:
        >>> from dogbreed_sdk.debugging import describe_rules
        >>> print(describe_rules())
        VanishingGradient (debugging): Layers that get almost no gradient while others get some.
            threshold: default 1e-07, aws 1e-07
        ...
    """
    lines = []
    for found in rules().values():
        lines.append(f"{found.name} ({found.kind}): {found.description}")
        for parameter in dict.fromkeys((*found.default, *found.aws)):
            ours = repr(found.default[parameter]) if parameter in found.default else "(not used)"
            theirs = repr(found.aws[parameter]) if parameter in found.aws else "(not used)"
            lines.append(f"    {parameter}: default {ours}, aws {theirs}")
    return "\n".join(lines)


@functools.cache
def built_in(kind: str) -> dict[str, Rule]:
    """Name -> built-in rule of a kind, in the order of evaluation, as declared by the modules of its packages."""
    found: list[Rule] = []
    for package in PACKAGES[kind]:
        folder = importlib.import_module(f"{__package__}.{package}")
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            found += getattr(importlib.import_module(module.name), "RULES", ())
    return {one.name: one for one in sorted(found, key=lambda one: (one.order, one.name))}


def _rule_of(
    given: object,
    *,
    name: str | None,
    parameters: Parameters | None,
    kind: str,
    description: str,
    advice: str,
    bounds: Mapping[str, Bounds] | None,
) -> Rule:
    """A rule made from a function or a class, whose attributes replace the arguments that were not given."""
    if isinstance(given, (type, RuleClass)):
        source: object = _instance(given)
        judge: Judge = cast("RuleClass", source).judge
    elif callable(given):
        source, judge = given, cast("Judge", given)
    else:
        raise RuleError(
            f"{given!r} is not a rule: pass a function of (trial, parameters), a class with judge, or a Rule."
        )
    values = dict(parameters or getattr(source, "parameters", {}))
    documented = (getattr(given, "__doc__", None) or "").strip().splitlines()
    return Rule(
        name=name or str(getattr(source, "name", "") or getattr(given, "__name__", type(given).__name__)),
        judge=judge,
        aws=values,
        default=values,
        description=description or getattr(source, "description", "") or (documented[0] if documented else ""),
        advice=advice or getattr(source, "advice", ""),
        kind=getattr(source, "kind", kind),
        bounds=bounds,
    )


def _instance(given: type | RuleClass) -> RuleClass:
    instance = given() if isinstance(given, type) else given
    if not isinstance(instance, RuleClass):
        raise RuleError(
            f"{given!r} is not a rule: a class needs name, parameters and judge(recorded, parameters)."
            " For a Rule of smdebug, use dogbreed_sdk.debugging.smdebug_rule."
        )
    return instance
