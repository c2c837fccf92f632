"""The reference of the rules and causes, and the list of AWS's managed rules."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from _generate.frame import anchor, markdown, module, sections, table
from training_scripts.rules import registry
from training_scripts.rules.bounds import NOT_NEGATIVE, Bounds
from training_scripts.rules.causes.catalog import CATALOG
from training_scripts.rules.causes.find import BY_RULE
from training_scripts.rules.declaration import DEBUGGING, PROFILING, Explanation, Rule

_AWS_PAGE = {
    DEBUGGING: "https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html",
    PROFILING: "https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-profiler-rules.html",
}


@table("rules-index")
def rules_index() -> str:
    """What each rule looks for."""
    found = (rule for kind in (DEBUGGING, PROFILING) for rule in registry.built_in(kind).values())
    return markdown(["Rule", "Looks for"], [[f"[{one.name}](#{anchor(one.name)})", one.description] for one in found])


@table("debugging-rules")
def debugging_rules() -> str:
    """What each debugging rule computes, with its parameters, its source and what to do."""
    return sections(*map(_rule, registry.built_in(DEBUGGING).values()))


@table("profiling-rules")
def profiling_rules() -> str:
    """The same for each profiling rule."""
    return sections(*map(_rule, registry.built_in(PROFILING).values()))


@table("causes")
def causes() -> str:
    """The trace and the advice of each cause."""
    return sections(*map(_cause, CATALOG))


def _rule(rule: Rule) -> str:
    explained = rule.explanation
    assert explained is not None, f"{rule.name} has no explanation: see training_scripts/rules/declaration.py"
    return sections(
        f"### {rule.name}",
        rule.description,
        f"**Ours:** {explained.computes}",
        f"**AWS:** {explained.computes_aws or 'the same.'}",
        f"**What to do:** {rule.advice}" if rule.advice else "",
        f"**Causes:** {_causes(rule, explained)}" if explained.causes else "",
        _parameters(rule, explained),
        f"**Sources:** {'; '.join(_sources(rule, explained))}.",
    )


def _parameters(rule: Rule, explained: Explanation) -> str:
    names = dict.fromkeys((*rule.default, *rule.aws))
    rows = [
        [
            f"`{name}`",
            *(_value(values[name]) if name in values else "" for values in (rule.default, rule.aws)),
            _allowed(rule, name),
            explained.parameters[name],
        ]
        for name in names
    ]
    return markdown(["Parameter", "Default", "AWS", "Allowed", "Meaning"], rows) if rows else ""


def _value(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:.10g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(rule: Rule, name: str) -> str:
    """The bounds of a number; empty for other values."""
    example = next(values[name] for values in (rule.default, rule.aws) if name in values)
    if isinstance(example, bool):
        return "true, false"
    declared = (rule.bounds or {}).get(name)
    if declared is None and not isinstance(example, (int, float)):
        return ""
    return _range(declared or NOT_NEGATIVE)


def _range(bounds: Bounds) -> str:
    """The numbers within bounds, in few words."""
    kind = "whole number" if bounds.whole else "number"
    if math.isfinite(bounds.highest):
        return f"{kind} from {bounds.lowest:g} to {bounds.highest:g}"
    return f"{kind} from {bounds.lowest:g}" if math.isfinite(bounds.lowest) else f"any {kind}"


def _causes(rule: Rule, explained: Explanation) -> str:
    named = ", ".join(f"[`{name}`](#{anchor(name)})" for name in explained.causes)
    if rule.name in BY_RULE:
        return f"{named}. A finding without the trace of another cause stands for `{BY_RULE[rule.name]}`."
    return f"{named}."


def _sources(rule: Rule, explained: Explanation) -> Iterator[str]:
    if rule.aws_name:
        reads = f", reading {', '.join(f'`{name}`' for name in rule.collections)}" if rule.collections else ""
        yield f"AWS's rule `{rule.aws_name}`{reads} ([developer guide]({_AWS_PAGE[rule.kind]}))"
    yield from explained.sources


def _cause(name: str) -> str:
    """A cause, with the rules that lead to it."""
    entry = CATALOG[name]
    found = registry.built_in(DEBUGGING).values()
    rules = [rule.name for rule in found if rule.explanation and name in rule.explanation.causes]
    listed = ", ".join(f"[{rule}](#{anchor(rule)})" for rule in rules)
    return sections(
        f"### {name}", entry.trace, f"**What to do:** {entry.advice}", f"**Rules:** {listed}." if rules else ""
    )


def _tuple(names: tuple[str, ...]) -> str:
    return f"({', '.join(json.dumps(name) for name in names)}{',' if len(names) == 1 else ''})"


@module("training_scripts/rules/managed.py")
def managed_rules() -> str:
    """The rules of SageMaker's own Debugger, for those who do without NumPy, which our rules import."""
    debugging = "".join(
        f'    "{each.aws_name}": {_tuple(each.collections)},\n'
        for each in registry.built_in(DEBUGGING).values()
        if each.aws_name
    )
    profiling = "".join(f'    "{each.aws_name}",\n' for each in registry.built_in(PROFILING).values() if each.aws_name)
    return f'''"""The rules of SageMaker's own Debugger, as our rules declare them.

Generated by `python docs/generate.py`; do not edit it, but change the declaration of a rule. It is a separate module
so that clients of the managed Debugger need not import NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping

DEBUGGING_RULES: Mapping[str, tuple[str, ...]] = {{
{debugging}}}
"""AWS's debugging rules -> the tensor collections they read (developer guide, List of Debugger built-in rules)."""

PROFILING_RULES: tuple[str, ...] = (
{profiling})
"""AWS's profiling rules."""
'''
