"""A tuning job that runs or ran: its trials, the best of them, wait, stop."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.errors import JobError, JobFailedError, JobStoppedError
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.training_job import FINAL_STATUSES, Job, TrainingJob, elapsed, reading, script_hyperparameters
from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Trial:
    """One training job of a search.

    Attributes:
        name: Name of the training job.
        hyperparameters: What the search chose, by name.
        objective: Final value of the objective metric, or None where there is none.
        status: The training job's status.
        seconds: Wall time of the training, or None before it started.
        failure: SageMaker's FailureReason, or an empty string.
        started: When the training started, or None.
        ended: When it ended, or None.
    """

    name: str
    hyperparameters: Mapping[str, object]
    objective: float | None
    status: str
    seconds: float | None
    failure: str = ""
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The best training job of a search.

    Attributes:
        job: The training job, with its model artifact.
        objective: Final value of the objective metric.
        hyperparameters: Everything its script was given: what was searched and what all trials share.
        searched: What the search chose alone.
    """

    job: TrainingJob
    objective: float
    hyperparameters: Mapping[str, object]
    searched: Mapping[str, object] = field(default_factory=dict)


class TuningJob(Job):
    """A tuning job of this session, running or ended."""

    def describe(self) -> dict[str, Any]:
        """SageMaker's whole answer to DescribeHyperParameterTuningJob.

        Raises:
            JobError: The session has no such job.
        """
        with reading("tuning job", self.name, self.session):
            answer: dict[str, Any] = self.session.client("sagemaker").describe_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=self.name
            )
        return answer

    @property
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped."""
        return str(self.describe()["HyperParameterTuningJobStatus"])

    @property
    def best(self) -> BestTrial:
        """The best training job so far.

        Raises:
            JobError: No trial has reported the objective metric yet.
        """
        described = self.describe()
        summary = described.get("BestTrainingJob")
        if not summary:
            raise JobError(
                f"Tuning job {self.name} is {described['HyperParameterTuningJobStatus']} and no trial has "
                f"reported its objective yet. {described.get('FailureReason', '')}".rstrip()
            )
        job = TrainingJob(summary["TrainingJobName"], self.session)
        objective = float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
        searched = script_hyperparameters(summary.get("TunedHyperParameters", {}))
        return BestTrial(job, objective, job.hyperparameters, searched)

    def trials(self) -> list[Trial]:
        """Every training job of the search, in the order in which they were started."""
        pages = self.session.client("sagemaker").get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
        with translated(f"list the trials of tuning job {self.name}"):
            summaries = [
                summary
                for page in pages.paginate(
                    HyperParameterTuningJobName=self.name,
                    SortBy="CreationTime",
                    SortOrder="Ascending",
                    PaginationConfig={"PageSize": 100},
                )
                for summary in page["TrainingJobSummaries"]
            ]
        return [_trial(summary) for summary in summaries]

    def dataframe(self) -> pandas.DataFrame:
        """Every training job of the search as a table of pandas, in the order in which they were started.

        Returns:
            One row per trial: ``name``, one column per searched hyperparameter (numbers as numbers), ``objective``
            (NaN where there is none), ``status``, ``seconds``, ``started`` and ``ended`` (UTC), ``failure``.

        Raises:
            ConfigurationError: pandas is not installed.

        Example:
            >>> tuning.dataframe().sort_values("objective")  # doctest: +SKIP
        """
        pandas = optional.load("pandas", extra="aws", purpose="make a table of trials (trials() needs no package)")
        trials = self.trials()
        searched = sorted({name for trial in trials for name in trial.hyperparameters})
        columns: dict[str, Any] = {"name": [trial.name for trial in trials]}
        columns |= {name: [trial.hyperparameters.get(name) for trial in trials] for name in searched}
        columns["objective"] = pandas.Series([trial.objective for trial in trials], dtype="float64")
        columns["status"] = [trial.status for trial in trials]
        columns["seconds"] = pandas.Series([trial.seconds for trial in trials], dtype="float64")
        for name in ("started", "ended"):
            columns[name] = pandas.to_datetime([getattr(trial, name) for trial in trials], utc=True)
        columns["failure"] = [trial.failure for trial in trials]
        return pandas.DataFrame(columns)

    def wait(self, *, timeout: float | None = None, progress: ProgressCallback = print_progress) -> TuningJob:
        """Waits until the search has ended, with a line for each trial that starts or ends.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes. The job goes on either way.
            progress: Called with each step; `dogbreed_sdk._util.progress.no_progress` for silence.

        Returns:
            The job itself.

        Raises:
            JobFailedError: The search failed, for example because every trial did.
            JobStoppedError: It was stopped.
            JobError: The time is over.
        """
        seen: dict[str, str] = {}

        def ended() -> bool:
            described = self.describe()
            self._show_changes(described, seen, progress)
            return described["HyperParameterTuningJobStatus"] in FINAL_STATUSES

        self._wait_for(ended, timeout=timeout)
        described = self.describe()
        status = described["HyperParameterTuningJobStatus"]
        if status == "Failed":
            raise self._failed(str(described.get("FailureReason", "")))
        if status == "Stopped":
            raise JobStoppedError(
                f"Tuning job {self.name} was stopped; its finished trials are in trials(), the best in best."
            )
        return self

    def stop(self) -> None:
        """Asks SageMaker to stop the search and its running trials. No effect on one that has ended."""
        if self.status in FINAL_STATUSES:
            return
        with translated(f"stop tuning job {self.name}"):
            self.session.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def delete(self) -> int:
        """Deletes the search, its training jobs, and the files that they alone have written.

        Returns:
            How many files were deleted.

        Raises:
            JobError: It has not ended, or SageMaker does not let it be deleted.
            AccessError: Files may not be deleted.
        """
        status = self.status
        if status not in FINAL_STATUSES:
            raise JobError(
                f"Tuning job {self.name} is {status}; stop it with stop(), wait for its end, and delete it then."
            )
        count = sum(TrainingJob(trial.name, self.session).delete() for trial in self.trials())
        with translated(f"delete tuning job {self.name}"):
            self.session.client("sagemaker").delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)
        return count

    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""
        return [size for trial in self.trials() for size in TrainingJob(trial.name, self.session).stored_sizes()]

    def _show_changes(self, described: Mapping[str, Any], seen: dict[str, str], progress: ProgressCallback) -> None:
        """Reports the trials whose status or objective changed since the last look, and how many have ended."""
        config = described["HyperParameterTuningJobConfig"]
        limit = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
        metric = config["HyperParameterTuningJobObjective"]["MetricName"]
        trials = self.trials()
        for trial in trials:
            message = _trial_line(trial, metric)
            if seen.get(trial.name) != trial.status + message:
                seen[trial.name] = trial.status + message
                fraction = 1.0 if trial.status in FINAL_STATUSES else None
                progress(JobProgress(trial.name, trial.status, message, trial.seconds or 0.0, fraction))
        ended = sum(trial.status in FINAL_STATUSES for trial in trials)
        message = f"{ended} of {limit or 'all'} trials ended"
        if seen.get(self.name) != message:
            seen[self.name] = message
            status = str(described["HyperParameterTuningJobStatus"])
            progress(JobProgress(self.name, status, message, elapsed(described), ended / limit if limit else None))

    def _failed(self, reason: str) -> JobFailedError:
        """The error for a failed search, with the failure of its first failed trial."""
        for trial in self.trials():
            failure = TrainingJob(trial.name, self.session).failure() if trial.status == "Failed" else None
            if failure is not None:
                return JobFailedError(
                    self.name,
                    reason=reason,
                    traceback=failure.traceback,
                    cause=f"trial {trial.name}: {failure.cause}",
                    fix=failure.fix,
                )
        failure = diagnose(reason, ())
        return JobFailedError(self.name, reason=reason, cause=failure.cause, fix=failure.fix)


def _trial(summary: Mapping[str, Any]) -> Trial:
    objective = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    started, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    seconds = None
    if started is not None:
        seconds = max(0.0, (ended.timestamp() if ended else time.time()) - started.timestamp())
    return Trial(
        name=summary["TrainingJobName"],
        hyperparameters=script_hyperparameters(summary.get("TunedHyperParameters", {})),
        objective=None if objective is None else float(objective["Value"]),
        status=summary["TrainingJobStatus"],
        seconds=seconds,
        failure=summary.get("FailureReason", ""),
        started=started,
        ended=ended,
    )


def _trial_line(trial: Trial, metric: str) -> str:
    chosen = " ".join(f"{name}={short(value)}" for name, value in sorted(trial.hyperparameters.items()))
    if trial.status == "Failed":
        cause = diagnose(trial.failure, ()).cause
        return f"{chosen}  {textwrap.shorten(cause, 120, placeholder='…')}"
    if trial.objective is None and trial.status == "Completed":
        return f"no {metric}  {chosen}"
    return chosen if trial.objective is None else f"{metric} {trial.objective:.4f}  {chosen}"


def short(value: object) -> str:
    """A value for people: numbers to three significant digits.

    >>> short(0.00259123), short("adamw"), short(64)
    ('0.00259', 'adamw', '64')
    """
    return str(number_text(value, 3) if isinstance(value, float) else value)
