"""The history of a job's metrics, in its folder: what CloudWatch has of them on AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Values are written as summaries, each of one second at first. Summaries of a long job span up to a minute, the
# resolution of CloudWatch: a job of four weeks has fewer than 50,000 for each metric.
_SHORTEST_SECONDS = 1.0
_LONGEST_SECONDS = 60.0
_SHARE = 600.0
_MINUTE_SECONDS = 60
MAXIMUM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Summary:
    """Values of a metric that were printed within one minute of the clock.

    Attributes:
        time: When the first of them was printed, in epoch seconds.
        count: Their number.
        total: Their sum.
        minimum: The smallest.
        maximum: The largest.
    """

    time: float
    count: int
    total: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, value: float, moment: float) -> Summary:
        """The summary of one value."""
        return cls(moment, 1, value, value, value)

    def __add__(self, other: Summary) -> Summary:
        """The summary of both."""
        return Summary(
            min(self.time, other.time),
            self.count + other.count,
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


class MetricHistory:
    """Appends the values of a job's metrics to its history.

    Args:
        path: The file; created with the first values.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: dict[tuple[str, int], Summary] = {}
        self._started = time.monotonic()
        self._due = 0.0

    def note(self, name: str, value: float, moment: float) -> None:
        """Add a value that was printed at a moment (epoch seconds)."""
        key = name, int(moment // _MINUTE_SECONDS)
        summary, before = Summary.of(value, moment), self._waiting.get(key)
        self._waiting[key] = summary if before is None else before + summary

    def write_due(self) -> None:
        """Write what was noted, unless the last time was a moment ago.

        Raises:
            OSError: For instance the disk is full; the values are written with the next ones.
        """
        now = time.monotonic()
        if now >= self._due:
            self._due = now + min(max((now - self._started) / _SHARE, _SHORTEST_SECONDS), _LONGEST_SECONDS)
            self.write()

    def write(self) -> None:
        """Write what was noted.

        Raises:
            OSError: For instance the disk is full; the values are written with the next ones.
        """
        if not self._waiting:
            return
        lines = [_line(name, summary) for (name, _), summary in self._waiting.items()]
        with self._path.open("ab") as handle:
            if handle.tell() < MAXIMUM_BYTES:
                # Begins with a new line: an earlier one may have been cut short by a full disk.
                handle.write(b"\n" + b"\n".join(lines) + b"\n")
        self._waiting.clear()


def read_history(path: Path, name: str | None = None) -> Iterator[tuple[str, Summary]]:
    """The history of one metric, or of all, each entry with the metric's name; nothing if the job has none.

    Args:
        path: The file.
        name: The metric; default: all.
    """
    wanted = b"" if name is None else json.dumps(name).encode()
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return
    with handle:
        for line in handle:
            if wanted in line and line.strip():
                entry = _entry(line)
                if entry is not None and name in (None, entry[0]):
                    yield entry


def _line(name: str, summary: Summary) -> bytes:
    values = [summary.count, summary.total, summary.minimum, summary.maximum]
    return json.dumps({"t": round(summary.time, 3), "n": name, "v": values}).encode()


def _entry(line: bytes) -> tuple[str, Summary] | None:
    """The metric and the summary of a line; None for one that was cut short."""
    try:
        entry = json.loads(line)
        count, total, minimum, maximum = entry["v"]
        return str(entry["n"]), Summary(float(entry["t"]), int(count), float(total), float(minimum), float(maximum))
    except (ValueError, KeyError, TypeError):
        return None
