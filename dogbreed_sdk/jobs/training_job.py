"""A training job, running or ended: wait, read its log and metrics, stop, diagnose a failure, download, deploy."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import container, defaults
from dogbreed_sdk._util.polling import FINAL_STATUSES, poll_seconds
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, no_progress, show_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.logs import LogReader
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import DogBreedError, JobError, JobFailedError, JobStoppedError
from dogbreed_sdk.jobs.failures import Failure, diagnose
from dogbreed_sdk.jobs.job import Job, reading, script_hyperparameters
from dogbreed_sdk.jobs.managed_results import ManagedRule, managed_rules, unfinished, wait_for_rules
from dogbreed_sdk.jobs.training_progress import TrainingProgress, job_seconds

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef
    from typing_extensions import Unpack

    from dogbreed_sdk.endpoints.creation import DeployOptions
    from dogbreed_sdk.endpoints.deployment import Deployment
    from dogbreed_sdk.jobs.batch_transform import Pictures, TransformOptions
    from dogbreed_sdk.jobs.transform_job import TransformJob
    from dogbreed_sdk.model_cards.card import CardOptions, ModelCard
    from training_scripts.training.metrics import EpochMetrics

# The end of a log that is read for a traceback, in lines.
_LAST_LINES = 500


class TrainingJob(Job):
    """A training job of a session, running or ended.

    `BreedTrainer.train` starts one; `attach` finds it again by its name, from any process.

    Args:
        name: Name of the job.
        session: The session that it belongs to.

    Examples:
        >>> job.status
        'Completed'
        >>> [epoch.epoch for epoch in job.metrics()]
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        >>> job.hyperparameters["epochs"], "valid:loss" in job.final_metrics
        (10, True)
    """

    def describe(self) -> DescribeTrainingJobResponseTypeDef:
        """SageMaker's response to DescribeTrainingJob.

        Raises:
            JobError: The job does not exist.
        """
        with reading("training job", self.name, self.session):
            return self.session.client("sagemaker").describe_training_job(TrainingJobName=self.name)

    def _repr_html_(self) -> str:
        from dogbreed_sdk.jobs.cards import training_job_card, unread_card  # noqa: PLC0415 - only notebooks need it

        try:
            return training_job_card(self.name, self.describe(), is_local=self.session.is_local)
        except DogBreedError as error:
            return unread_card(f"Training job {self.name}", error)

    @property
    def seconds(self) -> float:
        """Wall time in seconds since the job was created; until its end if it has ended."""
        return job_seconds(self.describe())

    @property
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped."""
        return str(self.describe()["TrainingJobStatus"])

    @property
    def hyperparameters(self) -> dict[str, object]:
        """The script's hyperparameters by name: numbers and booleans as such, everything else as text."""
        return script_hyperparameters(self.describe().get("HyperParameters", {}))

    @property
    def final_metrics(self) -> dict[str, float]:
        """The last value of each metric that SageMaker read from the log: those of the weights that were kept."""
        return {entry["MetricName"]: entry["Value"] for entry in self.describe().get("FinalMetricDataList", [])}

    @property
    def model_uri(self) -> str:
        """URI of the model artifact.

        Raises:
            JobError: The job has no model, or not yet.
        """
        described = self.describe()
        if computes_features(described):
            raise JobError(f"Training job {self.name} computed features and has no model.")
        status = described["TrainingJobStatus"]
        uri = described.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if status == "Failed" or not uri:
            raise JobError(f"Training job {self.name} is {status} and has no model. failure() explains why.")
        if status not in FINAL_STATUSES:
            raise JobError(f"Training job {self.name} is {status} and has no model yet. Call wait() first.")
        return str(uri)

    @property
    def features_uri(self) -> str:
        """URI of the folder with the features that the job trained on, which other jobs share.

        Raises:
            JobError: The job read pictures instead.
        """
        for channel in self.describe().get("InputDataConfig", []):
            if channel["ChannelName"] == "features":
                return str(channel["DataSource"]["S3DataSource"]["S3Uri"])
        raise JobError(
            f"Training job {self.name} trained on pictures, not on stored features; pass its data set instead."
        )

    @property
    def checkpoint_uri(self) -> str:
        """URI of the folder with the job's checkpoints.

        Raises:
            JobError: The job stores no checkpoints.
        """
        uri = _checkpoint_uri(self.describe())
        if not uri:
            raise JobError(f"Training job {self.name} stores no checkpoints, so it cannot be resumed.")
        return uri

    def wait(self, *, timeout: float | None = None, progress: ProgressCallback | None = show_progress) -> TrainingJob:
        """Waits until the job has ended and shows each epoch as it completes.

        If the job has managed rules, which finish a little later, a completed job's rules are waited for as well, for
        at most ten minutes.

        Args:
            timeout: Longest time to wait, in seconds; None waits until the job ends. The job itself is not affected.
            progress: Called with each step; None for no output. Default: prints on standard error.

        Returns:
            The job itself.

        Raises:
            JobFailedError: The job failed; with the traceback from its log, the cause and a fix.
            JobStoppedError: The job was stopped.
            JobError: The timeout expired.
        """
        began = time.monotonic()
        progress = progress or no_progress
        polled = TrainingProgress(self.name, describe=self.describe, log=self._log_reader(), progress=progress)
        self._wait_for(polled.poll, timeout=timeout)
        self.raise_unless_completed()
        left = math.inf if timeout is None else timeout - (time.monotonic() - began)
        self._wait_for_rules(min(left, defaults.RULES_TIMEOUT_SECONDS), progress)
        return self

    def rule_summary(self) -> list[ManagedRule]:
        """The results of the managed Debugger's rules so far; empty if the job has none.

        The rules that the training script evaluates itself are in `DebugReport.load(job).rules`.
        """
        return managed_rules(self.describe())

    def described_with_rules(
        self,
        *,
        timeout: float = defaults.REPORT_RULES_TIMEOUT_SECONDS,
        progress: ProgressCallback | None = show_progress,
    ) -> DescribeTrainingJobResponseTypeDef:
        """The job's description; for an ended job with the results of its managed rules, once they have finished.

        Args:
            timeout: Longest time to wait for the rules, in seconds.
            progress: Called with a message that names the unfinished rules; None for no output.
        """
        described = self.describe()
        if described["TrainingJobStatus"] not in FINAL_STATUSES or not unfinished(described):
            return described
        return self._wait_for_rules(timeout, progress or no_progress)

    def _wait_for_rules(self, timeout: float, progress: ProgressCallback) -> DescribeTrainingJobResponseTypeDef:
        def report(described: DescribeTrainingJobResponseTypeDef, message: str) -> None:
            progress(JobProgress(self.name, "Rules", message, job_seconds(described)))

        pause = poll_seconds(local=self.session.is_local)
        return wait_for_rules(self.describe, timeout=timeout, pause=pause, report=report)

    def raise_unless_completed(self) -> None:
        """Raises `wait`'s error for a job that failed or was stopped.

        Raises:
            JobFailedError: The job failed.
            JobStoppedError: The job was stopped.
        """
        described = self.describe()
        if described["TrainingJobStatus"] == "Stopped":
            why = described.get("SecondaryStatus", "Stopped")
            uri = described.get("ModelArtifacts", {}).get("S3ModelArtifacts")
            model = f"The model it had saved by then, if any, is at {uri}." if uri else "It has no model artifact."
            raise JobStoppedError(f"Training job {self.name} was stopped ({why}). {model}")
        failure = self.failure()
        if failure is not None:
            raise JobFailedError(
                self.name,
                reason=failure.reason,
                traceback=failure.traceback,
                cause=failure.cause,
                fix=failure.fix,
            )

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """The lines of the job's log, oldest first.

        Args:
            follow: Whether to keep yielding new lines until the job ends.
        """
        yield from self._lines(self._log_reader(), follow=follow)

    def metrics(self) -> list[EpochMetrics]:
        """One entry per epoch, read from the log: losses (mean cross-entropy, nats), accuracies (0 to 1)."""
        from training_scripts.training.metrics import EpochMetrics, parse  # noqa: PLC0415

        reports = (parse(line) for line in self.logs())
        return [report for report in reports if isinstance(report, EpochMetrics) and not report.best]

    def failure(self) -> Failure | None:
        """Why the job failed, or None if it did not."""
        described = self.describe()
        if described["TrainingJobStatus"] != "Failed":
            return None
        log = deque(self._log_reader().new_lines(required=False), maxlen=_LAST_LINES)
        return diagnose(described.get("FailureReason", ""), list(log))

    def stop(self) -> None:
        """Asks SageMaker to stop the job; the script may still save its model. Does nothing if the job has ended."""
        if self.status in FINAL_STATUSES:
            return
        with translated(f"stop training job {self.name}"):
            self.session.client("sagemaker").stop_training_job(TrainingJobName=self.name)

    def delete(self) -> None:
        """Deletes the job and the files that only it has written: model, outputs, recordings and checkpoints.

        On local SageMaker its log is deleted too. Stored features and other jobs' checkpoints are kept, and endpoints
        that serve its model keep running.

        Raises:
            JobError: The job has not ended, or SageMaker refuses to delete it.
            AccessError: Deleting its files is not allowed; the job itself has been deleted by then.
        """
        described = self.describe()
        if described["TrainingJobStatus"] not in FINAL_STATUSES:
            raise JobError(
                f"Training job {self.name} is {described['TrainingJobStatus']}; stop it, and delete it when it has "
                "ended."
            )
        with translated(f"delete training job {self.name}"):
            self.session.client("sagemaker").delete_training_job(TrainingJobName=self.name)
        for uri in _own_folders(described):
            self.session.storage.delete_folder(uri)

    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""
        sizes = (self.session.storage.sizes(uri) for uri in _own_folders(self.describe()))
        return [size for folder in sizes for size in folder.values()]

    def download_model(self, dest: str | Path) -> Path:
        """Downloads the model artifact.

        Args:
            dest: A folder, in which ``model.tar.gz`` is written, or the path of a .tar.gz file to write.

        Returns:
            The path of the written file.
        """
        path = Path(dest)
        named = path.name.endswith((".tar.gz", ".tgz")) and not path.is_dir()
        target = path if named else path / container.MODEL_ARCHIVE
        self.session.storage.download_file(self.model_uri, target)
        return target

    def deploy(self, **options: Unpack[DeployOptions]) -> Deployment:
        """Deploys the job's model to a new endpoint.

        Args:
            options: The keyword arguments of `dogbreed_sdk.deploy`, except the session, which is the job's.

        Raises:
            JobError: The job has no model.
            ConfigurationError: As for `dogbreed_sdk.deploy`.
            EndpointError: As for `dogbreed_sdk.deploy`.
            QuotaError: As for `dogbreed_sdk.deploy`.
        """
        from dogbreed_sdk.endpoints.creation import deploy  # noqa: PLC0415

        return deploy(self.model_uri, session=self.session, **options)

    def transform(self, pictures: Pictures, **options: Unpack[TransformOptions]) -> TransformJob:
        """Classifies many pictures with the job's model, in a batch transform job.

        Args:
            pictures: A data set, a folder, paths of pictures, or the s3:// URI of a folder.
            options: The keyword arguments of `dogbreed_sdk.transform`, except the session, which is the job's.

        Raises:
            JobError: The job has no model, or SageMaker refused.
            ConfigurationError: As for `dogbreed_sdk.transform`.
            DatasetError: As for `dogbreed_sdk.transform`.
            QuotaError: As for `dogbreed_sdk.transform`.
        """
        from dogbreed_sdk.jobs.batch_transform import transform  # noqa: PLC0415

        return transform(self.model_uri, pictures, session=self.session, **options)

    def model_card(self, **options: Unpack[CardOptions]) -> ModelCard:
        """The model card of the job's model, with the job's duration, machine and data.

        Args:
            options: The keyword arguments of `ModelCard.load`, except session and job. data_source: default: the URI
                from which the job read its pictures; of a folder on this machine, its name.

        Raises:
            JobError: The job has no model.
            ConfigurationError: The model is not a bundle.

        Examples:
            >>> job.model_card(data_license="CC0 1.0").to_html("card.html")
            PosixPath('card.html')
        """
        from dogbreed_sdk.jobs.model_card_facts import data_source, job_facts  # noqa: PLC0415 - few make cards
        from dogbreed_sdk.model_cards.card import ModelCard  # noqa: PLC0415

        described = self.describe()
        options["data_source"] = options.get("data_source") or data_source(described, self.session)
        options["name"] = options.get("name") or self.name
        facts = job_facts(described, is_local=self.session.is_local)
        return ModelCard.load(self.model_uri, session=self.session, job=facts, **options)

    def _log_reader(self) -> LogReader:
        return LogReader(self.session.client("logs"), container.TRAINING_LOG_GROUP, f"{self.name}/")


