"""Runs rules that were written for smdebug. It needs smdebug."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_scripts.recording.trial.trial import EVAL, TRAIN, Trial
from training_scripts.rules.declaration import Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated, RuleError

MOST_FINDINGS = 1000
"""A rule that fires at every step shows nothing new after this many findings."""


def as_rule(kind: type, *, name: str | None = None, advice: str = "", **arguments: Any) -> Rule:
    """Makes a rule for `rules.register` from a subclass of `smdebug.rules.Rule`.

    The rule is invoked at every recorded step in the order of recording, as smdebug's `invoke_rule` does. Each step at
    which it fires is a finding. smdebug itself reads the recording from its folder.

    Args:
        kind: The class.
        name: The name of the rule. Default: the name of the class.
        advice: What to do if the rule fires.
        arguments: Further arguments of the class, after base_trial. They become the rule's parameters.

    Raises:
        RuleError: smdebug is not installed, or the class is not a subclass of its Rule.
    """
    base = _smdebug_rule()
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise RuleError(f"{kind!r} is not a subclass of smdebug.rules.rule.Rule.")
    documented = (kind.__doc__ or "").strip().splitlines()

    def judge(trial: Trial, parameters: Parameters) -> list[Finding]:
        return _invoked(kind, evidences.of(trial), parameters)

    return Rule(
        name=name or kind.__name__,
        judge=judge,
        aws=dict(arguments),
        default=dict(arguments),
        description=documented[0] if documented else f"smdebug's rule {kind.__name__}.",
        advice=advice,
    )


def _smdebug_rule() -> type:
    try:
        from smdebug.rules.rule import Rule as Base  # noqa: PLC0415 - an optional dependency, slow to import
    except ImportError as problem:
        raise RuleError(
            f"smdebug cannot be imported ({problem}). Install dogbreed-sdk[smdebug]; it works up to Python 3.12."
        ) from None
    base: type = Base
    return base


def _invoked(kind: type, run: Evidence, parameters: Parameters) -> list[Finding]:
    from smdebug.exceptions import (  # noqa: PLC0415 - an optional dependency, slow to import
        RuleEvaluationConditionMet,
        StepUnavailable,
        TensorUnavailable,
        TensorUnavailableForStep,
    )

    others = [_opened(other) for other in run.others]
    given = {"other_trials": others} if others and "other_trials" not in parameters else {}
    made = kind(_opened(run), **given, **parameters)
    findings, seen = [], False
    for mode, step, number in _in_order(run):
        try:
            made.invoke(number)
        except (TensorUnavailableForStep, StepUnavailable, TensorUnavailable):
            continue  # a tensor that it needs was not recorded at this step
        except RuleEvaluationConditionMet as met:
            message = f"{kind.__name__} fired at {mode} step {step}."
            findings.append(Finding(message, mode=mode, steps=(step,), numbers={"global_step": number}))
            if met.end_of_rule or len(findings) >= MOST_FINDINGS:
                break
        seen = True
    if not seen:
        raise NotEvaluated(f"{kind.__name__} found none of the tensors it needs at any recorded step.")
    return _merged(kind.__name__, findings)


def _in_order(run: Evidence) -> list[tuple[str, int, int]]:
    """Mode, step and global step of each recorded step, in the order of recording."""
    rows = []
    for mode in (TRAIN, EVAL):
        table = run.steps(mode)
        steps, numbers = table.steps.tolist(), table.global_steps.tolist()
        rows += [(number, mode, step) for step, number in zip(steps, numbers, strict=True)]
    return [(mode, step, number) for number, mode, step in sorted(rows)]


def _opened(trial: Trial) -> Any:
    """A recording, opened by smdebug."""
    from smdebug.core.logger import get_logger  # noqa: PLC0415 - an optional dependency, slow to import
    from smdebug.trials import create_trial  # noqa: PLC0415

    folder = getattr(trial, "folder", None)
    if folder is None:
        raise NotEvaluated(
            "smdebug's rules read a recording from its folder, but this recording exists only in memory."
        )
    get_logger().setLevel(logging.ERROR)  # it logs every step it invokes
    return create_trial(str(Path(folder)))


def _merged(name: str, findings: Sequence[Finding]) -> list[Finding]:
    """One finding per mode, with all its steps."""
    merged = []
    for mode in dict.fromkeys(finding.mode for finding in findings):
        steps = tuple(step for finding in findings if finding.mode == mode for step in finding.steps)
        more = f" and {len(steps) - 1} more, the last {steps[-1]}" if len(steps) > 1 else ""
        message = f"{name} fired at {mode} step {steps[0]}{more}."
        merged.append(Finding(message, mode=mode, steps=steps, numbers={"times": len(steps)}))
    return merged
