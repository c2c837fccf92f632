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

    Attributes:
        request_id: Id of the failed request, from AWS or a model server; None if there is none.
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
    """A setting is invalid or missing; nothing was sent."""


class DatasetError(DogBreedError):
    """A data set cannot be trained on."""


class ImageError(DogBreedError):
    """A picture cannot be used."""


class UnsupportedImageError(ImageError):
    """The bytes are not a picture, or it is broken, empty or too large to decode safely."""


class PayloadTooLargeError(ImageError):
    """The picture is too large for a request, even after shrinking."""


class ImageDownloadError(ImageError):
    """The picture at a URL could not be downloaded."""


class JobError(DogBreedError):
    """A training or tuning job could not be used, or failed."""


class JobFailedError(JobError):
    """A job failed.

    Attributes:
        job_name: Name of the job.
        reason: SageMaker's FailureReason.
        traceback: The last lines of the script's traceback, or an empty string.
        cause: The line that names the error, or an empty string.
        fix: What to try next, or an empty string.
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
    """A job was stopped before it completed."""


class EndpointError(DogBreedError):
    """An endpoint could not be used, or failed."""


class EndpointNotFoundError(EndpointError):
    """The session has no endpoint of this name."""


class EndpointNotReadyError(EndpointError):
    """The endpoint is being created or updated, or its creation failed."""


class ModelError(EndpointError):
    """The model's code in the endpoint returned an error."""


class ThrottledError(EndpointError):
    """The endpoint is overloaded, or the account's API limit is reached; a later request may succeed."""


class EndpointTimeoutError(EndpointError):
    """The endpoint did not respond in time.

    Attributes:
        limit: The classifier's option that ended the wait, such as "read_timeout"; None if it was not an option.
    """

    def __init__(self, message: str, *, request_id: str | None = None, limit: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.limit = limit


class AccessError(DogBreedError):
    """Credentials are missing or expired, or a permission is missing."""


class QuotaError(DogBreedError):
    """A quota of the AWS account is exhausted."""


class LabelError(DogBreedError):
    """Labels are missing or do not match the model."""


class RecordingError(DogBreedError):
    """A recorded run, or the requested part of it, is missing or cannot be read."""
