"""The metrics of a job: regular expressions that find them in its log, and the values that these capture."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import MetricDefinitionTypeDef


@dataclass(frozen=True)
class MetricReader:
    """The metrics of a job, and the expressions that find them in its log; `metric_search` applies them.

    Attributes:
        patterns: Name and compiled expression of every metric.
    """

    patterns: tuple[tuple[str, re.Pattern[str]], ...]

    @classmethod
    def of(cls, definitions: Sequence[MetricDefinitionTypeDef]) -> MetricReader:
        """A reader for MetricDefinitions.

        Args:
            definitions: AWS's form, [{"Name": ..., "Regex": ...}]; the expression's first group is the value.

        Raises:
            ConfigurationError: An expression is not valid or has no group.
        """
        return cls(tuple((entry["Name"], _compile(entry)) for entry in definitions))

    def only(self, name: str) -> MetricReader:
        """A reader for one of the metrics."""
        return MetricReader(tuple(pair for pair in self.patterns if pair[0] == name))


def _compile(entry: MetricDefinitionTypeDef) -> re.Pattern[str]:
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
    """The number in a text; None for anything else, NaN and infinity included."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_number(text: str) -> bool:
    """Whether a text is a number, NaN and infinity included."""
    try:
        float(text)
    except ValueError:
        return False
    return True
