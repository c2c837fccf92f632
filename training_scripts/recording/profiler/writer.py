"""The profiler's own thread: samples the machine and writes samples and step times to disk."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, time

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.profile.profile import Operator
from training_scripts.recording.profiler.files import TraceFiles, own_path, read_own, remove_before, write_own
from training_scripts.recording.profiler.sampler import Machine
from training_scripts.recording.profiler.system_files import SAMPLE_BYTES, SystemFiles
from training_scripts.recording.trial.trial import EVAL, PREDICT, TRAIN
from training_scripts.training.callbacks import first_line

# A report can be read while the job runs, so the first writes come soon.
FIRST_WRITE_SECONDS, LAST_WRITE_SECONDS = 5.0, 60.0
STEPS_AT_ONCE = 20_000
# Up to this number, all steps of a mode are written; of the next equal number every second one, then every fourth, ...
ALL_STEPS = 20_000
EPOCH = "EPOCH"
LIVES_KEPT = 1000
# If clocks drift apart by more than this, the machine was suspended or its clock was set.
CLOCK_SECONDS = 0.1

# Mode, and perf_counter's times at which the step began, its batch was ready, forward was done, backward was done,
# and the step ended.
Step = tuple[str, float, float, float, float, float]


class ProfileWriter(threading.Thread):
    """Writes a profile until `finish`. A failure is logged in one line, and ends only the writing."""

    failed = False
    evaluated = 0
    operators_note = ""
    _machine: Machine | None = None
    _is_anothers = False

    def __init__(
        self,
        folder: Path,
        node: str,
        *,
        interval: float,
        system: bool,
        steps: list[Step],
        report: Callable[[str], object],
    ) -> None:
        """Reads what an earlier process of the same job wrote.

        Args:
            folder: The profile's folder.
            node: algo-1, ...
            interval: Seconds between two samples.
            system: Whether to sample the machine.
            steps: A queue that the training thread appends to; steps are removed as they are written.
            report: Called with one line of log at a time.
        """
        super().__init__(name="profiler", daemon=True)
        self.offset = _offset()
        self.earlier = read_own(own_path(folder, node)) or {}
        self.counts = {TRAIN: 0, EVAL: 0, PREDICT: 0}
        self.facts: Mapping[str, object] = {}
        self.life: Mapping[str, object] = {}
        self.operators: Callable[[], tuple[Operator, ...] | None] = lambda: None
        self._folder, self._node = folder, node
        self._fingerprint = str(self.earlier.get("fingerprint") or "")
        self._interval = interval
        self._system = system
        self._steps = steps
        self._report = report
        self._begun = perf_counter()
        self._samples = SystemFiles(folder, node)
        self._traces = TraceFiles(folder, node)
        self._found = _list(self.earlier.get("operators"))
        self._stopping = threading.Event()

    def finish(self, seconds: float) -> None:
        """Writes the rest; waits at most this many seconds until it is written."""
        self._stopping.set()
        if self.is_alive():
            self.join(seconds)

    def begin_run(self, fingerprint: str, network: str, *, continues: bool) -> None:
        """Sets the run's identity; the next write removes another run's profile from the folder.

        Args:
            fingerprint: The run's fingerprint.
            network: Name of the forward and backward passes.
            continues: Whether the run continues after epochs that it did earlier, which a run without a fingerprint
                can show in no other way.
        """
        self._traces.network = network
        if self.earlier and (self._fingerprint != fingerprint or not (fingerprint or continues)):
            self.earlier, self._found, self._is_anothers = {}, [], True
        self._fingerprint = fingerprint

    def run(self) -> None:
        """Samples and writes."""
        try:
            self._open_machine()
            self._write_own()
            begun = tick = perf_counter()
            due = begun + FIRST_WRITE_SECONDS
            while not self._stopping.wait(max(0.0, tick - perf_counter())):
                self._sample()
                now = perf_counter()
                tick = max(tick + self._interval, now)
                if now >= due or len(self._steps) >= STEPS_AT_ONCE:
                    self._write()
                    due = now + min(LAST_WRITE_SECONDS, max(FIRST_WRITE_SECONDS, (now - begun) / 10))
            self._sample()
            self._write()
        except Exception as error:  # noqa: BLE001 - training continues whatever fails in profiling
            self.failed = True
            self._report(f"warning: the profiler has failed, and training continues without it: {first_line(error)}")

    def _open_machine(self) -> None:
        try:
            machine = Machine()
        except Exception as error:  # noqa: BLE001 - psutil is missing, or the container hides what it needs
            if self._system:
                self._leave_machine(error)
            return
        facts: dict[str, object] = {
            "cores": machine.cores,
            "memory_bytes": machine.memory_bytes,
            "gpus": len(machine.gpus.names),
            "gpu_names": machine.gpus.names,
            "gpu_note": machine.gpus.note,
        }
        if self._system:
            self._machine = machine
            facts["interval_ms"] = round(self._interval * 1000)
        self.facts = {**facts, **self.facts}

    def _leave_machine(self, error: Exception) -> None:
        self._machine = None
        self._report(
            f"warning: the machine cannot be sampled; the profile will only have the steps: {first_line(error)}"
        )

    def _sample(self) -> None:
        if self._machine is None:
            return
        now = perf_counter()
        try:
            readings = self._machine.read(now)
        except Exception as error:  # noqa: BLE001 - as when it was opened
            self._leave_machine(error)
            return
        self._samples.add(now + self.offset, readings)
        if self._samples.written > SAMPLE_BYTES:
            self._samples.written = 0
            self._interval *= 2

    def _write(self) -> None:
        if abs(_offset() - self.offset) > CLOCK_SECONDS:
            self.offset = _offset()
        if self._is_anothers:
            self._is_anothers = False
            remove_before(self._folder, self._node, self._begun + self.offset, system=self._system)
        self._samples.write()
        self._write_steps()
        found = self.operators()
        if found:
            self._found = [asdict(operator) for operator in found]
        self._write_own()

    def _write_steps(self) -> None:
        # One thread appends, the other removes from the front: each is one operation on the list.
        steps = self._steps[: len(self._steps)]
        del self._steps[: len(steps)]
        if not steps:
            return
        columns = list(zip(*steps, strict=True))
        modes, times = np.array(columns[0]), np.array(columns[1:], dtype=np.float64).T
        marks = np.flatnonzero(modes == EPOCH)
        if len(marks):
            self.evaluated = self.counts[EVAL] + int((modes[: marks[-1]] == EVAL).sum())
        passes = {}
        for mode in (TRAIN, EVAL, PREDICT):
            chosen = times[modes == mode]
            numbers = np.arange(len(chosen), dtype=np.int64) + self.counts[mode]
            self.counts[mode] += len(chosen)
            kept = kept_steps(numbers)
            passes[mode] = (numbers[kept], chosen[kept] + self.offset)
        self._traces.write(self._begun + self.offset, passes)
        train = passes[TRAIN][1]
        if len(train) and "training" not in self.life:
            self.life = {**self.life, "training": float(train[0, 0])}

    def _write_own(self) -> None:
        counts = {mode: count for mode, count in self.counts.items() if count or mode != PREDICT}
        lives = [*_list(self.earlier.get("lives")), dict(self.life)][-LIVES_KEPT:]
        write_own(
            own_path(self._folder, self._node),
            {
                "node": self._node,
                "fingerprint": self._fingerprint,
                "lives": lives,
                "facts": dict(self.facts),
                "steps": dict(counts),
                "evaluated": self.evaluated,
                "kept_one_in": {mode: one_in(count) for mode, count in counts.items()},
                "operators": self._found,
                "operators_note": "" if self._found else self.operators_note,
            },
        )


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _offset() -> float:
    """The difference between seconds since 1970 and perf_counter: samples and steps need one clock."""
    return time() - perf_counter()


def one_in(number: int) -> int:
    """One in how many steps around this one is written: 1 at first, doubled whenever the number of steps doubles."""
    return 1 << (number // ALL_STEPS).bit_length()


def kept_steps(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which steps are written, bool [n].

    Steps are chosen by a hash of their number: every n-th step would always be at the same place of an epoch.
    """
    strides = np.exp2(np.ceil(np.log2(numbers // ALL_STEPS + 1))).astype(np.uint64)
    hashed = (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    kept: NDArray[np.bool_] = hashed % strides == 0
    return kept


def node_name(host: str | None) -> str:
    """A host's name in Debugger's files; algo-1 for a host that is not SageMaker's."""
    return host if host and re.fullmatch(r"algo-\d{1,4}", host) else "algo-1"
