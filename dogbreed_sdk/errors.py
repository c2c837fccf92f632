"""All errors of the SDK. Each message says what happened, to what, and what to do.

DogBreedError
 ├── ConfigurationError           a setting is invalid or missing; nothing was sent
 ├── DatasetError                 a data set cannot be trained on
 ├── ImageError                   a picture cannot be used
 │    ├── UnsupportedImageError   not a picture, broken, empty, or too large to decode
 │    ├── PayloadTooLargeError    too large for a request, even after shrinking
 │    └── ImageDownloadError      its URL could not be downloaded
 ├── JobError                     about a training or tuning job
 │    ├── JobFailedError          it failed; with traceback, cause and fix
 │    └── JobStoppedError         it was stopped before it completed
 ├── EndpointError                about an endpoint
 │    ├── EndpointNotFoundError
 │    ├── EndpointNotReadyError   it is being created or updated, or has failed
 │    ├── ModelError              the model's code returned an error
 │    ├── ThrottledError          too many requests
 │    └── EndpointTimeoutError    it did not respond in time
 ├── AccessError                  credentials or a permission are missing
 ├── QuotaError                   a quota of the AWS account is exhausted
 ├── LabelError                   labels are missing or do not match the model
 └── RecordingError               a recorded run is missing or cannot be read
"""

from __future__ import annotations

import functools

from training_scripts._util.safe_text import safe_lines

__all__ = [
    "AccessError",
    "ConfigurationError",
    "DatasetError",
    "DogBreedError",
    "EndpointError",
    "EndpointNotFoundError",
    "EndpointNotReadyError",
    "EndpointTimeoutError",
    "ImageDownloadError",
    "ImageError",
    "JobError",
    "JobFailedError",
    "JobStoppedError",
    "LabelError",
    "ModelError",
    "PayloadTooLargeError",
    "QuotaError",
    "RecordingError",
    "ThrottledError",
    "UnsupportedImageError",
]


class DogBreedError(Exception):
    """Base class of the SDK's errors.

    Args:
        message: What happened, to what, and what to do.
        request_id: Id of the failed request, from AWS or a model server; None if there is none.

    Attributes:
        request_id: The same; the message ends with it.

    Examples:
        Catches whatever the SDK reports; the message says what to do next.

        >>> try:
        ...     attach("cats-1", session=session)
        ... except DogBreedError as error:
        ...     print(error)
        No training, tuning or transform job named cats-1 exists in Session.local('...').
        'dogbreed jobs' lists the jobs.
    """

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        # The request ids of local SageMaker help nobody.
        known = request_id is not None and not request_id.startswith("local-")
        super().__init__(f"{message} (request id {request_id})" if known else message)
        self.request_id = request_id

    def __str__(self) -> str:
        # It contains names, URLs and reasons from disks, scripts and servers, and tracebacks print it to terminals.
        return safe_lines(super().__str__())


class ConfigurationError(DogBreedError):
    """A setting is invalid or missing; nothing was sent.

    Examples:
        >>> try:
        ...     Serverless(memory_mb=1000)
        ... except ConfigurationError as error:
        ...     print(error)
        The memory of a serverless endpoint must be 1024, 2048, 3072, 4096, 5120 or 6144 MB,
        got 1000.
    """


class DatasetError(DogBreedError):
    """A data set cannot be trained on.

    Examples:
        >>> try:
        ...     BreedDataset.from_folder("cats")
        ... except DatasetError as error:
        ...     print(error)
        /.../cats does not exist; pass a data set's folder
    """


class ImageError(DogBreedError):
    """A picture cannot be used.

    Examples:
        >>> for picture in ("rex.jpg", "dogs"):
        ...     try:
        ...         print(classifier.classify(picture).label)
        ...     except ImageError as error:
        ...         print(error)
        Basset hound
        cannot read the picture dogs: Is a directory
    """


class UnsupportedImageError(ImageError):
    """The bytes are not a picture, or it is broken, empty or too large to decode safely.

    Examples:
        >>> try:
        ...     classifier.classify(b"a text")
        ... except UnsupportedImageError as error:
        ...     print(error)
        the picture given as bytes is not a picture in a supported format; it begins with
        "a text"
    """


class PayloadTooLargeError(ImageError):
    """The picture is too large for a request, even after shrinking.

    Examples:
        >>> try:
        ...     classifier.with_options(max_payload_bytes=500).classify("rex.jpg")
        ... except PayloadTooLargeError as error:
        ...     print(error)
        rex.jpg needs ... bytes even after shrinking to a shorter side of 240; the limit is
        500
    """


class ImageDownloadError(ImageError):
    """The picture at a URL could not be downloaded.

    Examples:
        >>> try:
        ...     classifier.classify("http://127.0.0.1/rex.jpg")
        ... except ImageDownloadError as error:
        ...     print(error)
        cannot download http://127.0.0.1/rex.jpg: 127.0.0.1 is refused: it is not a public
        address; ...
    """


class JobError(DogBreedError):
    """A training or tuning job could not be used, or failed.

    Examples:
        >>> try:
        ...     trainer.train(dataset, resume="dogs-of-last-year")
        ... except JobError as error:
        ...     print(error)
        The training job dogs-of-last-year does not exist in Session.local('...').
        'dogbreed jobs' lists the jobs.
    """


