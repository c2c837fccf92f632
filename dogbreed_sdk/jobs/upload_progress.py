"""Shows uploads among the steps of the job that needs them."""

from __future__ import annotations

from dogbreed_sdk._util.progress import JobProgress, ProgressCallback
from dogbreed_sdk.aws.transfers import TransferCallback, TransferProgress, in_seconds


def upload_progress(progress: ProgressCallback, what: str = "data set") -> TransferCallback:
    """A callback for a transfer that passes on a step per second, and one at the end if anything was copied.

    Args:
        progress: Called with the steps.
        what: What is copied, in place of a job's name.
    """

    def show(step: TransferProgress) -> None:
        fraction = step.bytes / step.total_bytes if step.total_bytes else None
        progress(JobProgress(what, step.doing, step.summary, step.seconds, fraction))

    return in_seconds(show)
