"""Training jobs: create, describe, list, stop, delete."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.api.channel_checks import check_channels, check_checkpoints
from dogbreed_sdk.local.api.common import (
    Context,
    Members,
    Operation,
    request_members,
    require,
)
from dogbreed_sdk.local.api.debugger import check_debugging
from dogbreed_sdk.local.api.described_requests import training_job_members
from dogbreed_sdk.local.api.jobs import create_job, current_job, delete_job, stop_job
from dogbreed_sdk.local.api.listing import ListRequest, Order, page_of
from dogbreed_sdk.local.api.program_checks import check_program
from dogbreed_sdk.local.api.reconciliation import reconcile_running
from dogbreed_sdk.local.api.wire import ApiError, number, validation_error
from dogbreed_sdk.local.jobs import debugger_states, runner
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.jobs.hosts import MAXIMUM_HOSTS
from dogbreed_sdk.local.jobs.launchers import unsupported_launcher
from dogbreed_sdk.local.jobs.metrics import MetricReader
from dogbreed_sdk.local.states import State, Transition
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, Record, resource_arn

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        AlgorithmSpecificationUnionTypeDef,
        CreateTrainingJobRequestTypeDef,
        DeleteTrainingJobRequestTypeDef,
        DescribeTrainingJobRequestTypeDef,
        HyperParameterAlgorithmSpecificationUnionTypeDef,
        HyperParameterTrainingJobDefinitionUnionTypeDef,
        ResourceConfigUnionTypeDef,
        StoppingConditionTypeDef,
        StopTrainingJobRequestTypeDef,
    )

    # The members that a training job and a tuning job's training job definition have in common.
    Definition = CreateTrainingJobRequestTypeDef | HyperParameterTrainingJobDefinitionUnionTypeDef


# StoppingCondition in the API reference: one day by default, 28 days at most.
DEFAULT_MAX_RUNTIME_SECONDS = 24 * 3600
MAX_RUNTIME_SECONDS = 28 * 24 * 3600
# The price of spot instances as a fraction of the ordinary price, which AWS expresses in the billable time (developer
# guide, Managed Spot Training). There it varies, and may be as low as 0.1.
SPOT_PRICE = 0.3


def create_training_job(context: Context, request: CreateTrainingJobRequestTypeDef) -> Members:
    """CreateTrainingJob: record the job, and start its supervisor."""
    check_training(request)
    check_debugging(request)
    check_program(request["AlgorithmSpecification"], request.get("HyperParameters") or {})
    name = request["TrainingJobName"]
    now = time.time()
    state = initial_state(name, now)
    state["rules"] = debugger_states.initial_statuses(request, resource_arn(TRAINING_JOB, name, context.region), now)
    start = runner.start_training_job
    record = create_job(context, TRAINING_JOB, name, request, state, start=start)
    return {"TrainingJobArn": record.arn}


def initial_state(name: str, now: float) -> State:
    """The state of a training job that was just accepted."""
    state: State = {
        "status": "InProgress",
        "failure": None,
        "started": None,
        "ended": None,
        "artifacts": None,
        "metrics": {},
        "tuning_job": None,
        "tuned": {},
        "process": None,
        "threads": 0,
        "stop": False,
        "log_stream": f"{name}/algo-1-{int(now)}",
    }
    job_state.enter(state, "Starting")
    return state


def describe_training_job(context: Context, request: DescribeTrainingJobRequestTypeDef) -> Members:
    """DescribeTrainingJob."""
    record = current_job(context, TRAINING_JOB, request["TrainingJobName"])
    state, request_now = record.state, job_state.updated_request(record.request, record.state)
    created = cast("CreateTrainingJobRequestTypeDef", record.request)
    tuning_job = state.get("tuning_job")
    return {
        **request_members("DescribeTrainingJob", request_now),
        **training_job_members(request_now),
        "TrainingJobName": record.name,
        "TrainingJobArn": record.arn,
        "TuningJobArn": resource_arn(TUNING_JOB, tuning_job, record.region) if tuning_job else None,
        "ModelArtifacts": {"S3ModelArtifacts": state.get("artifacts") or planned_artifacts(created, record.name)},
        "TrainingJobStatus": state["status"],
        "SecondaryStatus": state["secondary"],
        "FailureReason": state.get("failure"),
        "StoppingCondition": stopping_condition(created),
        "CreationTime": record.created,
        "TrainingStartTime": state.get("started"),
        "TrainingEndTime": state.get("ended"),
        "LastModifiedTime": record.modified,
        "SecondaryStatusTransitions": [_transition(entry) for entry in state["transitions"]],
        "FinalMetricDataList": _metrics(created, state) or None,
        **_seconds(created, state),
        **debugger_states.described(
            state.get("rules") or [], abandoned=lambda: runner.is_abandoned(context.store, record)
        ),
    }


def list_training_jobs(context: Context, request: ListRequest) -> Members:
    """ListTrainingJobs; no job has a warm pool."""
    if request.get("WarmPoolStatusEquals"):
        return {"TrainingJobSummaries": []}
    reconcile_running(context.store, TRAINING_JOB)
    # The API reference says of SortOrder that its default is Ascending, and of the operation that it selects the newest
    # jobs first, on which programs that take the first entry rely.
    order = Order(sort_order="Ascending") if request.get("SortBy") else Order()
    shown, token = page_of(context.store, TRAINING_JOB, request, order)
    return {"TrainingJobSummaries": [_summary(record) for record in shown], "NextToken": token}


def stop_training_job(context: Context, request: StopTrainingJobRequestTypeDef) -> Members:
    """StopTrainingJob; does nothing if the job is already stopping."""
    stop_job(context, TRAINING_JOB, request["TrainingJobName"], runner.request_stop)
    return {}


def delete_training_job(context: Context, request: DeleteTrainingJobRequestTypeDef) -> Members:
    """DeleteTrainingJob; as on AWS, its artifacts at the OutputDataConfig's URI stay."""
    delete_job(context, TRAINING_JOB, request["TrainingJobName"])
    return {}


