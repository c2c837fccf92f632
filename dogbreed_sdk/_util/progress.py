"""Progress of long work: one value per step, printed as a line or drawn as a bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from dogbreed_sdk._util.notebook import show_line
from training_scripts._util.safe_text import safe_line


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One step of a job, as the argument ``progress`` of everything that waits gets it; `str` makes a line of it.

    Attributes:
        job: Name of the job.
        status: SageMaker's secondary status, such as Starting, Downloading, Training or Uploading.
        message: The latest news.
        seconds: Seconds since the job was created.
        fraction: How much is done, 0 to 1; None if unknown.

    Examples:
        >>> def record(step: JobProgress) -> None:
        ...     steps.append((step.job, step.status))
        >>> steps: list[tuple[str, str]] = []
        >>> finished = job.wait(progress=record)
        >>> steps[-1] == (job.name, "Completed")
        True
    """

    job: str
    status: str
    message: str
    seconds: float
    fraction: float | None = None

    def __str__(self) -> str:
        share = "" if self.fraction is None else f" {self.fraction:4.0%}"
        return safe_line(f"{self.job}  {self.status:<11}{share} {self.seconds:6.1f} s  {self.message}".rstrip())


ProgressCallback = Callable[[JobProgress], None]


def show_progress(step: JobProgress) -> None:
    """Prints one line per step on standard error, or keeps one line with a bar in a notebook.

    It is the default of every ``wait``.
    """
    if not show_line(step.job, str(step), fraction=step.fraction):
        print(step, file=sys.stderr, flush=True)


def no_progress(step: JobProgress) -> None:
    """Prints nothing."""
