"""Keeps what a run has given since it was last written, and hands it on: to the trial in memory and to the disk."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training_scripts.recording.recorder.snapshots import Taken, as_array
from training_scripts.recording.recorder.torch_reductions import Number, number_if_ready
from training_scripts.recording.trial.background_writer import Background
from training_scripts.recording.trial.layout import ACCURACY, LOSS, PER_RUN, reduction_name
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.recording.trial.writer import TrialWriter

# A local disk takes milliseconds, and a job that is killed then finds its steps beside its checkpoint. A slow disk
# gets no more than a hundredth of the time.
_WAIT_SECONDS, _WAIT_SHARE, _WAIT_ONCE = 0.05, 0.01, 1.0
# Within a long epoch, what was kept is handed on as often as a reader wants it, or as it fills the memory.
_FLUSH_SECONDS, _FLUSH_BYTES = 30.0, 64 << 20
# Whole tensors for a disk that is slower than training are left out from here on.
_BACKLOG_BYTES = 512 << 20


class Books:
    """The steps of a run.

    Attributes:
        writer: Writes the trial; None where there is none, or where it could not be written.
        memory: The trial in memory, if any.
        collections: Collection -> tensors' names.
        global_step: The next step's number, counted over all modes.
    """

    def __init__(
        self,
        folder: Path | None,
        memory: MemoryTrial | None,
        run: dict[str, Any],
        intervals: Mapping[str, int],
        *,
        report: Callable[[str], Any],
    ) -> None:
        """Nothing is written yet."""
        self.writer = TrialWriter(folder) if folder is not None else None
        self.memory = memory
        self.collections: dict[str, list[str]] = {"losses": [LOSS], "metrics": [ACCURACY]}
        self.global_step = 0
        self._run = run
        self._intervals = intervals
        self._report = report
        self._background = Background(self.stop)
        # Mode, step, global step, time, loss, number of right answers (both may still be on a GPU), size.
        self._kept: list[tuple[str, int, int, float, Number, Number, int]] = []
        self._taken: dict[int, Taken] = {}
        self._flushed = time.time()
        self._pending_bytes = 0
        self._noted = False
        # Bytes of whole tensors, counted by the training thread and by the one that writes.
        self._given_bytes = self._written_bytes = 0

    def keep(
        self, mode: str, step: int, loss: Number, correct: Number, size: int, *, taken: Taken | None = None
    ) -> None:
        """A step was done; loss and correct are numbers or tensors of one element."""
        # A tensor kept at every step would scatter the heap, and the next batches' memory be paged in anew.
        loss, correct = number_if_ready(loss), number_if_ready(correct)
        now = time.time()
        # Before this step: more may be added to the last one.
        if not 0 <= now - self._flushed < _FLUSH_SECONDS or self._pending_bytes > _FLUSH_BYTES:
            self.flush(wait=False)
        if taken is not None:
            self._taken[self.global_step] = taken
            self._pending_bytes += taken.nbytes()
        self._kept.append((mode, step, self.global_step, now, loss, correct, size))
        self.global_step += 1

    def learn(self, **facts: Any) -> None:
        """Adds to what `run.json` says, when it is next written."""
        self._run.update(facts)
        if self.memory is not None:
            self.memory.run.update(facts)

    def skip(self) -> None:
        """A step was done of which nothing is kept."""
        self.global_step += 1

    def add_to_last(self, taken: Taken) -> None:
        """More of the last step that was kept."""
        if self._kept:
            self._taken[self._kept[-1][2]] = taken
            self._pending_bytes += taken.nbytes()

    def describe(self) -> None:
        """Writes what the trial says of itself.

        Raises:
            OSError: It cannot be written.
        """
        if self.memory is not None:
            self.memory.run.update(self._run)
        if self.writer is not None:
            self._description(self.writer)()

    def _description(self, writer: TrialWriter) -> Callable[[], None]:
        """Writes what the trial says of itself as it is now, also from another thread."""
        collections = {name: list(members) for name, members in self.collections.items()}
        return functools.partial(writer.describe, dict(self._run), collections, dict(self._intervals))

    def stop(self, error: Exception) -> None:
        """Writes no more, and says why."""
        folder, self.writer = self.writer and self.writer.folder, None
        if folder is not None:
            reason = getattr(error, "strerror", None) or error
            self._report(f"warning: recording stops: cannot write to {folder}: {reason}; training goes on")

    def flush(self, *, wait: bool = True) -> None:
        """Hands on what was kept.

        Args:
            wait: Give the disk a moment, so that what was kept is there as soon as this returns.
        """
        kept, self._kept = self._kept, []
        taken, self._taken = self._taken, {}
        self._pending_bytes = 0
        now = time.time()
        seconds, self._flushed = max(0.0, now - self._flushed), now
        if not kept:
            return
        modes, numbers, places, times, kept_losses, kept_correct, sizes = zip(*kept, strict=True)
        losses, correct = _numbers(kept_losses), _numbers(kept_correct)
        accuracies = [right / size for right, size in zip(correct, sizes, strict=True)]
        steps = [Step(*parts) for parts in zip(modes, numbers, places, times, strict=True)]
        fresh = False
        for step, loss, accuracy in zip(steps, losses, accuracies, strict=True):
            step.numbers = [(LOSS, loss), (ACCURACY, accuracy)]
            if step.global_step in taken:
                fresh |= self._join(taken[step.global_step])
                self._settle(step, taken[step.global_step])
        if self.memory is not None:
            self._remember(self.memory, steps, losses, accuracies)
        writer = self.writer
        if writer is not None:
            spared = self._spared(steps)
            if fresh or self._noted:
                self._noted = False
                self._background.do(self._description(writer))
            self._background.do(functools.partial(self._write, writer, spared, seconds))
            if wait:
                self._background.wait(max(_WAIT_SECONDS, _WAIT_SHARE * seconds))

    def _spared(self, steps: list[Step]) -> list[Step]:
        """Steps for the disk; without whole tensors where it still has many to write, lest they fill the memory."""
        if self._given_bytes - self._written_bytes > _BACKLOG_BYTES:
            for step in steps:
                step.arrays = [(name, array) for name, array in step.arrays if name in PER_RUN]
            self.note("the disk was slower than training: whole tensors of some steps were left out")
        self._given_bytes += _bytes_of(steps)
        return steps

    def _write(self, writer: TrialWriter, steps: list[Step], seconds: float) -> None:
        writer.write(steps, seconds=seconds)
        self._written_bytes += _bytes_of(steps)

    def note(self, problem: str) -> None:
        """Has the recording say that something is missing from it."""
        for problems in (self._run.setdefault("problems", []), self.memory.problems if self.memory else []):
            if problem not in problems:
                problems.append(problem)
                self._noted = True

    def remark(self, sentence: str) -> None:
        """Has the recording say how it was made, where that is not what a reader would expect."""
        notes = self._run.get("notes", [])
        if sentence and sentence not in notes:
            self.learn(notes=[*notes, sentence])
            self._noted = True

    def abandon(self, problem: str) -> None:
        """Hands on what was kept, and what ended recording; the trial is not said to have ended."""
        self.note(problem)
        try:
            self.flush()
        finally:
            writer = self.writer
            if writer is not None:
                self._background.do(self._description(writer))
            self._background.end(_WAIT_ONCE)

    def end(self, seconds: float) -> None:
        """Completes the trial; what takes longer than so many seconds is given up."""
        if self.memory is not None:
            self.memory.ended = True
        writer = self.writer
        if writer is not None:
            self._background.do(writer.end)
        if not self._background.end(seconds):
            self.stop(TimeoutError(f"the disk took more than {seconds:.0f} seconds"))

    def _join(self, taken: Taken) -> bool:
        """Notes the tensors' collections; whether one was not known."""
        fresh = False
        for name, collection in taken.collections.items():
            members = self.collections.setdefault(collection, [])
            if name not in members:
                members.append(name)
                fresh = True
        return fresh

    def _settle(self, step: Step, taken: Taken) -> None:
        """Turns tensors into numbers and arrays."""
        numbers = list(taken.numbers())
        step.numbers += [(reduction_name(kind, name), value) for name, kind, value in numbers]
        step.arrays = [
            (name, as_array(value) if not isinstance(value, np.ndarray) else value)
            for name, value in taken.whole.items()
        ]
        if self.memory is None:
            return
        for name, kind, value in numbers:
            self.memory.add_reduction(name, kind, step.mode_step, step.mode, value, collection=taken.collections[name])
        for name, array in step.arrays:
            if self.writer is None or name in PER_RUN:  # whole weights would fill the memory
                collection = taken.collections[name]
                self.memory.add(name, step.mode_step, step.mode, array, collection=collection)

    def _remember(
        self, memory: MemoryTrial, steps: Sequence[Step], losses: Sequence[float], accuracies: Sequence[float]
    ) -> None:
        for step in steps:
            memory.add_step(step.mode_step, step.mode, global_step=step.global_step, time=step.time)
        for mode in {step.mode for step in steps}:
            rows = [row for row, step in enumerate(steps) if step.mode == mode]
            numbers = [steps[row].mode_step for row in rows]
            memory.add_numbers(LOSS, numbers, [losses[row] for row in rows], mode, collection="losses")
            memory.add_numbers(ACCURACY, numbers, [accuracies[row] for row in rows], mode, collection="metrics")


def _bytes_of(steps: Sequence[Step]) -> int:
    return sum(array.nbytes for step in steps for _, array in step.arrays)


def _numbers(values: Sequence[Number]) -> list[float]:
    """Numbers, or tensors of one element, as numbers; a GPU is waited for once."""
    import torch  # noqa: PLC0415 - where nothing is recorded, this module is imported without it

    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    if tensors and len(tensors) == len(values):
        listed: list[float] = torch.stack([value.detach().reshape(()) for value in tensors]).double().tolist()
        return listed
    return [float(value) for value in values]