class JobFailedError(JobError):
    """A job failed.

    Attributes:
        job_name: Name of the job.
        reason: SageMaker's FailureReason.
        traceback: The last lines of the script's traceback, or an empty string.
        cause: The line that names the error, or an empty string.
        fix: What to try next, or an empty string.

    Examples:
        `TrainingJob.wait` raises it. Create one to test what your program does then:

        >>> error = JobFailedError(
        ...     "dogs-1", reason="AlgorithmError: exit code 1", cause="CUDA out of memory", fix="Halve batch-size."
        ... )
        >>> print(error)
        Job dogs-1 failed: CUDA out of memory
        What to do: Halve batch-size.
    """

    def __init__(self, job_name: str, *, reason: str, traceback: str = "", cause: str = "", fix: str = "") -> None:
        parts = [f"Job {job_name} failed: {cause or reason}"]
        if traceback:
            parts.append(traceback.rstrip())
        if fix:
            parts.append(f"What to do: {fix}")
        super().__init__("\n".join(parts))
        self.job_name = job_name
        self.reason = reason
        self.traceback = traceback
        self.cause = cause
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        # By default, an exception is restored from its message, from which the parts cannot be recovered.
        parts = {name: getattr(self, name) for name in ("reason", "traceback", "cause", "fix")}
        return functools.partial(type(self), **parts), (self.job_name,), self.__dict__


class JobStoppedError(JobError):
    """A job was stopped before it completed.

    Examples:
        >>> run = trainer.train(dataset, {"epochs": 1000})
        >>> run.stop()
        >>> try:
        ...     run.wait()
        ... except JobStoppedError as error:
        ...     print(error)
        Training job dogs-... was stopped (Stopped). The model it had saved by then, if any,
        is at ...
    """


class EndpointError(DogBreedError):
    """An endpoint could not be used, or failed.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint
        >>> broken = FakeEndpoint(["Pug", "Boxer"]).fails(times=2).classifier(max_attempts=2)
        >>> try:
        ...     broken.classify("rex.jpg")
        ... except EndpointError as error:
        ...     print(error)
        Could not invoke endpoint fake: An internal failure occurred. (InternalFailure)
        (request id fake-request)
    """


class EndpointNotFoundError(EndpointError):
    """The session has no endpoint of this name.

    Examples:
        >>> try:
        ...     BreedClassifier("cat-breeds", session=session).classify("rex.jpg")
        ... except EndpointNotFoundError as error:
        ...     print(error)
        The endpoint cat-breeds does not exist in Session.local('...').
        'dogbreed endpoints' lists the endpoints.
    """


class EndpointNotReadyError(EndpointError):
    """The endpoint is being created or updated, or its creation failed.

    Examples:
        >>> try:
        ...     BreedClassifier.from_server("http://127.0.0.1:9", wait_ready=0.1).classify("rex.jpg")
        ... except EndpointNotReadyError as error:
        ...     print(error)
        the model server at http://127.0.0.1:9 is not ready after 0 s. Is it running?
    """


class ModelError(EndpointError):
    """The model's code in the endpoint returned an error.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint
        >>> broken = FakeEndpoint(["Pug", "Boxer"]).model_fails("out of memory", status=500).classifier()
        >>> try:
        ...     broken.classify("rex.jpg")
        ... except ModelError as error:
        ...     print(error)
        The model behind endpoint fake answered 500: out of memory (request id fake-request)
    """


class ThrottledError(EndpointError):
    """The endpoint is overloaded, or the account's API limit is reached; a later request may succeed.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint
        >>> busy = FakeEndpoint(["Pug", "Boxer"]).throttles(times=2).classifier(max_attempts=2)
        >>> try:
        ...     busy.classify("rex.jpg")
        ... except ThrottledError as error:
        ...     print(error)
        Could not invoke endpoint fake: Rate exceeded. Try again in a moment.
        (request id fake-request)
    """


class EndpointTimeoutError(EndpointError):
    """The endpoint did not respond in time.

    Args:
        message: What happened, to what, and what to do.
        request_id: Id of the failed request; None if there is none.
        limit: The classifier's option that ended the wait, such as "read_timeout"; None if it was not an option.

    Attributes:
        limit: The same.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint
        >>> slow = FakeEndpoint(["Pug", "Boxer"]).times_out().classifier(read_timeout=2)
        >>> try:
        ...     slow.classify("rex.jpg")
        ... except EndpointTimeoutError as error:
        ...     print(error.limit)
        read_timeout
    """

    def __init__(self, message: str, *, request_id: str | None = None, limit: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.limit = limit


class AccessError(DogBreedError):
    """Credentials are missing or expired, or a permission is missing.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint
        >>> endpoint = FakeEndpoint(["Pug", "Boxer"])
        >>> closed = endpoint.refuses("AccessDeniedException", "jo may not call it").classifier()
        >>> try:
        ...     closed.classify("rex.jpg")
        ... except AccessError as error:
        ...     print(error)
        Could not invoke endpoint fake: jo may not call it. Request this permission, or use a
        role that has it. (request id fake-request)
    """


class QuotaError(DogBreedError):
    """A quota of the AWS account is exhausted.

    Examples:
        >>> cluster = BreedTrainer(session, features="off", instance_count=100)
        >>> try:
        ...     cluster.train(dataset, {"unfreeze": 1})
        ... except QuotaError as error:
        ...     print(error)
        Could not start training job ...: The account-level service limit 'ml.m5.xlarge for
        training job usage' is 8 Instances, ... Request an increase under Service Quotas, ...
    """


class LabelError(DogBreedError):
    """Labels are missing or do not match the model.

    Examples:
        >>> try:
        ...     LabelMap.from_list(["Pug", "Pug"])
        ... except LabelError as error:
        ...     print(error)
        2 classes are listed, but only 1 are distinct; listed more than once: Pug. List each
        class once, in the order of the model's outputs.
    """


class RecordingError(DogBreedError):
    """A recorded run, or the requested part of it, is missing or cannot be read.

    Examples:
        >>> try:
        ...     DebugReport.load("dogs")
        ... except RecordingError as error:
        ...     print(error)
        dogs contains no recording. Looked in it and below for debug-output ...
    """
