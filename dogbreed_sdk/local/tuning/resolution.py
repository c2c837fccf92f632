"""Adds to a tuning job's request what SageMaker adds: Describe reports it, and the search uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dogbreed_sdk.container import OBJECTIVE_HYPERPARAMETER
from dogbreed_sdk.local.store import Request
from dogbreed_sdk.local.tuning import autotune

_RANGE_LISTS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
# Switches of training jobs, which Describe operations always return.
SWITCHES = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")


def resolve(request: Request) -> dict[str, Any]:
    """A CreateHyperParameterTuningJob request with the members that SageMaker adds to it.

    These are defaults, the choices of Autotune, each definition's ResourceConfig, and the objective metric among its
    static hyperparameters.

    Args:
        request: A request that was checked.
    """
    given: Mapping[str, Any] = request["HyperParameterTuningJobConfig"]
    definitions: Sequence[Mapping[str, Any]] = definitions_of(request)
    if request.get("Autotune"):
        given, definitions = autotune.choose(given, definitions)
    config = {"TrainingJobEarlyStoppingType": "Off", **given}
    if given.get("ParameterRanges"):
        config["ParameterRanges"] = _ranges(given["ParameterRanges"])
    resolved = [_definition(definition, config) for definition in definitions]
    limits = config["ResourceLimits"]
    if config["Strategy"] == "Grid" and limits.get("MaxNumberOfTrainingJobs") is None:
        combinations = sum(grid_size(ranges_of(definition, config)) for definition in resolved)
        config["ResourceLimits"] = {**limits, "MaxNumberOfTrainingJobs": combinations}
    single = bool(request.get("TrainingJobDefinition"))
    place = {"TrainingJobDefinition": resolved[0]} if single else {"TrainingJobDefinitions": resolved}
    return {**request, "HyperParameterTuningJobConfig": config, **place}


def definitions_of(request: Request) -> Sequence[Mapping[str, Any]]:
    """The training job definitions of a tuning job, from whichever of the two members contains them."""
    definition = request.get("TrainingJobDefinition")
    several: Sequence[Mapping[str, Any]] = request.get("TrainingJobDefinitions") or ()
    return [definition] if definition else several


def objective_of(definition: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, str]:
    """A definition's objective: its own, or the tuning job's."""
    objective: Mapping[str, str] = definition.get("TuningObjective") or config["HyperParameterTuningJobObjective"]
    return objective


def ranges_of(definition: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A definition's ranges: its own, or the tuning job's."""
    own: Mapping[str, Any] | None = definition.get("HyperParameterRanges")
    shared: Mapping[str, Any] = config.get("ParameterRanges") or {}
    return shared if own is None else own


def grid_size(ranges: Mapping[str, Any]) -> int:
    """The number of combinations of the categorical values."""
    return math.prod(len(entry["Values"]) for entry in ranges.get("CategoricalParameterRanges") or ())


def resources_of(definition: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ResourceConfig of a definition's training jobs; None if it has none.

    Of several InstanceConfigs the first is used: one machine always has the instances of the first choice available.
    """
    given = definition.get("ResourceConfig")
    if given:
        return dict(given)
    flexible = definition.get("HyperParameterTuningResourceConfig")
    if not flexible:
        return None
    chosen: Mapping[str, Any] = (flexible.get("InstanceConfigs") or [flexible])[0]
    members = ("InstanceType", "InstanceCount", "VolumeSizeInGB")
    resources = {name: chosen[name] for name in members if chosen.get(name) is not None}
    if flexible.get("VolumeKmsKeyId"):
        resources["VolumeKmsKeyId"] = flexible["VolumeKmsKeyId"]
    return resources


def _definition(definition: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    objective = {OBJECTIVE_HYPERPARAMETER: objective_of(definition, config)["MetricName"]}
    resolved = {
        **dict.fromkeys(SWITCHES, False),
        **definition,
        "StaticHyperParameters": {**definition.get("StaticHyperParameters", {}), **objective},
        "ResourceConfig": resources_of(definition),
    }
    if definition.get("HyperParameterRanges"):
        resolved["HyperParameterRanges"] = _ranges(definition["HyperParameterRanges"])
    # As on AWS, only the form that ResourceConfig can't express stays.
    if not (definition.get("HyperParameterTuningResourceConfig") or {}).get("InstanceConfigs"):
        resolved.pop("HyperParameterTuningResourceConfig", None)
    return resolved


def _ranges(ranges: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    return {**{name: [] for name in _RANGE_LISTS}, **ranges}
