"""Which production variant of an endpoint gets a request."""

from __future__ import annotations

import random

from dogbreed_sdk.local.hosting.state import active
from dogbreed_sdk.local.states import ServedVariant, State


def served_variants(state: State) -> list[ServedVariant]:
    """The production variants that an endpoint serves now."""
    return active(state)["variants"]


def variant_names(state: State) -> list[str]:
    """Their names, in the order of the endpoint configuration."""
    return [served["variant"]["VariantName"] for served in served_variants(state)]


def weight(served: ServedVariant) -> float:
    """A variant's weight; its share of the requests is its weight divided by the sum of all weights."""
    return float(served["variant"].get("InitialVariantWeight", 1.0))


def choose_variant(state: State) -> str:
    """A variant for the next request, at random by weight."""
    served = served_variants(state)
    if len(served) == 1:
        return served[0]["variant"]["VariantName"]
    (chosen,) = random.choices(served, [weight(each) for each in served])  # noqa: S311 - this is not a secret
    return chosen["variant"]["VariantName"]
