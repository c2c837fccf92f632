"""Writes samples of a machine in Debugger's layout; imports no NumPy, because local SageMaker samples for every job."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

from training_scripts.recording.profiler.sampler import Reading

# The sampling interval doubles each time this many bytes were written: samples of many cores fill a disk.
SAMPLE_BYTES = 100 << 20


class SystemFiles:
    """Writes samples of the machine, one file per minute; a restarted job appends to its minute's file."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder = folder / "system" / "incremental"
        self._node = node
        self._lines: dict[int, list[str]] = {}
        self._opened: set[Path] = set()
        self.written = 0

    def add(self, when: float, readings: Iterable[Reading]) -> None:
        """Buffers a sample for the next `write`; leaves out values that are not finite."""
        lines = self._lines.setdefault(int(when // 60) * 60, [])
        lines += [
            json.dumps(
                {
                    "Type": reading.kind,
                    "Name": reading.name,
                    "Dimension": reading.dimension,
                    "Value": round(reading.value, 2),
                    "NodeId": self._node,
                    "Timestamp": round(when, 6),
                }
            )
            for reading in readings
            if math.isfinite(reading.value)
        ]

    def write(self) -> None:
        """Appends the buffered samples.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        for minute, lines in self._lines.items():
            path = self._folder / hour(minute) / f"{minute:010}.{self._node}.json"
            if path not in self._opened:
                path.parent.mkdir(parents=True, exist_ok=True)
                _cut_broken_line(path)
                self._opened = {path}
            text = "".join(f"{line}\n" for line in lines)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
            self.written += len(text)
        self._lines = {}


def hour(seconds: float) -> str:
    """The name of the folder of an hour, in UTC.

    >>> hour(0)
    '1970010100'
    """
    return time.strftime("%Y%m%d%H", time.gmtime(seconds))


def _cut_broken_line(path: Path) -> None:
    """Removes the incomplete last line that a killed job leaves, so that the next one starts on a new line."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
