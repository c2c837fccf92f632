"""Evaluates rules on the recording of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training_scripts.recording.trial.trial import RecordingError, Trial, despite_damage
from training_scripts.rules import registry
from training_scripts.rules.declaration import DEBUGGING, KINDS, PROFILING, Answer, Judge, Rule
from training_scripts.rules.evidence.evidence import Evidence
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
from training_scripts.rules.own_words import Words
from training_scripts.rules.parameters import settle
from training_scripts.rules.precedence import causes_first

if TYPE_CHECKING:
    from training_scripts.recording.profile.profile import Profile

SHOWN_IN_MESSAGE = 3
"""Number of findings in a result's message; the others are only counted. `findings` has all of them."""

MISSING = {
    DEBUGGING: "No recording of tensors: train with recorder=builtin (train_model's default).",
    PROFILING: "No profile: train with profiler=on (train_model's default).",
}


def evaluate(
    *,
    trial: Trial | None = None,
    profile: Profile | None = None,
    parameters: str = "default",
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    only: Sequence[str] | None = None,
    others: Sequence[Trial] = (),
    now: float | None = None,
) -> list[RuleResult]:
    """Evaluates rules on a run. If a rule fails, its own result says so; the other rules are not affected.

    Args:
        trial: The recording, for debugging rules.
        profile: The profile, for profiling rules.
        parameters: default (ours, few false alarms) or aws (AWS's definitions and defaults to the letter).
        overrides: Rule name -> parameter name -> value; text is converted to the parameter's type.
        only: Names of the rules to evaluate; None for all.
        others: Other runs of the same kind, for rules that compare runs (SimilarAcrossRuns).
        now: Seconds since 1970, for rules that need the time since the last step (StalledTraining). Default: now.

    Returns:
        One result per rule, in the order of `names`. Among results with findings, causes precede consequences.

    Raises:
        RuleError: A rule, parameter or parameter set does not exist; the message lists the valid names.

    Examples:
        >>> from dogbreed_sdk.debugging import MemoryTrial, evaluate_rules
        >>> trial = MemoryTrial()
        >>> trial.add_numbers("CrossEntropyLoss_output_0", range(40), [1.0] * 40, "TRAIN", collection="losses")
        >>> results = evaluate_rules(trial=trial, overrides={"LossNotDecreasing": {"flat_percent": 2}})
        >>> [result.name for result in results if result.status == "IssuesFound"]
        ['LossNotDecreasing']
    """
    if parameters not in PARAMETER_SETS:
        raise RuleError(f"Unknown parameter set {parameters!r}; valid sets: {', '.join(PARAMETER_SETS)}.")
    asked = [registry.rule(name) for name in (*(overrides or {}), *(only or ()))]
    # If no rule of a kind is wanted, the modules of that kind need not be imported.
    kinds = KINDS if only is None else sorted({made.kind for made in asked})
    known = {name: made for kind in kinds for name, made in registry.rules(kind).items()}
    wanted = [made for name, made in known.items() if made.kind in kinds and (only is None or name in only)]
    settled = [settle(made, parameters, (overrides or {}).get(made.name, {})) for made in wanted]
    evidence = None
    if trial is not None:
        evidence = Evidence(trial, others=others, now=time.time() if now is None else now)
    recorded = {DEBUGGING: evidence, PROFILING: profile}
    # AWS's profiler report has statistics but no samples, so its own results are kept.
    brought = {result.name: result for result in profile.results} if profile is not None else {}
    results, answers = [], dict[str, Answer]()
    for made, values in zip(wanted, settled, strict=True):
        if made.name in brought:
            results.append(brought[made.name])
            continue
        judge = made.judge_aws if parameters == "aws" and made.judge_aws is not None else made.judge
        result, answers[made.name] = _evaluated(made, judge, recorded[made.kind], values)
        results.append(result)
    ordered = causes_first(results, known, answers)
    if evidence is None:
        return ordered
    words = Words.of(evidence.run, evidence.recorded_names())
    ours = registry.built_in(DEBUGGING) if DEBUGGING in kinds else {}  # registered rules speak as their authors do
    return [words.put_result(result) if result.name in ours else result for result in ordered]


def _evaluated(made: Rule, judge: Judge, recorded: Any, values: dict[str, Any]) -> tuple[RuleResult, Answer]:
    result = RuleResult(name=made.name, status=NOT_EVALUATED, message="", parameters=plain(values), kind=made.kind)
    if recorded is None:
        return replace(result, message=MISSING[made.kind]), Answer()
    answer: Sequence[Finding] | Answer
    try:
        with np.errstate(all="ignore"):  # sums over a diverged loss overflow too
            answer = despite_damage(lambda: judge(recorded, values))
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        findings = tuple(_plain_finding(finding) for finding in answer.findings)
    except NotEvaluated as reason:
        return replace(result, message=str(reason)), Answer()
    except RecordingError as problem:
        return replace(result, status=ERROR, message=f"The recording cannot be read: {problem}"), Answer()
    except Exception as problem:  # noqa: BLE001 - a user's rule may raise anything
        return replace(result, status=ERROR, message=f"The rule failed: {type(problem).__name__}: {problem}"), Answer()
    evaluated = replace(
        result,
        status=ISSUES_FOUND if findings else NO_ISSUES_FOUND,
        message=answer.message or (summary(findings) if findings else "Nothing found."),
        advice=(answer.advice or made.advice) if findings else "",
        findings=findings,
        details=plain(answer.details),
    )
    return evaluated, answer


def summary(findings: Sequence[Finding]) -> str:
    """The findings in a few sentences, however many there are."""
    shown = " ".join(finding.message for finding in findings[:SHOWN_IN_MESSAGE])
    more = len(findings) - SHOWN_IN_MESSAGE
    return f"{shown} And {more} more of this kind." if more > 0 else shown


def _plain_finding(finding: Finding) -> Finding:
    if not isinstance(finding, Finding):
        raise TypeError(f"judge must return Finding objects, not {finding!r}")
    return replace(
        finding,
        steps=tuple(sorted(int(step) for step in finding.steps)),
        numbers={str(name): plain(value) for name, value in finding.numbers.items()},
    )


def plain(value: Any) -> Any:
    """Converts a value to JSON types: NumPy values and tuples to lists and numbers, NaN and infinities to text."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
