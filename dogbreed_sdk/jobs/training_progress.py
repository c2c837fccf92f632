"""Progress of a training job: what changed since the last poll, and the share of the work that is done."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk._util.polling import FINAL_STATUSES, elapsed
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

    from dogbreed_sdk.aws.logs import LogReader

# The steps of a running job that are shown are at least this far apart: a thousand epochs would flood a terminal.
SHOWN_FRACTION = 0.05
SHOWN_SECONDS = 10.0
# Lines of a training script that are always shown.
NOTICES = ("continuing after epoch", "engine: ", "warning: ")
# The share of a job that computes features and then trains a head on them: the head takes little time.
_FEATURES_SHARE = 0.8


class TrainingProgress:
    """Reports what changed about a training job since the last poll.

    Args:
        name: Name of the job.
        describe: Returns DescribeTrainingJob's response.
        log: Reads the job's log.
        progress: Called with each step.
    """

    def __init__(
        self,
        name: str,
        *,
        describe: Callable[[], DescribeTrainingJobResponseTypeDef],
        log: LogReader,
        progress: ProgressCallback,
    ) -> None:
        self._name = name
        self._describe = describe
        self._log = log
        self._progress = progress
        self._seen: tuple[str, str] | None = None
        self._shown_fraction = 0.0
        self._shown_at = -math.inf
        self._computes_features = False
        self._first_poll: tuple[float, float] | None = None

    def poll(self) -> bool:
        """Asks once and reports what is new.

        Returns:
            Whether the job has ended.
        """
        described = self._describe()
        ended = described["TrainingJobStatus"] in FINAL_STATUSES
        status = str(described.get("SecondaryStatus", described["TrainingJobStatus"]))
        seconds = job_seconds(described) if ended else self._seconds(described)
        trains = "train_model" in described.get("HyperParameters", {}).get(container.PROGRAM_HYPERPARAMETER, "")
        for line in self._log.new_lines(required=False):
            fraction = self._fraction(line, trains=trains)
            if line.startswith(NOTICES) or (fraction is not None and self._is_due(fraction)):
                self._progress(JobProgress(self._name, "Training", line.strip(), seconds, fraction))
        message = _status_message(described)
        if (status, message) != self._seen:
            self._seen = (status, message)
            fraction = 1.0 if ended else self._shown_fraction or None
            self._progress(JobProgress(self._name, status, message, seconds, fraction))
        return ended

    def _fraction(self, line: str, *, trains: bool) -> float | None:
        """The share of the whole job that a log line reports; never less than was shown, None if it reports none."""
        from training_scripts.training.metrics import PicturesDone, parse  # noqa: PLC0415

        report = parse(line)
        if report is None:
            return self._shown_fraction or None if line.startswith(NOTICES) else None
        share = report.fraction
        if trains:
            computing = isinstance(report, PicturesDone) and not report.within_epoch
            self._computes_features |= computing
            if computing:
                share *= _FEATURES_SHARE
            elif self._computes_features:
                share = _FEATURES_SHARE + (1 - _FEATURES_SHARE) * share
        return max(share, self._shown_fraction)

    def _seconds(self, described: DescribeTrainingJobResponseTypeDef) -> float:
        """Seconds since the job's creation, measured monotonically from the first poll: the clock may be set."""
        if self._first_poll is None:
            self._first_poll = (job_seconds(described), time.monotonic())
        before, at = self._first_poll
        return before + time.monotonic() - at

    def _is_due(self, fraction: float) -> bool:
        """Whether a step is far enough, or late enough, after the last one shown."""
        now = time.monotonic()
        if 0 <= fraction - self._shown_fraction < SHOWN_FRACTION and now - self._shown_at < SHOWN_SECONDS:
            return fraction == 1.0
        self._shown_fraction, self._shown_at = fraction, now
        return True


def job_seconds(described: DescribeTrainingJobResponseTypeDef) -> float:
    """Seconds since a training job was created; until its end if it has ended."""
    return elapsed(described["CreationTime"], described.get("TrainingEndTime"))


def _status_message(described: DescribeTrainingJobResponseTypeDef) -> str:
    """The message of the last status; empty for a failed job, whose error explains it with the end of the log."""
    transitions = described.get("SecondaryStatusTransitions")
    if not transitions or described.get("SecondaryStatus", described["TrainingJobStatus"]) == "Failed":
        return ""
    return transitions[-1].get("StatusMessage", "")
