"""Metrics are read from a job's log by the regular expressions of its MetricDefinitions, as SageMaker does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dogbreed_sdk.errors import ConfigurationError


@dataclass(frozen=True)
class MetricReader:
    """Finds metric values in log lines.

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

    def read(self, line: str) -> Iterable[tuple[str, float]]:
        """The name and value of every metric in a line, in order; what is no finite number is left out."""
        for name, pattern in self.patterns:
            for match in pattern.finditer(line):
                value = _number(match.group(1))
                if value is not None:
                    yield name, value

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


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
