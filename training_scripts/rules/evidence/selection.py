"""Which tensors of a run a rule evaluates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from training_scripts.recording.trial.trial import EVAL, GLOBAL, PREDICT, TRAIN
from training_scripts.rules.declaration import Parameters
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import NotEvaluated, RuleError

GRADIENT = "gradient/"
IN_ORDER = (TRAIN, EVAL, GLOBAL, PREDICT)


def gradients(evidence: Evidence) -> list[str]:
    """Names of the recorded gradients, in the network's order as far as names show it."""
    found = {name for name in evidence.recorded_names() if name.startswith(GRADIENT)}
    return natural(found | members(evidence, "gradients"))


def weights(evidence: Evidence) -> list[str]:
    """Names of the recorded weights (no biases, no gradients), in the network's order as far as names show it."""
    found = members(evidence, "weights") or {
        name for name in evidence.recorded_names() if name.endswith("weight") and not name.startswith(GRADIENT)
    }
    return natural(found)


def trained_weights(evidence: Evidence) -> list[str]:
    """Names of the weights that training is to change: those with a gradient, where gradients were recorded at all.

    A frozen layer's weights are recorded too, and may stand still.
    """
    names, with_gradient = weights(evidence), set(gradients(evidence))
    return [name for name in names if GRADIENT + name in with_gradient] if with_gradient else names


def weight_gradients(evidence: Evidence) -> list[str]:
    """Names of the gradients of weights; of whatever there is where no weight's was recorded.

    Biases before a normalization have no gradient by construction, so they do not show whether gradients vanish.
    """
    names = gradients(evidence)
    return [name for name in names if not name.endswith("bias")] or names


def members(evidence: Evidence, collection: str) -> set[str]:
    """Names of the recorded tensors of a collection; empty where there is no such collection."""
    return set(evidence.collections.get(collection, ())) & evidence.recorded_names()


def chosen(evidence: Evidence, parameters: Parameters, otherwise: Iterable[str]) -> list[str]:
    """Names that AWS's parameters collection_names and tensor_regex choose (their union), or else the given ones.

    Both are a text with commas or a list, as AWS takes them.

    Raises:
        NotEvaluated: They choose nothing.
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
            f"No recorded tensor belongs to collection_names {collections!r} or fits tensor_regex {patterns!r};"
            f" recorded collections: {there}."
        )
    return natural(found)


def matches(pattern: str, name: str, *, flags: int = 0) -> bool:
    """Whether a regular expression is found in a name.

    Raises:
        RuleError: It is not a valid regular expression.
    """
    try:
        return re.search(pattern, name, flags) is not None
    except re.error as problem:
        raise RuleError(f"{pattern!r} is not a valid regular expression: {problem}") from None


def listed(value: Any) -> list[str]:
    """Texts from a list, or from a text with commas."""
    if not value:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value]


def natural(names: Iterable[str]) -> list[str]:
    """Names sorted so that layer 2 comes before layer 10."""
    return sorted(
        names,
        key=lambda name: [(not digits, int(digits) if digits else text) for digits, text in _PARTS.findall(name)],
    )


_PARTS = re.compile(r"(\d+)|(\D+)")


def first_mode(evidence: Evidence, name: str) -> str:
    """The mode in which a tensor is looked at: TRAIN where it was recorded in it."""
    there = evidence.modes(name)
    return next((mode for mode in IN_ORDER if mode in there), TRAIN)
