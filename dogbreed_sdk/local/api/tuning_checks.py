"""Checks the constraints on a tuning job that AWS checks in addition to those of its model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk.container import OBJECTIVE_HYPERPARAMETER
from dogbreed_sdk.local.api.common import first_duplicate, require
from dogbreed_sdk.local.api.training_jobs import check_training
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.tuning import resolution

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CategoricalParameterRangeUnionTypeDef,
        ContinuousParameterRangeTypeDef,
        CreateHyperParameterTuningJobRequestTypeDef,
        IntegerParameterRangeTypeDef,
    )

    from dogbreed_sdk.local.api.training_jobs import Definition
    from dogbreed_sdk.local.store import Request

    NumericRange = ContinuousParameterRangeTypeDef | IntegerParameterRangeTypeDef

# Developer guide, "Define Hyperparameter Ranges": static and tuned ones, and those that SageMaker adds.
_MAXIMUM_HYPERPARAMETERS = 100


def check_tuning(request: CreateHyperParameterTuningJobRequestTypeDef) -> None:
    """Refuse a tuning job that AWS would refuse, or that needs features that local SageMaker does not support.

    Raises:
        ApiError: ValidationException or ResourceLimitExceeded.
    """
    if bool(request.get("TrainingJobDefinition")) == bool(request.get("TrainingJobDefinitions")):
        raise validation_error("Pass either TrainingJobDefinition or TrainingJobDefinitions, and not both.")
    _check_objectives(request)
    for definition, path in zip(resolution.definitions_of(cast("Request", request)), _paths(request), strict=True):
        _check_resources(definition, path)
    resolved = resolution.resolve(cast("Request", request))
    config = resolved["HyperParameterTuningJobConfig"]
    definitions = resolution.definitions_of(resolved)
    for definition, path in zip(definitions, _paths(request), strict=True):
        check_training(cast("Definition", definition), path=path)
        _check_objective(definition, resolution.objective_of(definition, config))
        ranges = resolution.ranges_of(definition, config)
        if ranges.get("AutoParameters") and not request.get("Autotune"):
            raise validation_error("AutoParameters are for tuning jobs with Autotune: set its Mode to Enabled.")
        _check_ranges(definition, ranges)
        _check_strategy(config, ranges)
    _check_number_of_jobs(config, definitions)


def _paths(request: CreateHyperParameterTuningJobRequestTypeDef) -> list[str]:
    """Where the definitions are in the request, for messages."""
    several = request.get("TrainingJobDefinitions") or ()
    return [f"trainingJobDefinitions.{place}.member." for place in range(1, len(several) + 1)] or [
        "trainingJobDefinition."
    ]


def _check_objectives(request: CreateHyperParameterTuningJobRequestTypeDef) -> None:
    """Check that there are objectives and ranges where AWS expects them: for one definition in the configuration."""
    config = request["HyperParameterTuningJobConfig"]
    definitions = request.get("TrainingJobDefinitions") or ()
    shared = ("HyperParameterTuningJobObjective", "ParameterRanges")
    if not definitions:
        require(config, *shared, path="hyperParameterTuningJobConfig.")
        return
    for name in shared:
        if config.get(name):
            raise validation_error(
                f"{name} belongs to TrainingJobDefinition. With TrainingJobDefinitions, pass TuningObjective and "
                "HyperParameterRanges in each of them."
            )
    for definition, path in zip(definitions, _paths(request), strict=True):
        require(definition, "DefinitionName", "TuningObjective", "HyperParameterRanges", path=path)
    duplicate = first_duplicate([definition["DefinitionName"] for definition in definitions])
    if duplicate is not None:
        raise validation_error(f"DefinitionName {duplicate!r} is used more than once; the names must be unique.")
    if len({definition["TuningObjective"]["Type"] for definition in definitions}) > 1:
        raise validation_error("The TuningObjective of all TrainingJobDefinitions must have the same Type.")


def _check_resources(definition: Mapping[str, Any], path: str) -> None:
    flexible = definition.get("HyperParameterTuningResourceConfig")
    if not flexible:
        return
    if definition.get("ResourceConfig"):
        raise validation_error(f"Pass either ResourceConfig or HyperParameterTuningResourceConfig in {path[:-1]}.")
    path = f"{path}hyperParameterTuningResourceConfig."
    single = [name for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB") if flexible.get(name) is not None]
    if flexible.get("InstanceConfigs") and single:
        raise validation_error(f"Pass either InstanceConfigs or {', '.join(single)} in {path[:-1]}, and not both.")
    if flexible.get("AllocationStrategy") and not flexible.get("InstanceConfigs"):
        raise validation_error(f"AllocationStrategy in {path[:-1]} needs InstanceConfigs.")
    if not flexible.get("InstanceConfigs"):
        require(flexible, "InstanceType", "InstanceCount", "VolumeSizeInGB", path=path)


def _check_objective(definition: Mapping[str, Any], objective: Mapping[str, str]) -> None:
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
    categorical = ranges.get("CategoricalParameterRanges") or []
    integer, continuous = ranges.get("IntegerParameterRanges") or [], ranges.get("ContinuousParameterRanges") or []
    names = [entry["Name"] for entry in (*integer, *continuous, *categorical)]
    if not names:
        hints = ranges.get("AutoParameters")
        why = "; none of AutoParameters has a positive number as its ValueHint" if hints else ""
        raise validation_error(f"A tuning job needs at least one hyperparameter range{why}.")
    duplicate = first_duplicate(names)
    if duplicate is not None:
        raise validation_error(f"Hyperparameter {duplicate!r} has more than one range.")
    static = definition.get("StaticHyperParameters") or {}
    if len(names) + len(static) > _MAXIMUM_HYPERPARAMETERS:
        raise validation_error(
            f"The tuning job has {len(names) + len(static)} hyperparameters, with {OBJECTIVE_HYPERPARAMETER}, which "
            f"SageMaker adds; {_MAXIMUM_HYPERPARAMETERS} are allowed."
        )
    for name in names:
        if name in static:
            raise validation_error(f"Hyperparameter {name!r} is both tuned and static; set it in one place only.")
    for entry in integer:
        _check_bounds(entry, int, "an integer")
    for entry in continuous:
        _check_bounds(entry, float, "a number")
    for choices in categorical:
        _check_values(choices)


def _check_values(entry: CategoricalParameterRangeUnionTypeDef) -> None:
    duplicate = first_duplicate(entry["Values"])
    if duplicate is not None:
        raise validation_error(f"Hyperparameter {entry['Name']!r} lists the value {duplicate!r} more than once.")


def _check_bounds(entry: NumericRange, kind: type[int | float], noun: str) -> None:
    name = entry["Name"]
    bounds: list[float] = []
    for member, text in (("MinValue", entry["MinValue"]), ("MaxValue", entry["MaxValue"])):
        try:
            bounds.append(kind(text))
        except ValueError:
            raise validation_error(f"{member} {text!r} of hyperparameter {name!r} is not {noun}.") from None
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
    if scaling == "ReverseLogarithmic" and (kind is int or low < 0 or high >= 1):
        raise validation_error(
            f"Hyperparameter {name!r} has reverse logarithmic scaling: it must be continuous, 0 <= range < 1."
        )


def _check_strategy(config: Mapping[str, Any], ranges: Mapping[str, Any]) -> None:
    strategy = config["Strategy"]
    if strategy == "Grid" and (ranges.get("IntegerParameterRanges") or ranges.get("ContinuousParameterRanges")):
        raise validation_error("The Grid strategy takes categorical hyperparameter ranges only.")
    limits = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig")
    if limits and strategy != "Hyperband":
        raise validation_error(f"HyperbandStrategyConfig is not valid with the {strategy} strategy.")
    low, high = (limits or {}).get("MinResource"), (limits or {}).get("MaxResource")
    if low is not None and high is not None and low > high:
        raise validation_error(f"MinResource {low} must not be greater than MaxResource {high}.")
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise validation_error(
            "Hyperband stops training jobs itself: TrainingJobEarlyStoppingType must be Off with it."
        )


def _check_number_of_jobs(config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]) -> None:
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if most is None:
        raise validation_error(f"MaxNumberOfTrainingJobs is required for the {config['Strategy']} strategy.")
    combinations = sum(resolution.grid_size(resolution.ranges_of(entry, config)) for entry in definitions)
    if config["Strategy"] == "Grid" and most != combinations:
        raise validation_error(
            f"MaxNumberOfTrainingJobs is {most}, but the grid has {combinations} combinations; "
            "pass that number, or leave it out."
        )
