"""Every error of the SDK, each saying what happened, to what, and what to do.

DogBreedError
 ├── ConfigurationError           a wrong or missing setting, found before anything is sent
 ├── DatasetError                 the pictures on disk are not what training needs
 ├── ImageError                   one picture cannot be used
 │    ├── UnsupportedImageError   not a picture, broken, empty or far too large to decode
 │    ├── PayloadTooLargeError    fits no request even after shrinking
 │    └── ImageDownloadError      its URL could not be fetched
 ├── JobError                     about a training or tuning job
 │    ├── JobFailedError          it failed: with the traceback, the cause and a fix
 │    └── JobStoppedError         it was stopped before it finished
 ├── EndpointError                about an endpoint
 │    ├── EndpointNotFoundError
 │    ├── EndpointNotReadyError   being created, updated or failed
 │    ├── ModelError              the model's own code answered with an error
 │    ├── ThrottledError          too many requests
 │    └── EndpointTimeoutError    no answer in time
 ├── AccessError                  credentials or permissions
 ├── QuotaError                   an account limit
 ├── LabelError                   labels and scores do not belong together
 └── RecordingError               a recorded run cannot be found or read
"""

from __future__ import annotations

import functools
from typing import Any

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
    """Base of every error the SDK raises on purpose.

    Attributes:
        request_id: The id of the request that failed, as AWS or a model server gave it, or None where there is none.
    """

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        # Local SageMaker's ids say so; they help nobody.
        known = request_id is not None and not request_id.startswith("local-")
        super().__init__(f"{message} (request id {request_id})" if known else message)
        self.request_id = request_id

    def __str__(self) -> str:
        # Names, URLs and reasons in it come from disks, scripts and servers; tracebacks show it on a terminal.
        return safe_lines(super().__str__())


class ConfigurationError(DogBreedError):
    """A setting is wrong or missing; nothing has been sent yet."""


class DatasetError(DogBreedError):
    """The pictures on disk are not what training needs."""


class ImageError(DogBreedError):
    """One picture cannot be used."""


class UnsupportedImageError(ImageError):
    """The bytes are no picture, or one that is broken, empty or too large to decode safely."""


class PayloadTooLargeError(ImageError):
    """The picture fits no request, even after shrinking."""


class ImageDownloadError(ImageError):
    """The picture behind a URL could not be fetched."""


class JobError(DogBreedError):
    """Something about a training or tuning job."""


class JobFailedError(JobError):
    """A job failed.

    Attributes:
        job_name: The job.
        reason: SageMaker's FailureReason.
        traceback: The last lines of the script's traceback, or an empty string.
        cause: The line that says what went wrong, or an empty string.
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

    def __reduce__(self) -> tuple[Any, ...]:
        # As an exception is by itself, it would be made of its message, which says less than its parts.
        parts = {name: getattr(self, name) for name in ("reason", "traceback", "cause", "fix")}
        return functools.partial(type(self), **parts), (self.job_name,), self.__dict__


class JobStoppedError(JobError):
    """A job was stopped before it finished."""


class EndpointError(DogBreedError):
    """Something about an endpoint."""


class EndpointNotFoundError(EndpointError):
    """There is no endpoint of that name in this session."""


class EndpointNotReadyError(EndpointError):
    """The endpoint is being created or updated, or its creation failed."""


class ModelError(EndpointError):
    """The code inside the endpoint answered with an error of its own."""


class ThrottledError(EndpointError):
    """The endpoint or the account's API limit refused the request for now."""


class EndpointTimeoutError(EndpointError):
    """The endpoint gave no answer in time.

    Attributes:
        limit: The option of the classifier that ended the wait, such as "read_timeout"; None where it was none.
    """

    def __init__(self, message: str, *, request_id: str | None = None, limit: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.limit = limit


class AccessError(DogBreedError):
    """Credentials are missing or expired, or a permission is."""


class QuotaError(DogBreedError):
    """An account limit was reached."""


class LabelError(DogBreedError):
    """Labels and scores do not belong together."""


class RecordingError(DogBreedError):
    """A recorded run, or a part of it that was asked for, is not there or cannot be read."""
