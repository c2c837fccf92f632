"""Requests for tuning jobs that several test modules share."""

from __future__ import annotations

from typing import Any


def several_definitions(request: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The same search with its objective and its ranges in each of the definitions."""
    definition = request.pop("TrainingJobDefinition")
    config = request["HyperParameterTuningJobConfig"]
    definition["TuningObjective"] = config.pop("HyperParameterTuningJobObjective")
    definition["HyperParameterRanges"] = config.pop("ParameterRanges")
    return {**request, "TrainingJobDefinitions": [{**definition, "DefinitionName": name} for name in names]}
