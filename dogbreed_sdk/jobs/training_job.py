"""A training job that runs or ran: wait, read, stop, find out why it failed, take its model away, deploy."""

from __future__ import annotations

import itertools
import math
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed_sdk import container, defaults
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.aws.logs import LogReader
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.debugging.managed_results import ManagedRule, judging, managed_rules, when_judged
from dogbreed_sdk.errors import JobError, JobFailedError, JobStoppedError
from dogbreed_sdk.jobs.failures import Failure, diagnose

if TYPE_CHECKING:
    from dogbreed_sdk.endpoints.deployment import Deployment
    from dogbreed_sdk.session import Session
    from training_scripts.training.metrics import EpochMetrics

FINAL_STATUSES = frozenset({"Completed", "Failed", "Stopped"})
# Enough of a log's end to hold any traceback.
_LAST_LINES = 500
# How far apart the steps of a running job are that ``wait`` shows.
NEWS_FRACTION = 0.05
NEWS_SECONDS = 10.0
# Lines of a training script that `wait` always shows.
NOTICES = ("continuing after epoch", "warning: ")
# In a job that computes its features itself, heads train on them in a small part of the time.
_PASS_SHARE = 0.8
_MOST_A_PAGE = 100  # API reference, MaxResults of both lists
_OUTPUTS = ("OutputDataConfig", "DebugHookConfig", "ProfilerConfig")
# Kind, operation, beginning of the members' names, and the list in the answer.
_KINDS = (
    ("training", "list_training_jobs", "TrainingJob", "TrainingJobSummaries"),
    ("tuning", "list_hyper_parameter_tuning_jobs", "HyperParameterTuningJob", "HyperParameterTuningJobSummaries"),
)
_PICTURES_DONE = re.compile(r"\b(\d+)\s*(?:/|of)\s*(\d+)\s+pictures")


