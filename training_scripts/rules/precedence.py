"""Orders results so that causes come before their consequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training_scripts.rules.declaration import Answer, Rule
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult


def causes_first(
    results: Sequence[RuleResult], rules: Mapping[str, Rule], answers: Mapping[str, Answer]
) -> list[RuleResult]:
    """Puts results with findings in the order from cause to consequence. All others keep their positions.

    Args:
        results: The results in the order of evaluation, which they keep if neither rule precedes the other.
        rules: All rules by name; each declares which rules it precedes.
        answers: What the rules returned, by name. An answer may take another rule's place, or come after all causes.
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
    """Length of the longest chain of consequences after a rule."""
    if name not in lengths:
        lengths[name] = 0  # ends the recursion if rules precede each other in a circle
        following = rules[name].precedes if name in rules else ()
        lengths[name] = max((1 + _consequences(other, rules, lengths) for other in following), default=0)
    return lengths[name]
