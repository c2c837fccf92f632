"""CloudWatch Logs' DescribeLogStreams and GetLogEvents over the log files of jobs and endpoints.

A token is a position in the file, so that it stays valid while the log grows: reading on with the last forward
token gives what has been written since, and the same token again when that is nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dogbreed_sdk.container import ENDPOINT_LOG_GROUP_PREFIX, TRAINING_LOG_GROUP
from dogbreed_sdk.local.folders import EndpointFolder, JobFolder
from dogbreed_sdk.local.operations_common import Context, Operation
from dogbreed_sdk.local.store import ACCOUNT_ID, ENDPOINT, TRAINING_JOB, NotFound, Record
from dogbreed_sdk.local.wire import ApiError

# API reference, GetLogEvents: a page is at most 10,000 events and 1 MB (26 bytes count for each event beside its text).
_MAX_EVENTS = 10_000
_MAX_PAGE_BYTES = 1024 * 1024
_EVENT_OVERHEAD_BYTES = 26
_DEFAULT_STREAMS = 50
_BLOCK_BYTES = 64 * 1024
_TOKEN = re.compile(r"([fb])/(\d{1,56})/s")


@dataclass(frozen=True)
class Stream:
    """One log stream: its name, its file and when its resource was created (epoch seconds)."""

    name: str
    path: Path
    created: float


@dataclass(frozen=True)
class Event:
    """One complete line of a log file, with its place there."""

    start: int
    end: int
    timestamp: int
    message: str


def describe_log_streams(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeLogStreams, filtered by prefix, in pages."""
    group, prefix = _group(request), request.get("logStreamNamePrefix") or ""
    by_time = request.get("orderBy") == "LastEventTime"
    if prefix and by_time:
        raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    chosen = [stream for stream in _streams(context, group) if stream.name.startswith(prefix)]
    summaries = [_summary(context, group, stream) for stream in chosen if stream.path.exists()]
    summaries.sort(
        key=lambda found: ((found["lastEventTimestamp"] or 0) if by_time else 0, found["logStreamName"]),
        reverse=bool(request.get("descending")),
    )
    start = _page_start(request.get("nextToken"))
    end = start + (request.get("limit") or _DEFAULT_STREAMS)
    return {"logStreams": summaries[start:end], "nextToken": str(end) if end < len(summaries) else None}


def get_log_events(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """GetLogEvents, forward or backward from a token or from an end."""
    stream = _find_stream(context, _group(request), request["logStreamName"])
    with stream.path.open("rb") as handle:
        forward, position = _start(request, _complete_end(handle))
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


def _group(request: Mapping[str, Any]) -> str:
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if bool(name) == bool(identifier):
        raise _invalid("Give either logGroupName or logGroupIdentifier.")
    return str(name or str(identifier).rpartition(":log-group:")[2])


def _streams(context: Context, group: str) -> list[Stream]:
    """The streams of a group; as on AWS, one appears in answers when something was written to it."""
    if group == TRAINING_LOG_GROUP:
        streams = [_job_stream(context, record) for record in context.store.list(TRAINING_JOB)]
    elif group.startswith(ENDPOINT_LOG_GROUP_PREFIX):
        name = group[len(ENDPOINT_LOG_GROUP_PREFIX) :]
        streams = [_endpoint_stream(context, r) for r in context.store.list(ENDPOINT) if r.name == name]
    else:
        streams = []
    if not streams:
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    return streams


def _find_stream(context: Context, group: str, name: str) -> Stream:
    streams: list[Stream] = []
    if group == TRAINING_LOG_GROUP:
        # Clients poll this: one look-up, not a list of all jobs.
        with contextlib.suppress(NotFound):
            streams = [_job_stream(context, context.store.get(TRAINING_JOB, name.partition("/")[0]))]
    else:
        streams = _streams(context, group)
    for stream in streams:
        if stream.name == name and stream.path.exists():
            return stream
    raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")


def _job_stream(context: Context, record: Record) -> Stream:
    name = record.state.get("log_stream") or f"{record.name}/algo-1-{int(record.created)}"
    return Stream(name, JobFolder.of(context.store.root, record.name).log, record.created)


def _endpoint_stream(context: Context, record: Record) -> Stream:
    # <variant>/<instance>, as on AWS.
    name = f"{record.state.get('variant') or 'AllTraffic'}/i-{int(record.created):017x}"
    return Stream(name, EndpointFolder.of(context.store.root, record.name).log, record.created)


def endpoint_log_arn(record: Record) -> str:
    """The ARN of an endpoint's log group, which the runtime's ModelError names."""
    return f"arn:aws:logs:{record.region}:{ACCOUNT_ID}:log-group:{ENDPOINT_LOG_GROUP_PREFIX}{record.name}"


def _summary(context: Context, group: str, stream: Stream) -> dict[str, Any]:
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


def _page_start(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise _invalid("The specified nextToken is invalid.")
    return int(token)


def _start(request: Mapping[str, Any], end: int) -> tuple[bool, int]:
    """Whether to read forward, and from which place in the file."""
    token = request.get("nextToken")
    if token is None:
        forward = bool(request.get("startFromHead"))
        return forward, 0 if forward else end
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise _invalid("The specified nextToken is invalid.")
    return match.group(1) == "f", min(int(match.group(2)), end)


def _page(
    lines: Iterator[Event], request: Mapping[str, Any], position: int, *, forward: bool
) -> tuple[list[Event], int]:
    """The events of one page, and the place in the file that reading has come to."""
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
    """Where the last complete line ends: its writer may be in the middle of the next."""
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
            return  # its writer is in the middle of it
        event = _parse(line, position)
        position += len(line)
        if event is not None:
            yield event


def _lines_backward(handle: IO[bytes], position: int) -> Iterator[Event]:
    """The lines before the end of one, last first, in blocks: a long log costs no more than its end."""
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
