"""The results of rules for a recording: evaluated now, or stored with the recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dogbreed_sdk._util.formatting import clipped, plain
from dogbreed_sdk.errors import ConfigurationError
from training_scripts import rules
from training_scripts.recording.profile.profile import Profile
from training_scripts.recording.trial.trial import Trial
from training_scripts.rules.findings import (
    ERROR,
    ISSUES_FOUND,
    NO_ISSUES_FOUND,
    NOT_EVALUATED,
    Finding,
    RuleError,
    RuleResult,
)

# Largest number of steps of a rule in JSON: the first ones and the last.
MAX_STEPS = 100
# Limits: steps must fit into integer arrays, numbers into floats, and lists of workers into a line or two.
_MAX_STEP, _MAX_NUMBER, _MOST_WORKERS = 2**62, 1e300, 100
_STATUSES = (ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, ERROR)


def evaluated(
    trial: Trial | None,
    profile: Profile | None,
    *,
    stored: Mapping[str, Any],
    parameters: str,
    overrides: Mapping[str, Mapping[str, Any]] | None,
    only: Sequence[str] | None,
    others: Sequence[Trial],
    now: float | None,
) -> list[RuleResult]:
    """The result of each rule: evaluated now, or the stored one if it cannot be computed again.

    Raises:
        ConfigurationError: A rule, parameter or set of parameters does not exist.
    """
    try:
        answers: list[RuleResult] = rules.evaluate(
            trial=trial,
            profile=profile,
            parameters=parameters,
            overrides=overrides,
            only=only,
            others=others,
            now=now,
        )
    except RuleError as error:
        raise ConfigurationError(str(error)) from error
    brought = {result.name: result for result in (profile.results if profile is not None else ())}
    if trial is None:
        brought = {**_stored_results(stored), **brought}
    kept = [
        brought.pop(answer.name, answer)
        if answer.status == NOT_EVALUATED
        else answer  # a result evaluated now is newer
        for answer in answers
    ]
    known = {answer.name for answer in answers}
    kept += [result for name, result in brought.items() if name not in known and only is None]
    return [_with_advice(result) for result in kept]


def _with_advice(result: RuleResult) -> RuleResult:
    """Adds our advice, since AWS's report shows that a rule was triggered, but not what to do about it."""
    if result.status != ISSUES_FOUND or result.advice or result.name not in rules.names():
        return result
    return replace(result, advice=rules.rule(result.name).advice)


def rule_document(result: RuleResult) -> dict[str, Any]:
    """A rule's result for JSON, with limited lists of steps: those of long runs would be too long."""
    document: dict[str, Any] = plain(result.to_dict())
    for entry in (document, *document["findings"]):
        steps = entry["steps"]
        entry["steps_in_all"] = len(steps)
        if len(steps) > MAX_STEPS:
            entry["steps"] = [*steps[: MAX_STEPS - 1], steps[-1]]
    return document


def description(name: str) -> str:
    """What a rule looks for; empty for a rule that is unknown to us."""
    return str(rules.rule(name).description) if name in rules.names() else ""


def _stored_results(stored: Mapping[str, Any]) -> dict[str, RuleResult]:
    entries = stored.get("rules")
    found = (_result(entry) for entry in (entries if isinstance(entries, list) else ()))
    return {result.name: result for result in found if result is not None}


def _result(entry: Any) -> RuleResult | None:
    """A rule's result from JSON; None if it is not valid."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or entry.get("status") not in _STATUSES:
        return None
    parameters, details, findings = (plain(entry.get(key)) for key in ("parameters", "details", "findings"))
    return RuleResult(
        name=clipped(entry["name"], 200),
        status=entry["status"],
        message=clipped(entry.get("message", "")),
        advice=clipped(entry.get("advice", "")),
        parameters=parameters if isinstance(parameters, dict) else {},
        findings=tuple(_finding(each) for each in (findings if isinstance(findings, list) else ())),
        kind="profiling" if entry.get("kind") == "profiling" else "debugging",
        details=details if isinstance(details, dict) else {},
        cause=clipped(entry.get("cause", ""), 100),
    )


def _finding(entry: Any) -> Finding:
    values: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    steps, numbers, workers = values.get("steps"), values.get("numbers"), values.get("workers")
    return Finding(
        message=clipped(values.get("message", "")),
        tensor=clipped(values.get("tensor", ""), 300),
        mode=clipped(values.get("mode", ""), 20),
        steps=tuple(step for step in (steps if isinstance(steps, list) else ()) if _is_step(step)),
        numbers={
            str(name): float(value)
            for name, value in (numbers.items() if isinstance(numbers, dict) else ())
            if isinstance(value, (int, float)) and -_MAX_NUMBER < value < _MAX_NUMBER  # NaN is neither
        },
        workers=tuple(
            clipped(worker, 100) for worker in (workers if isinstance(workers, list) else ())[:_MOST_WORKERS]
        ),
    )


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_STEP
