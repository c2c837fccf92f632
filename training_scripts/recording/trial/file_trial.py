"""A recorded run on disk: ours, smdebug's or the managed Debugger's, complete or still being written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial import event_files, events, layout, run_facts
from training_scripts.recording.trial.event_files import EventFile, Found, Place
from training_scripts.recording.trial.patterns import Patterns
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

MAX_PROBLEMS = 20

_Series = dict[int, tuple[str, "bytes | Place"]]


class FileTrial(Trial):
    """A trial in smdebug's layout; it is read on first use.

    If there are several workers, the tensors of the first one (by name) are returned, as in smdebug. Parts that cannot
    be read are left out and listed in `problems`.

    Attributes:
        folder: The trial's folder.
    """

    def __init__(self, folder: Path | str) -> None:
        """Checks that there is a recording; reads nothing yet.

        Args:
            folder: A folder with `events/`, `index/` and `collections/`.

        Raises:
            RecordingError: The folder holds no recording.
        """
        self.folder = Path(folder)
        self.name = self.folder.name
        _check(self.folder)
        self._was_read = False
        self._forget()

    @property
    def ended(self) -> bool:  # type: ignore[override]
        """Whether the trial is marked as ended."""
        return (self.folder / layout.END_FILE).is_file()

    @property
    def collections(self) -> Mapping[str, Sequence[str]]:  # type: ignore[override]
        """Collection name -> names of its recorded tensors."""
        self._need()
        return self._collections

    @property
    def run(self) -> RunFacts:  # type: ignore[override]
        """Facts that our recorder wrote about the run; empty for recordings made by other tools."""
        self._need()
        return self._run

    @property
    def problems(self) -> Sequence[str]:  # type: ignore[override]
        """One sentence for each part that could not be read."""
        self._need()
        damaged = [f"{self._short(file.path)}: {problem}" for file in self._files.values() for problem in file.problems]
        found = [*self._problems, *self._lost_values, *self._damaged_values, *damaged]
        return found[:MAX_PROBLEMS] + ([f"... and {len(found) - MAX_PROBLEMS} more"] if found[MAX_PROBLEMS:] else [])

    def refresh(self) -> bool:
        """Reads what was added since the last read; returns whether there was anything."""
        if not self._was_read:
            self._read()
            return bool(self._files)
        return self._read()

    def steps(self, mode: str) -> StepTable:
        """The recorded steps of a mode; empty arrays if there are none."""
        self._need()
        rows = sorted((step, *rest) for step, rest in self._steps[mode].items())
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        return StepTable(
            np.array(columns[0], dtype=np.int64),
            np.array(columns[1], dtype=np.int64),
            np.array(columns[2], dtype=np.float64),
        )

    def _need(self) -> None:
        if not self._was_read:
            self._read()

    def _forget(self) -> None:
        self._files: dict[str, EventFile] = {}
        self._full: dict[tuple[str, str], _Series] = {}
        self._reduced: dict[tuple[str, str], dict[str, _Series]] = {}
        self._steps: dict[str, dict[int, tuple[int, float]]] = {mode: {} for mode in MODES}
        self._cached: dict[tuple[str, str], Mapping[str, Series]] = {}
        self._recorded_at: set[int] = set()
        self._damaged_values: list[str] = []
        self._lost_values: list[str] = []
        self._collections: dict[str, list[str]] = {}
        self._run: RunFacts = {}
        self._problems: list[str] = []

    def _read(self) -> bool:
        self._was_read = True
        try:
            changed = self._read_events()
        except OSError as error:
            raise RecordingError(f"{self.folder} cannot be read: {error.strerror or error}") from error
        self._problems = []
        self._run = self._read_run()
        self._check_index()
        self._collections = self._read_collections()
        return changed

    def _read_events(self) -> bool:
        there = {path: (worker, status) for path, worker, status in event_files.listed(self.folder)}
        gone = self._files.keys() - there.keys()
        if gone or any(path in there and file.was_replaced(there[path][1]) for path, file in self._files.items()):
            self._forget()  # a restarted job has removed steps
        changed = bool(gone)
        for path, (worker, status) in there.items():
            file = self._files.setdefault(path, EventFile(path, worker))
            if file.is_new(status):
                changed = True
                for found in file.read(status):
                    self._add(found)
        if changed:
            self._cached, self._damaged_values = {}, []
        return changed

    def _add(self, found: Found) -> None:
        record = found.record
        self._recorded_at.add(record.step)
        self._steps[record.mode][record.mode_step] = (record.step, record.time)
        reduced = layout.split_reduction_name(record.name)
        if reduced is None:
            series = self._full.setdefault((record.name, record.mode), {})
        else:
            kind, name = reduced
            series = self._reduced.setdefault((name, record.mode), {}).setdefault(kind, {})
        known = series.get(record.mode_step)
        if known is None or found.worker <= known[0]:
            series[record.mode_step] = (found.worker, found.content)

    def _read_run(self) -> RunFacts:
        path = self.folder / layout.RUN_FILE
        if not path.exists():
            return {}
        run, wrong = run_facts.checked(self._json(path))
        self._problems += [*run_facts.problems(run), *wrong]
        return run

    def _json(self, path: Path) -> dict[str, object]:
        try:
            content, damaged = layout.read_sealed(path)
            if damaged:
                self._problems.append(
                    f"{self._short(path)} is damaged: its checksum is wrong, so its content may be wrong"
                )
            return content
        except OSError as error:
            self._problems.append(f"{self._short(path)} cannot be read: {error.strerror or error}")
        except ValueError as error:
            self._problems.append(f"{self._short(path)} is damaged: {error}")
        return {}

    def _check_index(self) -> None:
        """Compares the index with the steps that were found: nothing else reveals a lost event file."""
        indexed = event_files.indexed_steps(self.folder)
        lost = sorted(indexed.keys() - self._recorded_at)
        if lost:
            self._problems.append(f"the event files of {_steps(lost)} are missing or damaged: their tensors are lost")
        unindexed = sorted(self._recorded_at - indexed.keys())
        ours_unfinished = self._run.get("recorder") == "builtin" and not self.ended  # it writes them last
        if unindexed and not ours_unfinished and (self.ended or len(unindexed) > 1):
            self._problems.append(
                f"the index files of {_steps(unindexed)} are missing: their tensors were read from the event files"
            )

    def _read_collections(self) -> dict[str, list[str]]:
        paths = sorted((self.folder / layout.COLLECTIONS).glob("*/*collections.json"))
        if not paths:
            self._problems.append("collections/ is empty: it is unknown which tensors are losses, weights, ...")
        members: dict[str, set[str]] = {}
        patterns = Patterns(self.recorded_names())
        for path in paths:
            described = self._json(path).get("collections")
            for name, content in (described if isinstance(described, dict) else {}).items():
                if isinstance(content, dict):
                    members.setdefault(name, set()).update(_members(content, patterns))
        if patterns.refused:
            refused = f"{patterns.refused} patterns are invalid, or take too long to match"
            self._problems.append(f"collections/: {refused}")
        return {name: sorted(tensors) for name, tensors in members.items()}

    def _short(self, path: Path | str) -> str:
        return str(Path(path).relative_to(self.folder))

    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors."""
        self._need()
        return {name for name, _ in (*self._full, *self._reduced)}

    def modes(self, name: str) -> tuple[str, ...]:
        """Modes in which a tensor was recorded."""
        self._need()
        return tuple(mode for mode in MODES if (name, mode) in self._full or (name, mode) in self._reduced)

    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which all elements of a tensor were recorded, int64 [n], ascending."""
        self._need()
        return np.array(sorted(self._full.get((name, mode), ())), dtype=np.int64)

    def value(self, name: str, step: int, mode: str) -> Array:
        """All elements of a tensor at one of `steps_in_full`."""
        found = self._full.get((name, mode), {}).get(step)
        if found is None:
            raise RecordingError(f"{name} at {mode} step {step} is not in the recording.")
        try:
            content = event_files.content_of(found[1])
            return events.tensor(content, 0, len(content))
        except (OSError, events.EventError) as error:
            sentence = f"{name} at {mode} step {step} cannot be read and was left out: {error}"
            self._lost_values.append(sentence)
            del self._full[name, mode][step]  # reading again returns the rest
            self._cached.pop((name, mode), None)
            raise DamagedError(sentence) from error

    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind."""
        self._need()
        if (name, mode) not in self._cached:
            self._cached[name, mode] = self._read_reductions(name, mode)
        return self._cached[name, mode]

    def _read_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        kinds = self._reduced.get((name, mode), {})
        found = {kind: self._numbers(f"{kind} of {name}", mode, series) for kind, series in kinds.items()}
        if "variance" in found and "std" not in found:
            with np.errstate(invalid="ignore"):
                found["std"] = Series(found["variance"].steps, np.sqrt(found["variance"].values))
        whole = self._full.get((name, mode), {})
        if whole and all(isinstance(content, bytes) for _, content in whole.values()):
            numbers = self._numbers(name, mode, whole, only_if_all=True)
            found = (of_one_element(numbers) if len(numbers) else {}) | found
        return found

    def _numbers(self, what: str, mode: str, series: _Series, *, only_if_all: bool = False) -> Series:
        """The one-element tensors as a series; with `only_if_all`, empty unless every tensor has one element."""
        steps = sorted(series)
        contents = [series[step][1] for step in steps]
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
            self._damaged_values.append(
                f"{len(steps) - len(kept)} values of {what} ({mode}) are damaged and were left out"
            )
        return Series(
            np.array([step for step, _ in kept], dtype=np.int64), np.array([value for _, value in kept], np.float64)
        )


