"""Reads the log files of jobs and endpoints: lines forward and backward from a position, and positions of times."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

# API reference, GetLogEvents: a page is at most 10,000 events and 1 MB (26 bytes count for each event beside its text).
MAX_EVENTS = 10_000
MAX_PAGE_BYTES = 1024 * 1024
EVENT_OVERHEAD_BYTES = 26
# For a moment, an endpoint's log has two writers: when its model server is replaced.
DISORDER_MILLISECONDS = 1_000
_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Event:
    """One complete line of a log file, with its place there."""

    start: int
    end: int
    timestamp: int
    message: str


def around(handle: IO[bytes], moment: int, end: int) -> tuple[int, int]:
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
        event = next_event(handle, middle)
        if event is None or event.start >= high or event.timestamp >= moment:
            high = middle
        else:
            low = event.end
    return low, high


def next_event(handle: IO[bytes], position: int) -> Event | None:
    """The first line that begins after a position."""
    handle.seek(position)
    start = position + len(handle.readline())
    return next(lines_forward(handle, start), None)


def complete_end(handle: IO[bytes]) -> int:
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


def lines_forward(handle: IO[bytes], position: int) -> Iterator[Event]:
    """The complete lines from a position, oldest first."""
    handle.seek(position)
    for line in handle:
        if not line.endswith(b"\n"):
            return  # its writer is in the middle of this line
        event = _parse(line, position)
        position += len(line)
        if event is not None:
            yield event


def lines_backward(handle: IO[bytes], position: int) -> Iterator[Event]:
    """The lines before a position, newest first; read in blocks, so that a long log costs no more than its end."""
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
