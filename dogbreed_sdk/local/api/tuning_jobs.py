"""Tuning jobs: create, describe, list, stop, delete, and list the training jobs that they started."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from dogbreed_sdk.local.api.common import (
    Context,
    Members,
    Operation,
    request_members,
)
from dogbreed_sdk.local.api.jobs import create_job, current_job, delete_job, stop_job
from dogbreed_sdk.local.api.listing import ListRequest, Order, page_of
from dogbreed_sdk.local.api.program_checks import check_program
from dogbreed_sdk.local.api.reconciliation import reconcile_running
from dogbreed_sdk.local.api.training_jobs import seconds_of
from dogbreed_sdk.local.api.tuning_checks import check_tuning
from dogbreed_sdk.local.api.warm_start_checks import check_warm_start
from dogbreed_sdk.local.api.wire import ApiError, number, resource_in_use
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, Filters, NotFound, Record
from dogbreed_sdk.local.tuning import runner, warm_start
from dogbreed_sdk.local.tuning.convergence import jobs_without_improvement
from dogbreed_sdk.local.tuning.resolution import definitions_of, objective_of, resolve

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CreateHyperParameterTuningJobRequestTypeDef,
        DeleteHyperParameterTuningJobRequestTypeDef,
        DescribeHyperParameterTuningJobRequestTypeDef,
        StopHyperParameterTuningJobRequestTypeDef,
    )


# The names that HyperparameterTuner of AWS's SDK for Python makes. On AWS no search takes less than a minute.
_NAMED_BY_THE_MINUTE = re.compile(r"-\d{6}-\d{4}$")
_MINUTE_ADVICE = (
    "HyperparameterTuner names its jobs by the minute, and on local SageMaker a search may take less: pass job_name to "
    "fit(), or wait for the next minute."
)
# How both lists are sorted by default, according to the API reference.
_BY_NAME = Order(sort_by="Name", sort_order="Ascending")


class ListTrialsRequest(ListRequest):
    """ListTrainingJobsForHyperParameterTuningJob's request."""

    HyperParameterTuningJobName: str


def create_tuning_job(context: Context, request: CreateHyperParameterTuningJobRequestTypeDef) -> Members:
    """CreateHyperParameterTuningJob: record the job, and start its supervisor."""
    check_tuning(request)
    resolved = resolve(request)
    check_warm_start(context, resolved)
    for definition in definitions_of(resolved):
        check_program(definition["AlgorithmSpecification"], definition.get("StaticHyperParameters") or {})
    name = request["HyperParameterTuningJobName"]
    state: State = {
        "status": "InProgress",
        "failure": None,
        "process": None,
        "stop": False,
        "trials": [],
        "best": None,
        "inherited": warm_start.collect(context.store, resolved),
        "ended": None,
    }
    start = runner.start_tuning_job
    try:
        record = create_job(context, TUNING_JOB, name, request, state, start=start)
    except ApiError as error:
        if error.code == "ResourceInUse" and _NAMED_BY_THE_MINUTE.search(name):
            raise resource_in_use(f"{error.message}. {_MINUTE_ADVICE}") from None
        raise
    return {"HyperParameterTuningJobArn": record.arn}


def describe_tuning_job(context: Context, request: DescribeHyperParameterTuningJobRequestTypeDef) -> Members:
    """DescribeHyperParameterTuningJob."""
    record = current_job(context, TUNING_JOB, request["HyperParameterTuningJobName"])
    trials = _trials(context, record)
    best = next((trial for trial in trials if trial.name == record.state.get("best")), None)
    return {
        **request_members("DescribeHyperParameterTuningJob", resolve(record.request)),
        **_status(context, record),
        "BestTrainingJob": _trial_summary(record, best) if best else None,
        "OverallBestTrainingJob": _overall_best(context, record, best),
        "TuningJobCompletionDetails": _completion(record, trials),
        "FailureReason": record.state.get("failure"),
        "ConsumedResources": {"RuntimeInSeconds": sum(seconds_of(trial.state) or 0 for trial in trials)},
    }


def _overall_best(context: Context, record: Record, best: Record | None) -> Members | None:
    """The best of a search's training jobs and its parents' training jobs, where these are comparable.

    A training job of a parent that was deleted since then has no summary.
    """
    if not warm_start.is_identical(record.request):
        return None
    maximize = _objective(record, None)["Type"] == "Maximize"
    value = _objective_value(record, best) if best else None
    for entry in record.state.get("inherited") or ():
        if value is not None and (value >= entry["value"] if maximize else value <= entry["value"]):
            continue
        with suppress(NotFound):
            value, best = entry["value"], context.store.get(TRAINING_JOB, entry["name"])
    return _trial_summary(record, best) if best else None


def _completion(record: Record, trials: list[Record]) -> Members:
    finished = [trial for trial in trials if trial.state["status"] not in (*RUNNING_STATUSES, "Failed")]
    finished.sort(key=lambda trial: trial.state.get("ended") or 0.0)
    values = [value for trial in finished if (value := _objective_value(record, trial)) is not None]
    maximize = _objective(record, None)["Type"] == "Maximize"
    return {
        "NumberOfTrainingJobsObjectiveNotImproving": jobs_without_improvement(values, maximize=maximize),
        "ConvergenceDetectedTime": record.state.get("converged"),
    }


