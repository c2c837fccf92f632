"""Caches a trial for one evaluation: each number is read or computed once, however many rules use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.reductions import REDUCTIONS, reduce
from training_scripts.recording.trial.trial import (
    GLOBAL,
    TRAIN,
    DamagedError,
    Series,
    StepTable,
    Tensor,
    Trial,
    of_one_element,
)
from training_scripts.rules.evidence import boosting


class Evidence(Trial):
    """A trial that caches what was read from it. It serves one evaluation; steps recorded later are not included.

    A script that never sets smdebug's mode records all steps as GLOBAL. Rules and reports are about training, so the
    steps of such a trial are returned for TRAIN.

    Attributes:
        others: Other runs, for rules that compare runs.
        now: The time of the evaluation, seconds since 1970.
        kept: Results that rules share with each other, by name.
    """

    def __init__(self, trial: Trial, *, others: Sequence[Trial] = (), now: float = 0.0) -> None:
        self.trial = trial = boosting.with_modes(trial)
        self.others = others
        self.now = now
        self.kept: dict[Any, Any] = {}
        self.name, self.ended, self.workers = trial.name, trial.ended, trial.workers
        self.collections, self.run, self.problems = trial.collections, trial.run, trial.problems
        self._all_names = trial.recorded_names()
        self._tables: dict[str, StepTable] = {}
        self._numbers: dict[tuple[str, str], dict[str, Series]] = {}
        self._full_steps: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._swapped = {}
        if len(trial.steps(GLOBAL).steps) and not len(trial.steps(TRAIN).steps):
            self._swapped = {TRAIN: GLOBAL, GLOBAL: TRAIN}

    def mode(self, mode: str) -> str:
        """The mode for which steps recorded in a mode are returned, and the reverse."""
        return self._swapped.get(mode, mode)

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the trial, such as its folder on disk."""
        if name == "trial":  # not set yet, because a copy is being made
            raise AttributeError(name)
        return getattr(self.trial, name)

    def of_worker(self, worker: str | int) -> Trial:
        """What one of `workers` recorded, cached likewise."""
        name = self._known_worker(worker)
        if len(self.workers) == 1:
            return self
        key = ("worker", name)
        if key not in self.kept:
            self.kept[key] = Evidence(self.trial.of_worker(name), now=self.now)
        found: Trial = self.kept[key]
        return found

    def steps(self, mode: str) -> StepTable:
        """The recorded steps of a mode; empty arrays if there are none."""
        if mode not in self._tables:
            self._tables[mode] = self.trial.steps(self.mode(mode))
        return self._tables[mode]

    def reduction(self, name: str, kind: str, mode: str) -> Series | None:
        """One number per step for a tensor, recorded or computed; None if neither is possible."""
        numbers = self._recorded(name, mode)
        if kind not in numbers and kind in REDUCTIONS and len(self.steps_in_full(name, mode)):
            numbers.update(self._computed(name, mode))
        found = numbers.get(kind)
        return found if found is not None and len(found) else None

    def _computed(self, name: str, mode: str) -> dict[str, Series]:
        """All reductions at once, because each value may have to be read from disk."""
        steps = self.steps_in_full(name, mode)
        numbers = self._of_scalars(name, mode, steps)
        if numbers is not None:
            found = of_one_element(Series(steps, numbers))
        else:
            rows = [
                [reduce(kind, value) for kind in REDUCTIONS]
                for value in (self.value(name, step, mode) for step in steps.tolist())
            ]
            columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(REDUCTIONS))
            found = {kind: Series(steps, columns[:, column]) for column, kind in enumerate(REDUCTIONS)}
        recorded = self._recorded(name, mode)
        return {kind: series for kind, series in found.items() if kind not in recorded}

    def _of_scalars(self, name: str, mode: str, steps: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """The values of a tensor with one number per step, float64 [n]; None for other tensors."""
        numbers = []
        for step in steps.tolist():
            value = self.value(name, step, mode)
            if value.size != 1 or value.dtype.kind != "f":
                return None
            numbers.append(value.item())
        return np.array(numbers, dtype=np.float64)

    def _recorded(self, name: str, mode: str) -> dict[str, Series]:
        if (name, mode) not in self._numbers:
            self._numbers[name, mode] = dict(self.trial.recorded_reductions(name, self.mode(mode)))
        return self._numbers[name, mode]

    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors."""
        return self._all_names

    def modes(self, name: str) -> tuple[str, ...]:
        """Modes in which a tensor was recorded."""
        return tuple(self.mode(mode) for mode in self.trial.modes(name))

    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which all elements of a tensor were recorded, int64 [n], ascending."""
        if (name, mode) not in self._full_steps:
            self._full_steps[name, mode] = self.trial.steps_in_full(name, self.mode(mode))
        return self._full_steps[name, mode]

    def value(self, name: str, step: int, mode: str) -> NDArray[Any]:
        """All elements of a tensor at one of `steps_in_full`."""
        try:
            return self.trial.value(name, step, self.mode(mode))
        except DamagedError:  # the trial has dropped it
            self._full_steps.pop((name, mode), None)
            self._numbers.pop((name, mode), None)
            raise

    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind."""
        return self._recorded(name, mode)

    def tensor(self, name: str) -> Tensor:
        """A recorded tensor whose reductions are cached."""
        return _Remembered(self, super().tensor(name).name)


class _Remembered(Tensor):
    trial: Evidence

    def reduction(self, kind: str, mode: str = "TRAIN", *, worker: str | int | None = None) -> Series:
        if worker is not None:
            return super().reduction(kind, mode, worker=worker)
        found = self.trial.reduction(self.name, kind, mode)
        return found if found is not None else super().reduction(kind, mode)


def of(trial: Trial) -> Evidence:
    """The trial as evidence. It is wrapped first if a rule is called outside an evaluation."""
    return trial if isinstance(trial, Evidence) else Evidence(trial)