class Job(ABC):
    """What training jobs and tuning jobs have in common.

    Attributes:
        name: Its name, unique in the session.
        session: Where it lives.
    """

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.session!r})"

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """SageMaker's whole description of the job."""

    @abstractmethod
    def delete(self) -> int:
        """Deletes an ended job and its files; returns how many files were deleted."""

    @abstractmethod
    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""

    @property
    def seconds(self) -> float:
        """Wall time since the job was created, up to its end where it has ended."""
        return elapsed(self.describe())

    def _wait_for(self, ended: Callable[[], bool], *, timeout: float | None) -> None:
        """Looks again and again until the job has ended.

        Raises:
            JobError: The time is over.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not ended():
            if time.monotonic() > deadline:
                raise JobError(
                    f"Job {self.name} is still running after {timeout:.0f} s. It goes on; wait for it again, or stop "
                    "it with stop()."
                )
            time.sleep(poll_seconds(self.session))


class TrainingJob(Job):
    """A training job of this session, running or ended."""

    def describe(self) -> dict[str, Any]:
        """SageMaker's whole answer to DescribeTrainingJob.

        Raises:
            JobError: The session has no such job.
        """
        with reading("training job", self.name, self.session):
            answer: dict[str, Any] = self.session.client("sagemaker").describe_training_job(TrainingJobName=self.name)
        return answer

    @property
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped."""
        return str(self.describe()["TrainingJobStatus"])

    @property
    def hyperparameters(self) -> dict[str, object]:
        """What the script was given, by name: numbers and booleans as such, everything else as text."""
        return script_hyperparameters(self.describe().get("HyperParameters", {}))

    @property
    def final_metrics(self) -> dict[str, float]:
        """The last value that SageMaker read for each metric: those of the weights that were kept."""
        return {entry["MetricName"]: entry["Value"] for entry in self.describe().get("FinalMetricDataList", [])}

    @property
    def model_uri(self) -> str:
        """URI of the model artifact.

        Raises:
            JobError: The job has none, or none yet.
        """
        described = self.describe()
        if computes_features(described):
            raise JobError(f"Training job {self.name} computed features; it has no model.")
        status = described["TrainingJobStatus"]
        uri = described.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if status == "Failed" or not uri:
            raise JobError(f"Training job {self.name} is {status} and has no model. failure() says why it failed.")
        if status not in FINAL_STATUSES:
            raise JobError(f"Training job {self.name} is {status}; it has a model when it has ended. Call wait().")
        return str(uri)

    @property
    def checkpoint_uri(self) -> str:
        """URI of the folder with the job's checkpoints.

        Raises:
            JobError: It was started without one.
        """
        uri = self.describe().get("CheckpointConfig", {}).get("S3Uri")
        if not uri:
            raise JobError(f"Training job {self.name} keeps no checkpoints, so none can be continued.")
        return str(uri)

    def wait(self, *, timeout: float | None = None, progress: ProgressCallback = print_progress) -> TrainingJob:
        """Waits until the job has ended, showing each epoch as it comes.

        Managed rules, where the job has some, judge a little longer: of a completed job they are waited for as well,
        ten minutes at most.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes. The job goes on either way.
            progress: Called with each step; `dogbreed_sdk._util.progress.no_progress` for silence.

        Returns:
            The job itself.

        Raises:
            JobFailedError: The job failed; with the traceback from its log, the cause and a fix.
            JobStoppedError: It was stopped.
            JobError: The time is over.
        """
        began = time.monotonic()
        self._wait_for(_Watcher(self, progress).poll, timeout=timeout)
        self.raise_unless_completed()
        left = math.inf if timeout is None else timeout - (time.monotonic() - began)
        self._when_judged(min(left, defaults.RULES_TIMEOUT_SECONDS), progress)
        return self

    def rule_summary(self) -> list[ManagedRule]:
        """What the managed Debugger's rules say of the job so far; empty where none were asked for.

        The rules that our script evaluates itself are in `DebugReport.load(job).rules`.
        """
        return managed_rules(self.describe())

    def described_with_rules(
        self,
        *,
        timeout: float = defaults.REPORT_RULES_TIMEOUT_SECONDS,
        progress: ProgressCallback = print_progress,
    ) -> dict[str, Any]:
        """The job's description; of an ended one with the answers of its managed rules, waited for if need be.

        Args:
            timeout: Seconds to wait for them at most.
            progress: Called with a line that names the rules that are waited for.
        """
        described = self.describe()
        if described["TrainingJobStatus"] not in FINAL_STATUSES or not judging(described):
            return described
        return self._when_judged(timeout, progress)

    def _when_judged(self, timeout: float, progress: ProgressCallback) -> dict[str, Any]:
        def say(described: Mapping[str, Any], line: str) -> None:
            progress(JobProgress(self.name, "Rules", line, elapsed(described)))

        return when_judged(self.describe, timeout=timeout, pause=poll_seconds(self.session), say=say)

    def raise_unless_completed(self) -> None:
        """Raises what `wait` raises for a job that has ended badly."""
        described = self.describe()
        if described["TrainingJobStatus"] == "Stopped":
            why = described.get("SecondaryStatus", "Stopped")
            raise JobStoppedError(
                f"Training job {self.name} was stopped ({why}). Its model so far, if it had saved one, is at "
                f"{described.get('ModelArtifacts', {}).get('S3ModelArtifacts', 'no artifact')}."
            )
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
            follow: Whether to go on with new lines until the job ends.
        """
        reader = self._log_reader()
        ended = not follow
        while not ended:
            ended = self.status in FINAL_STATUSES
            yield from reader.new_lines()
            if not ended:
                time.sleep(poll_seconds(self.session))
        yield from reader.new_lines()

    def metrics(self) -> list[EpochMetrics]:
        """One entry an epoch, read from the log: losses (mean cross-entropy, nats), accuracies (0 to 1)."""
        from training_scripts.training.metrics import parse_epoch  # noqa: PLC0415

        epochs = (parse_epoch(line) for line in self.logs())
        return [epoch for epoch in epochs if epoch is not None and not epoch.best]

    def failure(self) -> Failure | None:
        """Why the job failed, or None if it did not."""
        described = self.describe()
        if described["TrainingJobStatus"] != "Failed":
            return None
        log = deque(self._log_reader().new_lines(required=False), maxlen=_LAST_LINES)
        return diagnose(described.get("FailureReason", ""), list(log))

    def stop(self) -> None:
        """Asks SageMaker to stop the job; the script may still save what it has. No effect on one that ended."""
        if self.status in FINAL_STATUSES:
            return
        with translated(f"stop training job {self.name}"):
            self.session.client("sagemaker").stop_training_job(TrainingJobName=self.name)

    def delete(self) -> int:
        """Deletes the job and the files that it alone has written: model, outputs, recordings and checkpoints.

        On this machine its log goes too. Stored features and other jobs' checkpoints stay, and endpoints that serve
        its model keep running.

        Returns:
            How many files were deleted.

        Raises:
            JobError: It has not ended, or SageMaker does not let it be deleted.
            AccessError: Its files may not be deleted; the job is gone then.
        """
        described = self.describe()
        if described["TrainingJobStatus"] not in FINAL_STATUSES:
            raise JobError(
                f"Training job {self.name} is {described['TrainingJobStatus']}; stop it with stop(), wait for its end, "
                "and delete it then."
            )
        with translated(f"delete training job {self.name}"):
            self.session.client("sagemaker").delete_training_job(TrainingJobName=self.name)
        return sum(self.session.storage.delete_folder(uri) for uri in _own_folders(described))

    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""
        sizes = (self.session.storage.sizes(uri) for uri in _own_folders(self.describe()))
        return [size for folder in sizes for size in folder.values()]

    def download_model(self, dest: str | Path) -> Path:
        """Copies the model artifact.

        Args:
            dest: A folder, which then holds ``model.tar.gz``, or the path of a .tar.gz to write.

        Returns:
            The path of the file written.
        """
        path = Path(dest)
        named = path.name.endswith((".tar.gz", ".tgz")) and not path.is_dir()
        target = path if named else path / container.MODEL_ARCHIVE
        self.session.storage.download_file(self.model_uri, target)
        return target

    def deploy(
        self,
        *,
        endpoint_name: str | None = None,
        instance_type: str = defaults.SERVING_INSTANCE_TYPE,
        instance_count: int = 1,
        serverless_memory_mb: int | None = None,
        image_uri: str | None = None,
        environment: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        wait: bool = True,
        progress: ProgressCallback = print_progress,
    ) -> Deployment:
        """Serves the job's model behind a new endpoint; arguments and errors are `dogbreed_sdk.deploy`'s."""
        from dogbreed_sdk.endpoints.deployment import deploy  # noqa: PLC0415

        return deploy(
            self.model_uri,
            session=self.session,
            endpoint_name=endpoint_name,
            instance_type=instance_type,
            instance_count=instance_count,
            serverless_memory_mb=serverless_memory_mb,
            image_uri=image_uri,
            environment=environment,
            tags=tags,
            wait=wait,
            progress=progress,
        )

    def _log_reader(self) -> LogReader:
        return LogReader(self.session.client("logs"), container.TRAINING_LOG_GROUP, f"{self.name}/")


class _Watcher:
    """Turns what changed about a training job since the last look into progress steps."""

    def __init__(self, job: TrainingJob, progress: ProgressCallback) -> None:
        self._job = job
        self._progress = progress
        self._reader = job._log_reader()
        self._seen: tuple[str, str] | None = None
        self._shown_fraction = 0.0
        self._shown_at = -math.inf
        self._computes_features = False
        self._first_look: tuple[float, float] | None = None

    def poll(self) -> bool:
        """Looks once; whether the job has ended."""
        described = self._job.describe()
        ended = described["TrainingJobStatus"] in FINAL_STATUSES
        status = str(described.get("SecondaryStatus", described["TrainingJobStatus"]))
        seconds = elapsed(described) if ended else self._seconds(described)
        trains = "train_model" in described.get("HyperParameters", {}).get(container.PROGRAM_HYPERPARAMETER, "")
        for line in self._reader.new_lines(required=False):
            fraction = self._fraction(line, trains=trains)
            if line.startswith(NOTICES) or (fraction is not None and self._is_news(fraction)):
                self._progress(JobProgress(self._job.name, "Training", line.strip(), seconds, fraction))
        transitions = described.get("SecondaryStatusTransitions") or [{}]
        # Why a job failed is the error's to say, once and with the log's end.
        message = "" if status == "Failed" else str(transitions[-1].get("StatusMessage", ""))
        if (status, message) != self._seen:
            self._seen = (status, message)
            fraction = 1.0 if ended else self._shown_fraction or None
            self._progress(JobProgress(self._job.name, status, message, seconds, fraction))
        return ended

    def _fraction(self, line: str, *, trains: bool) -> float | None:
        """How far the whole job is by a line of its log, never less than was shown; None for a line without a share."""
        share = line_fraction(line)
        if share is None:
            return self._shown_fraction or None if line.startswith(NOTICES) else None
        if trains:
            in_pass = _PICTURES_DONE.search(line) is not None and not line.lstrip().startswith("epoch")
            self._computes_features |= in_pass
            if in_pass:
                share *= _PASS_SHARE
            elif self._computes_features:
                share = _PASS_SHARE + (1 - _PASS_SHARE) * share
        return max(share, self._shown_fraction)

    def _seconds(self, described: Mapping[str, Any]) -> float:
        """Seconds since the job's creation, counted on from the first look: the clock may be set meanwhile."""
        if self._first_look is None:
            self._first_look = (elapsed(described), time.monotonic())
        before, at = self._first_look
        return before + time.monotonic() - at

    def _is_news(self, fraction: float) -> bool:
        """Whether a step is far enough, or long enough, from the last one shown: a thousand epochs are no news."""
        now = time.monotonic()
        if 0 <= fraction - self._shown_fraction < NEWS_FRACTION and now - self._shown_at < NEWS_SECONDS:
            return fraction == 1.0
        self._shown_fraction, self._shown_at = fraction, now
        return True