def _number(content: bytes | Place) -> float | None:
    """The value of a tensor of one element; None for any other."""
    if isinstance(content, Place):
        return None
    try:
        array = events.tensor(content, 0, len(content))
    except events.EventError:
        return None
    return float(array.reshape(())) if array.size == 1 and array.dtype.kind in "biuf" else None


def _check(folder: Path) -> None:
    parts = (layout.EVENTS, layout.INDEX, layout.COLLECTIONS)
    if any((folder / part).is_dir() for part in parts):
        return
    if not folder.is_dir():
        raise RecordingError(f"{folder} is not a directory, so it contains no recording.")
    inside = folder / "debug-output"
    hint = f" {inside} has them; pass that folder." if any((inside / part).is_dir() for part in parts) else ""
    raise RecordingError(
        f"{folder} contains no recording: expected the folders events, index and collections, "
        f"as the recorder, smdebug and SageMaker Debugger write them.{hint}"
    )


def _members(content: Mapping[str, object], patterns: Patterns) -> set[str]:
    listing, sought = content.get("tensor_names"), content.get("include_regex")
    found = {name for name in listing if isinstance(name, str)} if isinstance(listing, list) else set()
    found &= patterns.names
    for pattern in sought if isinstance(sought, list) else ():
        if isinstance(pattern, str):
            found |= patterns.matching(pattern)
    return found


def _steps(steps: Sequence[int]) -> str:
    shown = ", ".join(str(step) for step in steps[:3])
    if len(steps) == 1:
        return f"step {shown}"
    return f"{len(steps)} steps ({shown}{', ...' if steps[3:] else ''})"
