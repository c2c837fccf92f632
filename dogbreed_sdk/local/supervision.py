"""Code that all supervisors share: starts them, lets them take over their job, and notices when they end.

A supervisor is the process beside a job, or beside an endpoint that is coming up. It does the work and writes the
outcome to the store, so that neither the client nor the server has to keep running. Each kind has its own program:
`jobs/supervisor.py`, `tuning/supervisor.py`, `transform/supervisor.py` and `hosting/supervisor.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from dogbreed_sdk._util.process_identity import Process
from dogbreed_sdk._util.processes import identify, is_alive, is_of_copy, restore_interrupts, start_module
from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import Record, Store, StoreError
from training_scripts._util.atomic import write_json_atomically
from training_scripts._util.locking import file_lock_within, is_locked

MAXIMUM_FAILURE_CHARACTERS = 1024  # API reference, DescribeTrainingJob, FailureReason
COPIED_FAILURE = (
    "InternalServerError: this folder of local SageMaker is a copy, or was moved to another disk, and was made while "
    "the job ran: the job belongs to the original folder. To run it here, create it again under another name."
)

# `is_locked` holds the lock for a moment, too.
_LOCK_SECONDS = 1.0
# A job without a supervisor is either new, and one is about to be started, or the process that should start it was
# killed: then starting is retried for a while.
_START_SECONDS = 30.0
_START_AGAIN_SECONDS = 600.0
_OUTCOME_ATTEMPTS = 600
_OUTCOME_SECONDS = 1.0

# The fate of a job's supervisor: its folder was copied while it ran, it never started, or it ended before its job.
Missing = Literal["copied", "never started", "ended"]


class StartError(DogBreedError):
    """The supervisor of a job can't be started, for instance because the disk is full."""


def start_job(program: str, store: Store, kind: str, name: str, *, fork_server: int | None = None) -> Process | None:
    """Start the detached supervisor of a job, and write its request to its folder.

    Args:
        program: The module to run; its arguments are the root folder and the name.
        store: The store with the job's record.
        kind: TRAINING_JOB, TUNING_JOB or TRANSFORM_JOB.
        name: The job.
        fork_server: The descriptor of a fork server that the supervisor inherits; see `forking`.

    Returns:
        The supervisor, None if it has ended already.

    Raises:
        StartError: It can't be started.
    """
    folder = JobFolder.of(store.root, name, kind)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        write_json_atomically(folder.path / "request.json", store.get(kind, name).request, durable=False)
        return start(program, store, kind, name, log=folder.supervisor_log, fork_server=fork_server)
    except OSError as error:
        raise StartError(f"the job could not be started in {folder.path}: {error}") from error


def start(
    program: str, store: Store, kind: str, name: str, *, log: Path, fork_server: int | None = None
) -> Process | None:
    """Start the supervisor of a record, detached, and note its process in the record.

    Args:
        program: The module to run; its arguments are the root folder and the name.
        store: The store with the record.
        kind: The record's kind.
        name: The record's name.
        log: Where the supervisor prints to: empty unless something is wrong with it.
        fork_server: The descriptor of a fork server that the supervisor inherits; see `forking`.

    Returns:
        The supervisor, None if it has ended already.

    Raises:
        OSError: It can't be started, for instance because the disk is full.
    """
    inherits = None if fork_server is None else {**os.environ, FORK_SERVER_VARIABLE: str(fork_server)}
    keep_open = () if fork_server is None else (fork_server,)
    pid = start_module(program, [str(store.root), name], log=log, environment=inherits, keep_open=keep_open)
    process = identify(pid, root=store.root)

    def change(state: State) -> None:
        # The supervisor records itself later; this entry is for clients that ask before that.
        if not state.get("process"):
            state["process"] = process

    store.update(kind, name, change)
    return process


def open_store(arguments: Sequence[str]) -> tuple[Store, str]:
    """The store and the name that `start` gave to a supervisor's program."""
    root, name = arguments
    restore_interrupts()
    return Store(Path(root)), name


@contextmanager
def sole_supervisor(store: Store, kind: str, name: str) -> Iterator[bool]:
    """Hold the lock of a job while the context lasts; yields False if another supervisor holds it."""
    with file_lock_within(JobFolder.of(store.root, name, kind).lock, _LOCK_SECONDS) as is_ours:
        yield is_ours


def request_stop(state: State) -> None:
    """Ask a running tuning or transform job to stop; its supervisor looks for this."""
    if state.get("status") == "InProgress":
        state.update({"stop": True, "status": "Stopping"})


def reconcile(
    store: Store,
    record: Record,
    *,
    start: Callable[[Store, str], None],
    fail: Callable[[Store, Record, str], None],
    resume: Callable[[Store, Record], None],
) -> None:
    """Give a job an outcome, or another supervisor, if its supervisor is gone. Cheap if nothing is wrong.

    Args:
        store: The store with the record.
        record: The job.
        start: Starts its first supervisor.
        fail: Fails it, with the reason.
        resume: Called if its supervisor ended before the job did.
    """
    missing = missing_supervisor(store, record)
    if missing == "copied":
        fail(store, record, COPIED_FAILURE)
    elif missing == "never started":
        if claim_start(store, record):
            start(store, record.name)
    elif missing == "ended":
        resume(store, record)


def missing_supervisor(store: Store, record: Record) -> Missing | None:
    """The fate of a running job's supervisor; None if it still runs, or if the job has ended."""
    if record.state.get("status") not in RUNNING_STATUSES or not is_lost(store, record):
        return None
    process = record.state.get("process")
    if is_of_copy(process, store.root):
        return "copied"
    return "ended" if process or record.age >= _START_AGAIN_SECONDS else "never started"


def is_lost(store: Store, record: Record) -> bool:
    """Whether a job no longer has a supervisor, and none is about to start."""
    # The lock decides: the kernel frees it when its holder ends. A supervisor that is starting does not hold it yet.
    if is_locked(JobFolder.of(store.root, record.name, record.kind).lock):
        return False
    process = record.state.get("process")
    if process:
        return not is_alive(process, root=store.root)
    return record.unchanged_for > _START_SECONDS


def is_unchanged(state: State, record: Record) -> bool:
    """Whether a job still runs, and with the supervisor that the record names."""
    return state.get("status") in RUNNING_STATUSES and state.get("process") == record.state.get("process")


def claim_start(store: Store, record: Record) -> bool:
    """Whether this caller is the one that restarts a job, if several callers saw it without a supervisor."""
    claimed = False

    def change(state: State) -> None:
        nonlocal claimed
        claimed = is_unchanged(state, record) and state.get("starts") == record.state.get("starts")
        if claimed:
            state["starts"] = (state.get("starts") or 0) + 1

    store.update(record.kind, record.name, change)
    return claimed


def write_outcome(store: Store, record: Record, change: Callable[[State], None]) -> None:
    """Write the outcome of a job; retries for ten minutes, because only its supervisor knows it.

    Args:
        store: The store with the record.
        record: The job.
        change: Edits its state.

    Raises:
        StoreError: The store can't be written, for instance because the disk is still full.
    """
    for _ in range(_OUTCOME_ATTEMPTS - 1):
        try:
            store.update(record.kind, record.name, change)
        except StoreError:
            time.sleep(_OUTCOME_SECONDS)
        else:
            return
    store.update(record.kind, record.name, change)
