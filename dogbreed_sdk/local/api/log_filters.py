"""CloudWatch Logs' FilterLogEvents: the events of all streams of a group that match a pattern, oldest first."""

from __future__ import annotations

import contextlib
import heapq
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from dogbreed_sdk.local.api.common import Context, Members, Operation
from dogbreed_sdk.local.api.log_files import (
    DISORDER_MILLISECONDS,
    EVENT_OVERHEAD_BYTES,
    MAX_EVENTS,
    MAX_PAGE_BYTES,
    Event,
    around,
    complete_end,
    lines_forward,
)
from dogbreed_sdk.local.api.log_streams import Stream, find_stream, group_of, invalid, resources_of, streams_of
from dogbreed_sdk.local.store import NotFound

if TYPE_CHECKING:
    from types_boto3_logs.type_defs import FilterLogEventsRequestTypeDef

# Lines of a stream that are read at a time: no file stays open while the lines of other streams are merged with them.
_READ_LINES = 256
_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')


@dataclass(frozen=True)
class Pattern:
    """A filter pattern of terms.

    Attributes:
        required: Texts that a message contains.
        optional: Texts one of which it contains; they count if none is required, as on AWS.
        excluded: Texts that it does not contain.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Pattern:
        r"""Reads a pattern.

        Raises:
            ApiError: InvalidParameterException for a pattern of another kind: JSON, columns, regular expressions.

        >>> Pattern.parse('ERROR "out of memory" -retry')
        Pattern(required=('ERROR', 'out of memory'), optional=(), excluded=('retry',))
        """
        text = text.strip()
        if text[:1] in ("{", "[", "%"):
            raise invalid(
                f"Local SageMaker filters logs by terms only, not by the pattern {text[:64]!r}: "
                'pass words or "quoted text", each with ? (any of these) or - (not this) before it.'
            )
        found: dict[str, list[str]] = {"": [], "?": [], "-": []}
        for kind, quoted, word in _TERM.findall(text):
            found[kind].append(re.sub(r"\\(.)", r"\1", quoted) if quoted else word)
        return cls(tuple(found[""]), tuple(found["?"]), tuple(found["-"]))

    def matches(self, message: str) -> bool:
        """Whether a message has what the pattern asks for."""
        if any(text in message for text in self.excluded):
            return False
        if self.required:
            return all(text in message for text in self.required)
        return not self.optional or any(text in message for text in self.optional)


def filter_log_events(context: Context, request: FilterLogEventsRequestTypeDef) -> Members:
    """FilterLogEvents: a page with events has the token of the next one, as a log may grow; the last page is empty."""
    pattern = Pattern.parse(request.get("filterPattern") or "")
    positions = _read_token(request.get("nextToken"))
    limit = request.get("limit") or MAX_EVENTS
    events: list[Members] = []
    size = 0
    for _, name, event in heapq.merge(*_sources(context, request, positions)):
        if pattern.matches(event.message):
            size += len(event.message.encode()) + EVENT_OVERHEAD_BYTES
            if len(events) == limit or (events and size > MAX_PAGE_BYTES):
                break
            events.append(_described(name, event))
        positions[name] = event.end
    return {"events": events, "searchedLogStreams": [], "nextToken": _write_token(positions) if events else None}


def _described(stream: str, event: Event) -> Members:
    return {
        "logStreamName": stream,
        "timestamp": event.timestamp,
        "message": event.message or " ",  # as GetLogEvents
        "ingestionTime": event.timestamp,
        "eventId": f"{event.timestamp:020d}{event.start:036d}",
    }


def _sources(
    context: Context, request: FilterLogEventsRequestTypeDef, positions: Mapping[str, int]
) -> list[Iterator[tuple[int, str, Event]]]:
    """The events of each stream from its position, within the times of the request, with what they are merged by."""
    earliest, latest = request.get("startTime") or 0, request.get("endTime") or sys.maxsize

    def source(stream: Stream) -> Iterator[tuple[int, str, Event]]:
        for event in _events(stream, positions.get(stream.name, 0), earliest):
            if earliest <= event.timestamp < latest:
                yield event.timestamp, stream.name, event

    return [source(stream) for stream in _searched(context, request)]


def _searched(context: Context, request: FilterLogEventsRequestTypeDef) -> list[Stream]:
    """The streams that the request names, or whose names begin with its prefix.

    Raises:
        ApiError: ResourceNotFoundException; InvalidParameterException if names and prefix are given.
    """
    group, names, prefix = group_of(request), request.get("logStreamNames"), request.get("logStreamNamePrefix") or ""
    if names and prefix:
        raise invalid("Give either logStreamNames or logStreamNamePrefix.")
    if names:
        return [find_stream(context, group, name) for name in dict.fromkeys(names)]
    found: list[Stream] = []
    for resource in resources_of(context, group, prefix):
        with contextlib.suppress(NotFound):
            found += [stream for stream in streams_of(context, group, resource) if stream.name.startswith(prefix)]
    return found


def _events(stream: Stream, position: int, earliest: int) -> Iterator[Event]:
    """The events of a stream from a position and about a time; none if its file is gone."""
    with contextlib.suppress(FileNotFoundError):
        while True:
            with stream.path.open("rb") as handle:
                end = complete_end(handle)
                position = max(position, around(handle, earliest - DISORDER_MILLISECONDS, end)[0])
                lines = [event for event, _ in zip(lines_forward(handle, position), range(_READ_LINES), strict=False)]
            yield from lines
            if not lines or lines[-1].end >= end:
                return
            position = lines[-1].end


def _write_token(positions: Mapping[str, int]) -> str:
    return "f/" + ",".join(f"{quote(name)}:{position}" for name, position in positions.items())


def _read_token(token: str | None) -> dict[str, int]:
    if token is None:
        return {}
    try:
        entries = [entry.rsplit(":", 1) for entry in token.removeprefix("f/").split(",")]
        return {unquote(name): int(position) for name, position in entries}
    except ValueError:
        raise invalid("The specified nextToken is invalid.") from None


OPERATIONS: dict[str, Operation] = {"FilterLogEvents": filter_log_events}