@dataclass(frozen=True)
class JobList:
    """The newest jobs of a session.

    Attributes:
        jobs: What `list_jobs` answers.
        left_out: Kind -> how many older jobs are not among them, or None where SageMaker does not say how many.
    """

    jobs: list[dict[str, Any]]
    left_out: Mapping[str, int | None]


def list_jobs(session: Session, *, newest: int | None = 100) -> list[dict[str, Any]]:
    """The newest jobs of each kind, newest first: name, kind (training or tuning), status, created (ISO 8601).

    Args:
        session: Where to look.
        newest: How many of each kind; None for all.
    """
    return newest_jobs(session, newest).jobs


def newest_jobs(session: Session, newest: int | None) -> JobList:
    """`list_jobs`, with what was left out. On this machine older jobs are counted; AWS would be asked too often."""
    found: list[tuple[datetime, dict[str, Any]]] = []
    left_out: dict[str, int | None] = {}
    with translated("list jobs"):
        for kind, operation, prefix, key in _KINDS:
            pages = session.client("sagemaker").get_paginator(operation)
            size = _MOST_A_PAGE if newest is None or session.is_local else min(newest, _MOST_A_PAGE)
            entries = (
                entry
                for page in pages.paginate(
                    SortBy="CreationTime", SortOrder="Descending", PaginationConfig={"PageSize": size}
                )
                for entry in page[key]
            )
            shown = itertools.islice(entries, newest)
            found += [(entry["CreationTime"], _listed(entry, kind, prefix)) for entry in shown]
            if next(entries, None) is not None:
                left_out[kind] = 1 + sum(1 for _ in entries) if session.is_local else None
    found.sort(key=lambda pair: pair[0], reverse=True)
    return JobList([job for _, job in found], left_out)


