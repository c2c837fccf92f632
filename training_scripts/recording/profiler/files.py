"""Writes a profile to disk in Debugger's layout, so that smdebug and AWS's tools read it.

Under the folder: `system/incremental/<hour>/<start of the minute>.<node>.json`, a JSON object a line;
`framework/pevents/<hour>/<end in microseconds>_<process>-<node>_pythontimeline.json`, Chrome traces; and
`profile_<node>.json`, what Debugger has no place for. Hours are UTC's, YYYYMMDDHH.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.atomic import write_atomically
from training_scripts.recording.profile.profile import (
    BACKWARD,
    DATA,
    EVAL_STEP,
    FORWARD,
    PASS_FORWARD,
    PASS_WAIT,
    PREDICT_STEP,
    TRAIN_STEP,
)
from training_scripts.recording.profiler.sampler import Reading
from training_scripts.recording.trial import layout
from training_scripts.recording.trial.trial import EVAL, PREDICT, TRAIN

FORMAT = 1
OWN_BYTES = 4 << 20
MICROSECONDS = 1_000_000
# So many steps become text at once: it holds the interpreter for half a millisecond.
CHUNK = 500
TRAIN_PHASES = (TRAIN_STEP, DATA, FORWARD, BACKWARD)
EVAL_PHASES = (EVAL_STEP, DATA, FORWARD)
PREDICT_PHASES = (PREDICT_STEP, PASS_WAIT, PASS_FORWARD)
_PHASES = {TRAIN: TRAIN_PHASES, EVAL: EVAL_PHASES, PREDICT: PREDICT_PHASES}
_PIDS = {phase: pid for pid, phase in enumerate(dict.fromkeys(sum(_PHASES.values(), ())), start=1)}


class SystemFiles:
    """Samples of the machine, a file a minute; a restarted job goes on with its minute's file."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder = folder / "system" / "incremental"
        self._node = node
        self._lines: dict[int, list[str]] = {}
        self._opened: set[Path] = set()
        self.written = 0

    def add(self, when: float, readings: Iterable[Reading]) -> None:
        """Keeps a sample for the next `write`; values that are no numbers are left out."""
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
        """Appends what was added.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        for minute, lines in self._lines.items():
            path = self._folder / _hour(minute) / f"{minute:010}.{self._node}.json"
            if path not in self._opened:
                path.parent.mkdir(parents=True, exist_ok=True)
                _cut_broken_line(path)
                self._opened = {path}
            text = "".join(f"{line}\n" for line in lines)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
            self.written += len(text)
        self._lines = {}


class TraceFiles:
    """Step times, a complete Chrome trace for every `write`."""

    def __init__(self, folder: Path, node: str, *, network: str = "Network") -> None:
        """Nothing is written yet.

        Args:
            folder: The profile's.
            node: algo-1, ...
            network: What the forward and backward passes are called.
        """
        self._folder = folder / "framework" / "pevents"
        self._node = node
        self._process = os.getpid()
        self.network = network

    def write(self, base: float, passes: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> None:
        """Writes steps.

        Args:
            base: Seconds since 1970 that the trace counts from.
            passes: Mode -> step numbers [n] and, in seconds since 1970 [n, 5], when each step began, its batch was
                there, its forward and its backward pass was done (the backward one counts in TRAIN alone), it ended.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        start = int(base * MICROSECONDS)
        lines, last = self._header(start), 0
        for mode, (numbers, times) in passes.items():
            if len(numbers):
                micros = np.rint((times - base) * MICROSECONDS).astype(np.int64)
                lines += self._events(mode, numbers, micros)
                last = max(last, start + int(micros[:, 4].max()))
        if not last:
            return
        name = f"{last}_{self._process}-{self._node}_pythontimeline.json"
        text = "[\n" + ",\n".join(lines) + "\n]\n"
        _put(self._folder / _hour(last / MICROSECONDS) / name, text)

    def _header(self, start: int) -> list[str]:
        named = [(0, {"start_time_since_epoch_in_micros": start}), *((pid, {"name": p}) for p, pid in _PIDS.items())]
        lines = []
        for pid, arguments in named:
            lines.append(json.dumps({"name": "process_name", "ph": "M", "pid": pid, "args": arguments}))
            sort = {"name": "process_sort_index", "ph": "M", "pid": pid, "args": {"sort_index": pid}}
            lines.append(json.dumps(sort))
        return lines

    def _events(self, mode: str, numbers: NDArray[np.int64], micros: NDArray[np.int64]) -> list[str]:
        """Lines of the steps. One format of many steps costs a tenth of json.dumps for each event."""
        begin, ready, forward, backward, end = micros.T
        spans = [(begin, end), (begin, ready), (ready, forward)]
        phases = _PHASES[mode]
        if mode == TRAIN:
            spans.append((forward, backward))
        columns = [column for first, last in spans for column in (first, np.maximum(last - first, 0), numbers)]
        rows = np.stack(columns, axis=1)
        template = ",\n".join(self._template(phase) for phase in phases)
        chunks = []
        for at in range(0, len(rows), CHUNK):
            part = rows[at : at + CHUNK]
            chunks.append(",\n".join([template] * len(part)) % tuple(part.ravel().tolist()))
        return chunks

    def _template(self, phase: str) -> str:
        name = {DATA: f"{DATA}::GetNext", FORWARD: self.network, BACKWARD: self.network}.get(phase, phase)
        arguments = f'"args":{{"step_num":"%d","pid":{self._process}}}'
        quoted = json.dumps(name).replace("%", "%%")
        return f'{{"name":{quoted},"pid":{_PIDS[phase]},"ph":"X","ts":%d,"dur":%d,{arguments}}}'


