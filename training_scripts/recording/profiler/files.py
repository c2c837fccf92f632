"""Writes a profile to disk in Debugger's layout, so that smdebug and AWS's tools read it.

Under the folder: `system/incremental/<hour>/<start of the minute>.<node>.json`, one JSON object per line;
`framework/pevents/<hour>/<end in microseconds>_<process>-<node>_pythontimeline.json`, Chrome traces; and
`profile_<node>.json`, for what Debugger's layout lacks. Hours are UTC, YYYYMMDDHH.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
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
from training_scripts.recording.profiler.system_files import hour
from training_scripts.recording.trial import layout
from training_scripts.recording.trial.trial import EVAL, PREDICT, TRAIN

FORMAT = 1
OWN_BYTES = 4 << 20
MICROSECONDS = 1_000_000
# Steps to format at once; formatting them blocks the interpreter for half a millisecond.
CHUNK = 500
TRAIN_PHASES = (TRAIN_STEP, DATA, FORWARD, BACKWARD)
EVAL_PHASES = (EVAL_STEP, DATA, FORWARD)
PREDICT_PHASES = (PREDICT_STEP, PASS_WAIT, PASS_FORWARD)
_PHASES = {TRAIN: TRAIN_PHASES, EVAL: EVAL_PHASES, PREDICT: PREDICT_PHASES}
_PIDS = {phase: pid for pid, phase in enumerate(dict.fromkeys(sum(_PHASES.values(), ())), start=1)}


class TraceFiles:
    """Writes step times, one complete Chrome trace per `write`."""

    def __init__(self, folder: Path, node: str, *, network: str = "Network") -> None:
        """Writes nothing yet.

        Args:
            folder: The profile's folder.
            node: algo-1, ...
            network: Name of the forward and backward passes.
        """
        self._folder = folder / "framework" / "pevents"
        self._node = node
        self._process = os.getpid()
        self.network = network

    def write(self, base: float, passes: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> None:
        """Writes steps.

        Args:
            base: Start of the trace, seconds since 1970.
            passes: Mode -> step numbers [n], and times in seconds since 1970 [n, 5]: when each step began, its batch
                was ready, its forward and its backward pass were done (the latter in TRAIN only), and it ended.

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
        _put(self._folder / hour(last / MICROSECONDS) / name, text)

    def _header(self, start: int) -> list[str]:
        named = [(0, {"start_time_since_epoch_in_micros": start}), *((pid, {"name": p}) for p, pid in _PIDS.items())]
        lines = []
        for pid, arguments in named:
            lines.append(json.dumps({"name": "process_name", "ph": "M", "pid": pid, "args": arguments}))
            sort = {"name": "process_sort_index", "ph": "M", "pid": pid, "args": {"sort_index": pid}}
            lines.append(json.dumps(sort))
        return lines

    def _events(self, mode: str, numbers: NDArray[np.int64], micros: NDArray[np.int64]) -> list[str]:
        """Formats the steps' lines. One format string for many steps costs a tenth of json.dumps per event."""
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
    """Path of a node's own file."""
    return folder / f"profile_{node}.json"


def read_own(path: Path) -> dict[str, object] | None:
    """Reads a node's own file; None if it is missing or cannot be read."""
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
    """Removes what another run wrote to a node's profile before a time.

    Args:
        folder: The profile's folder.
        node: algo-1, ...
        when: Time of the first sample to keep, seconds since 1970.
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
        elif minute < when:  # both runs sampled in this minute
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _time_of(line) >= when]
            _put(path, "".join(f"{line}\n" for line in kept))


def _leading_number(name: str) -> int:
    found = re.match(r"\d{1,18}", name)
    return int(found[0]) if found else 1 << 62  # not our file


def _time_of(line: str) -> float:
    try:
        return float(json.loads(line)["Timestamp"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return -math.inf


def _put(path: Path, text: str) -> None:
    """Writes a file atomically, without waiting for the disk: a profile is not worth the wait."""
    write_atomically(path, text.encode(), durable=False)
