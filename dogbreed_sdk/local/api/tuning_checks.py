"""Checks the constraints on a tuning job that AWS checks in addition to those of its model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dogbreed_sdk.local.api.common import first_duplicate, require
from dogbreed_sdk.local.api.training_jobs import check_training
from dogbreed_sdk.local.api.wire import validation_error

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CategoricalParameterRangeUnionTypeDef,
        ContinuousParameterRangeTypeDef,
        CreateHyperParameterTuningJobRequestTypeDef,
        HyperParameterTrainingJobDefinitionUnionTypeDef,
        HyperParameterTuningJobConfigUnionTypeDef,
        HyperParameterTuningJobObjectiveTypeDef,
        IntegerParameterRangeTypeDef,
        ParameterRangesUnionTypeDef,
    )

    Definition = HyperParameterTrainingJobDefinitionUnionTypeDef
    Ranges = ParameterRangesUnionTypeDef
    NumericRange = ContinuousParameterRangeTypeDef | IntegerParameterRangeTypeDef


def definition_of(
    request: CreateHyperParameterTuningJobRequestTypeDef,
) -> Definition:
    """The training job definition of a tuning job, from whichever of the two members contains it."""
    return request.get("TrainingJobDefinition") or request["TrainingJobDefinitions"][0]


def check_tuning(request: CreateHyperParameterTuningJobRequestTypeDef) -> None:
    """Refuse a tuning job that AWS would refuse, or that needs features that local SageMaker does not support.

    Raises:
        ApiError: ValidationException or ResourceLimitExceeded.
    """
    config = request["HyperParameterTuningJobConfig"]
    if bool(request.get("TrainingJobDefinition")) == bool(request.get("TrainingJobDefinitions")):
        raise validation_error("Pass either TrainingJobDefinition or TrainingJobDefinitions, and not both.")
    _refuse_unsupported(request)
    definition = definition_of(request)
    if request.get("TrainingJobDefinition"):
        path = "trainingJobDefinition."
        members = ("HyperParameterTuningJobObjective", "ParameterRanges")
        require(config, *members, path="hyperParameterTuningJobConfig.")
        objective, ranges = config["HyperParameterTuningJobObjective"], config["ParameterRanges"]
    else:
        path = "trainingJobDefinitions.1.member."
        require(definition, "DefinitionName", "TuningObjective", "HyperParameterRanges", path=path)
        objective, ranges = definition["TuningObjective"], definition["HyperParameterRanges"]
    check_training(definition, path=path)
    _check_objective(definition, objective)
    _check_ranges(definition, ranges)
    _check_strategy(config, ranges)


def _refuse_unsupported(request: CreateHyperParameterTuningJobRequestTypeDef) -> None:
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


def _check_objective(definition: Definition, objective: HyperParameterTuningJobObjectiveTypeDef) -> None:
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


def _check_ranges(definition: Definition, ranges: Ranges) -> None:
    categorical = ranges.get("CategoricalParameterRanges") or []
    integer, continuous = ranges.get("IntegerParameterRanges") or [], ranges.get("ContinuousParameterRanges") or []
    names = [entry["Name"] for entry in (*integer, *continuous, *categorical)]
    if not names:
        raise validation_error("A tuning job needs at least one hyperparameter range.")
    duplicate = first_duplicate(names)
    if duplicate is not None:
        raise validation_error(f"Hyperparameter {duplicate!r} has more than one range.")
    static = definition.get("StaticHyperParameters") or {}
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


def _check_strategy(config: HyperParameterTuningJobConfigUnionTypeDef, ranges: Ranges) -> None:
    strategy, most = config["Strategy"], config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    if strategy == "Grid":
        _check_grid(ranges, most)
    elif most is None:
        raise validation_error(f"MaxNumberOfTrainingJobs is required for the {strategy} strategy.")
    settings = config.get("StrategyConfig") or {}
    if settings.get("HyperbandStrategyConfig") and strategy != "Hyperband":
        raise validation_error(f"HyperbandStrategyConfig is not valid with the {strategy} strategy.")
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise validation_error(
            "Hyperband stops training jobs itself: TrainingJobEarlyStoppingType must be Off with it."
        )


def _check_grid(ranges: Ranges, most: int | None) -> None:
    if ranges.get("IntegerParameterRanges") or ranges.get("ContinuousParameterRanges"):
        raise validation_error("The Grid strategy takes categorical hyperparameter ranges only.")
    combinations = math.prod(len(entry["Values"]) for entry in ranges.get("CategoricalParameterRanges") or [])
    if most is not None and most != combinations:
        raise validation_error(
            f"MaxNumberOfTrainingJobs is {most}, but the grid has {combinations} combinations; "
            "pass that number, or leave it out."
        )
