"""Checks WarmStartConfig: which tuning jobs may be parents of a new one.

Sources: developer guide, "Run a Warm Start Hyperparameter Tuning Job", section "Warm Start Tuning Restrictions"; and
AWS's messages, as users of its SDK for Python report them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dogbreed_sdk.local.api.common import Context, first_duplicate
from dogbreed_sdk.local.api.reconciliation import current
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.states import RUNNING_STATUSES
from dogbreed_sdk.local.store import TUNING_JOB, NotFound, Record, Request
from dogbreed_sdk.local.tuning import resolution, warm_start

# A hyperparameter that is no longer tuned, or that has another static value, counts twice: its old and its new value.
_MAXIMUM_CHANGES = 10
_CHANGE = 2
# AWS's message lists the members of a definition that may differ from the parent's; these may not.
_FREE_MEMBERS = (
    "algorithmSpecification",
    "inputDataConfig",
    "outputDataConfig",
    "staticHyperParameters",
    "roleArn",
    "resourceConfig",
    "stoppingCondition",
    "vpcConfig",
    "enableManagedSpotTraining",
    "checkpointConfig",
)
_FIXED_MEMBERS = ("Environment", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "RetryStrategy")

_Definition = Mapping[str, Any]


def check_warm_start(context: Context, request: Request) -> None:
    """Refuse parents that a tuning job can't start from.

    Args:
        context: The request's context.
        request: CreateHyperParameterTuningJob's parameters; resolved.

    Raises:
        ApiError: ValidationException.
    """
    names = warm_start.parent_names(request)
    duplicate = first_duplicate(names)
    if duplicate is not None:
        raise validation_error(f"The parent hyperparameter tuning job {duplicate!r} is given more than once.")
    for name in names:
        parent = _ended_parent(context, name)
        for definition, inherited in _pairs(request, parent):
            _check_hyperparameters(request, definition, parent, inherited)
            _check_objective(request, definition, parent, inherited)
            _check_members(definition, parent, inherited)


def _ended_parent(context: Context, name: str) -> Record:
    try:
        parent = current(context.store, context.store.get(TUNING_JOB, name))
    except NotFound:
        raise validation_error(f"The parent hyperparameter tuning job {name!r} does not exist.") from None
    status = parent.state["status"]
    if status in RUNNING_STATUSES:
        raise validation_error(
            f"The parent hyperparameter tuning job {name!r} is in status {status}. Parents must be Completed, Stopped "
            "or Failed: wait until it has ended, or stop it."
        )
    return parent


def _pairs(request: Request, parent: Record) -> Iterator[tuple[_Definition, _Definition]]:
    """The definitions of the request that have a counterpart in the parent, with it: the one of the same name."""
    theirs = {entry.get("DefinitionName"): entry for entry in resolution.definitions_of(_resolved(parent))}
    ours = resolution.definitions_of(request)
    pairs = [(entry, theirs[entry.get("DefinitionName")]) for entry in ours if entry.get("DefinitionName") in theirs]
    if not pairs:
        raise validation_error(
            f"The parent hyperparameter tuning job {parent.name!r} has no training job definition of the same "
            "DefinitionName as the new one."
        )
    yield from pairs


def _resolved(parent: Record) -> dict[str, Any]:
    return resolution.resolve(parent.request)


def _ranges(request: Request, definition: _Definition) -> dict[str, str]:
    return warm_start.range_kinds(resolution.ranges_of(definition, request["HyperParameterTuningJobConfig"]))


def _check_hyperparameters(request: Request, new: _Definition, parent: Record, old: _Definition) -> None:
    tuned, tuned_before = _ranges(request, new), _ranges(_resolved(parent), old)
    static, static_before = new["StaticHyperParameters"], old["StaticHyperParameters"]
    different = (tuned.keys() | static.keys()) ^ (tuned_before.keys() | static_before.keys())
    if different:
        raise validation_error(
            "The set of tunable plus static HyperParameter names is not the same across current and parent tuning "
            "jobs. Please ensure this set is constant when warm starting. Note that previously static HyperParameters "
            f"can be tuned in warm start jobs and vice versa. Only in one of this job and the parent {parent.name!r}: "
            f"{', '.join(sorted(different))}."
        )
    for name in sorted(tuned.keys() & tuned_before.keys()):
        if tuned[name] != tuned_before[name]:
            raise validation_error(
                f"Hyperparameter {name!r} has a range of type {tuned[name]}, and {tuned_before[name]} in the parent "
                f"{parent.name!r}. The type must be the same."
            )
    fixed = tuned_before.keys() & static.keys()
    changed = {name for name in static.keys() & static_before.keys() if static[name] != static_before[name]}
    changes = _CHANGE * (len(fixed) + len(changed))
    if changes > _MAXIMUM_CHANGES:
        raise validation_error(
            f"Too many hyperparameters differ from the parent {parent.name!r}: {', '.join(sorted(fixed | changed))}. "
            f"At most {_MAXIMUM_CHANGES // _CHANGE} may become static or have another static value."
        )


def _check_objective(request: Request, new: _Definition, parent: Record, old: _Definition) -> None:
    ours = resolution.objective_of(new, request["HyperParameterTuningJobConfig"])
    theirs = resolution.objective_of(old, parent.request["HyperParameterTuningJobConfig"])
    if dict(ours) != dict(theirs):
        raise validation_error(
            f"The objective is to {ours['Type'].lower()} {ours['MetricName']!r}, and that of the parent "
            f"{parent.name!r} is to {theirs['Type'].lower()} {theirs['MetricName']!r}. They must be the same."
        )


def _check_members(new: _Definition, parent: Record, old: _Definition) -> None:
    changed = [name for name in _FIXED_MEMBERS if (new.get(name) or None) != (old.get(name) or None)]
    if changed:
        raise validation_error(
            f"Only the following fields in TrainingJobDefinition are allowed to change: [{', '.join(_FREE_MEMBERS)}]. "
            f"Different from the parent {parent.name!r}: {', '.join(changed)}."
        )
