"""A tuning job, running or ended: its trials, the best of them, wait, stop, delete."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.formatting import number
from dogbreed_sdk._util.polling import FINAL_STATUSES, elapsed
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, no_progress, show_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.errors import DogBreedError, JobError, JobFailedError, JobStoppedError
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.job import Job, reading, script_hyperparameters
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report.reasons import with_reason
from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    import pandas
    from types_boto3_sagemaker.type_defs import (
        DescribeHyperParameterTuningJobResponseTypeDef,
        HyperParameterTrainingJobSummaryTypeDef,
    )
    from typing_extensions import Unpack

    from dogbreed_sdk.endpoints.creation import DeployOptions
    from dogbreed_sdk.endpoints.deployment import Deployment
    from dogbreed_sdk.jobs.batch_transform import Pictures, TransformOptions
    from dogbreed_sdk.jobs.transform_job import TransformJob
    from dogbreed_sdk.jobs.tuning_report.report import TuningReport
    from dogbreed_sdk.model_cards.card import CardOptions, ModelCard

# Calls that a report makes to learn why trials were stopped: SageMaker allows few per second.
_MOST_DESCRIBED = 50

__all__ = ["BestTrial", "Trial", "TuningJob"]


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The best training job of a search.

    Attributes:
        job: The training job, with its model artifact.
        objective: Final value of the objective metric.
        hyperparameters: All hyperparameters of its script: the searched ones and those that all trials share.
        searched: Only the searched ones.
    """

    job: TrainingJob
    objective: float
    hyperparameters: Mapping[str, object]
    searched: Mapping[str, object] = field(default_factory=dict)

    def deploy(self, **options: Unpack[DeployOptions]) -> Deployment:
        """Deploys its model to a new endpoint; arguments and errors are those of `TrainingJob.deploy`."""
        return self.job.deploy(**options)

    def transform(self, pictures: Pictures, **options: Unpack[TransformOptions]) -> TransformJob:
        """Classifies pictures with its model; arguments and errors are those of `TrainingJob.transform`."""
        return self.job.transform(pictures, **options)


