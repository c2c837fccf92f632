"""What the operations on training, tuning and transform jobs share: find, create, stop and delete a job."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable

from dogbreed_sdk.local.api.common import Context, cannot_start, tags_of
from dogbreed_sdk.local.api.reconciliation import current
from dogbreed_sdk.local.api.wire import resource_in_use, resource_not_found, validation_error
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.script_files import remove_tree
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import (
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    AlreadyExists,
    NotFound,
    Record,
    Request,
    Store,
    resource_arn,
)
from training_scripts._util.locking import is_locked

# What messages call the jobs, by kind.
_NOUNS = {TRAINING_JOB: "training job", TUNING_JOB: "hyperparameter tuning job", TRANSFORM_JOB: "transform job"}
# A supervisor ends right after it writes its job's outcome, unless it evaluates rules.
_SUPERVISOR_SECONDS = 30.0
_LOOK_SECONDS = 0.02


def current_job(context: Context, kind: str, name: str) -> Record:
    """The current record of a training, tuning or transform job.

    Args:
        context: The context of the request.
        kind: TRAINING_JOB, TUNING_JOB or TRANSFORM_JOB.
        name: The job.

    Raises:
        ApiError: ResourceNotFound.
    """
    try:
        return current(context.store, context.store.get(kind, name))
    except NotFound:
        raise resource_not_found() from None


def create_job(
    context: Context,
    kind: str,
    name: str,
    request: Request,
    state: State,
    *,
    start: Callable[[Store, str], None],
) -> Record:
    """Create the record of a training, tuning or transform job with its tags, and start its supervisor.

    Args:
        context: Where the job is created.
        kind: TRAINING_JOB, TUNING_JOB or TRANSFORM_JOB.
        name: The job.
        request: Its create request.
        state: Its first state.
        start: Starts its supervisor; if that raises, the job is not created.

    Raises:
        ApiError: ResourceInUse if the name is taken; InternalFailure if the job can't be started.
    """
    noun = _NOUNS[kind]
    tags = tags_of(request.get("Tags"))
    try:
        with context.store.transaction():
            _refuse_shared_folder(context, kind, name)
            record = context.store.create(kind, name, request, state, region=context.region)
            context.store.set_tags(record.arn, tags)
    except AlreadyExists:
        arn = resource_arn(kind, name, context.region)
        raise resource_in_use(
            f"{noun.capitalize()} names must be unique within an AWS account and region, "
            f"and a {noun} with this name already exists ({arn})"
        ) from None
    try:
        start(context.store, name)
    except Exception as error:
        context.store.delete(kind, name)
        raise cannot_start(f"{noun} {name}", error) from error
    return record


def stop_job(context: Context, kind: str, name: str, request_stop: Callable[[Store, str], None]) -> None:
    """Ask a training, tuning or transform job to stop, which does nothing if it is already stopping.

    Args:
        context: The context of the request.
        kind: TRAINING_JOB, TUNING_JOB or TRANSFORM_JOB.
        name: The job.
        request_stop: Passes the request to the job's supervisor.

    Raises:
        ApiError: ResourceNotFound; ValidationException if the job has ended.
    """
    status = current_job(context, kind, name).state["status"]
    if status not in RUNNING_STATUSES:
        raise validation_error(f"The request was rejected because the {_NOUNS[kind]} is in status {status}.")
    request_stop(context.store, name)


def delete_job(context: Context, kind: str, name: str) -> None:
    """Delete a training or tuning job that has ended, with its folder: its log, and the files of its container.

    Raises:
        ApiError: ResourceNotFound; ResourceInUse while it runs or its rules are evaluated.
    """
    record = current_job(context, kind, name)
    noun, status = _NOUNS[kind], record.state["status"]
    if status in RUNNING_STATUSES:
        raise resource_in_use(f"The request was rejected because the {noun} is in status {status}; stop it first.")
    folder = JobFolder.of(context.store.root, name)
    deadline = time.monotonic() + _SUPERVISOR_SECONDS
    while is_locked(folder.lock):
        if time.monotonic() >= deadline:
            raise resource_in_use(f"The {noun} has ended, but its rules are still being evaluated; try again later.")
        time.sleep(_LOOK_SECONDS)
    removed = folder.path.with_name(f".deleted-{secrets.token_hex(8)}")
    with context.store.transaction():
        context.store.delete(kind, name)
        with contextlib.suppress(FileNotFoundError):
            folder.path.rename(removed)
    for left in folder.path.parent.glob(".deleted-*"):  # includes folders that a killed process left
        remove_tree(left)


def _refuse_shared_folder(context: Context, kind: str, name: str) -> None:
    """Refuse a name that the other kind of job uses: unlike on AWS, both keep their files in <root>/jobs/<name>."""
    if kind == TRANSFORM_JOB:  # these have their own folder
        return
    other, noun = (TUNING_JOB, "tuning") if kind == TRAINING_JOB else (TRAINING_JOB, "training")
    try:
        context.store.get(other, name)
    except NotFound:
        return
    raise resource_in_use(
        f"A {noun} job is named {name}, and local SageMaker keeps the files of both in one folder; choose another name."
    )
