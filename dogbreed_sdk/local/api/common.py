"""Code shared by the operations of all resources: their context, creating and deleting jobs, checks, tags."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dogbreed_sdk.local.api.validation import operation_model
from dogbreed_sdk.local.api.wire import ApiError, resource_in_use, resource_not_found, validation_error
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.script_files import remove_tree
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

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import TagTypeDef

MAX_TAGS = 50
# A supervisor ends right after it writes its job's outcome, unless it evaluates rules.
_SUPERVISOR_SECONDS = 5.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Context:
    """The context of a request: the store, and the region in its signature."""

    store: Store
    region: str


# The members of a response; those that are None are left out.
Members = dict[str, object]
# A request that was checked against AWS's model; each operation declares the type of its requests.
Operation = Callable[[Context, Any], Members]


def get_job(context: Context, kind: str, name: str) -> Record:
    """A training, tuning or transform job.

    Raises:
        ApiError: ResourceNotFound.
    """
    try:
        return context.store.get(kind, name)
    except NotFound:
        raise resource_not_found() from None


def create_job(
    context: Context,
    kind: str,
    name: str,
    request: Request,
    state: State,
    *,
    noun: str,
    start: Callable[[Store, str], None],
) -> Record:
    """Create the record of a training, tuning or transform job with its tags, and start its supervisor.

    Args:
        context: Where the job is created.
        kind: TRAINING_JOB, TUNING_JOB or TRANSFORM_JOB.
        name: The job.
        request: Its create request.
        state: Its first state.
        noun: What messages call the job.
        start: Starts its supervisor; if that raises, the job is not created.

    Raises:
        ApiError: ResourceInUse if the name is taken; InternalFailure if the job can't be started.
    """
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


def check_running(record: Record, *, noun: str) -> None:
    """Refuse to stop a training, tuning or transform job that has ended.

    Raises:
        ApiError: ValidationException.
    """
    status = record.state["status"]
    if status not in RUNNING_STATUSES:
        raise validation_error(f"The request was rejected because the {noun} is in status {status}.")


def delete_job(context: Context, record: Record, *, noun: str) -> None:
    """Delete a training or tuning job that has ended, with its folder: its log, and the files of its container.

    Raises:
        ApiError: ResourceInUse while it runs or its rules are evaluated.
    """
    status = record.state["status"]
    if status in RUNNING_STATUSES:
        raise resource_in_use(f"The request was rejected because the {noun} is in status {status}; stop it first.")
    folder = JobFolder.of(context.store.root, record.name)
    deadline = time.monotonic() + _SUPERVISOR_SECONDS
    while is_locked(folder.lock):
        if time.monotonic() >= deadline:
            raise resource_in_use(f"The {noun} has ended, but its rules are still being evaluated; try again later.")
        time.sleep(_LOOK_SECONDS)
    removed = folder.path.with_name(f".deleted-{secrets.token_hex(8)}")
    with context.store.transaction():
        context.store.delete(record.kind, record.name)
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


def get_hosting(context: Context, kind: str, name: str, noun: str) -> Record:
    """A model, endpoint configuration or endpoint.

    Raises:
        ApiError: ValidationException if it does not exist, as on AWS for these kinds.
    """
    try:
        return context.store.get(kind, name)
    except NotFound:
        arn = resource_arn(kind, name, context.region)
        raise validation_error(f'Could not find {noun} "{arn}".') from None


def request_members(operation: str, request: Request) -> Members:
    """The members of a create request that an operation's response repeats (never the tags)."""
    output = operation_model("sagemaker", operation).output_shape
    known = output.members if output is not None else {}
    return {name: value for name, value in request.items() if name in known and value is not None}


def require(request: Mapping[str, object], *names: str, path: str = "") -> None:
    """Check for members that AWS requires although its model calls them optional.

    Raises:
        ApiError: ValidationException that names the first missing one.
    """
    for name in names:
        if request.get(name) is None:
            member = f"{path}{name[:1].lower()}{name[1:]}"
            raise validation_error(
                f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
                "Member must not be null"
            )


def first_duplicate(names: Sequence[str]) -> str | None:
    """The first name that occurs twice; None if there are no duplicates."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def tags_of(tags: Sequence[TagTypeDef] | None) -> dict[str, str]:
    """Tags by key.

    Raises:
        ApiError: ValidationException for a duplicate key, or for too many tags.
    """
    pairs = list(tags or [])
    duplicate = first_duplicate([tag["Key"] for tag in pairs])
    if duplicate is not None:
        raise validation_error(f"Duplicate tag key {duplicate!r}: each key may occur once.")
    if len(pairs) > MAX_TAGS:
        raise validation_error(f"{len(pairs)} tags given; a resource may have {MAX_TAGS}.")
    return {tag["Key"]: tag["Value"] for tag in pairs}


def cannot_start(what: str, error: Exception) -> ApiError:
    """The error for a resource that was accepted, but whose process can't be started."""
    return ApiError("InternalFailure", f"Could not start {what}: {error}", status=500)
