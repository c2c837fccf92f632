"""Starts, stops and looks after the supervisors of jobs; everything it knows is in the store."""

from __future__ import annotations

import signal
from typing import Any

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.files import is_locked
from dogbreed_sdk._util.processes import GUARD_GRACE_SECONDS, identify, is_alive, is_of_copy, signal_group, start_module
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.hosting import endpoints
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.jobs.environment import JOB_MARK
from dogbreed_sdk.local.store import ENDPOINT, TRAINING_JOB, TUNING_JOB, Record, Store
from training_scripts._util.atomic import write_json_atomically

# A job that never had a supervisor is young (its starter is about to start one), or its starter was killed: then
# it is started again, for a while.
_START_SECONDS = 30.0
_START_AGAIN_SECONDS = 600.0
_MAXIMUM_RESTARTS = 5
_GUARD_MARGIN_SECONDS = 5.0
_COPIED = (
    "InternalServerError: this folder of local SageMaker is a copy, or was moved to another disk, and was made while "
    "the job ran: the job belongs to the original folder. To run it here, create it again under another name."
)


def start_training_job(store: Store, name: str) -> None:
    """Start the detached supervisor of a training job whose record exists.

    A supervisor that can't be started (a full disk) fails the job, with the reason in its record.
    """
    _start(store, TRAINING_JOB, name)


def start_tuning_job(store: Store, name: str) -> None:
    """Start the detached supervisor of a tuning job whose record exists; otherwise as `start_training_job`."""
    _start(store, TUNING_JOB, name)


def start_endpoint(store: Store, name: str) -> None:
    """Bring a new or changed endpoint up in the background; see `endpoints.launch`."""
    endpoints.launch(store, name)


def request_stop(store: Store, kind: str, name: str) -> None:
    """Ask a running training or tuning job to stop; its supervisor does the rest.

    A job that has ended, or is stopping already, is left as it is.
    """
    if kind == TRAINING_JOB:
        store.update(kind, name, job_state.request_stop)
        return

    def change(state: dict[str, Any]) -> None:
        if state.get("status") == "InProgress":
            state.update(stop=True, status="Stopping")

    store.update(kind, name, change)


def reconcile(store: Store, kind: str, name: str) -> None:
    """Set right what the end of a supervisor (killed, or the machine restarted) left behind.

    A training job gets its outcome: Failed, with the way to continue it. A tuning job gets a new supervisor,
    which continues the search; in a copy of the folder that it ran in, it has failed. An endpoint that was coming up
    is brought up again. Cheap when nothing is wrong.
    """
    if kind == ENDPOINT:
        endpoints.reconcile(store, name)
        return
    record = store.get(kind, name)
    if record.state.get("status") not in job_state.RUNNING_STATUSES or not _is_lost(store, record):
        return
    if is_of_copy(record.state.get("process"), store.root):
        _fail(store, record, _COPIED)
    elif not record.state.get("process") and record.age < _START_AGAIN_SECONDS:
        if _claim_start(store, record):
            _start(store, kind, name)
    elif kind == TRAINING_JOB:
        _fail_lost_job(store, record)
    else:
        _restart_tuning_job(store, record)


def is_abandoned(store: Store, record: Record) -> bool:
    """Whether a job has ended and its supervisor too."""
    return record.state.get("status") not in job_state.RUNNING_STATUSES and _is_lost(store, record)


def _start(store: Store, kind: str, name: str) -> None:
    folder = JobFolder.of(store.root, name)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        write_json_atomically(folder.path / "request.json", store.get(kind, name).request)
        arguments = [str(store.root), kind, name]
        pid = start_module("dogbreed_sdk.local.jobs.supervisor", arguments, log=folder.supervisor_log)
    except OSError as error:
        reason = f"ClientError: the job could not be started in {folder.path}: {error}"
        store.update(kind, name, lambda state: job_state.finish(state, "Failed", failure=reason))
        return
    process = identify(pid, root=store.root)

    def change(state: dict[str, Any]) -> None:
        # The supervisor notes itself; this serves whoever asks before it has come so far.
        if not state.get("process"):
            state["process"] = process

    store.update(kind, name, change)


