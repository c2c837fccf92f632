"""What AWS checks on a tuning job beyond its model's constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dogbreed_sdk.local.api.common import first_duplicate, require
from dogbreed_sdk.local.api.training_jobs import check_training
from dogbreed_sdk.local.api.wire import validation_error

_RANGE_LISTS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")


def definition_of(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The training job definition of a tuning job, whichever of the two members it came in."""
    definition: Mapping[str, Any] = request.get("TrainingJobDefinition") or request["TrainingJobDefinitions"][0]
    return definition


def check_tuning(request: Mapping[str, Any]) -> None:
    """Refuse a tuning job that AWS would refuse, or that asks for what local SageMaker does not do.

    Raises:
        ApiError: ValidationException or ResourceLimitExceeded.
    """
    config = request["HyperParameterTuningJobConfig"]
    if bool(request.get("TrainingJobDefinition")) == bool(request.get("TrainingJobDefinitions")):
        raise validation_error("Give either TrainingJobDefinition or TrainingJobDefinitions, and not both.")
    _refuse_unsupported(request)
    definition = definition_of(request)
    if request.get("TrainingJobDefinition"):
        path, ranges, objective = "trainingJobDefinition.", "ParameterRanges", "HyperParameterTuningJobObjective"
        place, place_path = config, "hyperParameterTuningJobConfig."
    else:
        path, ranges, objective = "trainingJobDefinitions.1.member.", "HyperParameterRanges", "TuningObjective"
        place, place_path = definition, path
        require(definition, "DefinitionName", path=path)
    require(place, objective, ranges, path=place_path)
    check_training(definition, path=path)
    _check_objective(definition, place[objective])
    _check_ranges(definition, place[ranges])
    _check_strategy(config, place[ranges])


def _refuse_unsupported(request: Mapping[str, Any]) -> None:
    config = request["HyperParameterTuningJobConfig"]
    criteria = config.get("TuningJobCompletionCriteria") or {}
    definitions = request.get("TrainingJobDefinitions") or ()
    ranges = [config.get("ParameterRanges"), *(definition.get("HyperParameterRanges") for definition in definitions)]
    unsupported = {
        "WarmStartConfig": request.get("WarmStartConfig"),
        "Autotune": request.get("Autotune"),
        "more than one entry in TrainingJobDefinitions": len(definitions) > 1,
        "TuningJobCompletionCriteria.ConvergenceDetected": criteria.get("ConvergenceDetected"),
        "ParameterRanges.AutoParameters": any(entry and entry.get("AutoParameters") for entry in ranges),
    }
    for name, given in unsupported.items():
        if given:
            raise validation_error(f"Local SageMaker does not support {name}; leave it out.")


def _check_objective(definition: Mapping[str, Any], objective: Mapping[str, Any]) -> None:
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions") or []
    if not metrics:
        raise validation_error(
            "A metric is required for this hyperparameter tuning job objective. "
            "Provide a metric in the metric definitions."
        )
    names = [metric["Name"] for metric in metrics]
    if objective["MetricName"] not in names:
        raise validation_error(
            f"The objective metric {objective['MetricName']!r} is not among the metric definitions: "
            f"[{', '.join(names)}]. A metric is required for this hyperparameter tuning job objective."
        )


def _check_ranges(definition: Mapping[str, Any], ranges: Mapping[str, Any]) -> None:
    entries = [entry for member in _RANGE_LISTS for entry in ranges.get(member) or []]
    if not entries:
        raise validation_error("A tuning job needs at least one hyperparameter range.")
    duplicate = first_duplicate([entry["Name"] for entry in entries])
    if duplicate is not None:
        raise validation_error(f"Hyperparameter {duplicate!r} has more than one range.")
    static = definition.get("StaticHyperParameters") or {}
    for entry in entries:
        if entry["Name"] in static:
            raise validation_error(
                f"Hyperparameter {entry['Name']!r} is both tuned and static; give it in one place only."
            )
        if "Values" in entry:
            _check_values(entry)
        else:
            _check_bounds(entry, whole=entry in (ranges.get("IntegerParameterRanges") or []))


def _check_values(entry: Mapping[str, Any]) -> None:
    duplicate = first_duplicate(entry["Values"])
    if duplicate is not None:
        raise validation_error(f"Hyperparameter {entry['Name']!r} lists the value {duplicate!r} more than once.")


def _check_bounds(entry: Mapping[str, Any], *, whole: bool) -> None:
    name, kind = entry["Name"], "an integer" if whole else "a number"
    bounds: list[float] = []
    for member in ("MinValue", "MaxValue"):
        try:
            bounds.append(int(entry[member]) if whole else float(entry[member]))
        except ValueError:
            raise validation_error(f"{member} {entry[member]!r} of hyperparameter {name!r} is not {kind}.") from None
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high)):
        raise validation_error(f"The range of hyperparameter {name!r} must be finite.")
    if low >= high:
        raise validation_error(
            f"MinValue {entry['MinValue']} of hyperparameter {name!r} must be less than MaxValue {entry['MaxValue']}."
        )
    scaling = entry.get("ScalingType")
    if scaling == "Logarithmic" and low <= 0:
        raise validation_error(f"Hyperparameter {name!r} has logarithmic scaling, so its MinValue must be above 0.")
    if scaling == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
        raise validation_error(
            f"Hyperparameter {name!r} has reverse logarithmic scaling: it must be continuous, 0 <= range < 1."
        )


def _check_strategy(config: Mapping[str, Any], ranges: Mapping[str, Any]) -> None:
    strategy, most = config["Strategy"], config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if strategy == "Grid":
        _check_grid(ranges, most)
    elif most is None:
        raise validation_error(f"MaxNumberOfTrainingJobs is required for the {strategy} strategy.")
    settings = config.get("StrategyConfig") or {}
    if settings.get("HyperbandStrategyConfig") and strategy != "Hyperband":
        raise validation_error(f"HyperbandStrategyConfig does not go with the {strategy} strategy.")
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise validation_error(
            "Hyperband stops training jobs itself: TrainingJobEarlyStoppingType must be Off with it."
        )


def _check_grid(ranges: Mapping[str, Any], most: int | None) -> None:
    if ranges.get("IntegerParameterRanges") or ranges.get("ContinuousParameterRanges"):
        raise validation_error("The Grid strategy takes categorical hyperparameter ranges only.")
    combinations = math.prod(len(entry["Values"]) for entry in ranges.get("CategoricalParameterRanges") or [])
    if most is not None and most != combinations:
        raise validation_error(
            f"MaxNumberOfTrainingJobs is {most}, but the grid has {combinations} combinations; "
            "give that number, or leave it out."
        )
