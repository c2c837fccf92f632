"""Autotune: chooses the ranges and settings that a tuning job leaves open.

AWS publishes which members it chooses (API reference, Autotune), but not how. The choices here are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The number of training jobs of a search whose request gives none.
_DEFAULT_JOBS = 20
# Integers cost time (epochs) or memory (batch sizes): their ranges are narrower.
_INTEGER_FACTOR = 4
_FACTOR = 10.0
# The container's hyperparameters, which an SDK passes together with the script's.
_CONTAINER_PREFIXES = ("sagemaker_", "_")


@dataclass(frozen=True)
class Bounds:
    """A range around an example value.

    Attributes:
        low: MinValue.
        high: MaxValue.
        kind: Integer or Continuous.
        scaling: ScalingType.
    """

    low: str
    high: str
    kind: str
    scaling: str = "Logarithmic"


def range_around(hint: str) -> Bounds | None:
    """The range for a hyperparameter with this example value; None if the value is not a positive number.

    Integers go from a quarter of the value to four times the value. Other numbers go from a tenth to ten times the
    value; between 0 and 1 it is the odds that do, so that a probability stays one.

    >>> range_around("32")
    Bounds(low='8', high='128', kind='Integer', scaling='Logarithmic')
    >>> range_around("0.001")
    Bounds(low='0.00010009', high='0.0099108', kind='Continuous', scaling='Logarithmic')
    >>> range_around("0.9")
    Bounds(low='0.473684', high='0.989011', kind='Continuous', scaling='ReverseLogarithmic')
    >>> range_around("adam") is None, range_around("0") is None
    (True, True)
    """
    try:
        value = float(hint)
    except ValueError:
        return None
    if not math.isfinite(value) or value <= 0:
        return None
    if hint.strip().isdecimal():
        whole = int(hint)
        return Bounds(str(max(1, whole // _INTEGER_FACTOR)), str(whole * _INTEGER_FACTOR), "Integer")
    if value >= 1:
        return Bounds(f"{value / _FACTOR:.6g}", f"{value * _FACTOR:.6g}", "Continuous")
    low, high = (odds / (1 + odds) for odds in (value / (1 - value) / _FACTOR, value / (1 - value) * _FACTOR))
    scaling = "Logarithmic" if value < 0.5 else "ReverseLogarithmic"
    return Bounds(f"{low:.6g}", f"{high:.6g}", "Continuous", scaling)


def choose(
    config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The configuration and the definitions of a tuning job, with everything chosen that they leave open.

    An auto parameter for which there is no range keeps its example value in all trials.

    Args:
        config: HyperParameterTuningJobConfig.
        definitions: The training job definitions.
    """
    settings: dict[str, Any] = {**config}
    if config["Strategy"] != "Hyperband":  # Hyperband stops trials itself
        settings.setdefault("TrainingJobEarlyStoppingType", "Auto")
    if config["Strategy"] != "Grid":  # a grid's number of trials follows from its ranges
        settings["ResourceLimits"] = {"MaxNumberOfTrainingJobs": _DEFAULT_JOBS, **config["ResourceLimits"]}
    converged = {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
    settings["TuningJobCompletionCriteria"] = {**converged, **(config.get("TuningJobCompletionCriteria") or {})}
    shared: dict[str, str] = {}
    if config.get("ParameterRanges"):
        settings["ParameterRanges"], shared = _assign(config["ParameterRanges"])
    return settings, [_chosen(definition, shared) for definition in definitions]


def _chosen(definition: Mapping[str, Any], shared: Mapping[str, str]) -> dict[str, Any]:
    found = {**definition}
    static = shared
    if definition.get("HyperParameterRanges"):
        found["HyperParameterRanges"], static = _assign(definition["HyperParameterRanges"])
    found["StaticHyperParameters"] = {**definition.get("StaticHyperParameters", {}), **static}
    return found


def _assign(ranges: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The ranges with those of the auto parameters added, and the auto parameters that stay static."""
    found: dict[str, list[Any]] = {kind: list(ranges.get(_member(kind)) or ()) for kind in ("Integer", "Continuous")}
    static: dict[str, str] = {}
    for parameter in ranges.get("AutoParameters") or ():
        name, hint = parameter["Name"], parameter["ValueHint"]
        bounds = None if name.startswith(_CONTAINER_PREFIXES) else range_around(hint)
        if bounds is None:
            static[name] = hint
        else:
            entry = {"Name": name, "MinValue": bounds.low, "MaxValue": bounds.high, "ScalingType": bounds.scaling}
            found[bounds.kind].append(entry)
    return {**ranges, **{_member(kind): entries for kind, entries in found.items()}}, static


def _member(kind: str) -> str:
    return f"{kind}ParameterRanges"