def _listed(entry: Mapping[str, Any], kind: str, prefix: str) -> dict[str, Any]:
    return {
        "name": entry[f"{prefix}Name"],
        "kind": kind,
        "status": entry[f"{prefix}Status"],
        "created": entry["CreationTime"].isoformat(timespec="seconds"),
    }


def _own_folders(described: Mapping[str, Any]) -> list[str]:
    """URIs of the folders that a training job alone writes to; those that bear its name."""
    name = described["TrainingJobName"]
    outputs = [described.get(member, {}).get("S3OutputPath") for member in _OUTPUTS]
    own = [join(uri, name) for uri in outputs if uri]
    checkpoints = str(described.get("CheckpointConfig", {}).get("S3Uri", "")).rstrip("/")
    if checkpoints.rpartition("/")[2] == name:
        own.append(checkpoints)
    return list(dict.fromkeys(own))


def script_hyperparameters(encoded: Mapping[str, str]) -> dict[str, object]:
    """A request's hyperparameters as the script sees them: decoded and typed, without SageMaker's own."""
    from training_scripts.training.hyperparameters import typed  # noqa: PLC0415

    return {
        name: typed(name, container.decode_hyperparameter(value))
        for name, value in encoded.items()
        if not name.startswith(("sagemaker_", "_tuning"))
    }


