"""What training, tuning and transform jobs have in common: a name, a session, reading, waiting."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk import container
from dogbreed_sdk._util.polling import FINAL_STATUSES, poll_seconds
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.errors import JobError

if TYPE_CHECKING:
    from dogbreed_sdk.aws.logs import LogReader
    from dogbreed_sdk.session import Session


class Job(ABC):
    """A training, tuning or transform job.

    Attributes:
        name: Its name, unique in the session.
        session: The session that it belongs to.
    """

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.session!r})"

    @abstractmethod
    def describe(self) -> Mapping[str, object]:
        """SageMaker's description of the job."""

    @property
    @abstractmethod
    def seconds(self) -> float:
        """Wall time in seconds since the job was created; until its end if it has ended."""

    @property
    @abstractmethod
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped."""

    @abstractmethod
    def delete(self) -> None:
        """Deletes an ended job and its files."""

    @abstractmethod
    def stored_sizes(self) -> list[int]:
        """The sizes in bytes of the files that `delete` would delete."""

    def _lines(self, reader: LogReader, *, follow: bool) -> Iterator[str]:
        """The lines of the job's log; with `follow`, also those that are written until it ends."""
        if follow:
            yield from reader.follow(lambda: self.status in FINAL_STATUSES, poll_seconds(local=self.session.is_local))
        else:
            yield from reader.new_lines()

    def _wait_for(self, ended: Callable[[], bool], *, timeout: float | None) -> None:
        """Polls until the job has ended.

        Raises:
            JobError: The timeout expired.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not ended():
            if time.monotonic() > deadline:
                raise JobError(
                    f"Job {self.name} is still running after {timeout:.0f} s and will keep running; call wait() again "
                    "or stop()."
                )
            time.sleep(poll_seconds(local=self.session.is_local))


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
    """Turns the errors of a block that reads a job into the SDK's.

    Args:
        kind: "training job", "tuning job" or "transform job".
        name: Name of the job.
        session: The session that it belongs to.

    Raises:
        JobError: The job does not exist, or SageMaker refused.
    """
    try:
        with translated(f"read {kind} {name}"):
            yield
    except JobError as error:
        if is_unknown(error):
            missing = f"The {kind} {name} does not exist in {session!r}. 'dogbreed jobs' lists the jobs."
            raise JobError(missing) from error.__cause__
        raise


def is_unknown(error: JobError) -> bool:
    """Whether an error means that the job does not exist; a name that SageMaker would refuse counts as such."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return False
    return is_missing(cause) or cause.response["Error"]["Code"] == "ValidationException"
