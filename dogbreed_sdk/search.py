"""What a search looks for: hyperparameter ranges, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dogbreed_sdk import _optional
from dogbreed_sdk.errors import ConfigurationError
from training_scripts import ScriptError, hyperparameters, metrics

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
    parameter = _optional.load("sagemaker.core.parameter", extra="aws", purpose="tune")
    return {
        "lr": parameter.ContinuousParameter(5e-4, 1e-2, scaling_type="Logarithmic"),
        "weight-decay": parameter.ContinuousParameter(1e-2, 1.0, scaling_type="Logarithmic"),
        "batch-size": parameter.CategoricalParameter([32, 64, 128]),
    }


def checked_ranges(search: Mapping[str, ParameterRange] | None) -> dict[str, ParameterRange]:
    """The ranges of a search by dashed name, every end and category of which the script would accept.

    Raises:
        ConfigurationError: A name cannot be searched, or a range is none, empty, or reaches too far.
    """
    ranges = {dashed(name): value for name, value in (default_search() if search is None else search).items()}
    for name, parameter in ranges.items():
        if name in _FIXED:
            raise ConfigurationError(
                f"{name} cannot be searched: it decides the features, which are computed once. Tune once for each."
            )
        for value in _outermost(name, parameter):
            try:
                hyperparameters.validate({name: value}, entry_point="hpo")
            except ScriptError as error:
                raise ConfigurationError(str(error)) from error
    return ranges


def check_objective(objective: str, strategy: str) -> None:
    """Refuses an objective that no script reports, and a strategy that SageMaker does not have.

    Raises:
        ConfigurationError: With what is allowed.
    """
    known = [entry["Name"] for entry in metrics.METRIC_DEFINITIONS]
    if objective not in known:
        raise ConfigurationError(f"No script reports {objective!r}; the objective is one of {', '.join(known)}.")
    if strategy not in STRATEGIES:
        raise ConfigurationError(f"{strategy!r} is no strategy; use {', '.join(STRATEGIES)}.")


def dashed(name: str) -> str:
    """A hyperparameter's name as jobs carry it.

    >>> dashed("batch_size")
    'batch-size'
    """
    return name.replace("_", "-")


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