class TuningJob(Job):
    """A tuning job of a session, running or ended.

    `BreedTrainer.tune` starts one; `attach` finds it again by its name, from any process.

    Args:
        name: Name of the job.
        session: The session that it belongs to.

    Examples:
        >>> [trial.status for trial in tuning.trials()]
        ['Completed', 'Completed']
        >>> sorted(tuning.best.searched)
        ['batch-size', 'lr', 'weight-decay']
    """

    def describe(self) -> DescribeHyperParameterTuningJobResponseTypeDef:
        """SageMaker's response to DescribeHyperParameterTuningJob.

        Raises:
            JobError: The job does not exist.
        """
        client = self.session.client("sagemaker")
        with reading("tuning job", self.name, self.session):
            return client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def _repr_html_(self) -> str:
        from dogbreed_sdk.jobs.cards import tuning_job_card, unread_card  # noqa: PLC0415 - only notebooks need it

        try:
            return tuning_job_card(self.name, self.describe(), self.trials())
        except DogBreedError as error:
            return unread_card(f"Tuning job {self.name}", error)

    @property
    def seconds(self) -> float:
        """Wall time in seconds since the job was created; until its end if it has ended."""
        return _seconds(self.describe())

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
        return self._best_trial(described, described.get("BestTrainingJob"))

    @property
    def best_overall(self) -> BestTrial:
        """The best training job so far, of this search or of those with the same data that it started from.

        Raises:
            JobError: No trial has reported the objective metric yet.
        """
        described = self.describe()
        return self._best_trial(described, described.get("OverallBestTrainingJob") or described.get("BestTrainingJob"))

    def trials(self) -> list[Trial]:
        """All training jobs of the search, in the order in which they were created."""
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
        """All training jobs of the search as a pandas table, in the order in which they were created.

        Returns:
            One row per trial: ``name``, one column per searched hyperparameter (numbers as numbers), ``objective``
            (NaN if there is none), ``status``, ``seconds``, ``started`` and ``ended`` (UTC), ``failure``.

        Raises:
            ConfigurationError: pandas is not installed.

        Examples:
            >>> table = tuning.dataframe().sort_values("objective")
            >>> list(table.columns[:5])
            ['name', 'batch-size', 'lr', 'weight-decay', 'objective']
        """
        with optional.needed(extra="aws", purpose="make a table of trials (trials() needs no package)"):
            import pandas  # noqa: PLC0415
        trials = self.trials()
        searched = sorted({name for trial in trials for name in trial.hyperparameters})
        started = pandas.Series([trial.started for trial in trials], dtype="object")
        ended = pandas.Series([trial.ended for trial in trials], dtype="object")
        table: pandas.DataFrame = pandas.DataFrame(
            {
                "name": [trial.name for trial in trials],
                **{name: [trial.hyperparameters.get(name) for trial in trials] for name in searched},
                "objective": pandas.Series([trial.objective for trial in trials], dtype="float64"),
                "status": [trial.status for trial in trials],
                "seconds": pandas.Series([trial.seconds for trial in trials], dtype="float64"),
                "started": pandas.to_datetime(started, utc=True),
                "ended": pandas.to_datetime(ended, utc=True),
                "failure": [trial.failure for trial in trials],
            }
        )
        return table

    def report(self) -> TuningReport:
        """The report on the search so far: trials best first, what mattered, and what to search next.

        Returns:
            A snapshot with `to_text()`, `to_html(path)` and `to_dict()`; in a notebook it shows itself.

        Raises:
            JobError: The job does not exist.
            ConfigurationError: NumPy is not installed.
        """
        with optional.needed(extra="aws", purpose="report on a search (trials() needs no package)"):
            from dogbreed_sdk.jobs.tuning_report.report import TuningReport  # noqa: PLC0415 - needs NumPy

        described = self.describe()
        asked = itertools.count()

        def describe(name: str) -> Mapping[str, object]:
            within = next(asked) < _MOST_DESCRIBED
            return TrainingJob(name, self.session).describe() if within else {}

        trials = [with_reason(trial, described, describe) for trial in self.trials()]
        return TuningReport.of(described, trials, seconds=_seconds(described))

    def wait(self, *, timeout: float | None = None, progress: ProgressCallback | None = show_progress) -> TuningJob:
        """Waits until the search has ended and reports each trial that starts or ends.

        Args:
            timeout: Longest time to wait, in seconds; None waits until the job ends. The job itself is not affected.
            progress: Called with each step; None for no output. Default: prints on standard error.

        Returns:
            The job itself.

        Raises:
            JobFailedError: The search failed, for example because all trials failed.
            JobStoppedError: The search was stopped.
            JobError: The timeout expired.
        """
        seen: dict[str, str] = {}

        def ended() -> bool:
            described = self.describe()
            self._show_changes(described, seen, progress or no_progress)
            return described["HyperParameterTuningJobStatus"] in FINAL_STATUSES

        self._wait_for(ended, timeout=timeout)
        described = self.describe()
        status = described["HyperParameterTuningJobStatus"]
        if status == "Failed":
            raise self._failed(str(described.get("FailureReason", "")))
        if status == "Stopped":
            raise JobStoppedError(
                f"Tuning job {self.name} was stopped; its finished trials are in trials(), the best one in best."
            )
        return self

    def deploy(self, **options: Unpack[DeployOptions]) -> Deployment:
        """Deploys the best model so far to a new endpoint; arguments and errors are those of `TrainingJob.deploy`."""
        return self.best.deploy(**options)

    def transform(self, pictures: Pictures, **options: Unpack[TransformOptions]) -> TransformJob:
        """Classifies many pictures with the best model; arguments and errors are those of `TrainingJob.transform`."""
        return self.best.transform(pictures, **options)

    def model_card(self, **options: Unpack[CardOptions]) -> ModelCard:
        """The model card of the best model; arguments and errors are those of `TrainingJob.model_card`."""
        return self.best.job.model_card(**options)

    def stop(self) -> None:
        """Asks SageMaker to stop the search and its running trials. Does nothing if the search has ended."""
        if self.status in FINAL_STATUSES:
            return
        with translated(f"stop tuning job {self.name}"):
            self.session.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def delete(self) -> None:
        """Deletes the search, its training jobs, and the files that only they have written.

        Raises:
            JobError: The search has not ended, or SageMaker refuses to delete it.
            AccessError: Deleting files is not allowed.
        """
        status = self.status
        if status not in FINAL_STATUSES:
            raise JobError(f"Tuning job {self.name} is {status}; stop it, and delete it when it has ended.")
        for trial in self.trials():
            TrainingJob(trial.name, self.session).delete()
        with translated(f"delete tuning job {self.name}"):
            self.session.client("sagemaker").delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""
        return [size for trial in self.trials() for size in TrainingJob(trial.name, self.session).stored_sizes()]

    def _best_trial(
        self,
        described: DescribeHyperParameterTuningJobResponseTypeDef,
        summary: HyperParameterTrainingJobSummaryTypeDef | None,
    ) -> BestTrial:
        if not summary:
            status, reason = described["HyperParameterTuningJobStatus"], described.get("FailureReason", "")
            raise JobError(
                f"Tuning job {self.name} is {status} and no trial has reported the objective yet. {reason}".rstrip()
            )
        job = TrainingJob(summary["TrainingJobName"], self.session)
        objective = float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
        searched = script_hyperparameters(summary.get("TunedHyperParameters", {}))
        return BestTrial(job, objective, job.hyperparameters, searched)

    def _show_changes(
        self,
        described: DescribeHyperParameterTuningJobResponseTypeDef,
        seen: dict[str, str],
        progress: ProgressCallback,
    ) -> None:
        """Reports the trials that changed since the last poll, the status of the search, and how many have ended."""
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
        status = str(described["HyperParameterTuningJobStatus"])
        if seen.get(self.name) != status + message:
            seen[self.name] = status + message
            fraction = 1.0 if status in FINAL_STATUSES else ended / limit if limit else None
            progress(JobProgress(self.name, status, message, _seconds(described), fraction))

    def _failed(self, reason: str) -> JobFailedError:
        """The error of a failed search, with the failure of its first failed trial."""
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


