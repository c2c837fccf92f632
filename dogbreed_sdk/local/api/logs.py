"""CloudWatch Logs' DescribeLogStreams and GetLogEvents over the log files of jobs and endpoints.

A token is a position in the file, so that it stays valid while the log grows. A request with the last forward token
returns the events written since then; if there are none, it returns the same token.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypedDict, cast

from dogbreed_sdk.container import ENDPOINT_LOG_GROUP_PREFIX, TRAINING_LOG_GROUP, TRANSFORM_LOG_GROUP
from dogbreed_sdk.local.api.common import Context, Members, Operation
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.folders import EndpointFolder, JobFolder
from dogbreed_sdk.local.jobs.hosts import hosts_of
from dogbreed_sdk.local.store import ACCOUNT_ID, ENDPOINT, TRAINING_JOB, TRANSFORM_JOB, Filters, NotFound, Record

if TYPE_CHECKING:
    from types_boto3_logs.type_defs import DescribeLogStreamsRequestTypeDef, GetLogEventsRequestTypeDef
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef


# API reference, GetLogEvents: a page is at most 10,000 events and 1 MB (26 bytes count for each event beside its text).
_MAX_EVENTS = 10_000
_MAX_PAGE_BYTES = 1024 * 1024
_EVENT_OVERHEAD_BYTES = 26
_DEFAULT_STREAMS = 50
_BLOCK_BYTES = 64 * 1024
# For a moment, an endpoint's log has two writers: when its model server is replaced.
_DISORDER_MILLISECONDS = 1_000
_TOKEN = re.compile(r"([fb])/(\d{1,56})/s")
# A place in a list of streams: the number of the resource, and of the stream among those of the resource if not 0.
_STREAM_TOKEN = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?")
_JOB_GROUPS = {TRAINING_LOG_GROUP: TRAINING_JOB, TRANSFORM_LOG_GROUP: TRANSFORM_JOB}

_Place = tuple[int, int]


@dataclass(frozen=True)
class Stream:
    """One log stream: its name, its file and when its resource was created (epoch seconds)."""

    name: str
    path: Path
    created: float


class _Summary(TypedDict):
    """A LogStream of DescribeLogStreams; times in epoch milliseconds."""

    logStreamName: str
    creationTime: int
    firstEventTimestamp: int | None
    lastEventTimestamp: int | None
    lastIngestionTime: int | None
    arn: str
    storedBytes: int


@dataclass(frozen=True)
class Event:
    """One complete line of a log file, with its place there."""

    start: int
    end: int
    timestamp: int
    message: str


def describe_log_streams(context: Context, request: DescribeLogStreamsRequestTypeDef) -> Members:
    """DescribeLogStreams, filtered by prefix, in pages."""
    group, prefix = _group(request), request.get("logStreamNamePrefix") or ""
    by_time, descending = request.get("orderBy") == "LastEventTime", bool(request.get("descending"))
    if prefix and by_time:
        raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    start, limit = _page_start(request.get("nextToken")), request.get("limit") or _DEFAULT_STREAMS
    resources = sorted(_resources(context, group, prefix), key=lambda name: f"{name}/", reverse=descending)
    if by_time:
        summaries = [summary for _, summary in _summaries(context, group, resources, prefix, (0, 0))]
        summaries.sort(key=lambda found: (found["lastEventTimestamp"] or 0, found["logStreamName"]), reverse=descending)
        end = start[0] + limit
        return {"logStreams": summaries[start[0] : end], "nextToken": str(end) if end < len(summaries) else None}
    # Clients poll one stream several times a second, or page through all of them: only the requested page is read.
    found = list(itertools.islice(_summaries(context, group, resources, prefix, start), limit + 1))
    more = _stream_token(found[limit][0]) if len(found) > limit else None
    return {"logStreams": [summary for _, summary in found[:limit]], "nextToken": more}


def get_log_events(context: Context, request: GetLogEventsRequestTypeDef) -> Members:
    """GetLogEvents, forward or backward from a token or from an end."""
    stream = _find_stream(context, _group(request), request["logStreamName"])
    with stream.path.open("rb") as handle:
        forward, position = _start(request, handle)
        lines = _lines_forward(handle, position) if forward else _lines_backward(handle, position)
        events, reached = _page(lines, request, position, forward=forward)
    if not forward:
        events.reverse()
    first, last = (position, reached) if forward else (reached, position)
    return {
        "events": [
            # CloudWatch holds no empty message; a space keeps the blank lines of a traceback.
            {"timestamp": event.timestamp, "message": event.message or " ", "ingestionTime": event.timestamp}
            for event in events
        ],
        "nextForwardToken": f"f/{last:056d}/s",
        "nextBackwardToken": f"b/{first:056d}/s",
    }


def _group(request: DescribeLogStreamsRequestTypeDef | GetLogEventsRequestTypeDef) -> str:
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if bool(name) == bool(identifier):
        raise _invalid("Give either logGroupName or logGroupIdentifier.")
    return str(name or str(identifier).rpartition(":log-group:")[2])


def _resources(context: Context, group: str, prefix: str) -> list[str]:
    """The names of the jobs, or of the endpoint, whose streams are in a group and may begin with a prefix."""
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


def _summaries(
    context: Context, group: str, resources: Sequence[str], prefix: str, start: _Place
) -> Iterator[tuple[_Place, _Summary]]:
    """The descriptions of the streams, each with its place.

    As on AWS, a stream is listed once something was written to it.
    """
    for number, name in enumerate(resources[start[0] :], start[0]):
        with contextlib.suppress(NotFound):
            for place, stream in enumerate(_streams(context, group, name)):
                if (number, place) >= start and stream.name.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):
                        yield (number, place), _summary(context, group, stream)


def _streams(context: Context, group: str, name: str) -> list[Stream]:
    """The streams of a job or an endpoint, sorted by name.

    Raises:
        NotFound: It was deleted.
    """
    record = context.store.get(_JOB_GROUPS.get(group, ENDPOINT), name)
    if record.kind == TRAINING_JOB:
        return _training_streams(context, record)
    return _transform_streams(context, record) if record.kind == TRANSFORM_JOB else [_endpoint_stream(context, record)]


def _find_stream(context: Context, group: str, name: str) -> Stream:
    resources = [name.partition("/")[0]] if group in _JOB_GROUPS else _resources(context, group, name)
    for resource in resources:
        with contextlib.suppress(NotFound):
            for stream in _streams(context, group, resource):
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


def _endpoint_stream(context: Context, record: Record) -> Stream:
    # <variant>/<instance>, as on AWS.
    name = f"{record.state['serving']['variant']['VariantName']}/i-{int(record.created):017x}"
    return Stream(name, EndpointFolder.of(context.store.root, record.name).log, record.created)


def _summary(context: Context, group: str, stream: Stream) -> _Summary:
    with stream.path.open("rb") as handle:
        first = next(_lines_forward(handle, 0), None)
        last = next(_lines_backward(handle, _complete_end(handle)), None)
    return {
        "logStreamName": stream.name,
        "creationTime": int(stream.created * 1000),
        "firstEventTimestamp": first.timestamp if first else None,
        "lastEventTimestamp": last.timestamp if last else None,
        "lastIngestionTime": last.timestamp if last else None,
        "arn": f"arn:aws:logs:{context.region}:{ACCOUNT_ID}:log-group:{group}:log-stream:{stream.name}",
        "storedBytes": 0,
    }


def _stream_token(place: _Place) -> str:
    resource, stream = place
    return f"{resource}.{stream}" if stream else str(resource)


def _page_start(token: str | None) -> _Place:
    match = _STREAM_TOKEN.fullmatch(token or "0")
    if match is None:
        raise _invalid("The specified nextToken is invalid.")
    return int(match.group(1)), int(match.group(2) or 0)


def _start(request: GetLogEventsRequestTypeDef, handle: IO[bytes]) -> tuple[bool, int]:
    """Whether to read forward, and from which place in the file: lines outside the requested times are skipped."""
    token, end = request.get("nextToken"), _complete_end(handle)
    forward = bool(request.get("startFromHead"))
    position = 0 if forward else end
    if token is not None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise _invalid("The specified nextToken is invalid.")
        forward, position = match.group(1) == "f", min(int(match.group(2)), end)
    earliest, latest = request.get("startTime"), request.get("endTime")
    if forward and earliest:
        position = max(position, _around(handle, earliest - _DISORDER_MILLISECONDS, end)[0])
    elif not forward and latest:
        newer = _next_event(handle, _around(handle, latest + _DISORDER_MILLISECONDS, end)[1])
        position = position if newer is None else min(position, newer.start)
    return forward, position


def _around(handle: IO[bytes], moment: int, end: int) -> tuple[int, int]:
    """Two nearby positions, found by bisection: lines before them are older than a moment, lines after them are not.

    Args:
        handle: A log.
        moment: Epoch milliseconds.
        end: The end of its last complete line.

    Returns:
        The beginning of a line before which all lines are older, and a position after which no older line begins.
    """
    low, high = 0, end
    while high - low > _BLOCK_BYTES:
        middle = (low + high) // 2
        event = _next_event(handle, middle)
        if event is None or event.start >= high or event.timestamp >= moment:
            high = middle
        else:
            low = event.end
    return low, high


def _next_event(handle: IO[bytes], position: int) -> Event | None:
    """The first line that begins after a position."""
    handle.seek(position)
    start = position + len(handle.readline())
    return next(_lines_forward(handle, start), None)


def _page(
    lines: Iterator[Event], request: GetLogEventsRequestTypeDef, position: int, *, forward: bool
) -> tuple[list[Event], int]:
    """The events of one page, and the position in the file after the last line that was read."""
    limit = request.get("limit") or _MAX_EVENTS
    earliest, latest = request.get("startTime") or 0, request.get("endTime") or sys.maxsize
    events: list[Event] = []
    size = 0
    for event in lines:
        beyond = event.timestamp >= latest if forward else event.timestamp < earliest
        if beyond or len(events) == limit:
            break
        if earliest <= event.timestamp < latest:
            size += len(event.message.encode()) + _EVENT_OVERHEAD_BYTES
            if events and size > _MAX_PAGE_BYTES:
                break
            events.append(event)
        position = event.end if forward else event.start
    return events, position


def _complete_end(handle: IO[bytes]) -> int:
    """The end of the last complete line: its writer may be in the middle of the next line."""
    position = handle.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        handle.seek(start)
        newline = handle.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def _lines_forward(handle: IO[bytes], position: int) -> Iterator[Event]:
    handle.seek(position)
    for line in handle:
        if not line.endswith(b"\n"):
            return  # its writer is in the middle of this line
        event = _parse(line, position)
        position += len(line)
        if event is not None:
            yield event


def _lines_backward(handle: IO[bytes], position: int) -> Iterator[Event]:
    """The lines before a position, last first; read in blocks, so that a long log costs no more than its end."""
    buffer, end = b"", position
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        handle.seek(start)
        buffer = handle.read(position - start) + buffer
        position = start
        first, *others = buffer[:-1].split(b"\n")
        for line in reversed(others if position else [first, *others]):
            end -= len(line) + 1
            event = _parse(line + b"\n", end)
            if event is not None:
                yield event
        buffer = first + b"\n"


def _parse(line: bytes, start: int) -> Event | None:
    """A line's event, or None for a line that a full disk cut short."""
    try:
        entry = json.loads(line)
        return Event(start, start + len(line), int(entry["t"]), str(entry["m"]))
    except (ValueError, KeyError, TypeError):
        return None


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterException", message)


OPERATIONS: dict[str, Operation] = {
    "DescribeLogStreams": describe_log_streams,
    "GetLogEvents": get_log_events,
}
