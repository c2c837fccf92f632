"""Metrics are read from a job's log by the regular expressions of its MetricDefinitions, as SageMaker does."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dogbreed_sdk.errors import ConfigurationError


@dataclass(frozen=True)
class MetricReader:
    """The metrics of a job, and how they are found in its log; `metric_search` does it.

    Attributes:
        patterns: Name and compiled expression of every metric.
    """

    patterns: tuple[tuple[str, re.Pattern[str]], ...]

    @classmethod
    def of(cls, definitions: Sequence[Mapping[str, str]]) -> MetricReader:
        """A reader for MetricDefinitions.

        Args:
            definitions: AWS's form, [{"Name": ..., "Regex": ...}]; the expression's first group is the value.

        Raises:
            ConfigurationError: An expression is not valid or has no group.
        """
        return cls(tuple((str(entry["Name"]), _compile(entry)) for entry in definitions))

    def only(self, name: str) -> MetricReader:
        """A reader for one of the metrics."""
        return MetricReader(tuple(pair for pair in self.patterns if pair[0] == name))


def _compile(entry: Mapping[str, str]) -> re.Pattern[str]:
    try:
        pattern = re.compile(entry["Regex"])
    except re.error as error:
        raise ConfigurationError(
            f"The Regex of metric {entry['Name']!r} is not a valid regular expression ({error}): {entry['Regex']}"
        ) from error
    if not pattern.groups:
        raise ConfigurationError(
            f"The Regex of metric {entry['Name']!r} has no group for the value: {entry['Regex']}. "
            "Put parentheses around the number, for example 'loss=([0-9.]+)'."
        )
    return pattern


def finite(text: str) -> float | None:
    """The number that a text stands for; None for anything else, for NaN and for infinity."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_number(text: str) -> bool:
    """Whether a text stands for a number, NaN and infinity among them."""
    try:
        float(text)
    except ValueError:
        return False
    return True
