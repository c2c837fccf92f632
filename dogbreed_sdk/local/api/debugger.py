"""Debugger's part of the operations on training jobs: the checks of its members, and UpdateTrainingJob."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk.local.api.common import Context, Members, Operation, first_duplicate
from dogbreed_sdk.local.api.jobs import current_job
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.jobs import debugger_states
from dogbreed_sdk.local.jobs.state import updated_request
from dogbreed_sdk.local.states import RuleOutcome, RuleStatus, State
from dogbreed_sdk.local.store import TRAINING_JOB, Request

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef, UpdateTrainingJobRequestTypeDef

_PROFILING_INTERVALS = (100, 200, 500, 1000, 5000, 60_000)  # API reference, ProfilerConfig


def check_debugging(request: CreateTrainingJobRequestTypeDef) -> None:
    """Check the members of a training job's request that configure Debugger.

    Raises:
        ApiError: ValidationException.
    """
    if request.get("DebugRuleConfigurations") and not request.get("DebugHookConfig"):
        raise validation_error("DebugRuleConfigurations need a DebugHookConfig: without it nothing is recorded.")
    profiler = request.get("ProfilerConfig") or {}
    interval = profiler.get("ProfilingIntervalInMilliseconds")
    if interval is not None and interval not in _PROFILING_INTERVALS:
        raise validation_error(
            f"ProfilingIntervalInMilliseconds is {interval}; it must be one of "
            f"{', '.join(map(str, _PROFILING_INTERVALS))}."
        )
    if profiler.get("DisableProfiler") and request.get("ProfilerRuleConfigurations"):
        raise validation_error("ProfilerRuleConfigurations must be empty when the profiler is disabled.")
    _check_rule_names(request)


def update_training_job(context: Context, request: UpdateTrainingJobRequestTypeDef) -> Members:
    """UpdateTrainingJob: switch the profiler of a running job, change its interval, or add rules for it."""
    if len(request) == 1:
        raise validation_error("Pass at least one of ProfilerConfig, ProfilerRuleConfigurations and RemoteDebugConfig.")
    record = current_job(context, TRAINING_JOB, request["TrainingJobName"])

    def change(state: State) -> None:
        if state["status"] != "InProgress":
            raise validation_error(
                f"The training job is in status {state['status']}; only a job that is InProgress can be updated."
            )
        updates = _updates(updated_request(record.request, state), request)
        new = cast("CreateTrainingJobRequestTypeDef", {**request, "DebugRuleConfigurations": []})
        state["rules"] = [
            *(_stopped(state) if (updates.get("ProfilerConfig") or {}).get("DisableProfiler") else state["rules"]),
            *debugger_states.initial_statuses(new, record.arn, time.time()),
        ]
        state["updates"] = {**state.get("updates", {}), **updates}

    context.store.update(TRAINING_JOB, record.name, change)
    return {"TrainingJobArn": record.arn}


def _stopped(state: State) -> list[RuleStatus]:
    """The states of a job's rules when its profiler is disabled, which ends the rules that read the profile."""
    stopped: RuleOutcome = {"status": "Stopped", "details": "the profiler was disabled"}
    ends = (debugger_states.PROFILING, "InProgress")
    return [
        {**entry, **stopped, "time": time.time()} if (entry["kind"], entry["status"]) == ends else entry
        for entry in state["rules"]
    ]


def _updates(before: Request, request: UpdateTrainingJobRequestTypeDef) -> dict[str, Any]:
    """The members of a training job's request that an update replaces.

    Raises:
        ApiError: ValidationException if they do not go with the job.
    """
    given, rules = request.get("ProfilerConfig") or {}, request.get("ProfilerRuleConfigurations") or []
    old: dict[str, Any] = dict(before.get("ProfilerConfig") or {"DisableProfiler": True})
    profiler = {**old, "DisableProfiler": False, **given} if given else old
    if not old.get("DisableProfiler") and profiler.get("S3OutputPath") != old.get("S3OutputPath"):
        raise validation_error("The profiler's S3OutputPath can't be changed once the profiler is enabled.")
    kept = [] if profiler.get("DisableProfiler") else before.get("ProfilerRuleConfigurations") or []
    updates = {"ProfilerConfig": profiler, "ProfilerRuleConfigurations": [*kept, *rules] or None}
    check_debugging(cast("CreateTrainingJobRequestTypeDef", {**before, **updates}))
    return updates


def _check_rule_names(request: CreateTrainingJobRequestTypeDef) -> None:
    names = [
        entry["RuleConfigurationName"]
        for kind in debugger_states.KINDS
        for entry in debugger_states.configurations(request, kind)
    ]
    duplicate = first_duplicate(names)
    if duplicate is not None:
        raise validation_error(f"Rule configuration names must be unique; {duplicate!r} is used more than once.")


OPERATIONS: dict[str, Operation] = {"UpdateTrainingJob": update_training_job}