def stopping_condition(request: Definition) -> StoppingConditionTypeDef:
    """A job's limits, with AWS's default if it has none."""
    return {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_SECONDS, **(request.get("StoppingCondition") or {})}


def planned_artifacts(request: CreateTrainingJobRequestTypeDef, name: str) -> str:
    """The URI that a job's model will have, in AWS's layout below S3OutputPath."""
    output = request["OutputDataConfig"]
    leaf = "model/" if output.get("CompressionType") == "NONE" else "model.tar.gz"
    return f"{output['S3OutputPath'].rstrip('/')}/{name}/output/{leaf}"


def seconds_of(state: State) -> int | None:
    """How long a job trained, at least 1 s as on AWS; None before it has ended."""
    started, ended = state.get("started"), state.get("ended")
    if started is None or ended is None:
        return None
    return max(1, round(float(ended) - float(started)))


def check_training(request: Definition, path: str = "") -> None:
    """Check the constraints on a job that AWS checks in addition to those of its model.

    Args:
        request: CreateTrainingJob's parameters, or a tuning job's training job definition.
        path: The path to it inside a larger request, for messages.

    Raises:
        ApiError: ValidationException or ResourceLimitExceeded.
    """
    require(request, "AlgorithmSpecification", "ResourceConfig", "StoppingCondition", path=path)
    _check_algorithm(request["AlgorithmSpecification"])
    _check_resources(request["ResourceConfig"], path)
    _check_launcher(request)
    _check_stopping(request)
    check_channels(cast("Mapping[str, Any]", request))
    check_checkpoints(cast("Mapping[str, Any]", request))


