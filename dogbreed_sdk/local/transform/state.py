"""How a transform job's record and folder change when it ends."""

from __future__ import annotations

import shutil

from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.text import shorten
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.hosting.servers import MODEL_MARK
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import TRANSFORM_JOB
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS

PARTS_FOLDER = "parts"


def ledger_name(job: str) -> str:
    """The name by which the thread ledger knows a job, since a training job may have the same name."""
    return f"{TRANSFORM_JOB}/{job}"


def finish(state: State, status: str, *, now: float, failure: str | None = None) -> None:
    """Record a job's outcome; a job that already has one keeps it.

    Args:
        state: The record's state.
        status: Completed, Failed or Stopped; a job that was asked to stop does not complete.
        now: The current time by the job's clock, in epoch seconds.
        failure: FailureReason, cut to AWS's 1024 characters.
    """
    if state.get("status") in RUNNING_STATUSES:
        reason = shorten(failure, MAXIMUM_FAILURE_CHARACTERS) if failure else None
        stopped = status == "Completed" and state.get("stop")
        state.update({"status": "Stopped" if stopped else status, "failure": reason, "ended": now})


def clean_up(folder: JobFolder) -> None:
    """End processes that the model started, and remove everything in a job's folder but its logs."""
    end_marked(MODEL_MARK, f"{folder.path}/")
    for path in folder.path.iterdir():
        if path.is_dir():  # the unpacked model, unfinished outputs, copies of inputs
            shutil.rmtree(path, ignore_errors=True)
