"""Buffers the steps of a run and flushes them to the trial in memory and to disk."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from training_scripts.recording.recorder.bulk import Bulk
from training_scripts.recording.recorder.snapshots import Snapshot, as_array
from training_scripts.recording.recorder.torch_reductions import Number, number_if_ready
from training_scripts.recording.recorder.worker import Worker
from training_scripts.recording.trial.background_writer import BackgroundWriter
from training_scripts.recording.trial.layout import (
    ACCURACY,
    LEARNING_RATE,
    LOSS,
    PER_RUN,
    SCALARS,
    STEP_SIZE,
    is_held,
    reduction_name,
)
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.recording.trial.writer import TrialWriter

# A flush waits briefly for the disk, so that a killed job leaves its steps on disk with its checkpoint. Waiting for a
# slow disk takes at most a hundredth of the time.
_WAIT_SECONDS, _WAIT_SHARE, _WAIT_ONCE = 0.05, 0.01, 1.0
# Within a long epoch, the buffer is flushed often enough for live readers and before it fills the memory.
_FLUSH_SECONDS, _FLUSH_BYTES = 30.0, 64 << 20
# Above this backlog, full tensors are left out: the disk is slower than training.
_BACKLOG_BYTES = 512 << 20
_NO_NUMBERS: Mapping[str, Number] = {}


# For the numbers of one name: which of the buffered steps have it, and its values.
_Column: TypeAlias = "tuple[Sequence[int], Sequence[float]]"


Part: TypeAlias = "tuple[Number, Number, int]"
"""One worker's part of a step: its mean loss, number of correct predictions, and number of samples."""


class _Kept(NamedTuple):
    """A buffered step; its loss and its other numbers may still be on a GPU.

    Attributes:
        part: Of several workers that train together: this one's loss, correct predictions and size; otherwise None.
    """

    mode: str
    mode_step: int
    global_step: int
    time: float
    loss: Number
    correct: Number | None
    size: int | None
    others: Mapping[str, Number]
    part: Part | None = None

    def written(self) -> _Kept:
        """The step as this worker writes it to disk, beside the other workers' parts."""
        if self.part is None:
            return self
        loss, correct, size = self.part
        # A part without samples has no numbers of its own.
        return self._replace(loss=loss, correct=correct, size=size, others=self.others if size else _NO_NUMBERS)


