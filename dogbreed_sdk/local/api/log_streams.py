"""The log streams of jobs and endpoints, by log group: one for each host, model server or transform."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk.container import ENDPOINT_LOG_GROUP_PREFIX, TRAINING_LOG_GROUP, TRANSFORM_LOG_GROUP
from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.folders import EndpointFolder, JobFolder
from dogbreed_sdk.local.hosting.routing import variant_names
from dogbreed_sdk.local.jobs.hosts import hosts_of
from dogbreed_sdk.local.store import ENDPOINT, TRAINING_JOB, TRANSFORM_JOB, Filters, NotFound, Record

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

_JOB_GROUPS = {TRAINING_LOG_GROUP: TRAINING_JOB, TRANSFORM_LOG_GROUP: TRANSFORM_JOB}


@dataclass(frozen=True)
class Stream:
    """One log stream: its name, its file and when its resource was created (epoch seconds)."""

    name: str
    path: Path
    created: float


def group_of(request: Mapping[str, Any]) -> str:
    """The name of the log group in a request.

    Raises:
        ApiError: InvalidParameterException if it has neither a name nor an identifier, or both.
    """
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if bool(name) == bool(identifier):
        raise invalid("Give either logGroupName or logGroupIdentifier.")
    return str(name or str(identifier).rpartition(":log-group:")[2])


def resources_of(context: Context, group: str, prefix: str) -> list[str]:
    """The names of the jobs, or of the endpoint, whose streams are in a group and may begin with a prefix.

    Raises:
        ApiError: ResourceNotFoundException if the group does not exist.
    """
    if group.startswith(ENDPOINT_LOG_GROUP_PREFIX):
        with contextlib.suppress(NotFound):
            return [context.store.get(ENDPOINT, group.removeprefix(ENDPOINT_LOG_GROUP_PREFIX)).name]
    elif group in _JOB_GROUPS:
        job, slash, _ = prefix.partition("/")
        if slash:
            with contextlib.suppress(NotFound):
                return [context.store.get(_JOB_GROUPS[group], job).name]
        names = context.store.names(_JOB_GROUPS[group], Filters())
        if names:
            return [name for name in names if name.startswith(prefix)]
    raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")


def streams_of(context: Context, group: str, name: str) -> list[Stream]:
    """The streams of a job or an endpoint, sorted by name.

    Raises:
        NotFound: It was deleted.
    """
    record = context.store.get(_JOB_GROUPS.get(group, ENDPOINT), name)
    if record.kind == TRAINING_JOB:
        return _training_streams(context, record)
    return _transform_streams(context, record) if record.kind == TRANSFORM_JOB else _endpoint_streams(context, record)


def find_stream(context: Context, group: str, name: str) -> Stream:
    """The stream of that name to which something was written.

    Raises:
        ApiError: ResourceNotFoundException.
    """
    resources = [name.partition("/")[0]] if group in _JOB_GROUPS else resources_of(context, group, name)
    for resource in resources:
        with contextlib.suppress(NotFound):
            for stream in streams_of(context, group, resource):
                if stream.name == name and stream.path.exists():
                    return stream
    raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")


def _training_streams(context: Context, record: Record) -> list[Stream]:
    """The output of the scripts of all hosts."""
    first = record.state.get("log_stream") or f"{record.name}/algo-1-{int(record.created)}"
    request = cast("CreateTrainingJobRequestTypeDef", record.request)
    hosts = hosts_of(JobFolder.of(context.store.root, record.name), request)
    return [Stream(host.log_stream(first), host.log, record.created) for host in hosts]


def _transform_streams(context: Context, record: Record) -> list[Stream]:
    """The output of the model, and what the job did with its data, named as on AWS."""
    folder = JobFolder.of(context.store.root, record.name, TRANSFORM_JOB)
    name = f"{record.name}/i-{int(record.created):017x}-{int(record.created)}"
    return [
        Stream(name, folder.log, record.created),
        Stream(f"{name}/data-log", folder.data_log, record.created),
    ]


def _endpoint_streams(context: Context, record: Record) -> list[Stream]:
    """The output of the model of each production variant, named <variant>/<instance> as on AWS."""
    folder = EndpointFolder.of(context.store.root, record.name)
    variants = sorted({*variant_names(record.state), *folder.logged_variants})
    return [
        Stream(f"{variant}/i-{int(record.created):017x}", folder.log_of(variant), record.created)
        for variant in variants
    ]


def invalid(message: str) -> ApiError:
    """The error for an invalid request, as CloudWatch Logs names it."""
    return ApiError("InvalidParameterException", message)
