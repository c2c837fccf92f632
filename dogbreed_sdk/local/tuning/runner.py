"""Starts, stops and replaces the supervisors of tuning jobs; all state is in the store."""

from __future__ import annotations

from dogbreed_sdk._util.text import shorten
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.forked_scripts import server_for
from dogbreed_sdk.local.states import State
from dogbreed_sdk.local.store import TUNING_JOB, Record, Store
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS
from dogbreed_sdk.local.tuning.resolution import definitions_of, resolve

_SUPERVISOR = "dogbreed_sdk.local.tuning.supervisor"
_MAXIMUM_RESTARTS = 5


def start_tuning_job(store: Store, name: str) -> None:
    """Start the detached supervisor of a tuning job whose record exists.

    A supervisor that can't be started (a full disk) fails the job, with the reason in its record.
    """
    try:
        supervision.start_job(_SUPERVISOR, store, TUNING_JOB, name, fork_server=_fork_server(store, name))
    except supervision.StartError as error:
        _fail(store, store.get(TUNING_JOB, name), f"ClientError: {error}")


def _fork_server(store: Store, name: str) -> int | None:
    """The descriptor of a fork server for a search's first definition; its trials share the fork server."""
    for definition in definitions_of(resolve(store.get(TUNING_JOB, name).request)):
        return server_for(definition, definition.get("StaticHyperParameters") or {})
    return None


def request_stop(store: Store, name: str) -> None:
    """Ask a running tuning job to stop; its supervisor stops the trials.

    A job that has ended, or is stopping already, is left as it is.
    """
    store.update(TUNING_JOB, name, supervision.request_stop)


def reconcile(store: Store, name: str) -> None:
    """Give a tuning job whose supervisor was killed another one, which continues the search.

    A search that was running when its folder was copied has failed in the copy. Cheap when nothing is wrong.
    """
    record = store.get(TUNING_JOB, name)
    supervision.reconcile(store, record, start=start_tuning_job, fail=_fail, resume=_restart)


def _restart(store: Store, record: Record) -> None:
    if _claim_restart(store, record):
        start_tuning_job(store, record.name)


def _claim_restart(store: Store, record: Record) -> bool:
    """Whether this caller is the one that restarts a search; a search that ended too often has failed instead."""
    claimed = False

    def change(state: State) -> None:
        nonlocal claimed
        claimed = supervision.is_unchanged(state, record)
        if not claimed:
            return
        restarts = state.get("restarts", 0)
        if restarts >= _MAXIMUM_RESTARTS:
            claimed = False
            log = JobFolder.of(store.root, record.name).supervisor_log
            reason = f"InternalServerError: the search's process ended {restarts + 1} times; see {log}."
            _note_failure(state, record, reason)
            return
        state.update({"process": None, "restarts": restarts + 1})

    store.update(TUNING_JOB, record.name, change)
    return claimed


def _fail(store: Store, record: Record, reason: str) -> None:
    store.update(TUNING_JOB, record.name, lambda state: _note_failure(state, record, reason))


def _note_failure(state: State, record: Record, reason: str) -> None:
    """Note that a search has failed, unless it has ended by itself since its record was read."""
    if supervision.is_unchanged(state, record):
        failure = shorten(reason, MAXIMUM_FAILURE_CHARACTERS)
        state.update({"status": "Failed", "ended": record.now, "failure": failure})
