"""Starts, stops and replaces the supervisors of transform jobs; all state is in the store."""

from __future__ import annotations

from dogbreed_sdk._util.processes import end_process
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.states import State
from dogbreed_sdk.local.store import TRANSFORM_JOB, Record, Store
from dogbreed_sdk.local.thread_ledger import ThreadLedger
from dogbreed_sdk.local.transform import state as job_state

_SUPERVISOR = "dogbreed_sdk.local.transform.supervisor"
# The server's clients are gone with the supervisor, so that it has nothing to complete.
_STOP_SECONDS = 1.0


def start_transform_job(store: Store, name: str) -> None:
    """Start the detached supervisor of a transform job whose record exists.

    A supervisor that can't be started (a full disk) fails the job, with the reason in its record.
    """
    try:
        process = supervision.start_job(_SUPERVISOR, store, TRANSFORM_JOB, name)
        if process is not None:
            ThreadLedger(store.root).queue(job_state.ledger_name(name), process=process)
    except supervision.StartError as error:
        _fail(store, store.get(TRANSFORM_JOB, name), f"ClientError: {error}")


def request_stop(store: Store, name: str) -> None:
    """Ask a running transform job to stop; its supervisor does the rest.

    A job that has ended, or is stopping already, is left as it is.
    """
    store.update(TRANSFORM_JOB, name, supervision.request_stop)


def reconcile(store: Store, name: str) -> None:
    """Fail a transform job whose supervisor was killed, or whose machine was restarted.

    A job that never had a supervisor gets one. Cheap if nothing is wrong.
    """
    supervision.reconcile(
        store, store.get(TRANSFORM_JOB, name), start=start_transform_job, fail=_fail, resume=_fail_lost_job
    )


def _fail_lost_job(store: Store, record: Record) -> None:
    folder = JobFolder.of(store.root, record.name, TRANSFORM_JOB)
    end_process(record.state.get("server"), grace_seconds=_STOP_SECONDS, root=store.root)
    job_state.clean_up(folder)
    output = record.request["TransformOutput"]["S3OutputPath"]
    reason = (
        "InternalServerError: the process that supervised this job ended before the job did: it was killed, or the "
        f"machine was restarted. The outputs in {output} are complete, but some are missing. The log is "
        f"{folder.data_log}. To transform the rest, create the job again under another name."
    )
    _fail(store, record, reason)


def _fail(store: Store, record: Record, reason: str) -> None:
    def change(state: State) -> None:
        # Since the record was read, it may have ended by itself and written its outcome.
        if supervision.is_unchanged(state, record):
            job_state.finish(state, "Failed", now=record.now, failure=reason)

    store.update(TRANSFORM_JOB, record.name, change)