def own_path(folder: Path, node: str) -> Path:
    """Where a node's own file lies."""
    return folder / f"profile_{node}.json"


def read_own(path: Path) -> dict[str, object] | None:
    """A node's own file; None where there is none, or none that can be read."""
    try:
        with layout.opened(path) as file:
            text = file.read(OWN_BYTES + 1)
        content = json.loads(text) if len(text) <= OWN_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("format") == FORMAT else None


def write_own(path: Path, content: Mapping[str, object]) -> None:
    """Replaces a node's own file.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    _put(path, json.dumps({"format": FORMAT, **content}, indent=1, default=str))


def remove_before(folder: Path, node: str, when: float, *, system: bool) -> None:
    """Removes what a node's profile holds of the time before one, seconds since 1970: it is another run's.

    Args:
        folder: The profile's.
        node: algo-1, ...
        when: When the first sample was taken that is to stay.
        system: Whether the samples of the machine are ours, too.

    Raises:
        OSError: A file cannot be removed or written.
    """
    for path in sorted((folder / "framework" / "pevents").glob(f"*/*-{node}_pythontimeline.json")):
        if _leading_number(path.name) < when * MICROSECONDS:
            path.unlink(missing_ok=True)
    for path in sorted((folder / "system" / "incremental").glob(f"*/*.{node}.json")) if system else ():
        minute = _leading_number(path.name)
        if minute + 60 <= when:
            path.unlink(missing_ok=True)
        elif minute < when:  # both runs have sampled in it
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _time_of(line) >= when]
            _put(path, "".join(f"{line}\n" for line in kept))


def _leading_number(name: str) -> int:
    found = re.match(r"\d{1,18}", name)
    return int(found[0]) if found else 1 << 62  # not one of ours


def _time_of(line: str) -> float:
    try:
        return float(json.loads(line)["Timestamp"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return -math.inf


def _put(path: Path, text: str) -> None:
    """Puts a file in place in one step. It is not forced to the disk: a profile is not worth the wait."""
    write_atomically(path, text.encode(), durable=False)


def _hour(seconds: float) -> str:
    return time.strftime("%Y%m%d%H", time.gmtime(seconds))


def _cut_broken_line(path: Path) -> None:
    """A job that was killed while it wrote leaves half a line, which must not run into the next one."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
