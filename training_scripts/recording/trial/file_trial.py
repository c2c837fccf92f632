"""A recorded run on disk: ours, smdebug's or the managed Debugger's, complete or still being written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial import event_files, layout, merging, run_facts
from training_scripts.recording.trial.event_files import EventFile
from training_scripts.recording.trial.patterns import Patterns
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import (
    GLOBAL,
    MODES,
    TRAIN,
    DamagedError,
    RecordingError,
    Series,
    StepTable,
    Trial,
    of_one_element,
)
from training_scripts.recording.trial.worker_trial import WorkerTrial

MAX_PROBLEMS = 20
MAX_WORKERS = 4096


class FileTrial(Trial):
    """A trial in smdebug's layout; it is read on first use.

    If several workers recorded it, numbers are their means, weighted by the sizes of their steps, and rows of samples
    are joined; `of_worker` returns what one of them recorded. Parts that cannot be read are left out and listed in
    `problems`.

    Attributes:
        folder: The trial's folder.
    """

    def __init__(self, folder: Path | str, *, worker: str | None = None) -> None:
        """Checks that there is a recording; reads nothing yet.

        Args:
            folder: A folder with `events/`, `index/` and `collections/`.
            worker: Read this worker's files only; other workers may be writing theirs.

        Raises:
            RecordingError: The folder holds no recording.
        """
        self.folder = Path(folder)
        self.name = self.folder.name
        _check(self.folder)
        self._only = worker
        self._was_read = False
        self._parts: dict[str, WorkerTrial] = {}
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
        found = [*self._problems, *self._values_left_out(), *damaged]
        return found[:MAX_PROBLEMS] + ([f"... and {len(found) - MAX_PROBLEMS} more"] if found[MAX_PROBLEMS:] else [])

    def _values_left_out(self) -> list[str]:
        return [
            sentence if len(self._parts) == 1 else f"{layout.worker_label(part.worker)}: {sentence}"
            for lost in ("lost_values", "damaged_values")
            for part in self._parts.values()
            for sentence in getattr(part, lost)
        ]

    @property
    def workers(self) -> Sequence[str]:  # type: ignore[override]
        """The workers that recorded tensors, in order; `worker_0` if there are no tensors."""
        self._need()
        return tuple(self._parts) or (layout.WORKER,)

    def of_worker(self, worker: str | int) -> Trial:
        """What one of `workers` recorded."""
        name = self._known_worker(worker)
        return self._parts.get(name, self)

    def refresh(self) -> bool:
        """Reads what was added since the last read; returns whether there was anything."""
        if not self._was_read:
            self._read()
            return bool(self._files)
        return self._read()

    def steps(self, mode: str) -> StepTable:
        """The recorded steps of a mode; empty arrays if there are none. The first worker's times and global steps."""
        self._need()
        tables = [part.steps(mode) for part in self._parts.values()]
        if len(tables) == 1:
            return tables[0]
        joined = {
            step: (place, time)
            for table in reversed(tables)
            for step, place, time in zip(
                table.steps.tolist(), table.global_steps.tolist(), table.times.tolist(), strict=True
            )
        }
        rows = sorted((step, *rest) for step, rest in joined.items())
        return StepTable(
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([row[1] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows], dtype=np.float64),
        )

    def _need(self) -> None:
        if not self._was_read:
            self._read()

    def _forget(self) -> None:
        self._files: dict[str, EventFile] = {}
        self._parts = {}
        self._cached: dict[tuple[str, str], Mapping[str, Series]] = {}
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
        if changed and self._run.get("recorder") in ("builtin", "loop"):
            for part in self._parts.values():
                part.fill_held()
        self._check_index()
        described, workers = self._read_collections()
        self._collections = described
        self._check_workers(workers)
        return changed

    def _read_events(self) -> bool:
        there = {
            path: (worker, status)
            for path, worker, status in event_files.listed(self.folder)
            if self._only in {None, worker}
        }
        gone = self._files.keys() - there.keys()
        if gone or any(path in there and file.was_replaced(there[path][1]) for path, file in self._files.items()):
            self._forget()  # a restarted job has removed steps
        changed = bool(gone)
        for path, (worker, status) in there.items():
            file = self._files.setdefault(path, EventFile(path, worker))
            if file.is_new(status):
                changed = True
                part = self._parts.setdefault(worker, WorkerTrial(self, worker))
                for found in file.read(status):
                    part.add(found)
        if changed:
            self._parts = {worker: self._parts[worker] for worker in sorted(self._parts, key=layout.worker_order)}
            self._cached = {}
            for part in self._parts.values():
                part.grew()
        return changed

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
        indexed: dict[str, set[int]] = {}
        for worker, step in event_files.indexed(self.folder):
            if self._only in {None, worker}:
                indexed.setdefault(worker, set()).add(step)
        for worker in sorted({*indexed, *self._parts}, key=layout.worker_order):
            self._check_index_of(worker, indexed.get(worker, set()), several=len({*indexed, *self._parts}) > 1)

    def _check_index_of(self, worker: str, indexed: set[int], *, several: bool) -> None:
        recorded = self._parts[worker].recorded_at if worker in self._parts else set()
        whose = f" of {layout.worker_label(worker)}" if several else ""
        lost = sorted(indexed - recorded)
        if lost:
            self._problems.append(
                f"the event files of {_steps(lost)}{whose} are missing or damaged: their tensors are lost"
            )
        unindexed = sorted(recorded - indexed)
        ours_unfinished = self._run.get("recorder") in ("builtin", "loop") and not self.ended  # it writes them last
        if unindexed and not ours_unfinished and (self.ended or len(unindexed) > 1):
            self._problems.append(
                f"the index files of {_steps(unindexed)}{whose} are missing: their tensors were read from the event "
                "files"
            )

    def _read_collections(self) -> tuple[dict[str, list[str]], int]:
        """The members of the collections, and how many workers the run had."""
        paths = sorted((self.folder / layout.COLLECTIONS).glob(f"*/{self._only or '*'}_collections.json"))
        if not paths:
            self._problems.append("collections/ is empty: it is unknown which tensors are losses, weights, ...")
        members: dict[str, set[str]] = {}
        patterns = Patterns(self.recorded_names())
        workers = int(self._run.get("workers") or 1)
        for path in paths:
            content = self._json(path)
            workers = max(workers, _workers(content))
            described = content.get("collections")
            for name, collection in (described if isinstance(described, dict) else {}).items():
                if isinstance(collection, dict):
                    members.setdefault(name, set()).update(_members(collection, patterns))
        if patterns.refused:
            refused = f"{patterns.refused} patterns are invalid, or take too long to match"
            self._problems.append(f"collections/: {refused}")
        return {name: sorted(tensors) for name, tensors in members.items()}, workers

    def _check_workers(self, workers: int) -> None:
        """Names workers whose files are missing, or end before the others'."""
        if self._only is not None or workers < 2:
            return
        expected = {layout.worker_name(rank) for rank in range(min(workers, MAX_WORKERS))}
        # A run that has only just begun may not have all of its files yet.
        if self._parts and len(self._parts) < workers and (self.ended or len(self._files) > len(self._parts)):
            missing = sorted(expected - self._parts.keys(), key=layout.worker_order)
            named = ", ".join(map(layout.worker_label, missing[:5])) + (", ..." if missing[5:] else "")
            whose = named if expected.issuperset(self._parts) else "the others"
            self._problems.append(
                f"{len(self._parts)} of {workers} workers have event files; those of {whose} are missing, so the "
                "curves are without them"
            )
        if self.ended:
            self._check_ends()

    def _check_ends(self) -> None:
        for mode in (TRAIN, GLOBAL):
            ends = {worker: int(part.steps(mode).steps.max(initial=-1)) for worker, part in self._parts.items()}
            last = max(ends.values(), default=-1)
            for worker, end in ends.items():
                if end < last:
                    until = f"ends with {mode} step {end}" if end >= 0 else f"has no {mode} steps"
                    self._problems.append(
                        f"the recording of {layout.worker_label(worker)} {until}; that of others with step {last}"
                    )

    def _short(self, path: Path | str) -> str:
        return str(Path(path).relative_to(self.folder))

    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors."""
        self._need()
        return set().union(*(part.recorded_names() for part in self._parts.values()))

    def modes(self, name: str) -> tuple[str, ...]:
        """Modes in which a tensor was recorded."""
        self._need()
        found = {mode for part in self._parts.values() for mode in part.modes(name)}
        return tuple(mode for mode in MODES if mode in found)

    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which any worker recorded all elements of a tensor, int64 [n], ascending."""
        self._need()
        found = [part.steps_in_full(name, mode) for part in self._parts.values()]
        return found[0] if len(found) == 1 else np.unique(np.concatenate([np.empty(0, np.int64), *found]))

    def value(self, name: str, step: int, mode: str) -> Array:
        """All elements of a tensor at one of `steps_in_full`: of several workers, merged as `merging.values` says."""
        self._need()
        holders = [part for part in self._parts.values() if part.has_in_full(name, step, mode)]
        if not holders:
            raise RecordingError(f"{name} at {mode} step {step} is not in the recording.")
        try:
            first = holders[0].value(name, step, mode)
            if len(holders) == 1:
                return first
            return merging.values(
                name,
                first,
                lambda: [part.value(name, step, mode) for part in holders[1:]],
                lambda: _sizes_at(holders, step, mode),
            )
        except DamagedError:
            self._cached.pop((name, mode), None)
            raise

    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind; those of several workers are merged."""
        self._need()
        holders = [part for part in self._parts.values() if mode in part.modes(name)]
        if len(holders) == 1:
            return holders[0].recorded_reductions(name, mode)
        if (name, mode) not in self._cached:
            self._cached[name, mode] = _merged_reductions(holders, name, mode)
        return self._cached[name, mode]


def _merged_reductions(holders: Sequence[WorkerTrial], name: str, mode: str) -> Mapping[str, Series]:
    numbers = [part.numbers(name, mode) for part in holders]
    if holders and all(len(series) for series in numbers):
        return of_one_element(merging.numbers(name, numbers, [_sizes(part, mode) for part in holders]))
    found: dict[str, list[Series]] = {}
    for part in holders:
        for kind, series in part.recorded_reductions(name, mode).items():
            found.setdefault(kind, []).append(series)
    return {kind: merging.reductions(kind, series) for kind, series in found.items()}


def _sizes(part: WorkerTrial, mode: str) -> Series | None:
    """The sizes of a worker's steps; None if it recorded none."""
    found = part.numbers(layout.STEP_SIZE, mode)
    return found if len(found) else None


def _sizes_at(parts: Sequence[WorkerTrial], step: int, mode: str) -> list[float]:
    """The sizes of the workers' step; empty if one is unknown."""
    if not all(part.has_in_full(layout.STEP_SIZE, step, mode) for part in parts):
        return []
    return [float(part.value(layout.STEP_SIZE, step, mode).sum()) for part in parts]


def _workers(content: Mapping[str, object]) -> int:
    """How many workers a collections file says that the run had."""
    meta = content.get("_meta")
    number = meta.get("num_workers") if isinstance(meta, dict) else None
    return number if isinstance(number, int) else 1


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
