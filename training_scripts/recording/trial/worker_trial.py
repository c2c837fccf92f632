"""What one worker of a run recorded, as a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted
from training_scripts.recording.trial import event_files, events, layout
from training_scripts.recording.trial.event_files import Found, Place
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import (
    MODES,
    DamagedError,
    RecordingError,
    Series,
    StepTable,
    Trial,
    of_one_element,
)

_Content = bytes | Place


class WorkerTrial(Trial):
    """One worker's part of a trial on disk.

    Attributes:
        worker: The worker's name.
        recorded_at: The steps of which it has tensors, counted over all modes.
        lost_values: One sentence for each value that turned out to be damaged when it was read.
        damaged_values: One sentence for each series that lacks damaged values.
    """

    def __init__(self, whole: Trial, worker: str) -> None:
        """Holds nothing yet.

        Args:
            whole: The trial of all workers.
            worker: The worker's name.
        """
        self.name = f"{whole.name} ({layout.worker_label(worker)})"
        self.worker = worker
        self.workers = (worker,)
        self._whole = whole
        self._full: dict[tuple[str, str], dict[int, _Content]] = {}
        self._reduced: dict[tuple[str, str], dict[str, dict[int, _Content]]] = {}
        self._steps: dict[str, dict[int, tuple[int, float]]] = {mode: {} for mode in MODES}
        self._cached: dict[tuple[str, str], Mapping[str, Series]] = {}
        self.recorded_at: set[int] = set()
        self.lost_values: list[str] = []
        self.damaged_values: list[str] = []

    @property
    def ended(self) -> bool:  # type: ignore[override]
        """Whether the whole trial is marked as ended."""
        return self._whole.ended

    @property
    def collections(self) -> Mapping[str, Sequence[str]]:  # type: ignore[override]
        """Collection name -> names of the tensors that any worker recorded."""
        return self._whole.collections

    @property
    def run(self) -> RunFacts:  # type: ignore[override]
        """Facts about the run."""
        return self._whole.run

    def add(self, found: Found) -> None:
        """Adds a tensor that was read from one of the worker's event files."""
        record = found.record
        self.recorded_at.add(record.step)
        self._steps[record.mode][record.mode_step] = (record.step, record.time)
        reduced = layout.split_reduction_name(record.name)
        if reduced is None:
            series = self._full.setdefault((record.name, record.mode), {})
        else:
            kind, name = reduced
            series = self._reduced.setdefault((name, record.mode), {}).setdefault(kind, {})
        series[record.mode_step] = found.content

    def grew(self) -> None:
        """Drops series that were computed before tensors were added."""
        self._cached, self.damaged_values = {}, []

    def fill_held(self) -> None:
        """Gives the steps between two equal values of a number that `layout.is_held` the same value."""
        for (name, mode), there in self._full.items():
            if not layout.is_held(name):
                continue
            earlier: _Content | None = None
            between: list[int] = []
            for step in sorted(self._steps[mode]):
                content = there.get(step)
                if content is None:
                    between.append(step)
                    continue
                if between and content == earlier:
                    there.update(dict.fromkeys(between, content))
                earlier, between = content, []

    def steps(self, mode: str) -> StepTable:
        """The recorded steps of a mode; empty arrays if there are none."""
        rows = sorted((step, *rest) for step, rest in self._steps[mode].items())
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        return StepTable(
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=np.int64),
            np.array(columns[2], dtype=np.float64),
        )

    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors."""
        return {name for name, _ in (*self._full, *self._reduced)}

    def modes(self, name: str) -> tuple[str, ...]:
        """Modes in which a tensor was recorded."""
        return tuple(mode for mode in MODES if (name, mode) in self._full or (name, mode) in self._reduced)

    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which all elements of a tensor were recorded, int64 [n], ascending."""
        return np.array(sorted(self._full.get((name, mode), ())), dtype=np.int64)

    def has_in_full(self, name: str, step: int, mode: str) -> bool:
        """Whether all elements of a tensor were recorded at a step."""
        return step in self._full.get((name, mode), ())

    def value(self, name: str, step: int, mode: str) -> Array:
        """All elements of a tensor at one of `steps_in_full`."""
        found = self._full.get((name, mode), {}).get(step)
        if found is None:
            raise RecordingError(f"{name} at {mode} step {step} is not in the recording.")
        try:
            content = event_files.content_of(found)
            return events.tensor(content, 0, len(content))
        except (OSError, events.EventError) as error:
            sentence = f"{name} at {mode} step {step} cannot be read and was left out: {error}"
            self.lost_values.append(sentence)
            del self._full[name, mode][step]  # reading again returns the rest
            self._cached.pop((name, mode), None)
            raise DamagedError(sentence) from error

    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind."""
        if (name, mode) not in self._cached:
            self._cached[name, mode] = self._read_reductions(name, mode)
        return self._cached[name, mode]

    def numbers(self, name: str, mode: str) -> Series:
        """The values of a tensor that has one element at every step; empty for any other tensor."""
        whole = self._full.get((name, mode), {})
        if not whole or not all(isinstance(content, bytes) for content in whole.values()):
            return Series(np.empty(0, np.int64), np.empty(0))
        return self._numbers(name, mode, whole, only_if_all=True)

    def _read_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        kinds = self._reduced.get((name, mode), {})
        found = {kind: self._numbers(f"{kind} of {name}", mode, series) for kind, series in kinds.items()}
        if "variance" in found and "std" not in found:
            with np.errstate(invalid="ignore"):
                found["std"] = Series(found["variance"].steps, np.sqrt(found["variance"].values))
        numbers = self.numbers(name, mode)
        return (of_one_element(numbers) if len(numbers) else {}) | found

    def _numbers(self, what: str, mode: str, series: Mapping[int, _Content], *, only_if_all: bool = False) -> Series:
        """The one-element tensors as a series; with `only_if_all`, empty unless every tensor has one element."""
        steps = sorted(series)
        contents = [series[step] for step in steps]
        quick = b"".join(
            content[6:]
            for content in contents
            if isinstance(content, bytes) and len(content) == 10 and content[:6] == events.FLOAT32_SCALAR
        )
        if len(quick) == 4 * len(steps):
            return Series(np.array(steps, dtype=np.int64), np.frombuffer(quick, dtype="<f4").astype(np.float64))
        values = [_number(content) for content in contents]
        kept = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
        if only_if_all and len(kept) < len(steps):
            kept = []
        elif len(kept) < len(steps):
            self.damaged_values.append(
                f"{counted(len(steps) - len(kept), 'damaged value')} of {what} ({mode}) left out"
            )
        return Series(
            np.array([step for step, _ in kept], dtype=np.int64), np.array([value for _, value in kept], np.float64)
        )


def _number(content: _Content) -> float | None:
    """The value of a tensor of one element; None for any other."""
    if isinstance(content, Place):
        return None
    try:
        array = events.tensor(content, 0, len(content))
    except events.EventError:
        return None
    return float(array.reshape(())) if array.size == 1 and array.dtype.kind in "biuf" else None
