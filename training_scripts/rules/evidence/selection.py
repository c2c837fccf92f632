"""Selects the tensors of a run that a rule evaluates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from training_scripts.recording.trial.layout import SCALARS
from training_scripts.recording.trial.trial import EVAL, GLOBAL, PREDICT, TRAIN
from training_scripts.rules.declaration import Parameters
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import NotEvaluated, RuleError

TENSOR_CHOICE = {"collection_names": None, "tensor_regex": None}
"""AWS's parameters for `chosen`, with their defaults: each rule reads the tensors that suit it."""
TENSOR_CHOICE_MEANING = {
    "collection_names": "collections whose tensors are read, separated by commas",
    "tensor_regex": "regular expressions of the tensors that are read, separated by commas",
}

GRADIENT = "gradient/"
IN_ORDER = (TRAIN, EVAL, GLOBAL, PREDICT)


def gradients(evidence: Evidence) -> list[str]:
    """Names of the recorded gradients, in the order of the layers as far as names show it."""
    found = {name for name in evidence.recorded_names() if name.startswith(GRADIENT)}
    return natural(found | members(evidence, "gradients"))


def weights(evidence: Evidence) -> list[str]:
    """Names of the recorded weights, without biases, in the order of the layers as far as names show it."""
    found = members(evidence, "weights") or {
        name for name in evidence.recorded_names() if name.endswith("weight") and not name.startswith(GRADIENT)
    }
    return natural(found)


def trained_weights(evidence: Evidence) -> list[str]:
    """Names of the weights that are trained: those with a gradient, or all if no gradients were recorded.

    The weights of frozen layers are recorded too, but need not change.
    """
    names, with_gradient = weights(evidence), set(gradients(evidence))
    return [name for name in names if GRADIENT + name in with_gradient] if with_gradient else names


def weight_gradients(evidence: Evidence) -> list[str]:
    """Names of the gradients of weights, or of all gradients if none of a weight was recorded.

    A bias before a normalization has no gradient by design, so it does not show whether gradients vanish.
    """
    names = gradients(evidence)
    return [name for name in names if not name.endswith("bias")] or names


def tensors(evidence: Evidence) -> set[str]:
    """Names of all recorded tensors except numbers that only describe a step, such as its learning rate."""
    return evidence.recorded_names() - members(evidence, SCALARS)


def members(evidence: Evidence, collection: str) -> set[str]:
    """Names of the recorded tensors of a collection; empty if the collection does not exist."""
    return set(evidence.collections.get(collection, ())) & evidence.recorded_names()


def chosen(evidence: Evidence, parameters: Parameters, otherwise: Iterable[str]) -> list[str]:
    """Names selected by AWS's parameters collection_names or tensor_regex; if both are unset, the names in `otherwise`.

    Both parameters may be a list, or text separated by commas, as AWS accepts them.

    Raises:
        NotEvaluated: The parameters select nothing.
    """
    collections, patterns = parameters.get("collection_names"), parameters.get("tensor_regex")
    if not collections and not patterns:
        return natural(set(otherwise))
    found: set[str] = set()
    for collection in listed(collections):
        found |= members(evidence, collection)
    for pattern in listed(patterns):
        found |= {name for name in evidence.recorded_names() if matches(pattern, name)}
    if not found:
        there = ", ".join(sorted(evidence.collections)) or "none"
        raise NotEvaluated(
            f"No recorded tensor belongs to collection_names {collections!r} or matches tensor_regex {patterns!r};"
            f" recorded collections: {there}."
        )
    return natural(found)


def matches(pattern: str, name: str, *, flags: int = 0) -> bool:
    """Whether a regular expression matches somewhere in a name.

    Raises:
        RuleError: The pattern is not a valid regular expression.
    """
    try:
        return re.search(pattern, name, flags) is not None
    except re.error as problem:
        raise RuleError(f"{pattern!r} is not a valid regular expression: {problem}") from None


def listed(value: Any) -> list[str]:
    """Strings from a list, or from text separated by commas."""
    if not value:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value]


def natural(names: Iterable[str]) -> list[str]:
    """Sorts names naturally, so that layer 2 comes before layer 10."""
    return sorted(
        names,
        key=lambda name: [(not digits, int(digits) if digits else text) for digits, text in _PARTS.findall(name)],
    )


_PARTS = re.compile(r"(\d+)|(\D+)")


def first_mode(evidence: Evidence, name: str) -> str:
    """The mode in which a tensor is evaluated: TRAIN if it was recorded there, otherwise the first that has it."""
    there = evidence.modes(name)
    return next((mode for mode in IN_ORDER if mode in there), TRAIN)