class StepBuffer:
    """Buffers the steps of a run.

    Attributes:
        writer: Writes the trial; None if there is no folder, or after a write failed.
        memory: The trial in memory, if any.
        collections: Collection -> tensors' names.
        global_step: The next step's number, counted over all modes.
        worker: Which of the workers that train together this process is.
        bulk: Numbers of the buffered steps that are computed when the buffer is flushed.
    """

    def __init__(
        self,
        folder: Path | None,
        memory: MemoryTrial | None,
        run: RunFacts,
        intervals: Mapping[str, int],
        *,
        loss_name: str = LOSS,
        worker: Worker = Worker(),  # noqa: B008 - it is immutable
        report: Callable[[str], object],
    ) -> None:
        """Writes nothing yet."""
        self.worker = worker
        self.writer = None if folder is None else TrialWriter(folder, worker=worker.name, workers=worker.count)
        self.memory = memory
        self.collections: dict[str, list[str]] = {
            "losses": [loss_name],
            "metrics": [ACCURACY],
            SCALARS: [LEARNING_RATE, STEP_SIZE],
        }
        self.global_step = 0
        self.bulk = Bulk()
        self._loss_name = loss_name
        self._run = run
        self._intervals = intervals
        self._report = report
        self._background = BackgroundWriter(self.stop)
        self._kept: list[_Kept] = []
        self._snapshots: dict[int, Snapshot] = {}
        self._flushed = time.time()
        self._pending_bytes = 0
        self._noted = False
        # Bytes of full tensors, counted by the training thread and by the writing thread.
        self._given_bytes = self._written_bytes = 0

    def keep(
        self,
        mode: str,
        step: int,
        loss: Number,
        correct: Number | None,
        size: int | None,
        *,
        others: Mapping[str, Number] = _NO_NUMBERS,
        part: Part | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        """Buffers a step.

        Args:
            mode: TRAIN or EVAL.
            step: Counted within the mode.
            loss: Mean over the samples.
            correct: Number of correct predictions; None where there are no classes, or the size is unknown.
            size: Number of samples; None if unknown.
            others: Further numbers by name, such as learning rates, each of a collection named to `declare`. Read when
                the buffer is flushed.
            part: If the other numbers are of all workers, what this one writes to disk.
            snapshot: The step's tensors and reductions.
        """
        # Plain numbers, because small tensors kept from every step fragment the heap: memory for later batches would
        # then come from new pages, which cost page faults.
        loss = number_if_ready(loss)
        correct = None if correct is None else number_if_ready(correct)
        now = time.time()
        # Flush before this step is added: `add_to_last` may still change the last buffered step.
        if not 0 <= now - self._flushed < _FLUSH_SECONDS or self._pending_bytes > _FLUSH_BYTES:
            self.flush(wait=False)
        if snapshot is not None:
            self._snapshots[self.global_step] = snapshot
            self._pending_bytes += snapshot.nbytes()
        self._kept.append(_Kept(mode, step, self.global_step, now, loss, correct, size, others, part))
        self.global_step += 1

    def multiply_losses(self, mode: str, factor: float) -> None:
        """Multiplies the losses of a mode's steps that are not flushed yet."""
        self._kept = [row._replace(loss=row.loss * factor) if row.mode == mode else row for row in self._kept]

    def declare(self, collection: str, name: str) -> None:
        """Adds a tensor's name to a collection; the next flush writes it."""
        members = self.collections.setdefault(collection, [])
        if name not in members:
            members.append(name)
            self._noted = True

    def learn(self, facts: RunFacts) -> None:
        """Updates the facts of `run.json`; the next flush writes them."""
        self._run.update(facts)
        self._noted = True
        if self.memory is not None:
            self.memory.run.update(facts)

    def skip(self) -> None:
        """Counts a step that is not recorded."""
        self.global_step += 1

    def add_to_last(self, snapshot: Snapshot) -> None:
        """Adds a snapshot to the last step that was buffered."""
        if self._kept:
            self._snapshots[self._kept[-1].global_step] = snapshot
            self._pending_bytes += snapshot.nbytes()

    def describe(self) -> None:
        """Writes the trial's facts and collections.

        Raises:
            OSError: It cannot be written.
        """
        if self.memory is not None:
            self.memory.run.update(self._run)
        if self.writer is not None:
            self._description(self.writer)()

    def _description(self, writer: TrialWriter) -> Callable[[], None]:
        """A function that writes the facts and collections as they are now; may be called in another thread."""
        collections = {name: list(members) for name, members in self.collections.items()}
        return functools.partial(writer.describe, self._run.copy(), collections, dict(self._intervals))

    def stop(self, error: Exception) -> None:
        """Ends writing to disk, and reports why."""
        folder, self.writer = self.writer and self.writer.folder, None
        if folder is not None:
            reason = getattr(error, "strerror", None) or error
            self._report(f"warning: recording stops: cannot write to {folder}: {reason}; training continues")

    def flush(self, *, wait: bool = True) -> None:
        """Flushes the buffer to the trial in memory and to disk.

        Args:
            wait: Wait briefly for the disk, so that the steps are usually on disk when this returns.
        """
        self.bulk.finish()
        kept, self._kept = self._kept, []
        snapshots, self._snapshots = self._snapshots, {}
        self._pending_bytes = 0
        now = time.time()
        seconds, self._flushed = max(0.0, now - self._flushed), now
        if not kept:
            return
        steps = [Step(row.mode, row.mode_step, row.global_step, row.time) for row in kept]
        columns = self._columns([row.written() for row in kept])
        for name, column in columns.items():
            rows, values = _ends_of_equals(name, column, steps) if is_held(name) else column
            for row, value in zip(rows, values, strict=True):
                steps[row].numbers.append((name, value))
        fresh = False
        for step in steps:
            if step.global_step in snapshots:
                fresh |= self._join(snapshots[step.global_step])
                self._settle(step, snapshots[step.global_step])
        if self.memory is not None:
            whole = columns if all(row.part is None for row in kept) else self._columns(kept)
            self._remember(self.memory, steps, whole)
        writer = self.writer
        if writer is not None:
            written = self._without_backlog(steps)
            if fresh or self._noted:
                self._describe_later(writer)
            self._background.do(functools.partial(self._write, writer, written, seconds))
            if wait:
                self._background.wait(max(_WAIT_SECONDS, _WAIT_SHARE * seconds))

    def _describe_later(self, writer: TrialWriter) -> None:
        self._noted = False
        self._background.do(self._description(writer))

    def _without_backlog(self, steps: list[Step]) -> list[Step]:
        """Removes full tensors from the steps while the disk has a backlog; otherwise they would fill the memory."""
        if self._given_bytes - self._written_bytes > _BACKLOG_BYTES:
            for step in steps:
                step.arrays = [(name, array) for name, array in step.arrays if name in PER_RUN]
            self.note("the disk was slower than training: full tensors of some steps were left out")
        self._given_bytes += _bytes_of(steps)
        return steps

    def _write(self, writer: TrialWriter, steps: list[Step], seconds: float) -> None:
        writer.write(steps, seconds=seconds)
        self._written_bytes += _bytes_of(steps)

    def note(self, problem: str) -> None:
        """Adds a problem to the recording: a sentence that says what is missing."""
        for problems in (self._run.setdefault("problems", []), self.memory.problems if self.memory else []):
            if problem not in problems:
                problems.append(problem)
                self._noted = True

    def remark(self, sentence: str) -> None:
        """Adds a note to the recording: a sentence on an aspect of how it was made that readers would not expect."""
        notes = self._run.get("notes", [])
        if sentence and sentence not in notes:
            self.learn({"notes": [*notes, sentence]})

    def abandon(self, problem: str) -> None:
        """Flushes the buffer and records why recording ended; does not mark the trial as ended."""
        self.note(problem)
        try:
            self.flush()
        finally:
            if self.writer is not None:
                self._describe_later(self.writer)
            self._background.end(_WAIT_ONCE)

    def end(self, seconds: float, *, others: Sequence[str] = ()) -> None:
        """Completes the trial.

        Args:
            seconds: Give up writing after this time.
            others: Workers on the same disk, for whose end the first one waits briefly before it marks the trial.
        """
        if self.memory is not None:
            self.memory.ended = True
        writer = self.writer
        if writer is not None:
            if self._noted:
                self._describe_later(writer)
            self._background.do(functools.partial(writer.end, others=others))
        if not self._background.end(seconds):
            self.stop(TimeoutError(f"the disk took more than {seconds:.0f} s"))

    def _join(self, snapshot: Snapshot) -> bool:
        """Adds the snapshot's tensors to their collections; returns whether one was new."""
        fresh = False
        for name, collection in snapshot.collections.items():
            members = self.collections.setdefault(collection, [])
            if name not in members:
                members.append(name)
                fresh = True
        return fresh

    def _settle(self, step: Step, snapshot: Snapshot) -> None:
        """Adds a snapshot's numbers and arrays to a step, and to the trial in memory."""
        numbers = list(snapshot.numbers())
        step.numbers += [(reduction_name(kind, name), value) for name, kind, value in numbers]
        step.arrays = [
            (name, as_array(value) if not isinstance(value, np.ndarray) else value)
            for name, value in snapshot.full.items()
        ]
        if self.memory is None:
            return
        for name, kind, value in numbers:
            self.memory.add_reduction(
                name, kind, step.mode_step, step.mode, value, collection=snapshot.collections[name]
            )
        for name, array in step.arrays:
            if self.writer is None or name in PER_RUN:  # full weights would fill the memory
                collection = snapshot.collections[name]
                self.memory.add(name, step.mode_step, step.mode, array, collection=collection)

    def _columns(self, kept: Sequence[_Kept]) -> dict[str, _Column]:
        """The numbers of all steps by name; a step without samples has no loss."""
        filled = [number for number, row in enumerate(kept) if row.size != 0]
        sized = [number for number, row in enumerate(kept) if row.size is not None]
        columns: dict[str, _Column] = {}
        if filled:
            columns[self._loss_name] = filled, _numbers([kept[number].loss for number in filled])
        if sized:
            columns[STEP_SIZE] = sized, [float(kept[number].size or 0) for number in sized]
        answered = [number for number in filled if kept[number].correct is not None]
        if answered:
            correct = _numbers([right for number in answered if (right := kept[number].correct) is not None])
            shares = [right / (kept[number].size or 1) for number, right in zip(answered, correct, strict=True)]
            columns[ACCURACY] = answered, shares
        others: dict[str, tuple[list[int], list[Number]]] = {}
        for number, row in enumerate(kept):
            for name, value in row.others.items():
                rows, values = others.setdefault(name, ([], []))
                rows.append(number)
                values.append(value)
        for name, (rows, values) in others.items():
            found = rows, _numbers(values)
            # Some accuracies were known at once.
            columns[name] = _merged(columns[name], found) if name in columns else found
        return columns

    def _remember(self, memory: MemoryTrial, steps: Sequence[Step], columns: Mapping[str, _Column]) -> None:
        for step in steps:
            memory.add_step(step.mode_step, step.mode, global_step=step.global_step, time=step.time)
        collection_of = {name: collection for collection, names in self.collections.items() for name in names}
        for name, (rows, values) in columns.items():
            for mode in {steps[row].mode for row in rows}:
                chosen = [
                    (steps[row].mode_step, value)
                    for row, value in zip(rows, values, strict=True)
                    if steps[row].mode == mode
                ]
                numbers, there = zip(*chosen, strict=True)
                memory.add_numbers(name, numbers, there, mode, collection=collection_of.get(name))


def _ends_of_equals(name: str, column: _Column, steps: Sequence[Step]) -> _Column:
    """A held number without the steps between the first and the last of equal values, in each mode.

    Sizes of 0 stay: they may be the only numbers of steps without samples.
    """
    kept: list[tuple[int, float]] = []
    for mode in dict.fromkeys(steps[row].mode for row in column[0]):
        pairs = [(row, value) for row, value in zip(*column, strict=True) if steps[row].mode == mode]
        kept += pairs if len(pairs) < 3 else [pairs[0], pairs[-1]]
        kept += [
            pair
            for before, pair, after in zip(pairs, pairs[1:], pairs[2:], strict=False)
            if not before[1] == pair[1] == after[1] or (name == STEP_SIZE and not pair[1])
        ]
    kept.sort()
    return [row for row, _ in kept], [value for _, value in kept]


def _merged(one: _Column, other: _Column) -> _Column:
    """Two columns of different steps as one."""
    pairs = sorted([*zip(*one, strict=True), *zip(*other, strict=True)])
    return [row for row, _ in pairs], [value for _, value in pairs]


def _bytes_of(steps: Sequence[Step]) -> int:
    return sum(array.nbytes for step in steps for _, array in step.arrays)


def _numbers(values: Sequence[Number]) -> list[float]:
    """Converts numbers and tensors of one element to numbers; waits only once for a GPU."""
    import torch  # noqa: PLC0415 - where nothing is recorded, this module is imported without it

    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if tensors and len(tensors) == len(values):
        listed: list[float] = torch.stack([value.detach().reshape(()) for value in tensors]).double().tolist()
        return listed
    return [float(value) for value in values]
