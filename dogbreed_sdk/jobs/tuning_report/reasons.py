"""Why a trial failed, was stopped, or has no objective, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dogbreed_sdk._util.text import sentence
from dogbreed_sdk.errors import JobError
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.trial import Trial

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeHyperParameterTuningJobResponseTypeDef

# Trials that were stopped this shortly before the search ended were stopped because it ended.
_SECONDS_BEFORE_THE_END = 60.0
# SageMaker's secondary statuses of training jobs that ran out of time.
_OUT_OF_TIME = {
    "MaxRuntimeExceeded": "It reached its time limit.",
    "MaxWaitTimeExceeded": "It waited for spot capacity until its time limit.",
    "Interrupted": "Its spot instance was taken away.",
}


def with_reason(
    trial: Trial,
    described: DescribeHyperParameterTuningJobResponseTypeDef,
    describe: Callable[[str], Mapping[str, object]],
) -> Trial:
    """The trial with the reason why it ended as it did; unchanged if it ended well or is running.

    Args:
        trial: The trial.
        described: DescribeHyperParameterTuningJob's response.
        describe: Describes a training job; called for trials that were stopped.
    """
    if trial.status == "Failed":
        return replace(trial, reason=sentence(diagnose(trial.failure, ()).cause or "It failed; its log says more"))
    if trial.status == "Stopped":
        return replace(trial, reason=_of_stop(trial, described, describe))
    if trial.status == "Completed" and trial.objective is None:
        config = described["HyperParameterTuningJobConfig"]
        metric = config.get("HyperParameterTuningJobObjective", {}).get("MetricName", "objective")
        return replace(trial, reason=f"It reported no {metric}.")
    return trial


def _of_stop(
    trial: Trial,
    described: DescribeHyperParameterTuningJobResponseTypeDef,
    describe: Callable[[str], Mapping[str, object]],
) -> str:
    config = described["HyperParameterTuningJobConfig"]
    try:
        secondary = str(describe(trial.name).get("SecondaryStatus", ""))
    except JobError:  # it was deleted, or may not be read: what the search says is enough
        secondary = ""
    if secondary in _OUT_OF_TIME:
        return _OUT_OF_TIME[secondary]
    ended = described.get("HyperParameterTuningEndTime")
    if ended and trial.ended and (ended - trial.ended).total_seconds() <= _SECONDS_BEFORE_THE_END:
        if described["HyperParameterTuningJobStatus"] == "Stopped":
            return "The search was stopped."
        if config.get("TuningJobCompletionCriteria"):
            return "The search had reached its goal."
    if config["Strategy"] == "Hyperband":
        return "Hyperband stopped it: it fell behind the other trials."
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        return "It was stopped early: it fell behind the median of the other trials."
    return "It was stopped from outside."
