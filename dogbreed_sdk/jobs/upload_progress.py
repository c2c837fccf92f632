"""Shows uploads among the steps of the job that needs them."""

from __future__ import annotations

import time

from dogbreed_sdk._util.progress import JobProgress, ProgressCallback
from dogbreed_sdk.aws.transfers import TransferCallback, TransferProgress

# A large data set has a hundred files per second; a line per second is enough.
_REPORT_SECONDS = 1.0


def upload_progress(progress: ProgressCallback, what: str = "data set") -> TransferCallback:
    """A callback for a transfer that passes on a step per second, and one at the end if anything was copied.

    Args:
        progress: Called with the steps.
        what: What is copied, in place of a job's name.
    """
    last = time.monotonic()

    def report(step: TransferProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS or (step.done and step.unchanged_files < step.files):
            last = now
            fraction = step.bytes / step.total_bytes if step.total_bytes else None
            progress(JobProgress(what, step.doing, step.summary, step.seconds, fraction))

    return report
