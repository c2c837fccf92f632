"""Searches logs for metrics in a separate process, which can be ended if a search takes too long."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.local.jobs.metrics import MetricReader

_PROGRAM = Path(__file__).with_name("metric_process.py")
# A usual line takes microseconds. An expression that is quadratic in the line's length needs 0.3 s for 60 kB.
SEARCH_SECONDS = 1.0
# An expression that has taken too long this many times is no longer searched for.
_PATIENCE = 3
_ROOM_BYTES = 1 << 20
_LIMIT_BYTES = 4 * _ROOM_BYTES
_LINE_OVERHEAD_BYTES = 64
_READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Captured:
    """What a metric's regular expression captured in a line.

    Attributes:
        source: The source of the line.
        name: The metric.
        text: The captured text, not always a number.
        time: When the line was read, as it was fed.
    """

    source: str
    name: str
    text: str
    time: float


@dataclass(frozen=True)
class _Line:
    source: str
    text: str
    time: float

    @property
    def size(self) -> int:
        return len(self.text) + _LINE_OVERHEAD_BYTES


class MetricSearch:
    """Finds the metrics of log lines, in order, in a separate process.

    Only `settle` and `finish` wait. A search that takes more than a second of CPU time is abandoned, and after three
    such searches the metric is no longer searched for; both are reported.

    Args:
        reader: The metrics.
        report: Called with lines for people.
    """

    def __init__(self, reader: MetricReader, *, report: Callable[[str], object]) -> None:
        self._names = [name for name, _ in reader.patterns]
        self._regexes: list[str | None] = [pattern.pattern for _, pattern in reader.patterns]
        self._report = report
        self._lines: deque[_Line] = deque()  # those without a complete answer, oldest first
        self._size = 0
        self._sent = 0  # of them
        self._answered = 0  # searches in the oldest
        self._left_out = 0
        self._slow: Counter[int] = Counter()
        self._outgoing = b""
        self._incoming = b""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def has_room(self) -> bool:
        """Whether more lines should be fed now; others may be left out."""
        return self._size < _ROOM_BYTES

    def feed(self, source: str, line: str, moment: float = 0.0) -> None:
        """Search a line that was read at a moment (epoch seconds)."""
        if not any(self._regexes):
            return
        if self._size > _LIMIT_BYTES:
            self._left_out += 1
            return
        self._lines.append(_Line(source, line, moment))
        self._size += self._lines[-1].size

    def has_waiting(self, source: str) -> bool:
        """Whether lines of a source have not been searched yet."""
        return any(line.source == source for line in self._lines)

    def collect(self) -> list[Captured]:
        """What has been found since the last call."""
        if not self._lines:
            return []
        self._send()
        return self._receive()

    def settle(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> list[Captured]:
        """Returns what is found until all lines are searched, the timeout expires, or `give_up` returns True."""
        found = self.collect()
        deadline = time.monotonic() + seconds
        while self._lines and time.monotonic() < deadline and not give_up():
            self._wait(0.05)
            found += self.collect()
        return found

    def finish(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> list[Captured]:
        """Wait until all lines have been searched; leaves out lines that are not searched in time.

        Args:
            seconds: The timeout.
            give_up: Called several times a second; True ends the wait.
        """
        found = self.settle(seconds, give_up)
        left_out = self._left_out + len(self._lines)
        if left_out:
            self._report(
                f"[the last {left_out} lines were not searched for metrics: the regular expressions of "
                "MetricDefinitions take too long]"
            )
        self._lines.clear()
        self._size = self._left_out = 0
        self.close()
        return found

    def close(self) -> None:
        """End the process; the next line starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        self._sent, self._outgoing, self._incoming = 0, b"", b""

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return None if self._process is None else self._process.pid

    def _wait(self, seconds: float) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        select.select([self._process.stdout], [self._process.stdin] if self._outgoing else [], [], seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        self._outgoing = _message({"patterns": self._regexes, "seconds": SEARCH_SECONDS})
        return process

    def _send(self) -> None:
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        while True:
            if not self._outgoing:
                if self._sent == len(self._lines):
                    return
                first = self._answered if self._sent == 0 else 0
                self._outgoing = _message([first, self._lines[self._sent].text])
                self._sent += 1
            try:
                written = os.write(self._process.stdin.fileno(), self._outgoing)
            except (BlockingIOError, BrokenPipeError):
                return
            self._outgoing = self._outgoing[written:]

    def _receive(self) -> list[Captured]:
        assert self._process is not None
        assert self._process.stdout is not None
        found: list[Captured] = []
        while True:
            try:
                chunk = os.read(self._process.stdout.fileno(), _READ_BYTES)
            except BlockingIOError:
                return found
            if not chunk:
                self._replace()
                return found
            *answers, self._incoming = (self._incoming + chunk).split(b"\n")
            for answer in answers:
                found += self._take(json.loads(answer))

    def _take(self, captured: list[str]) -> list[Captured]:
        """Record the result of one search: that of the next expression in the oldest line."""
        line, name = self._lines[0], self._names[self._answered]
        self._answered += 1
        if self._answered == len(self._names):
            self._size -= self._lines.popleft().size
            self._answered = 0
            self._sent = max(0, self._sent - 1)
        return [Captured(line.source, name, text, line.time) for text in captured]

    def _replace(self) -> None:
        """Continue after a search has ended the process; that search is not repeated."""
        assert self._process is not None
        status = self._process.wait()
        self.close()
        if not self._lines:
            return
        name, length = self._names[self._answered], len(self._lines[0].text)
        why = f"took longer than {SEARCH_SECONDS:g} s" if status == -signal.SIGPROF else "ended its process"
        self._slow[self._answered] += 1
        if self._slow[self._answered] >= _PATIENCE:
            self._regexes[self._answered] = None
            self._report(f"[the Regex of metric {name!r} {why} {_PATIENCE} times: its values are no longer read]")
        else:
            self._report(f"[the Regex of metric {name!r} {why} on a line of {length} characters, which is left out]")
        self._take([])


def _message(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"
