"""CloudWatch Logs' DescribeLogStreams and GetLogEvents over the log files of jobs and endpoints.

A token is a position in the file, so that it stays valid while the log grows. A request with the last forward token
returns the events written since then; if there are none, it returns the same token.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, TypedDict

from dogbreed_sdk.local.api.common import Context, Members, Operation
from dogbreed_sdk.local.api.log_files import (
    DISORDER_MILLISECONDS,
    EVENT_OVERHEAD_BYTES,
    MAX_EVENTS,
    MAX_PAGE_BYTES,
    Event,
    around,
    complete_end,
    lines_backward,
    lines_forward,
    next_event,
)
from dogbreed_sdk.local.api.log_streams import Stream, find_stream, group_of, invalid, resources_of, streams_of
from dogbreed_sdk.local.store import ACCOUNT_ID, NotFound

if TYPE_CHECKING:
    from types_boto3_logs.type_defs import DescribeLogStreamsRequestTypeDef, GetLogEventsRequestTypeDef


_DEFAULT_STREAMS = 50
_TOKEN = re.compile(r"([fb])/(\d{1,56})/s")
# A place in a list of streams: the number of the resource, and of the stream among those of the resource if not 0.
_STREAM_TOKEN = re.compile(r"(\d{1,18})(?:\.(\d{1,18}))?")

_Place = tuple[int, int]


class _Summary(TypedDict):
    """A LogStream of DescribeLogStreams; times in epoch milliseconds."""

    logStreamName: str
    creationTime: int
    firstEventTimestamp: int | None
    lastEventTimestamp: int | None
    lastIngestionTime: int | None
    arn: str
    storedBytes: int


def describe_log_streams(context: Context, request: DescribeLogStreamsRequestTypeDef) -> Members:
    """DescribeLogStreams, filtered by prefix, in pages."""
    group, prefix = group_of(request), request.get("logStreamNamePrefix") or ""
    by_time, descending = request.get("orderBy") == "LastEventTime", bool(request.get("descending"))
    if prefix and by_time:
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    start, limit = _page_start(request.get("nextToken")), request.get("limit") or _DEFAULT_STREAMS
    resources = sorted(resources_of(context, group, prefix), key=lambda name: f"{name}/", reverse=descending)
    if by_time:
        listed = _summaries(context, group, resources, prefix, (0, 0), descending=descending)
        summaries = [summary for _, summary in listed]
        summaries.sort(key=lambda found: (found["lastEventTimestamp"] or 0, found["logStreamName"]), reverse=descending)
        end = start[0] + limit
        return {"logStreams": summaries[start[0] : end], "nextToken": str(end) if end < len(summaries) else None}
    # Clients poll one stream several times a second, or page through all of them: only the requested page is read.
    listed = _summaries(context, group, resources, prefix, start, descending=descending)
    found = list(itertools.islice(listed, limit + 1))
    more = _stream_token(found[limit][0]) if len(found) > limit else None
    return {"logStreams": [summary for _, summary in found[:limit]], "nextToken": more}


def get_log_events(context: Context, request: GetLogEventsRequestTypeDef) -> Members:
    """GetLogEvents, forward or backward from a token or from an end."""
    stream = find_stream(context, group_of(request), request["logStreamName"])
    with stream.path.open("rb") as handle:
        forward, position = _start(request, handle)
        lines = lines_forward(handle, position) if forward else lines_backward(handle, position)
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


def _summaries(
    context: Context, group: str, resources: Sequence[str], prefix: str, start: _Place, *, descending: bool
) -> Iterator[tuple[_Place, _Summary]]:
    """The descriptions of the streams, each with its place.

    As on AWS, a stream is listed once something was written to it.
    """
    for number, name in enumerate(resources[start[0] :], start[0]):
        with contextlib.suppress(NotFound):
            streams = sorted(streams_of(context, group, name), key=lambda stream: stream.name, reverse=descending)
            for place, stream in enumerate(streams):
                if (number, place) >= start and stream.name.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):
                        yield (number, place), _summary(context, group, stream)


def _summary(context: Context, group: str, stream: Stream) -> _Summary:
    with stream.path.open("rb") as handle:
        first = next(lines_forward(handle, 0), None)
        last = next(lines_backward(handle, complete_end(handle)), None)
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
        raise invalid("The specified nextToken is invalid.")
    return int(match.group(1)), int(match.group(2) or 0)


def _start(request: GetLogEventsRequestTypeDef, handle: IO[bytes]) -> tuple[bool, int]:
    """Whether to read forward, and from which place in the file: lines outside the requested times are skipped."""
    token, end = request.get("nextToken"), complete_end(handle)
    forward = bool(request.get("startFromHead"))
    position = 0 if forward else end
    if token is not None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise invalid("The specified nextToken is invalid.")
        forward, position = match.group(1) == "f", min(int(match.group(2)), end)
    earliest, latest = request.get("startTime"), request.get("endTime")
    if forward and earliest:
        position = max(position, around(handle, earliest - DISORDER_MILLISECONDS, end)[0])
    elif not forward and latest:
        newer = next_event(handle, around(handle, latest + DISORDER_MILLISECONDS, end)[1])
        position = position if newer is None else min(position, newer.start)
    return forward, position


def _page(
    lines: Iterator[Event], request: GetLogEventsRequestTypeDef, position: int, *, forward: bool
) -> tuple[list[Event], int]:
    """The events of one page, and the position in the file after the last line that was read."""
    limit = request.get("limit") or MAX_EVENTS
    earliest, latest = request.get("startTime") or 0, request.get("endTime") or sys.maxsize
    events: list[Event] = []
    size = 0
    for event in lines:
        beyond = event.timestamp >= latest if forward else event.timestamp < earliest
        if beyond or len(events) == limit:
            break
        if earliest <= event.timestamp < latest:
            size += len(event.message.encode()) + EVENT_OVERHEAD_BYTES
            if events and size > MAX_PAGE_BYTES:
                break
            events.append(event)
        position = event.end if forward else event.start
    return events, position


OPERATIONS: dict[str, Operation] = {
    "DescribeLogStreams": describe_log_streams,
    "GetLogEvents": get_log_events,
}
