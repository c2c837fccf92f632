"""The declaration of a rule: everything the project knows about it is written there.

How to add a built-in rule: write one module in `losses/`, `tensors/`, `classes/` or `profiling/` with the function that
judges and a tuple `RULES` that holds the declaration. The registry finds the module. Its place, its bounds, what it
precedes, the list of AWS's managed rules and the table in the documentation are read from the declaration; run
`python docs/generate.py` to write the list and the table again.

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
"""Parameter -> value, of the type that the rule declares by its default."""

LAST = 1_000_000
"""The place of a rule that declares none: after all others."""


@dataclass(frozen=True)
class Answer:
    """What a rule may return instead of its findings alone.

    Attributes:
        findings: The evidence; empty where nothing is wrong.
        details: Numbers worth a table: `RuleResult.details`.
        message: The answer in a sentence or two; empty for one made from the findings.
        advice: What to do about it, where the evidence suggests more than the rule's own advice; empty for that.
        place_of: Another rule, where these findings are of its kind: they are then listed in that rule's place.
        is_consequence: Whether another rule's findings explain these, so that they are listed after all of those.
    """

    findings: Sequence[Finding] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    advice: str = ""
    place_of: str = ""
    is_consequence: bool = False


Judge = Callable[[Any, Parameters], "Sequence[Finding] | Answer"]


@dataclass(frozen=True)
class Rule:
    """A rule that can be evaluated.

    Attributes:
        name: AWS's name, or the user's.
        judge: Takes a trial (kind debugging) or a profile (kind profiling) and all parameters; returns the findings,
            none where nothing is wrong; raises NotEvaluated where it cannot judge.
        aws: AWS's parameters with their defaults.
        default: Ours; names that AWS does not have may be added.
        description: What it looks for, in a sentence.
        advice: What to do where it finds something.
        kind: debugging or profiling.
        judge_aws: AWS's definition to the letter, where it differs from `judge` by more than numbers.
        bounds: Which numbers single parameters may be; other numbers must not be negative. None: nothing is checked.
        precedes: Rules whose findings may be consequences of this rule's: they are listed after it.
        order: Where it stands among the rules of its kind, ascending.
        aws_name: Its name among the rules of SageMaker Debugger; empty where AWS has no such rule.
        collections: The tensor collections that AWS's rule reads.

    Raises:
        RuleError: `kind` is neither, or `bounds` names a parameter that the rule does not have.
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
    precedes: tuple[str, ...] = ()
    order: int = LAST
    aws_name: str = ""
    collections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RuleError(f"Rule {self.name}: kind must be debugging or profiling, not {self.kind!r}.")
        unknown = [name for name in self.bounds or () if name not in {**self.aws, **self.default}]
        if unknown:
            raise RuleError(f"Rule {self.name} has no parameter {', '.join(unknown)}, for which it declares bounds.")