def _claim_start(store: Store, record: Record) -> bool:
    """Whether it is this caller who starts a job again; of several who look at once, one does."""
    claimed = False

    def change(state: dict[str, Any]) -> None:
        nonlocal claimed
        claimed = _is_unchanged(state, record) and state.get("starts") == record.state.get("starts")
        if claimed:
            state["starts"] = (state.get("starts") or 0) + 1

    store.update(record.kind, record.name, change)
    return claimed


def _is_unchanged(state: dict[str, Any], record: Record) -> bool:
    """Whether a job still runs, and with the supervisor that the record names."""
    running = state.get("status") in job_state.RUNNING_STATUSES
    return running and state.get("process") == record.state.get("process")


def _is_lost(store: Store, record: Record) -> bool:
    # The lock is the truth, freed by the kernel when its holder ends; one that is starting has not taken it yet.
    if is_locked(JobFolder.of(store.root, record.name).lock):
        return False
    process = record.state.get("process")
    if process:
        return not is_alive(process, root=store.root)
    return record.unchanged_for > _START_SECONDS


def _fail_lost_job(store: Store, record: Record) -> None:
    script = record.state.get("script")
    if script and is_alive(script, root=store.root):
        # Its guard has told it to end and lets it save.
        patience = GUARD_GRACE_SECONDS + _GUARD_MARGIN_SECONDS
        orphaned = record.state.get("orphaned")
        if not orphaned or clock.age(orphaned) < patience:
            store.update(TRAINING_JOB, record.name, lambda state: _orphan(state, record))
            return
        signal_group(int(script["pid"]), signal.SIGKILL)
    end_marked(JOB_MARK, str(JobFolder.of(store.root, record.name).container / "model"))
    _fail(store, record, _lost_reason(store, record))


def _fail(store: Store, record: Record, reason: str) -> None:
    def change(state: dict[str, Any]) -> None:
        # Between the look and this change it may have ended by itself, its outcome written.
        if not _is_unchanged(state, record):
            return
        if record.kind == TRAINING_JOB:
            job_state.finish(state, "Failed", failure=reason)
        else:
            state.update(status="Failed", ended=record.now, failure=job_state.shorten(reason))

    store.update(record.kind, record.name, change)


def _orphan(state: dict[str, Any], record: Record) -> None:
    if _is_unchanged(state, record):
        state.setdefault("orphaned", clock.start())
        state["status"] = "Stopping"
        job_state.enter(state, "Stopping")


def _lost_reason(store: Store, record: Record) -> str:
    folder = JobFolder.of(store.root, record.name)
    uri = record.request.get("CheckpointConfig", {}).get("S3Uri")
    checkpoints = uri or (folder.container / "checkpoints").as_uri()
    return (
        "InternalServerError: the process that supervised this job ended before the job did: it was killed, or the "
        f"machine was restarted. The log is {folder.log}; checkpoints, if the script saved any, are in {checkpoints}. "
        f"To continue, create the job again under another name with CheckpointConfig S3Uri {checkpoints}."
    )


def _restart_tuning_job(store: Store, record: Record) -> None:
    claimed = False

    def change(state: dict[str, Any]) -> None:
        nonlocal claimed
        claimed = _is_unchanged(state, record)
        if not claimed:
            return
        restarts = state.get("restarts", 0)
        if restarts >= _MAXIMUM_RESTARTS:
            claimed = False
            log = JobFolder.of(store.root, record.name).supervisor_log
            state.update(
                status="Failed",
                ended=record.now,
                failure=f"InternalServerError: the search's process ended {restarts + 1} times; see {log}.",
            )
            return
        state.update(process=None, restarts=restarts + 1)

    store.update(TUNING_JOB, record.name, change)
    if claimed:
        start_tuning_job(store, record.name)
