"""Ranges of the hyperparameters to search, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.requests.ranges import CategoricalParameter, ContinuousParameter, IntegerParameter, is_a
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.trainer_hyperparameters import OF_FEATURES
from training_scripts import ScriptError
from training_scripts._util.suggestions import did_you_mean, known_as
from training_scripts.training import hyperparameters, metrics

if TYPE_CHECKING:
    from dogbreed_sdk.aws.requests.ranges import ParameterRange

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")


def default_search() -> dict[str, ParameterRange]:
    """The ranges that `BreedTrainer.tune` searches by default.

    Learning rate and weight decay around the optimum of heads on frozen features (on photographs of 120 breeds, every
    optimum of a wider search was well inside), and the batch size.
    """
    return {
        "lr": ContinuousParameter(5e-4, 1e-2, scaling_type="Logarithmic"),
        "weight-decay": ContinuousParameter(1e-2, 1.0, scaling_type="Logarithmic"),
        "batch-size": CategoricalParameter([32, 64, 128]),
    }


def checked_ranges(search: Mapping[str, ParameterRange] | None) -> dict[str, ParameterRange]:
    """The ranges of a search by canonical hyperparameter name; the script accepts all their bounds and categories.

    Raises:
        ConfigurationError: A hyperparameter cannot be searched, a range is invalid, empty or out of bounds, or there is
            nothing to choose from.
    """
    ranges: dict[str, ParameterRange] = {}
    for written, value in (default_search() if search is None else search).items():
        name = hyperparameters.meant(written, "hpo") or written
        if name in ranges:
            raise ConfigurationError(f"{name} has two search ranges; pass only one.")
        ranges[name] = value
    for name, parameter in ranges.items():
        _check_range(name, parameter)
    if combinations(ranges) == 1:
        raise ConfigurationError(
            f"Nothing to search: {', '.join(ranges)} {'has' if len(ranges) == 1 else 'have'} a single value. Pass it "
            "as a hyperparameter, or search more values."
        )
    return ranges


def combinations(ranges: Mapping[str, ParameterRange]) -> int | None:
    """Number of different trials that a search can have; None if a range is continuous."""
    count = 1
    parameter: Any
    for parameter in ranges.values():
        categories = getattr(parameter, "values", None)
        if isinstance(categories, list):
            count *= len(categories)
        elif is_a(IntegerParameter, parameter):
            count *= int(parameter.max_value) - int(parameter.min_value) + 1
        else:
            return None
    return count


def job_limit(ranges: Mapping[str, ParameterRange], strategy: str, wanted: int | None) -> tuple[int | None, str]:
    """Number of trials of a search, at most one per combination of values; with a notice if it is not as requested.

    Args:
        ranges: The ranges to search.
        strategy: The strategy.
        wanted: The requested limit, or None.

    Returns:
        The limit, None for a Grid search, which ends by itself; and a notice, or an empty string.

    Raises:
        ConfigurationError: The limit is below 1, or the Grid strategy cannot be used with it or with a range.
    """
    if wanted is not None and wanted < 1:
        raise ConfigurationError(f"max_jobs is {wanted}; it must be at least 1.")
    count = combinations(ranges)
    if strategy == "Grid":
        return None, _check_grid(ranges, count, wanted)
    limit = defaults.TUNING_MAX_JOBS if wanted is None else wanted
    if count is None or count >= limit:
        return limit, ""
    return count, f"{count} trials, not {limit}: the ranges have {count} different combinations of values"


def _check_grid(ranges: Mapping[str, ParameterRange], count: int | None, wanted: int | None) -> str:
    numeric = [name for name, parameter in ranges.items() if not isinstance(getattr(parameter, "values", None), list)]
    if numeric:
        raise ConfigurationError(
            f"The Grid strategy tries all combinations of listed values, but {', '.join(numeric)} has a range with "
            "bounds: list its values, or use another strategy."
        )
    assert count is not None
    if wanted is None or wanted == count:
        return ""
    if wanted < count:
        raise ConfigurationError(
            f"The grid has {count} combinations but max_jobs is {wanted}: omit max_jobs to try them all, or use the "
            "Random strategy to try some."
        )
    return f"{count} trials, not {wanted}: the grid has {count} combinations of values"


def check_objective(objective: str) -> str:
    """The canonical name of an objective metric.

    Raises:
        ConfigurationError: No script reports this metric; the message suggests the one that was probably meant.
    """
    found = metrics.meant(objective)
    if found is None:
        known = ", ".join(metrics.METRICS)
        near = metrics.nearest(objective)
        hint = f"; did you mean {near}?" if near else "."
        raise ConfigurationError(f"Unknown objective metric {objective!r}{hint} Valid metrics: {known}.")
    return str(found)


def check_strategy(strategy: str) -> str:
    """The strategy as SageMaker spells it.

    Raises:
        ConfigurationError: SageMaker does not have this strategy; the message lists those it has.
    """
    found = known_as(strategy, STRATEGIES)
    if found is None:
        hint = did_you_mean(strategy, STRATEGIES) or "."
        raise ConfigurationError(f"Unknown strategy {strategy!r}{hint} Valid strategies: {', '.join(STRATEGIES)}.")
    return str(found)


def _check_range(name: str, parameter: object) -> None:
    if name in OF_FEATURES:
        raise ConfigurationError(
            f"{name} cannot be searched: the features depend on it and are computed once. Start one search per value."
        )
    seen: dict[object, object] = {}
    for value in outermost(name, parameter):
        try:
            checked = hyperparameters.validate({name: value}, entry_point="hpo").to_dict()[name]
        except ScriptError as error:
            raise ConfigurationError(str(error)) from error
        if checked in seen:
            raise ConfigurationError(f"The search range of {name!r} lists {value!r} twice.")
        seen[checked] = value


def outermost(name: str, parameter: object) -> list[object]:
    """The bounds of a range, or its categories: if the script accepts these, it accepts the whole range."""
    categories = getattr(parameter, "values", None)
    if isinstance(categories, list) and categories:
        return categories
    low, high = getattr(parameter, "min_value", None), getattr(parameter, "max_value", None)
    if low is None or high is None:
        raise ConfigurationError(
            f"The search range of {name!r} is {parameter!r}; pass a ContinuousParameter, IntegerParameter or "
            "CategoricalParameter from sagemaker.core.parameter."
        )
    if not low < high:
        raise ConfigurationError(f"The search range of {name!r} is {low} to {high}; the upper bound must be greater.")
    return [low, high]