def _seconds(described: DescribeHyperParameterTuningJobResponseTypeDef) -> float:
    return elapsed(described["CreationTime"], described.get("HyperParameterTuningEndTime"))


def _trial(summary: HyperParameterTrainingJobSummaryTypeDef) -> Trial:
    objective = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    started, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return Trial(
        name=summary["TrainingJobName"],
        hyperparameters=script_hyperparameters(summary.get("TunedHyperParameters", {})),
        objective=None if objective is None else float(objective["Value"]),
        status=summary["TrainingJobStatus"],
        seconds=None if started is None else elapsed(started, ended),
        failure=summary.get("FailureReason", ""),
        started=started,
        ended=ended,
        definition=summary.get("TrainingJobDefinitionName", ""),
    )


def _trial_line(trial: Trial, metric: str) -> str:
    chosen = " ".join(f"{name}={short(value)}" for name, value in sorted(trial.hyperparameters.items()))
    if trial.status == "Failed":
        cause = diagnose(trial.failure, ()).cause
        return f"{chosen}  {textwrap.shorten(cause, 120, placeholder='…')}"
    if trial.objective is None and trial.status == "Completed":
        return f"no {metric}  {chosen}"
    return chosen if trial.objective is None else f"{metric} {number(trial.objective)}  {chosen}"


def short(value: object) -> str:
    """A value for messages: numbers with three significant digits.

    >>> short(0.00259123), short("adamw"), short(64)
    ('0.00259', 'adamw', '64')
    """
    return str(number_text(value, 3) if isinstance(value, float) else value)
