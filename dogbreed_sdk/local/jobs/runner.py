"""Starts, stops and replaces the supervisors of training jobs; all state is in the store."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, cast

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.processes import GUARD_GRACE_SECONDS, is_alive, signal_group
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.jobs.checkpoints import checkpoint_path
from dogbreed_sdk.local.jobs.environment import JOB_MARK
from dogbreed_sdk.local.jobs.forked_scripts import server_for
from dogbreed_sdk.local.jobs.hosts import hosts_of, job_mark
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import TRAINING_JOB, Record, Store
from dogbreed_sdk.local.thread_ledger import ThreadLedger

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef


_SUPERVISOR = "dogbreed_sdk.local.jobs.supervisor"
_GUARD_MARGIN_SECONDS = 5.0


def start_training_job(store: Store, name: str) -> None:
    """Start the detached supervisor of a training job whose record exists.

    A supervisor that can't be started (a full disk) fails the job, with the reason in its record.
    """
    try:
        request = store.get(TRAINING_JOB, name).request
        server = server_for(request, request.get("HyperParameters") or {})
        process = supervision.start_job(_SUPERVISOR, store, TRAINING_JOB, name, fork_server=server)
        if process is not None:
            ThreadLedger(store.root).queue(name, process=process)
    except supervision.StartError as error:
        reason = f"ClientError: {error}"
        store.update(TRAINING_JOB, name, lambda state: job_state.finish(state, "Failed", failure=reason))


def request_stop(store: Store, name: str) -> None:
    """Ask a running training job to stop; its supervisor does the rest.

    A job that has ended, or is stopping already, is left as it is.
    """
    store.update(TRAINING_JOB, name, job_state.request_stop)


def interrupt(store: Store, name: str) -> None:
    """Interrupt the spot instance of a managed spot training job, as AWS may at any time.

    The script gets SIGTERM and, after the grace period, SIGKILL. Then the job starts again with its checkpoints only.

    Raises:
        ConfigurationError: The job does not use managed spot training, or has ended.
    """
    record = store.get(TRAINING_JOB, name)
    if not record.request.get("EnableManagedSpotTraining"):
        raise ConfigurationError(
            f"Training job {name} has no spot instance to interrupt: create it with EnableManagedSpotTraining and "
            "StoppingCondition's MaxWaitTimeInSeconds (spot=True of BreedTrainer)."
        )
    if record.state.get("status") != "InProgress":
        raise ConfigurationError(f"Training job {name} is {record.state.get('status')}, and cannot be interrupted.")
    store.update(TRAINING_JOB, name, job_state.request_interruption)


def reconcile(store: Store, name: str) -> None:
    """Fail a training job whose supervisor was killed, or whose machine was restarted.

    The failure reason says how to continue the job. A job that never had a supervisor gets one. Cheap if nothing is
    wrong.
    """
    supervision.reconcile(
        store, store.get(TRAINING_JOB, name), start=start_training_job, fail=_fail, resume=_fail_lost_job
    )


def is_abandoned(store: Store, record: Record) -> bool:
    """Whether both a training job and its supervisor have ended."""
    return record.state.get("status") not in RUNNING_STATUSES and supervision.is_lost(store, record)


def _fail_lost_job(store: Store, record: Record) -> None:
    scripts = [script for script in record.state.get("scripts", ()) if is_alive(script, root=store.root)]
    if scripts:
        # Their guards have asked them to end and let them save.
        patience = GUARD_GRACE_SECONDS + _GUARD_MARGIN_SECONDS
        orphaned = record.state.get("orphaned")
        if not orphaned or clock.age(orphaned) < patience:
            store.update(TRAINING_JOB, record.name, lambda state: _orphan(state, record))
            return
        for script in scripts:
            signal_group(int(script["pid"]), signal.SIGKILL)
    end_marked(JOB_MARK, job_mark(JobFolder.of(store.root, record.name)))
    _fail(store, record, _lost_reason(store, record))


def _fail(store: Store, record: Record, reason: str) -> None:
    def change(state: State) -> None:
        # Since the record was read, it may have ended by itself and written its outcome.
        if supervision.is_unchanged(state, record):
            job_state.finish(state, "Failed", failure=reason)

    store.update(TRAINING_JOB, record.name, change)


def _orphan(state: State, record: Record) -> None:
    if supervision.is_unchanged(state, record):
        state.setdefault("orphaned", clock.start())
        state["status"] = "Stopping"
        job_state.enter(state, "Stopping")


def _lost_reason(store: Store, record: Record) -> str:
    folder = JobFolder.of(store.root, record.name)
    request = cast("CreateTrainingJobRequestTypeDef", record.request)
    uri = request.get("CheckpointConfig", {}).get("S3Uri")
    saved = checkpoint_path(hosts_of(folder, request)[0], request)
    checkpoints = uri or saved.as_uri()
    last = f" (the last ones perhaps only in {saved})" if checkpoints.startswith("s3://") else ""
    return (
        "InternalServerError: the process that supervised this job ended before the job did: it was killed, or the "
        f"machine was restarted. The log is {folder.log}; checkpoints, if the script saved any, are in {checkpoints}"
        f"{last}. "
        f"To continue, create the job again under another name with CheckpointConfig S3Uri {checkpoints}."
    )
