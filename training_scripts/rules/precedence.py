"""Lists a rule's findings before those that may follow from them: causes first, then their consequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training_scripts.rules.declaration import Answer, Rule
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult


def causes_first(
    results: Sequence[RuleResult], rules: Mapping[str, Rule], answers: Mapping[str, Answer]
) -> list[RuleResult]:
    """The same results, those with findings in the order of causes; all others keep their places.

    Args:
        results: In the order of evaluation, which decides where no rule precedes the other.
        rules: All rules by name, for what each precedes.
        answers: What rules returned, by name: an answer may stand in another rule's place, or after all causes.
    """
    related = {name for rule in rules.values() for name in (rule.name, *rule.precedes) if rule.precedes}
    lengths: dict[str, int] = {}

    def rank(result: RuleResult) -> tuple[bool, int]:
        answer = answers.get(result.name, Answer())
        return answer.is_consequence, -_consequences(answer.place_of or result.name, rules, lengths)

    places = [place for place, result in enumerate(results) if result.status == ISSUES_FOUND and result.name in related]
    ordered = list(results)
    for place, result in zip(places, sorted((results[place] for place in places), key=rank), strict=True):
        ordered[place] = result
    return ordered


def _consequences(name: str, rules: Mapping[str, Rule], lengths: dict[str, int]) -> int:
    """How many rules follow one another after a rule, along the longest way."""
    if name not in lengths:
        lengths[name] = 0  # where rules precede each other in a circle, it ends here
        following = rules[name].precedes if name in rules else ()
        lengths[name] = max((1 + _consequences(other, rules, lengths) for other in following), default=0)
    return lengths[name]
