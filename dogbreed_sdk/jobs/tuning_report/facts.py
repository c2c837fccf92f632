"""What a report on a search is made of, as plain values: the search's settings, its ranges and its trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.local.tuning.search_space import Range, read_ranges
from training_scripts.training.parameters import write

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DescribeHyperParameterTuningJobResponseTypeDef,
        HyperParameterTrainingJobDefinitionOutputTypeDef,
    )

# Values that span this many decades are read on a logarithmic scale where the search's own range is unknown.
_LOGARITHMIC_DECADES = 2.0
# The script of this SDK's searches.
_OUR_PROGRAM = "hpo"


@dataclass(frozen=True)
class SearchFacts:
    """The settings and the state of a search.

    Attributes:
        name: The tuning job.
        status: Its status.
        strategy: Bayesian, Random, Grid or Hyperband.
        metric: The objective metric.
        maximize: Whether larger values of it are better.
        ranges: The searched hyperparameters; of the best trial's definition where there are several.
        inferred: Names of ranges that SageMaker does not report, and that are those of the values tried.
        shared: Hyperparameters that all trials share, by name, as text.
        limit: The most trials, or None.
        is_ours: Whether the trials run this SDK's script, so that `dogbreed tune` can continue the search.
        early_stopping: Whether SageMaker may stop trials that fall behind.
        seconds: Wall time.
        failure: Why the search failed; empty otherwise.
    """

    name: str
    status: str
    strategy: str
    metric: str
    maximize: bool
    ranges: tuple[Range, ...]
    inferred: frozenset[str] = frozenset()
    shared: Mapping[str, str] | None = None
    limit: int | None = None
    is_ours: bool = False
    early_stopping: bool = False
    seconds: float | None = None
    failure: str = ""

    def range(self, name: str) -> Range | None:
        """The range of a hyperparameter."""
        return next((entry for entry in self.ranges if entry.name == name), None)


def read_facts(
    described: DescribeHyperParameterTuningJobResponseTypeDef,
    trials: Sequence[Trial],
    *,
    definition: str = "",
    seconds: float | None = None,
) -> SearchFacts:
    """The facts of a search from SageMaker's description of it.

    Args:
        described: DescribeHyperParameterTuningJob's response.
        trials: The trials, whose values replace ranges that SageMaker does not report.
        definition: The training job definition whose ranges apply, where there are several.
        seconds: Wall time of the search.
    """
    config = described["HyperParameterTuningJobConfig"]
    chosen = _definition(described, definition)
    objective = config.get("HyperParameterTuningJobObjective") or chosen.get("TuningObjective")
    ranges = _ranges({**(config.get("ParameterRanges") or {}), **(chosen.get("HyperParameterRanges") or {})})
    known = {entry.name for entry in ranges}
    tried: dict[str, list[object]] = {}
    for trial in trials:
        if trial.definition == definition:
            for name, value in trial.hyperparameters.items():
                tried.setdefault(name, []).append(value)
    inferred = [entry for name, values in tried.items() if name not in known for entry in [_inferred(name, values)]]
    shared = {
        name: str(container.decode_hyperparameter(value))
        for name, value in (chosen.get("StaticHyperParameters") or {}).items()
    }
    program = shared.get(container.PROGRAM_HYPERPARAMETER, "")
    return SearchFacts(
        name=described["HyperParameterTuningJobName"],
        status=described["HyperParameterTuningJobStatus"],
        strategy=config["Strategy"],
        metric=objective["MetricName"] if objective else "objective",
        maximize=bool(objective and objective["Type"] == "Maximize"),
        ranges=(*ranges, *inferred),
        inferred=frozenset(entry.name for entry in inferred),
        shared={name: value for name, value in shared.items() if not name.startswith(("sagemaker_", "_tuning"))},
        limit=config["ResourceLimits"].get("MaxNumberOfTrainingJobs"),
        is_ours=_OUR_PROGRAM in program.rpartition("/")[2],
        early_stopping=config.get("TrainingJobEarlyStoppingType") == "Auto",
        seconds=seconds,
        failure=described.get("FailureReason", ""),
    )


def _definition(
    described: DescribeHyperParameterTuningJobResponseTypeDef, name: str
) -> HyperParameterTrainingJobDefinitionOutputTypeDef:
    several = described.get("TrainingJobDefinitions") or []
    empty: HyperParameterTrainingJobDefinitionOutputTypeDef = {}  # type: ignore[typeddict-item]
    first = several[0] if several else described.get("TrainingJobDefinition") or empty
    return next((entry for entry in several if entry.get("DefinitionName") == name), first)


def _ranges(wire: Mapping[str, object]) -> tuple[Range, ...]:
    try:
        return read_ranges(wire)  # type: ignore[arg-type]
    except ConfigurationError:  # there is none, or one that only this reader refuses
        return ()


def _inferred(name: str, values: Sequence[object]) -> Range:
    """The range of the values that were tried."""
    numbers = [float(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values) or min(numbers) == max(numbers):
        return Range(name, "categorical", values=tuple(dict.fromkeys(map(str, values))))
    low, high = min(numbers), max(numbers)
    whole = all(isinstance(value, int) for value in values)
    decades = math.log10(high / low) if low > 0 else 0.0
    return Range(name, "integer" if whole else "continuous", low, high, logarithmic=decades >= _LOGARITHMIC_DECADES)


def place(entry: Range, value: object) -> float | None:
    """Where a value lies in its range: 0 at the low end, 1 at the high end, on the range's scale.

    >>> place(Range("lr", "continuous", 0.001, 0.1, logarithmic=True), 0.01)
    0.5
    >>> place(Range("size", "categorical", values=("32", "64", "128")), 128)
    1.0
    """
    if entry.kind == "categorical":
        category = category_of(entry, value)
        return None if category is None else entry.values.index(category) / max(1, len(entry.values) - 1)
    number = _number(value)
    if number is None:
        return None
    number = 1.0 - number if entry.reverse else number
    if entry.logarithmic:
        if number <= 0:
            return None
        share = math.log(number / entry.low) / math.log(entry.high / entry.low) if entry.high > entry.low else 0.0
    else:
        share = (number - entry.low) / (entry.high - entry.low) if entry.high > entry.low else 0.0
    share = 1.0 - share if entry.reverse else share
    return min(1.0, max(0.0, round(share, 9)))


def category_of(entry: Range, value: object) -> str | None:
    """The category that a value is, as the range writes it; None if it is none of them.

    >>> category_of(Range("lr", "categorical", values=("1e-3", "true")), 0.001)
    '1e-3'
    """
    number = _number(value)
    for category in entry.values:
        if write(value) == category or (number is not None and number == _number(category)):
            return category
    return None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
