"""Logs of jobs and endpoints on disk: JSON lines with a time, of limited line length and size."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.text import shorten

# CloudWatch's limit for one event was 256 KiB; a quarter keeps a page of events readable.
MAXIMUM_LINE_BYTES = 64 * 1024
MAXIMUM_LOG_BYTES = 256 * 1024 * 1024
_TAIL_LINES = 200
_TAIL_LINE_CHARACTERS = 2000

# Receives lines for a job's log.
Report = Callable[[str], object]


class LogFile:
    """Appends lines to a log; keeps the last ones in memory for failure messages.

    Args:
        path: The file; created if it is missing.
        maximum_bytes: The maximum size; later lines are dropped, and the log says so once.
    """

    def __init__(self, path: Path, *, maximum_bytes: int = MAXIMUM_LOG_BYTES) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._maximum = maximum_bytes
        self._broken_line = False
        self._clock = clock.start()  # the lines' times must increase, because readers find a time by bisection
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def write(self, lines: Sequence[str]) -> None:
        """Append lines with the current time.

        Raises:
            OSError: For instance the disk is full; the lines are still added to `tail`.
        """
        self.tail.extend(shorten(line, _TAIL_LINE_CHARACTERS) for line in lines)
        if self._size > self._maximum or not lines:
            return
        milliseconds = int(clock.read(self._clock) * 1000)
        content = "".join(_event(milliseconds, line) for line in lines)
        self._append(content.encode("utf-8", "replace"))
        if self._size > self._maximum:
            megabytes = self._maximum >> 20
            self._append(_event(milliseconds, f"[this log is full at {megabytes} MiB]").encode())

    def _append(self, data: bytes) -> None:
        if self._broken_line:
            data = b"\n" + data
        while data:
            try:
                written = os.write(self._descriptor, data)
            except OSError:
                self._broken_line = True
                raise
            self._size += written
            data = data[written:]
        self._broken_line = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class LineSplitter:
    """Splits a stream of bytes into lines of limited length, as a terminal would show them."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that are complete after this chunk; an overlong line is split."""
        pieces = (self._rest + chunk).split(b"\n")
        self._rest = pieces.pop()
        lines = [part for piece in pieces for part in _parts(piece)]
        while len(self._rest) > MAXIMUM_LINE_BYTES:
            lines.append(_shown(self._rest[:MAXIMUM_LINE_BYTES]))
            self._rest = self._rest[MAXIMUM_LINE_BYTES:]
        return lines

    def finish(self) -> list[str]:
        """The last line, if the stream did not end with a newline."""
        rest, self._rest = self._rest, b""
        return _parts(rest) if rest else []


def _parts(line: bytes) -> list[str]:
    if len(line) <= MAXIMUM_LINE_BYTES:
        return [_shown(line)]
    starts = range(0, len(line), MAXIMUM_LINE_BYTES)
    return [_shown(line[start : start + MAXIMUM_LINE_BYTES]) for start in starts]


def _shown(line: bytes) -> str:
    # A progress bar rewrites its line with carriage returns: only its last text counts.
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")


def _event(milliseconds: int, message: str) -> str:
    return json.dumps({"t": milliseconds, "m": message}, ensure_ascii=False) + "\n"


class LogFollower:
    """Reads a log from where the last call stopped.

    Args:
        path: The log; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[str]:
        """The messages of the complete lines written since the last call."""
        try:
            handle = self._path.open("rb")
        except FileNotFoundError:
            return
        with handle:
            handle.seek(self._offset)
            for line in handle:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                message = _message(line)
                if message is not None:
                    yield message


def _message(line: bytes) -> str | None:
    """The text of a log line; None for one that a full disk cut short."""
    try:
        return str(json.loads(line)["m"])
    except (ValueError, KeyError, TypeError):
        return None


def last_lines(path: Path, count: int, *, since: int = 0) -> list[str]:
    """The messages of a log's last lines; lines that are not JSON are returned as they are.

    Args:
        path: The log; one that does not exist has no lines.
        count: The maximum number of lines.
        since: The position in the file of the first line to return.
    """
    try:
        with path.open("rb") as handle:
            handle.seek(max(since, path.stat().st_size - MAXIMUM_LINE_BYTES))
            lines = handle.read().splitlines()[-count:]
    except FileNotFoundError:
        return []
    return [_message(line) or line.decode("utf-8", "replace") for line in lines]