@contextmanager
def reading(kind: str, name: str, session: Session) -> Iterator[None]:
    """Reads something about a job inside the block.

    Args:
        kind: "training job" or "tuning job".
        name: The job.
        session: Where it is looked for.

    Raises:
        JobError: There is no such job, or SageMaker refused.
    """
    try:
        with translated(f"read {kind} {name}"):
            yield
    except JobError as error:
        if is_unknown(error):
            raise JobError(f"There is no {kind} {name} in {session!r}. See 'dogbreed jobs'.") from error.__cause__
        raise


def computes_features(described: Mapping[str, Any]) -> bool:
    """Whether a job, as SageMaker describes it, stores features for others to train on, and trains no model."""
    return "extract_features" in described.get("HyperParameters", {}).get(container.PROGRAM_HYPERPARAMETER, "")


def is_unknown(error: JobError) -> bool:
    """Whether an error says that there is no such job; a name that no job can have counts as unknown."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return False
    return is_missing(cause) or cause.response["Error"]["Code"] == "ValidationException"


def line_fraction(line: str) -> float | None:
    """How far a job says that it is in a log line, 0 to 1, or None for a line that says nothing of it.

    >>> line_fraction("epoch 3/10 train:loss=0.5"), line_fraction("features 100/400 pictures")
    (0.3, 0.25)
    """
    from training_scripts.training.metrics import parse_epoch, parse_progress  # noqa: PLC0415

    epoch = parse_epoch(line)
    if epoch is not None:
        return 1.0 if epoch.best else float(epoch.epoch / epoch.epochs)
    within = parse_progress(line)
    if within is not None:
        return float(within)
    pictures = _PICTURES_DONE.search(line)
    if pictures is None:
        return None
    done, total = map(int, pictures.groups())
    return done / total if total else None


def poll_seconds(session: Session) -> float:
    """How long to sleep between two looks at a job or endpoint."""
    return defaults.LOCAL_POLL_SECONDS if session.is_local else defaults.AWS_POLL_SECONDS


def elapsed(described: Mapping[str, Any]) -> float:
    """Seconds since a job was created, up to its end where it has ended."""
    end = described.get("TrainingEndTime") or described.get("HyperParameterTuningEndTime")
    return max(0.0, float((end.timestamp() if end else time.time()) - described["CreationTime"].timestamp()))
