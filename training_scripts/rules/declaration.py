"""The declaration of a rule: everything that the project knows about the rule is in this one place.

To add a built-in rule, write one module in `losses/`, `tensors/`, `classes/` or `profiling/`. It contains the function
that evaluates a recording, and a tuple `RULES` with the declaration. The registry finds the module. The rule's order,
its bounds, the rules that it precedes, the list of AWS's managed rules and its section in the documentation all come
from the declaration. Run `python docs/generate.py` to update the list and the documentation.

    def _judge(trial: Trial, parameters: Parameters) -> list[Finding]:
        ...

    RULES = (
        Rule(
            name="HighLoss",
            judge=_judge,
            aws={},
            default={"limit": 2.0},  # why 2.0
            description="A loss that stays above a limit.",
            advice="Lower lr.",
            bounds={},
            explanation=Explanation(
                computes="`loss > limit` at any training step.", parameters={"limit": "largest allowed loss"}
            ),
            order=175,
        ),
    )
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training_scripts.rules.bounds import Bounds
from training_scripts.rules.findings import Finding, RuleError

DEBUGGING, PROFILING = KINDS = ("debugging", "profiling")

Parameters = Mapping[str, Any]
"""Parameter name -> value. The type of a value is that of the default in the declaration."""

LAST = 1_000_000
"""The order of a rule that declares none: after all others."""


@dataclass(frozen=True)
class Answer:
    """What a rule may return instead of only its findings.

    Attributes:
        findings: The evidence; empty if nothing is wrong.
        details: Numbers to show as a table, for `RuleResult.details`.
        message: The answer in a sentence or two. If it is empty, the message is made from the findings.
        advice: What to do, if the evidence allows more specific advice than the rule's own. If it is empty, the rule's
            own advice is used.
        place_of: Another rule that these findings belong to: they are listed in the place of that rule.
        is_consequence: Whether other rules' findings explain these. If so, these are listed after all of those.

    Examples:
        >>> from dogbreed_sdk.debugging import Answer, Finding
        >>> answer = Answer([Finding("The loss is high.", steps=(3,))], advice="Lower lr.")
        >>> answer.findings[0].steps
        (3,)
    """

    findings: Sequence[Finding] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    advice: str = ""
    place_of: str = ""
    is_consequence: bool = False


Judge = Callable[[Any, Parameters], "Sequence[Finding] | Answer"]


@dataclass(frozen=True)
class Explanation:
    """What the documentation says about a rule, in Markdown.

    Attributes:
        computes: What `Rule.judge` computes, as formulas of the parameters' names.
        computes_aws: What AWS's definition computes; empty if AWS computes the same, or has no such rule.
        parameters: Name of each parameter of both sets -> its meaning.
        causes: Ids of the causes that explain most findings, of `training_scripts.rules.causes.catalog`.
        sources: Where formulas and limits are from, apart from AWS's list of rules.
    """

    computes: str
    computes_aws: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    causes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule that can be evaluated.

    Attributes:
        name: AWS's name, or the user's.
        judge: Evaluates a trial (kind debugging) or a profile (kind profiling) with all parameters. Returns the
            findings, or none if nothing is wrong. Raises NotEvaluated if the recording lacks what the rule needs.
        aws: AWS's parameters with their defaults.
        default: Our parameters with their defaults; they may include parameters that AWS does not have.
        description: What the rule looks for, in a sentence.
        advice: What to do if the rule finds something.
        kind: debugging or profiling.
        judge_aws: AWS's definition to the letter, if it differs from `judge` by more than its parameters.
        bounds: Parameter name -> allowed numbers. Others must not be negative. None: nothing is checked.
        explanation: What the documentation says about the rule; None for rules of users.
        precedes: Rules whose findings may follow from this rule's findings; they are listed after it.
        order: The rule's position among the rules of its kind, ascending.
        aws_name: The rule's name in SageMaker Debugger; empty if AWS has no such rule.
        collections: The tensor collections that AWS's rule reads.

    Raises:
        RuleError: `kind` is neither debugging nor profiling, or `bounds` names a parameter that the rule does not have.
    """

    name: str
    judge: Judge
    aws: Parameters
    default: Parameters
    description: str
    advice: str
    kind: str = DEBUGGING
    judge_aws: Judge | None = None
    bounds: Mapping[str, Bounds] | None = None
    explanation: Explanation | None = None
    precedes: tuple[str, ...] = ()
    order: int = LAST
    aws_name: str = ""
    collections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RuleError(f"Rule {self.name}: kind must be debugging or profiling, not {self.kind!r}.")
        unknown = [name for name in self.bounds or () if name not in {**self.aws, **self.default}]
        if unknown:
            raise RuleError(
                f"Rule {self.name} declares bounds for parameters that it does not have: {', '.join(unknown)}."
            )
