"""Warm start: what a tuning job learns from its parents' training jobs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dogbreed_sdk.local.states import Inherited
from dogbreed_sdk.local.store import TRAINING_JOB, Filters, Request, Store
from dogbreed_sdk.local.tuning import resolution

IDENTICAL = "IdenticalDataAndAlgorithm"
_RANGE_KINDS = ("Integer", "Continuous", "Categorical")


def parent_names(request: Request) -> list[str]:
    """The names of the tuning jobs that a tuning job starts from."""
    warm_start = request.get("WarmStartConfig") or {}
    return [parent["HyperParameterTuningJobName"] for parent in warm_start.get("ParentHyperParameterTuningJobs") or ()]


def is_identical(request: Request) -> bool:
    """Whether the results of a tuning job's parents count as its own: they have the same data and algorithm."""
    return (request.get("WarmStartConfig") or {}).get("WarmStartType") == IDENTICAL


def range_kinds(ranges: Mapping[str, Any]) -> dict[str, str]:
    """The kind of range of each tuned hyperparameter: Integer, Continuous or Categorical."""
    return {entry["Name"]: kind for kind in _RANGE_KINDS for entry in ranges.get(f"{kind}ParameterRanges") or ()}


def collect(store: Store, request: Request) -> list[Inherited]:
    """What is known of the parents' training jobs, for the record of the new tuning job: parents may be deleted later.

    Args:
        store: The store with the parents and their training jobs.
        request: The new tuning job's request; resolved.
    """
    return [entry for name in parent_names(request) for entry in _trials(store, name, request)]


def _trials(store: Store, parent: str, request: Request) -> Iterator[Inherited]:
    config = request["HyperParameterTuningJobConfig"]
    definitions = {entry.get("DefinitionName"): entry for entry in resolution.definitions_of(request)}
    for trial in store.page(TRAINING_JOB, Filters(parent=parent)):
        definition = definitions.get(trial.state.get("definition"))
        if definition is None or trial.state["status"] == "Failed":
            continue
        metric = (trial.state.get("metrics") or {}).get(resolution.objective_of(definition, config)["MetricName"])
        if metric is None or not math.isfinite(metric["value"]):
            continue
        tuned = range_kinds(resolution.ranges_of(definition, config))
        values = trial.request.get("HyperParameters") or {}
        yield {
            "name": trial.name,
            "tuning_job": parent,
            "definition": trial.state.get("definition"),
            "hyperparameters": {name: values[name] for name in tuned if name in values},
            "value": metric["value"],
        }
