"""What a search looks for: hyperparameter ranges, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk.errors import ConfigurationError
from training_scripts import ScriptError
from training_scripts._util.suggestions import did_you_mean, known_as
from training_scripts.training import hyperparameters, metrics

if TYPE_CHECKING:
    from sagemaker.core.parameter import ParameterRange

STRATEGIES = ("Bayesian", "Random", "Grid", "Hyperband")
# They decide which features the heads train on, and those are computed once, before the search.
_FIXED = ("model", "weights", "views")


def default_search() -> dict[str, ParameterRange]:
    """What `BreedTrainer.tune` searches unless told otherwise.

    Learning rate and weight decay around what heads on frozen features want (on 120 breeds of real dogs every
    optimum of a wider search lay well inside), and the batch size.
    """
    parameter = optional.load("sagemaker.core.parameter", extra="aws", purpose="tune")
    return {
        "lr": parameter.ContinuousParameter(5e-4, 1e-2, scaling_type="Logarithmic"),
        "weight-decay": parameter.ContinuousParameter(1e-2, 1.0, scaling_type="Logarithmic"),
        "batch-size": parameter.CategoricalParameter([32, 64, 128]),
    }


def checked_ranges(search: Mapping[str, ParameterRange] | None) -> dict[str, ParameterRange]:
    """The ranges of a search by the hyperparameters' own names; the script would accept every end and category.

    Raises:
        ConfigurationError: A name cannot be searched, a range is none, empty, or reaches too far, or there is nothing
            to choose from.
    """
    ranges: dict[str, ParameterRange] = {}
    for written, value in (default_search() if search is None else search).items():
        name = hyperparameters.meant(written, "hpo") or written
        if name in ranges:
            raise ConfigurationError(f"{name} has two search ranges; give one.")
        ranges[name] = value
    for name, parameter in ranges.items():
        _check_range(name, parameter)
    if combinations(ranges) == 1:
        raise ConfigurationError(
            f"There is nothing to search: {', '.join(ranges)} {'has' if len(ranges) == 1 else 'have'} a single value. "
            "Give it as a hyperparameter, or search more values."
        )
    return ranges


def combinations(ranges: Mapping[str, ParameterRange]) -> int | None:
    """How many different trials a search can have; None where a range is continuous."""
    count = 1
    for parameter in ranges.values():
        categories = getattr(parameter, "values", None)
        if isinstance(categories, list):
            count *= len(categories)
        elif type(parameter).__name__ == "IntegerParameter":
            count *= int(parameter.max_value) - int(parameter.min_value) + 1
        else:
            return None
    return count


def job_limit(ranges: Mapping[str, ParameterRange], strategy: str, wanted: int | None) -> tuple[int | None, str]:
    """How many trials a search has, at most one per combination of values, and what to say where that is not as asked.

    Args:
        ranges: What is searched.
        strategy: The strategy.
        wanted: The limit that was given, or None.

    Returns:
        The limit, None for a Grid search, which ends by itself; and a sentence, or an empty string.

    Raises:
        ConfigurationError: The limit is below 1, or the Grid strategy does not go with it or with a range.
    """
    if wanted is not None and wanted < 1:
        raise ConfigurationError(f"max_jobs is {wanted}; it starts at 1.")
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
            f"The Grid strategy tries every combination of listed values, and {', '.join(numeric)} has a range with "
            "bounds: list its values, or use another strategy."
        )
    assert count is not None
    if wanted is None or wanted == count:
        return ""
    if wanted < count:
        raise ConfigurationError(
            f"The grid has {count} combinations and max_jobs is {wanted}: leave max_jobs out to try them all, or use "
            "the Random strategy to try some."
        )
    return f"{count} trials, not {wanted}: the grid has {count} combinations of values"


def check_objective(objective: str) -> str:
    """The objective by its own name, whatever the spelling.

    Raises:
        ConfigurationError: No script reports it; with the metric that was probably meant.
    """
    found = metrics.meant(objective)
    if found is None:
        known = ", ".join(metrics.METRICS)
        near = metrics.nearest(objective)
        hint = f"; did you mean {near}?" if near else "."
        raise ConfigurationError(f"No script reports the metric {objective!r}{hint} The objective is one of {known}.")
    return str(found)


def check_strategy(strategy: str) -> str:
    """The strategy as SageMaker spells it.

    Raises:
        ConfigurationError: SageMaker does not have it; with those it has.
    """
    found = known_as(strategy, STRATEGIES)
    if found is None:
        hint = did_you_mean(strategy, STRATEGIES) or "."
        raise ConfigurationError(f"{strategy!r} is not a strategy{hint} Use {', '.join(STRATEGIES)}.")
    return str(found)


def _check_range(name: str, parameter: object) -> None:
    if name in _FIXED:
        raise ConfigurationError(
            f"{name} cannot be searched: it decides the features, which are computed once. Tune once for each."
        )
    seen: dict[object, object] = {}
    for value in _outermost(name, parameter):
        try:
            checked = hyperparameters.validate({name: value}, entry_point="hpo").to_dict()[name]
        except ScriptError as error:
            raise ConfigurationError(str(error)) from error
        if checked in seen:
            raise ConfigurationError(f"The search range of {name!r} lists {value!r} twice.")
        seen[checked] = value


def _outermost(name: str, parameter: object) -> list[object]:
    """The values of a range that must be allowed if all are: its ends, or its categories."""
    categories = getattr(parameter, "values", None)
    if isinstance(categories, list) and categories:
        return categories
    low, high = getattr(parameter, "min_value", None), getattr(parameter, "max_value", None)
    if low is None or high is None:
        raise ConfigurationError(
            f"The search range of {name!r} is {parameter!r}; give a ContinuousParameter, IntegerParameter or "
            "CategoricalParameter of sagemaker.core.parameter."
        )
    if not low < high:
        raise ConfigurationError(f"The search range of {name!r} goes from {low} to {high}; it must rise.")
    return [low, high]
