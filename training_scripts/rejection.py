"""Tells pictures of none of the classes: a score of logits and features, and the threshold above which to reject."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

METHODS = ("max_softmax", "energy")


@dataclass(frozen=True)
class Rejection:
    """A fitted rule: a picture whose score is above the threshold shows none of the classes.

    Attributes:
        method: What the score is, one of METHODS.
        threshold: Scores above it are rejected.
        kept: Share of the pictures it was fitted on that stay below it.
        parameters: Numbers the score needs.
        tensors: Arrays the score needs, on the CPU; empty until the bundle's weights are read.
    """

    method: str
    threshold: float
    kept: float
    parameters: Mapping[str, float] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def scores(self, logits: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002
        """How little pictures look like any class: float64 [n], on the CPU, higher is less.

        Args:
            logits: The model's logits [n, classes].
            features: The backbone's features of the same pictures [n, width].
        """
        values = logits.detach().cpu().double() / self.parameters["temperature"]
        if self.method == "max_softmax":
            return 1 - values.softmax(1).amax(1)
        return -self.parameters["temperature"] * values.logsumexp(1)

    def to_dict(self) -> dict[str, Any]:
        """What model.json says of it; `from_dict` takes it back. The tensors lie with the weights."""
        return {
            "method": self.method,
            "threshold": self.threshold,
            "kept": self.kept,
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rejection:
        """Reads what `to_dict` gave.

        Raises:
            ValueError: The method is unknown, or a number is none or out of bounds.
        """
        method, parameters = values["method"], values["parameters"]
        if method not in METHODS:
            raise ValueError(f"rejection: unknown method {method!r}")
        if not isinstance(parameters, dict) or set(parameters) != {"temperature"}:
            raise ValueError("rejection: its parameters must be a temperature")
        numbers = {name: _number(values[name], name) for name in ("threshold", "kept")}
        temperature = _number(parameters["temperature"], "temperature")
        if not 0 < numbers["kept"] <= 1 or temperature <= 0:
            raise ValueError("rejection: kept must be above 0 and at most 1, the temperature above 0")
        return cls(method, numbers["threshold"], numbers["kept"], {"temperature": temperature})


def _number(value: object, name: str) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"rejection: {name} is no finite number")
    return float(value)  # type: ignore[arg-type]