def computes_features(described: DescribeTrainingJobResponseTypeDef) -> bool:
    """Whether a job, as SageMaker describes it, computes features for other jobs and trains no model."""
    return "extract_features" in described.get("HyperParameters", {}).get(container.PROGRAM_HYPERPARAMETER, "")


def _own_folders(described: DescribeTrainingJobResponseTypeDef) -> list[str]:
    """URIs of the folders that only this training job writes to: those named after it."""
    name = described["TrainingJobName"]
    outputs = [
        described.get("OutputDataConfig", {}).get("S3OutputPath"),
        described.get("DebugHookConfig", {}).get("S3OutputPath"),
        described.get("ProfilerConfig", {}).get("S3OutputPath"),
    ]
    own = [join(uri, name) for uri in outputs if uri]
    checkpoints = _checkpoint_uri(described).rstrip("/")
    if checkpoints.rpartition("/")[2] == name:
        own.append(checkpoints)
    return list(dict.fromkeys(own))


def _checkpoint_uri(described: DescribeTrainingJobResponseTypeDef) -> str:
    """URI of the folder with a job's checkpoints, or an empty string.

    A trial of a search stores them in a folder of its name (`training_scripts.training.runtime`).
    """
    uri = str(described.get("CheckpointConfig", {}).get("S3Uri", ""))
    program = described.get("HyperParameters", {}).get(container.PROGRAM_HYPERPARAMETER, "")
    return join(uri, described["TrainingJobName"]) if uri and "hpo" in program else uri
