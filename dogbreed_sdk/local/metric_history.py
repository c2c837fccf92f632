"""The history of a job's or an endpoint's metrics, in its folder: what CloudWatch has of them on AWS."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Values are written as summaries, each of one second at first. Summaries of a long job span up to a minute, the
# resolution of CloudWatch: a job of four weeks has fewer than 50,000 for each metric.
_SHORTEST_SECONDS = 1.0
_LONGEST_SECONDS = 60.0
_SHARE = 600.0
_MINUTE_SECONDS = 60
MAXIMUM_BYTES = 64 * 1024 * 1024
# Values of a distribution are counted in buckets, each 2% wider than the one below: a percentile is 1% off at most.
_BUCKET_RATIO = math.log(1.02)
_ZERO_BUCKET = -1_000_000


@dataclass(frozen=True)
class Summary:
    """Values of a metric that were printed within one minute of the clock.

    Attributes:
        time: When the first of them was printed, in epoch seconds.
        count: Their number.
        total: Their sum.
        minimum: The smallest.
        maximum: The largest.
        buckets: How many of them are in each bucket, for percentiles; empty if only the other members are kept.
    """

    time: float
    count: int
    total: float
    minimum: float
    maximum: float
    buckets: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Summary) -> Summary:
        """The summary of both."""
        return Summary(
            min(self.time, other.time),
            self.count + other.count,
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            {
                bucket: self.buckets.get(bucket, 0) + other.buckets.get(bucket, 0)
                for bucket in {*self.buckets, *other.buckets}
            },
        )

    def percentile(self, percent: float) -> float | None:
        """The value below which this share of the values is; None if their distribution was not kept."""
        if not self.buckets:
            return None
        needed = percent / 100 * self.count
        for bucket in sorted(self.buckets):
            needed -= self.buckets[bucket]
            if needed <= 0:
                break
        middle = 0.0 if bucket == _ZERO_BUCKET else math.exp((bucket + 0.5) * _BUCKET_RATIO)
        return min(max(middle, self.minimum), self.maximum)


@dataclass
class _Tally:
    """A summary while values are added to it."""

    time: float
    count: int = 0
    total: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, value: float, moment: float, keep_distribution: bool) -> None:
        self.time = min(self.time, moment)
        self.count += 1
        self.total += value
        # The first value may be NaN, which compares with nothing.
        self.minimum = value if self.count == 1 else min(self.minimum, value)
        self.maximum = value if self.count == 1 else max(self.maximum, value)
        if keep_distribution:
            bucket = _bucket(value)
            self.buckets[bucket] = self.buckets.get(bucket, 0) + 1


class MetricHistory:
    """Appends the values of a job's or an endpoint's metrics to its history.

    Args:
        path: The file; created with the first values.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: dict[tuple[str, int], _Tally] = {}
        self._started = time.monotonic()
        self._due = 0.0

    def note(self, name: str, value: float, moment: float, *, keep_distribution: bool = False) -> None:
        """Add a value that was printed at a moment (epoch seconds); with its distribution, percentiles are known."""
        key = name, int(moment // _MINUTE_SECONDS)
        tally = self._waiting.get(key)
        if tally is None:
            tally = self._waiting[key] = _Tally(moment)
        tally.add(value, moment, keep_distribution)

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


def _line(name: str, summary: _Tally) -> bytes:
    values = [summary.count, summary.total, summary.minimum, summary.maximum]
    entry: dict[str, object] = {"t": round(summary.time, 3), "n": name, "v": values}
    if summary.buckets:
        entry["b"] = sorted(summary.buckets.items())
    return json.dumps(entry).encode()


def _entry(line: bytes) -> tuple[str, Summary] | None:
    """The metric and the summary of a line; None for one that was cut short."""
    try:
        entry = json.loads(line)
        count, total, minimum, maximum = entry["v"]
        buckets = {int(bucket): int(number) for bucket, number in entry.get("b", ())}
        values = float(total), float(minimum), float(maximum)
        return str(entry["n"]), Summary(float(entry["t"]), int(count), *values, buckets)
    except (ValueError, KeyError, TypeError):
        return None


def _bucket(value: float) -> int:
    return math.floor(math.log(value) / _BUCKET_RATIO) if value > 0 else _ZERO_BUCKET
