"""Puts what a rule found before what follows from it: causes first, then their consequences."""

from __future__ import annotations

from collections.abc import Sequence

from training_scripts.rules.findings import ISSUES_FOUND, RuleResult

IN_ORDER = (
    "CheckInputImages",
    "PoorWeightInitialization",
    "WeightUpdateRatio",
    "SaturatedActivation",
    "DeadRelu",
    "ExplodingTensor",
    "VanishingGradient",
    "AllZero",
    "UnchangedTensor",
    "LossNotDecreasing",
)
"""What is fed, how it begins, how far it moves; what that does to units; and what this does to gradients and loss.
Of other rules none is another's cause."""

NO_GRADIENT_ADVICE = (
    "No gradient arrives at these weights, so another lr moves nothing: see VanishingGradient, DeadRelu and AllZero"
    " for what stops it."
)
"""The advice of a rule whose finding is but the consequence of what it names."""


def first(results: Sequence[RuleResult]) -> list[RuleResult]:
    """The same results, those with findings in the order of causes; all others stay at their places."""
    places = [
        place for place, result in enumerate(results) if result.status == ISSUES_FOUND and result.name in IN_ORDER
    ]
    ordered = list(results)
    for place, result in zip(places, sorted((results[place] for place in places), key=_rank), strict=True):
        ordered[place] = result
    return ordered


def _rank(result: RuleResult) -> tuple[bool, int]:
    name = result.name
    if name == "PoorWeightInitialization" and all("share_of_largest" in one.numbers for one in result.findings):
        name = "VanishingGradient"  # that little gradient arrives at first is no cause either
    return result.advice == NO_GRADIENT_ADVICE, IN_ORDER.index(name)
