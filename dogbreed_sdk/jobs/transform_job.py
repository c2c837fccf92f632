"""A batch transform job, running or ended: wait, read its predictions and its log, stop, delete its files."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, overload

from dogbreed_sdk import container
from dogbreed_sdk._util.polling import FINAL_STATUSES, elapsed
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, no_progress, show_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.logs import LogReader
from dogbreed_sdk.aws.small_files import read_files
from dogbreed_sdk.aws.storage import is_file_uri, join
from dogbreed_sdk.client import responses
from dogbreed_sdk.endpoints.deletion import delete_model
from dogbreed_sdk.errors import DogBreedError, JobError, JobFailedError, JobStoppedError, ModelError
from dogbreed_sdk.jobs.failures import Failure, diagnose
from dogbreed_sdk.jobs.job import Job, reading
from dogbreed_sdk.jobs.transform_outputs import outputs_by_input, reasons
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTransformJobResponseTypeDef

    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.predictions import Prediction


class TransformJob(Job):
    """A batch transform job of a session, running or ended.

    `transform` and `TrainingJob.transform` start one; `attach` finds it again by its name, from any process.

    Args:
        name: Name of the job.
        session: The session that it belongs to.

    Examples:
        >>> batch = job.transform("rex.jpg")
        >>> batch.stop()
        >>> try:
        ...     batch.wait()
        ... except JobStoppedError:
        ...     print(batch.status)
        Stopped
    """

    def describe(self) -> DescribeTransformJobResponseTypeDef:
        """SageMaker's response to DescribeTransformJob.

        Raises:
            JobError: The job does not exist.
        """
        with reading("transform job", self.name, self.session):
            return self.session.client("sagemaker").describe_transform_job(TransformJobName=self.name)

    @property
    def seconds(self) -> float:
        """Wall time in seconds since the job was created; until its end if it has ended."""
        described = self.describe()
        return elapsed(described["CreationTime"], described.get("TransformEndTime"))

    @property
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped."""
        return str(self.describe()["TransformJobStatus"])

    @property
    def input_uri(self) -> str:
        """URI of the folder with the pictures."""
        return str(self.describe()["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])

    @property
    def output_uri(self) -> str:
        """URI of the folder with one output per picture."""
        return str(self.describe()["TransformOutput"]["S3OutputPath"])

    @property
    def has_outputs(self) -> bool:
        """Whether at least one picture has an output."""
        return bool(self.session.storage.sizes(self.output_uri))

    def wait(self, *, timeout: float | None = None, progress: ProgressCallback | None = show_progress) -> TransformJob:
        """Waits until the job has ended, and deletes the model that was created for it.

        Args:
            timeout: Longest time to wait, in seconds; None waits until the job ends. The job itself is not affected.
            progress: Called when the status or the number of outputs changes; None for no output.

        Returns:
            The job itself.

        Raises:
            JobFailedError: The job failed. If only some pictures did, `predictions` has those of the others.
            JobStoppedError: The job was stopped; `predictions` has those that were written by then.
            JobError: The timeout expired.
        """
        progress = progress or no_progress
        total = len(self.session.storage.sizes(self.input_uri))
        seen: tuple[str, int] | None = None

        def ended() -> bool:
            nonlocal seen
            described = self.describe()
            status = str(described["TransformJobStatus"])
            done = len(self.session.storage.sizes(described["TransformOutput"]["S3OutputPath"]))
            if seen != (status, done):
                seen = (status, done)
                took = elapsed(described["CreationTime"], described.get("TransformEndTime"))
                fraction = 1.0 if status in FINAL_STATUSES else done / total if total else None
                progress(JobProgress(self.name, status, f"{done:,} of {counted(total, 'picture')}", took, fraction))
            return status in FINAL_STATUSES

        self._wait_for(ended, timeout=timeout)
        self._delete_model()
        self.raise_unless_completed()
        return self

    def raise_unless_completed(self) -> None:
        """Raises `wait`'s error for a job that failed or was stopped.

        Raises:
            JobFailedError: The job failed.
            JobStoppedError: The job was stopped.
        """
        if self.status == "Stopped":
            raise JobStoppedError(
                f"Transform job {self.name} was stopped; predictions(on_error='return') has what was written by then."
            )
        failure = self.failure()
        if failure is not None:
            raise JobFailedError(
                self.name, reason=failure.reason, traceback=failure.traceback, cause=failure.cause, fix=failure.fix
            )

    def failure(self) -> Failure | None:
        """Why the job failed, or None if it did not. One picture that fails makes the job fail."""
        described = self.describe()
        if described["TransformJobStatus"] != "Failed":
            return None
        reason = described.get("FailureReason", "")
        done = len(self.session.storage.sizes(described["TransformOutput"]["S3OutputPath"]))
        if done:
            return Failure(
                reason,
                traceback="",
                cause=reason,
                fix=f"predictions(on_error='return') has {counted(done, 'classified picture')}, and the reasons of the "
                "others.",
            )
        return diagnose(reason, list(self._log_reader().new_lines(required=False)))

    @overload
    def predictions(
        self, *, labels: LabelMap | None = ..., top_k: int = ..., on_error: Literal["raise"] = ...
    ) -> Generator[tuple[str, Prediction], None, None]: ...

    @overload
    def predictions(
        self, *, labels: LabelMap | None = ..., top_k: int = ..., on_error: Literal["return"]
    ) -> Generator[tuple[str, Prediction | DogBreedError], None, None]: ...

    def predictions(
        self, *, labels: LabelMap | None = None, top_k: int = 5, on_error: Literal["raise", "return"] = "raise"
    ) -> Generator[tuple[str, Prediction | DogBreedError], None, None]:
        """Yields each picture with its prediction, in the order of their names.

        A picture is named by its path below the folder that was transformed, such as ``test/001.Pug/rex.jpg``.

        Args:
            labels: Names of the classes, for models that return plain scores; bundles return the names themselves.
            top_k: Number of classes to rank for each picture, at least 1.
            on_error: "raise" stops at the first picture without a prediction and raises its error; "return" yields the
                error in place of the prediction, with the reason from the job's log, and continues.

        Raises:
            JobError: The job has not ended.
            ModelError: A picture failed, or its output is not a prediction.
            LabelError: Labels are missing, or do not fit.
            AccessError: Reading the outputs is not allowed.
        """
        described = self.describe()
        if described["TransformJobStatus"] not in FINAL_STATUSES:
            raise JobError(f"Transform job {self.name} is {described['TransformJobStatus']}. Call wait() first.")
        source = described["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        target = described["TransformOutput"]["S3OutputPath"]
        storage = self.session.storage
        outputs = outputs_by_input(sorted(storage.sizes(source)), storage.sizes(target))
        failed = self._reasons(described, [name for name, output in outputs.items() if output is None])
        contents = read_files(storage, [join(target, output) for output in outputs.values() if output is not None])
        for name, output in outputs.items():
            result: Prediction | DogBreedError
            if output is None:
                result = ModelError(f"{name} has no prediction: {failed[name]}")
            else:
                _, content = next(contents)
                result = _prediction(name, content or b"", labels, top_k)
            if on_error == "raise" and isinstance(result, DogBreedError):
                raise result
            yield name, result

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """The lines of the job's log, oldest first: those of the model server, and those about pictures.

        Args:
            follow: Whether to keep yielding new lines until the job ends.
        """
        yield from self._lines(self._log_reader(), follow=follow)

    def stop(self) -> None:
        """Asks SageMaker to stop the job; outputs that were written are kept. Does nothing if the job has ended."""
        if self.status in FINAL_STATUSES:
            return
        with translated(f"stop transform job {self.name}"):
            self.session.client("sagemaker").stop_transform_job(TransformJobName=self.name)

    def delete(self) -> None:
        """Deletes the outputs, the uploaded pictures, and the model that was created for the job.

        SageMaker keeps the record of the job itself; it has no operation that deletes one.

        Raises:
            JobError: The job has not ended.
            AccessError: Deleting files is not allowed.
        """
        if self.status not in FINAL_STATUSES:
            raise JobError(f"Transform job {self.name} is {self.status}; stop it, and delete it when it has ended.")
        self._delete_model()
        for uri in self._own_folders():
            self.session.storage.delete_folder(uri)

    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""
        return [size for uri in self._own_folders() for size in self.session.storage.sizes(uri).values()]

    def _own_folders(self) -> list[str]:
        """URIs of the folders that only this job uses: the outputs, and what was uploaded for it."""
        own = [self.output_uri]
        if self.input_uri.rstrip("/").endswith(f"/{self.name}/input"):
            own.append(self.input_uri)
        return own

    def _delete_model(self) -> None:
        """Deletes the model that has the job's name; one of another name belongs to somebody else."""
        if self.describe()["ModelName"] == self.name:
            delete_model(self.session, self.name)

    def _reasons(self, described: DescribeTransformJobResponseTypeDef, names: list[str]) -> Mapping[str, str]:
        """Why these pictures have no output: from the log, which the caller may not be allowed to read."""
        if not names:
            return {}
        source = described["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        root = str(container.uri_to_path(source)) if is_file_uri(source) else source.removeprefix("s3://")
        objects = {f"{root.rstrip('/')}/{name}": name for name in names}
        logged = reasons(self._log_reader().new_lines(required=False), objects.keys())
        status, reason = described["TransformJobStatus"], described.get("FailureReason")
        unknown = f"the job's log does not mention it, and the job is {status}{f' ({reason})' if reason else ''}"
        return {name: logged.get(known, unknown) for known, name in objects.items()}

    def _log_reader(self) -> LogReader:
        return LogReader(self.session.client("logs"), container.TRANSFORM_LOG_GROUP, f"{self.name}/")


def _prediction(name: str, content: bytes, labels: LabelMap | None, top_k: int) -> Prediction | ModelError:
    """The prediction in an output, or the error that says why it has none."""
    try:
        return responses.parse(content, labels=labels, top_k=top_k, latency_ms=None, request_id=None)
    except responses.UnknownModelError:
        raise responses.no_labels("probabilities") from None
    except ModelError as error:
        error.args = (f"The output of {name}: {error}",)
        return error
