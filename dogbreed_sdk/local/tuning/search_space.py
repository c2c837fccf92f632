"""The ranges of a tuning job: SageMaker's form (strings, scaling types) and Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from types_boto3_sagemaker.type_defs import (
        ContinuousParameterRangeTypeDef,
        IntegerParameterRangeTypeDef,
        ParameterRangesUnionTypeDef,
    )


# Auto scaling: a range of two orders of magnitude or more is searched on a logarithmic scale.
_AUTO_LOGARITHMIC_DECADES = 2.0


# A value as Optuna has it: text of a categorical range, else a number.
Value = str | int | float


@dataclass(frozen=True)
class Range:
    """One tuned hyperparameter.

    Attributes:
        name: The hyperparameter.
        kind: "continuous", "integer" or "categorical".
        low: The smallest value; for a reverse range of 1 - value.
        high: The largest value, likewise.
        logarithmic: Whether it is searched on a logarithmic scale.
        reverse: Whether 1 - value is searched (ReverseLogarithmic).
        values: A categorical range's values, in wire form.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False
    reverse: bool = False
    values: tuple[str, ...] = ()

    def distribution(self) -> BaseDistribution:
        """Optuna's distribution of this range."""
        from optuna import distributions  # noqa: PLC0415

        if self.kind == "categorical":
            return distributions.CategoricalDistribution(self.values)
        if self.kind == "integer":
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.logarithmic)
        return distributions.FloatDistribution(self.low, self.high, log=self.logarithmic)

    def choices(self) -> Iterable[Value]:
        """Optuna's values of this range one by one; none for a continuous range, as these can't be listed."""
        if self.kind == "categorical":
            return self.values
        return range(int(self.low), int(self.high) + 1) if self.kind == "integer" else ()

    def to_wire(self, value: Value) -> str:
        """A hyperparameter's string for a value that Optuna proposes."""
        if self.kind == "categorical":
            return str(value)
        if self.kind == "integer":
            return str(int(value))
        return repr(1.0 - float(value) if self.reverse else float(value))

    def from_wire(self, text: str) -> Value:
        """Optuna's value for a hyperparameter's string, within the range despite rounding."""
        if self.kind == "categorical":
            return text
        if self.kind == "integer":
            return int(text)
        value = 1.0 - float(text) if self.reverse else float(text)
        return min(max(value, self.low), self.high)

    def contains(self, text: str) -> bool:
        """Whether a hyperparameter's string is a value of this range."""
        if self.kind == "categorical":
            return text in self.values
        try:
            value = int(text) if self.kind == "integer" else float(text)
        except ValueError:
            return False
        return self.low <= (1.0 - value if self.reverse else value) <= self.high


def read_ranges(ranges: ParameterRangesUnionTypeDef) -> tuple[Range, ...]:
    """The ranges of a ParameterRanges member.

    Raises:
        ConfigurationError: A range is empty, or its scaling is not valid for its bounds.
    """
    found = [_numeric(entry, "continuous") for entry in ranges.get("ContinuousParameterRanges") or ()]
    found += [_numeric(entry, "integer") for entry in ranges.get("IntegerParameterRanges") or ()]
    found += [
        Range(name=entry["Name"], kind="categorical", values=tuple(entry["Values"]))
        for entry in ranges.get("CategoricalParameterRanges") or ()
    ]
    if not found:
        raise ConfigurationError("A tuning job needs at least one range of hyperparameters.")
    return tuple(found)


def _numeric(entry: ContinuousParameterRangeTypeDef | IntegerParameterRangeTypeDef, kind: str) -> Range:
    name = entry["Name"]
    low, high = float(entry["MinValue"]), float(entry["MaxValue"])
    scaling = entry.get("ScalingType", "Auto")
    if not low <= high:
        raise ConfigurationError(
            f"The range of {name!r} is empty: MinValue {number_text(low)} is above MaxValue {number_text(high)}."
        )
    if scaling == "ReverseLogarithmic":
        if kind != "continuous" or low < 0 or high >= 1:
            raise ConfigurationError(
                f"The range of {name!r} has ReverseLogarithmic scaling, which needs continuous values in [0, 1)."
            )
        return Range(name=name, kind=kind, low=1.0 - high, high=1.0 - low, logarithmic=True, reverse=True)
    if scaling == "Logarithmic" and low <= 0:
        raise ConfigurationError(f"The range of {name!r} has Logarithmic scaling, which needs MinValue above 0.")
    logarithmic = scaling == "Logarithmic" or (scaling == "Auto" and _spans_magnitudes(low, high))
    return Range(name=name, kind=kind, low=low, high=high, logarithmic=logarithmic)


def _spans_magnitudes(low: float, high: float) -> bool:
    return low > 0 and math.log10(high / low) >= _AUTO_LOGARITHMIC_DECADES - 1e-9