def list_tuning_jobs(context: Context, request: ListRequest) -> Members:
    """ListHyperParameterTuningJobs."""
    reconcile_running(context.store, TUNING_JOB)
    reconcile_running(context.store, TRAINING_JOB)
    shown, token = page_of(context.store, TUNING_JOB, request, _BY_NAME)
    summaries = []
    for record in shown:
        config = resolve(record.request)["HyperParameterTuningJobConfig"]
        summaries.append(
            {
                **_status(context, record),
                "Strategy": config["Strategy"],
                "ResourceLimits": config["ResourceLimits"],
            }
        )
    return {"HyperParameterTuningJobSummaries": summaries, "NextToken": token}


def list_trials(context: Context, request: ListTrialsRequest) -> Members:
    """ListTrainingJobsForHyperParameterTuningJob."""
    record = current_job(context, TUNING_JOB, request["HyperParameterTuningJobName"])
    reconcile_running(context.store, TRAINING_JOB, parent=record.name)
    shown, token = page_of(context.store, TRAINING_JOB, request, _BY_NAME, parent=record.name)
    return {"TrainingJobSummaries": [_trial_summary(record, trial) for trial in shown], "NextToken": token}


def stop_tuning_job(context: Context, request: StopHyperParameterTuningJobRequestTypeDef) -> Members:
    """StopHyperParameterTuningJob; does nothing if the job is already stopping."""
    stop_job(context, TUNING_JOB, request["HyperParameterTuningJobName"], runner.request_stop)
    return {}


def delete_tuning_job(context: Context, request: DeleteHyperParameterTuningJobRequestTypeDef) -> Members:
    """DeleteHyperParameterTuningJob; as on AWS, the training jobs that it started are kept."""
    delete_job(context, TUNING_JOB, request["HyperParameterTuningJobName"])
    return {}


def _trials(context: Context, record: Record) -> list[Record]:
    reconcile_running(context.store, TRAINING_JOB, parent=record.name)
    return context.store.page(TRAINING_JOB, Filters(parent=record.name))


def _status(context: Context, record: Record) -> Members:
    counts = context.store.statuses(TRAINING_JOB, record.name)
    return {
        "HyperParameterTuningJobName": record.name,
        "HyperParameterTuningJobArn": record.arn,
        "HyperParameterTuningJobStatus": record.state["status"],
        "CreationTime": record.created,
        "HyperParameterTuningEndTime": record.state.get("ended"),
        "LastModifiedTime": record.modified,
        "TrainingJobStatusCounters": _status_counters(counts),
        "ObjectiveStatusCounters": _objective_counters(counts),
    }


def _status_counters(counts: Counter[tuple[str, bool]]) -> dict[str, int]:
    """The counters of statuses, from the numbers of trials by status and by whether they have an objective value."""
    statuses: Counter[str] = Counter()
    for (status, _), count in counts.items():
        statuses[status] += count
    return {
        "Completed": statuses["Completed"],
        "InProgress": sum(statuses[status] for status in RUNNING_STATUSES),
        "RetryableError": 0,
        "NonRetryableError": statuses["Failed"],
        "Stopped": statuses["Stopped"],
    }


def _objective_counters(counts: Counter[tuple[str, bool]]) -> dict[str, int]:
    """The same numbers, by the state of the objective."""
    found = dict.fromkeys(("Succeeded", "Pending", "Failed"), 0)
    for (status, measured), count in counts.items():
        found["Pending" if status in RUNNING_STATUSES else "Succeeded" if measured else "Failed"] += count
    return found


def _objective(record: Record, definition: str | None) -> Mapping[str, str]:
    """The objective of the training jobs of a definition; their Type is the same for all definitions."""
    definitions = definitions_of(record.request)
    chosen = next((entry for entry in definitions if entry.get("DefinitionName") == definition), definitions[0])
    return objective_of(chosen, record.request["HyperParameterTuningJobConfig"])


def _objective_value(record: Record, trial: Record) -> float | None:
    metric = (trial.state.get("metrics") or {}).get(_objective(record, trial.state.get("definition"))["MetricName"])
    return number(metric["value"]) if metric else None


def _objective_status(record: Record, trial: Record) -> str:
    if trial.state["status"] in RUNNING_STATUSES:
        return "Pending"
    return "Failed" if _objective_value(record, trial) is None else "Succeeded"


def _trial_summary(record: Record, trial: Record) -> Members:
    objective, value = _objective(record, trial.state.get("definition")), _objective_value(record, trial)
    metric = {"Type": objective["Type"], "MetricName": objective["MetricName"], "Value": value}
    finished = trial.state["status"] not in RUNNING_STATUSES
    return {
        "TrainingJobDefinitionName": trial.state.get("definition"),
        "TrainingJobName": trial.name,
        "TrainingJobArn": trial.arn,
        "TuningJobName": trial.state.get("tuning_job"),
        "CreationTime": trial.created,
        "TrainingStartTime": trial.state.get("started"),
        "TrainingEndTime": trial.state.get("ended"),
        "TrainingJobStatus": trial.state["status"],
        "TunedHyperParameters": {key: str(item) for key, item in (trial.state.get("tuned") or {}).items()},
        "FailureReason": trial.state.get("failure"),
        "FinalHyperParameterTuningJobObjectiveMetric": metric if finished and value is not None else None,
        "ObjectiveStatus": _objective_status(record, trial),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateHyperParameterTuningJob": create_tuning_job,
    "DescribeHyperParameterTuningJob": describe_tuning_job,
    "ListHyperParameterTuningJobs": list_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": list_trials,
    "StopHyperParameterTuningJob": stop_tuning_job,
    "DeleteHyperParameterTuningJob": delete_tuning_job,
}