def _check_algorithm(
    algorithm: AlgorithmSpecificationUnionTypeDef | HyperParameterAlgorithmSpecificationUnionTypeDef,
) -> None:
    if bool(algorithm.get("TrainingImage")) == bool(algorithm.get("AlgorithmName")):
        raise validation_error("AlgorithmSpecification needs either TrainingImage or AlgorithmName, and not both.")
    try:
        MetricReader.of(algorithm.get("MetricDefinitions") or [])
    except ConfigurationError as error:
        raise validation_error(str(error)) from None


def _check_resources(resources: ResourceConfigUnionTypeDef, path: str) -> None:
    if resources.get("InstanceGroups"):
        raise validation_error(
            "Local SageMaker runs a job on one machine: pass InstanceType and InstanceCount, not InstanceGroups."
        )
    require(resources, "InstanceType", "InstanceCount", path=f"{path}resourceConfig.")
    count = resources["InstanceCount"]
    if count < 1:
        raise validation_error(
            f"{path}resourceConfig.instanceCount is {count}; a training job needs at least 1 instance."
        )
    if count > MAXIMUM_HOSTS:
        raise ApiError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{resources['InstanceType']} for training job usage' is {MAXIMUM_HOSTS} "
            f"Instances, with current utilization of 0 Instances and a request delta of {count} Instances. "
            "Local SageMaker is one machine, whose cores the instances of a job share.",
        )


def _check_launcher(request: Definition) -> None:
    hyperparameters = cast("Mapping[str, str]", request.get("HyperParameters") or request.get("StaticHyperParameters"))
    reason = unsupported_launcher(hyperparameters or {})
    if reason is not None:
        raise validation_error(reason)


def _check_stopping(request: Definition) -> None:
    limits = stopping_condition(request)
    runtime, wait = limits["MaxRuntimeInSeconds"], limits.get("MaxWaitTimeInSeconds")
    if runtime > MAX_RUNTIME_SECONDS:
        raise validation_error(
            f"MaxRuntimeInSeconds is {runtime}; a training job may run for {MAX_RUNTIME_SECONDS} seconds (28 days)."
        )
    if request.get("EnableManagedSpotTraining"):
        if wait is None or wait < runtime:
            raise validation_error(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
    elif wait is not None:
        raise validation_error("MaxWaitTimeInSeconds is for managed spot training only.")


def _transition(entry: Transition) -> Members:
    return {
        "Status": entry["status"],
        "StartTime": entry["start"],
        "EndTime": entry.get("end"),
        "StatusMessage": entry.get("message") or entry["status"],
    }


def _metrics(request: CreateTrainingJobRequestTypeDef, state: State) -> list[Members]:
    """The metrics' last values, in the order of their definitions."""
    found: list[Members] = []
    metrics = state.get("metrics") or {}
    for definition in request["AlgorithmSpecification"].get("MetricDefinitions") or []:
        metric = metrics.get(definition["Name"])
        value = number(metric["value"]) if metric else None
        if metric and value is not None:
            found.append({"MetricName": definition["Name"], "Value": value, "Timestamp": metric["time"]})
    return found


def _seconds(request: CreateTrainingJobRequestTypeDef, state: State) -> dict[str, int | None]:
    seconds = billable = seconds_of(state)
    if seconds is not None and request.get("EnableManagedSpotTraining"):
        billable = max(1, round(state.get("trained", 0.0) * SPOT_PRICE))
    return {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": billable}


def _summary(record: Record) -> Members:
    return {
        "TrainingJobName": record.name,
        "TrainingJobArn": record.arn,
        "CreationTime": record.created,
        "TrainingEndTime": record.state.get("ended"),
        "LastModifiedTime": record.modified,
        "TrainingJobStatus": record.state["status"],
        "SecondaryStatus": record.state["secondary"],
    }


OPERATIONS: dict[str, Operation] = {
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": describe_training_job,
    "ListTrainingJobs": list_training_jobs,
    "StopTrainingJob": stop_training_job,
    "DeleteTrainingJob": delete_training_job,
}
