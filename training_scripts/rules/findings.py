"""What a rule reports about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training_scripts import ScriptError

ISSUES_FOUND = "IssuesFound"
NO_ISSUES_FOUND = "NoIssuesFound"
ERROR = "Error"
NOT_EVALUATED = "NotEvaluated"
"""AWS's values of RuleEvaluationStatus, and our own NotEvaluated for a rule that lacked the data it needs."""

PARAMETER_SETS = ("default", "aws")


class RuleError(ScriptError):
    """A rule or parameter does not exist, or a value is not allowed; the message lists what is.

    Examples:
        >>> from dogbreed_sdk.debugging import MemoryTrial, RuleError, evaluate_rules
        >>> try:
        ...     evaluate_rules(trial=MemoryTrial(), only=["Overfti"])
        ... except RuleError as error:
        ...     print(error)
        Unknown rule 'Overfti'; did you mean Overfit? Rules: ...
    """


class NotEvaluated(Exception):  # noqa: N818 - not an error: a rule lacks what it needs
    """Raised by a rule that cannot be evaluated. The message says why, and what to record or set to change that.

    Examples:
        >>> from dogbreed_sdk.debugging import MemoryTrial, evaluate_rules
        >>> [result] = evaluate_rules(trial=MemoryTrial(), only=["Overfit"])
        >>> print(result.message)
        0 epochs with both a training and a validation loss; 5 are needed. ...
    """


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found.

    Attributes:
        message: A plain sentence with the numbers.
        tensor: The tensor that it concerns; empty if it concerns the whole run.
        mode: The mode in which the steps are counted.
        steps: The steps at which it was seen, ascending. It began at the first one.
        numbers: The values behind the finding, by name.
        workers: Of a distributed run, the workers in which it was seen first, such as "worker 1"; empty if they do not
            differ.

    Examples:
        >>> from dogbreed_sdk.debugging import Finding
        >>> Finding("The loss is 9.1.", tensor="CrossEntropyLoss_output_0", mode="TRAIN", steps=(3,)).steps
        (3,)
    """

    message: str
    tensor: str = ""
    mode: str = ""
    steps: tuple[int, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleResult:
    """A rule's result.

    Attributes:
        name: The rule.
        status: IssuesFound, NoIssuesFound, NotEvaluated or Error.
        message: The answer in a sentence or two; for NotEvaluated and Error, the reason.
        advice: What to do about it; empty if there is no issue.
        parameters: All parameters that were used.
        findings: The evidence.
        kind: debugging or profiling.
        details: Numbers to show as a table.
        cause: The id of the cause that explains the findings (`training_scripts.rules.causes.catalog`); empty if none.

    Examples:
        >>> from dogbreed_sdk.debugging import MemoryTrial, evaluate_rules
        >>> trial = MemoryTrial()
        >>> trial.add_numbers("CrossEntropyLoss_output_0", range(40), [1.0] * 40, "TRAIN", collection="losses")
        >>> [result] = evaluate_rules(trial=trial, only=["LossNotDecreasing"])
        >>> print(result.message)
        The training loss hardly fell, if at all: 1 at the beginning, 1 after 40 steps.
    """

    name: str
    status: str
    message: str
    advice: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    kind: str = "debugging"
    details: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of all its findings, ascending."""
        return tuple(sorted({step for finding in self.findings for step in finding.steps}))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: name, status, steps, message, advice, parameters, findings, details, kind, cause."""
        return {
            "name": self.name,
            "status": self.status,
            "steps": list(self.steps),
            "message": self.message,
            "advice": self.advice,
            "parameters": dict(self.parameters),
            "kind": self.kind,
            "findings": [
                {
                    "message": finding.message,
                    "tensor": finding.tensor,
                    "mode": finding.mode,
                    "steps": list(finding.steps),
                    "numbers": dict(finding.numbers),
                    "workers": list(finding.workers),
                }
                for finding in self.findings
            ],
            "details": dict(self.details),
            "cause": self.cause,
        }


def in_workers(workers: Sequence[str]) -> str:
    """A finding's workers as the end of a clause; empty for none.

    >>> in_workers(("worker 1", "worker 3"))
    ' in worker 1 and worker 3'
    """
    if not workers:
        return ""
    *others, last = workers if len(workers) <= 4 else (*workers[:3], f"{len(workers) - 3} more")
    return f" in {', '.join(others)} and {last}" if others else f" in {last}"
