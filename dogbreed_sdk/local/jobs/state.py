"""How a training job's record changes: secondary statuses, their messages and the outcome."""

from __future__ import annotations

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.text import shorten
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import Request
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS

# AWS's words (API reference, SecondaryStatusTransition).
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job stopped because its managed spot training instance was interrupted",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job took longer than the MaxWaitTimeInSeconds provided",
}


def updated_request(request: Request, state: State) -> Request:
    """A training job's request with the members that UpdateTrainingJob has replaced."""
    return {**request, **state.get("updates", {})}


def now(state: State) -> float:
    """The current time by the job's clock, which never jumps, so that durations are right."""
    return clock.read(state.setdefault("clock", clock.start()))


def enter(state: State, secondary: str, message: str | None = None) -> None:
    """Record that a job reached a secondary status; does nothing if it already has that status or has ended."""
    if state.get("status", "InProgress") not in RUNNING_STATUSES:
        return
    if state.get("secondary") == secondary and state.get("transitions"):
        return
    moment = now(state)
    transitions = state.setdefault("transitions", [])
    if transitions:
        transitions[-1]["end"] = moment
    transitions.append({"status": secondary, "start": moment, "end": None, "message": message or MESSAGES[secondary]})
    state["secondary"] = secondary


def wait_for_cores(state: State, message: str) -> None:
    """Record that a job waits for free cores, and why; the message changes with the jobs that hold them."""
    enter(state, "Pending", message)
    if state.get("secondary") == "Pending":
        state["transitions"][-1]["message"] = message


def finish(state: State, status: str, *, secondary: str | None = None, failure: str | None = None) -> None:
    """Record a job's outcome; a job that already has one keeps it.

    Args:
        state: The record's state.
        status: Completed, Failed or Stopped.
        secondary: The secondary status, if it differs from the status (MaxRuntimeExceeded).
        failure: FailureReason, cut to AWS's 1024 characters.
    """
    if state.get("status") not in RUNNING_STATUSES:
        return
    secondary = secondary or status
    failure = shorten(failure, MAXIMUM_FAILURE_CHARACTERS) if failure else None
    message = MESSAGES[secondary] if failure is None else failure
    enter(state, secondary, message)
    state["status"] = status
    state["failure"] = failure
    state["ended"] = state["transitions"][-1]["end"] = now(state)


def request_interruption(state: State) -> None:
    """Ask for the interruption of a managed spot training job; its supervisor polls for this once the scripts run."""
    if state.get("status") == "InProgress":
        state["interrupt"] = True


def interrupted(state: State) -> None:
    """Record that a job lost its spot instance, and waits for another one."""
    state["interrupt"] = False
    state["interruptions"] = state.get("interruptions", 0) + 1
    enter(state, "Interrupted")
    enter(state, "Starting")


def request_stop(state: State) -> None:
    """Ask a running job to stop; its supervisor polls for this."""
    if state.get("status") == "InProgress":
        state["stop"] = True
        state["status"] = "Stopping"
        enter(state, "Stopping")
