"""A recorded run as rules and reports read it: tensors by name, mode and step."""

from __future__ import annotations

import bisect
import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training_scripts import ScriptError
from training_scripts._util.suggestions import did_you_mean
from training_scripts.recording.trial.layout import WORKER, worker_name
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.reductions import REDUCTIONS, reduce, reduce_numbers
from training_scripts.recording.trial.run_facts import RunFacts

Found = TypeVar("Found")
_MOST_DAMAGED = 100

TRAIN, EVAL, PREDICT, GLOBAL = MODES = ("TRAIN", "EVAL", "PREDICT", "GLOBAL")


class RecordingError(ScriptError):
    """A recording, or something in it, cannot be read or written; the message says what and why."""


class DamagedError(RecordingError):
    """A value turned out to be damaged when it was read. The trial now leaves it out; read the rest again."""


def despite_damage(compute: Callable[[], Found]) -> Found:
    """Computes something from a trial; starts again without a value that turns out to be damaged."""
    for _ in range(_MOST_DAMAGED):
        with contextlib.suppress(DamagedError):
            return compute()
    return compute()


@dataclass(frozen=True)
class Series:
    """One number per step: steps int64 [n], ascending, counted within their mode; values float64 [n].

    Examples:
        >>> from dogbreed_sdk.debugging import MemoryTrial
        >>> trial = MemoryTrial()
        >>> trial.add_numbers("learning_rate", [0, 10], [0.1, 0.01], "TRAIN")
        >>> trial.tensor("learning_rate").series("TRAIN").values.tolist()
        [0.1, 0.01]
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class StepTable:
    """The recorded steps of a mode, ascending.

    Attributes:
        steps: Counted within the mode, int64 [n].
        global_steps: Counted over all modes, int64 [n]: the order of steps of different modes.
        times: When each was recorded, seconds since 1970, float64 [n]; NaN if unknown.
    """

    steps: NDArray[np.int64]
    global_steps: NDArray[np.int64]
    times: NDArray[np.float64]


class Trial(ABC):
    """One recorded run. Tensors are NumPy arrays; a mode is TRAIN, EVAL, PREDICT or GLOBAL.

    Attributes:
        name: Name of the run.
        ended: Whether the trial is marked as ended.
        collections: Collection name (losses, weights, gradients, biases, relu_output, ...) -> its tensors' names.
        run: Facts that our recorder wrote about the run: hyperparameters, sizes of splits, steps per epoch, ...;
            empty for recordings made by other tools.
        problems: One sentence for each part that could not be read.
        workers: Names of the workers that recorded it. Of several, numbers are averaged, see `FileTrial`.
    """

    name: str = ""
    ended: bool = False
    collections: Mapping[str, Sequence[str]]
    run: RunFacts
    problems: Sequence[str] = ()
    workers: Sequence[str] = (WORKER,)

    def of_worker(self, worker: str | int) -> Trial:
        """What one of `workers` recorded, by its name or number.

        Raises:
            RecordingError: This worker recorded nothing.
        """
        self._known_worker(worker)
        return self

    def _known_worker(self, worker: str | int) -> str:
        name = worker_name(worker) if isinstance(worker, int) else worker
        if name not in self.workers:
            raise RecordingError(f"{self.name} has no tensors of {name!r}. Workers: {', '.join(self.workers)}.")
        return name

    def tensor_names(self, *, regex: str | None = None, collection: str | None = None) -> list[str]:
        """Names of the recorded tensors, sorted.

        Args:
            regex: Only names in which this regular expression is found.
            collection: Only names of this collection.

        Raises:
            RecordingError: The collection does not exist, or the regular expression is invalid.
        """
        try:
            pattern = re.compile(regex or "")
        except (re.error, TypeError) as error:
            raise RecordingError(f"{regex!r} is not a valid regular expression: {error}.") from error
        names = sorted(self.recorded_names())
        if collection is not None:
            if collection not in self.collections:
                raise RecordingError(
                    f"{self.name} has no collection {collection!r}. Collections: {', '.join(sorted(self.collections))}."
                )
            members = set(self.collections[collection])
            names = [name for name in names if name in members]
        return [name for name in names if pattern.search(name)]

    def tensor(self, name: str) -> Tensor:
        """A recorded tensor.

        Raises:
            RecordingError: No tensor of this name was recorded.
        """
        names = self.recorded_names()
        if name not in names:
            hint = did_you_mean(name, sorted(names), most=3) or "."
            raise RecordingError(f"{self.name} has no tensor {name!r}{hint} tensor_names() lists all of them.")
        return Tensor(self, name)

    def has(self, name: str) -> bool:
        """Whether a tensor of this name was recorded."""
        return name in self.recorded_names()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @abstractmethod
    def steps(self, mode: str) -> StepTable:
        """The recorded steps of a mode; empty arrays if there are none."""

    @abstractmethod
    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors, unordered; those of their reductions are not among them."""

    @abstractmethod
    def modes(self, name: str) -> tuple[str, ...]:
        """Modes in which a tensor was recorded, in full or as reductions; empty for an unknown name."""

    @abstractmethod
    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which all elements of a tensor were recorded, int64 [n], ascending; empty for an unknown name."""

    @abstractmethod
    def value(self, name: str, step: int, mode: str) -> Array:
        """All elements of a tensor at one of `steps_in_full`, in the shape and type in which they were recorded.

        Raises:
            DamagedError: The recorded value turned out to be damaged; the trial now leaves it out.
        """

    @abstractmethod
    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind; a tensor of one element has all kinds."""


class Tensor:
    """A recorded tensor of a trial.

    If several workers recorded it, its numbers are means over them; `worker="worker_1"`, or `worker=1`, returns what
    one of them recorded.
    """

    def __init__(self, trial: Trial, name: str) -> None:
        self.trial = trial
        self.name = name

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes in which it was recorded."""
        return self.trial.modes(self.name)

    @property
    def workers(self) -> tuple[str, ...]:
        """Workers that recorded it."""
        return tuple(worker for worker in self.trial.workers if self.trial.of_worker(worker).has(self.name))

    def _of(self, worker: str | int) -> Tensor:
        return self.trial.of_worker(worker).tensor(self.name)

    def steps(self, mode: str = TRAIN, *, worker: str | int | None = None) -> list[int]:
        """Steps at which it was recorded, in full or as reductions, ascending.

        Raises:
            RecordingError: The mode does not exist, or the worker did not record it.
        """
        if worker is not None:
            return self._of(worker).steps(mode)
        _known(mode)
        found = set(self.trial.steps_in_full(self.name, mode).tolist())
        for series in self.trial.recorded_reductions(self.name, mode).values():
            found.update(series.steps.tolist())
        return sorted(found)

    def value(self, step: int, mode: str = TRAIN, *, worker: str | int | None = None) -> Array:
        """All elements of the tensor at a step.

        Raises:
            RecordingError: The tensor was not recorded at this step, or only as reductions, or not by this worker.
        """
        if worker is not None:
            return self._of(worker).value(step, mode)
        steps = self.trial.steps_in_full(self.name, _known(mode))
        if step not in steps:
            kinds = ", ".join(sorted(self.trial.recorded_reductions(self.name, mode)))
            why = f"only as {kinds}" if step in self.steps(mode) else f"at the steps {_few(self.steps(mode))}"
            raise RecordingError(f"{self.name} has no value at {mode} step {step}: it was recorded {why}.")
        return self.trial.value(self.name, step, mode)

    def values(self, mode: str = TRAIN, *, worker: str | int | None = None) -> list[tuple[int, Array]]:
        """Step and value, for each step at which the tensor was recorded in full."""
        if worker is not None:
            return self._of(worker).values(mode)
        return despite_damage(
            lambda: [
                (step, self.trial.value(self.name, step, mode))
                for step in self.trial.steps_in_full(self.name, _known(mode)).tolist()
            ]
        )

    def series(self, mode: str = TRAIN, *, worker: str | int | None = None) -> Series:
        """The values of a tensor of one element; the means of a larger one."""
        return self.reduction("mean", mode, worker=worker)

    def reductions(self, mode: str = TRAIN) -> tuple[str, ...]:
        """The available kinds of reduction: recorded, or computable because the tensor was recorded in full."""
        recorded = self.trial.recorded_reductions(self.name, _known(mode))
        computable = REDUCTIONS if len(self.trial.steps_in_full(self.name, mode)) else ()
        return tuple(dict.fromkeys((*recorded, *computable)))

    def reduction(self, kind: str, mode: str = TRAIN, *, worker: str | int | None = None) -> Series:
        """One number per step: as recorded, or computed from the full tensor.

        Args:
            kind: min, max, mean, std, l2, abs_mean, zero_fraction, nonfinite_fraction, or another recorded kind.
            mode: TRAIN, EVAL, PREDICT or GLOBAL.
            worker: A worker's name or number; default: all workers together.

        Raises:
            RecordingError: The reduction was not recorded and cannot be computed, or not by this worker.
        """
        if worker is not None:
            return self._of(worker).reduction(kind, mode)
        recorded = self.trial.recorded_reductions(self.name, _known(mode)).get(kind)
        if recorded is not None and len(recorded):
            return recorded
        return despite_damage(lambda: self._computed(kind, mode))

    def _computed(self, kind: str, mode: str) -> Series:
        steps = self.trial.steps_in_full(self.name, mode)
        if not len(steps) or kind not in REDUCTIONS:
            there = ", ".join(self.reductions(mode)) or f"nothing in mode {mode}"
            raise RecordingError(f"{self.name} has no {kind} in mode {mode}; available: {there}.")
        values = [reduce(kind, self.trial.value(self.name, step, mode)) for step in steps.tolist()]
        return Series(steps, np.array(values, dtype=np.float64))


@dataclass(repr=False)
class MemoryTrial(Trial):
    """A trial in memory: the rules of a running job read it, and so do tests.

    Examples:
        A test of your own rule needs no training run:

        >>> from dogbreed_sdk.debugging import MemoryTrial, evaluate_rules
        >>> trial = MemoryTrial()
        >>> trial.add_numbers("CrossEntropyLoss_output_0", range(40), [1.0] * 40, "TRAIN", collection="losses")
        >>> [result] = evaluate_rules(trial=trial, only=["LossNotDecreasing"])
        >>> result.status
        'IssuesFound'
    """

    name: str = "in memory"
    ended: bool = False
    collections: dict[str, list[str]] = field(default_factory=dict)
    run: RunFacts = field(default_factory=RunFacts)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._full: dict[tuple[str, str], dict[int, Array]] = {}
        self._single: dict[tuple[str, str], _Column] = {}
        self._reduced: dict[tuple[str, str], dict[str, _Column]] = {}
        self._table: dict[str, dict[int, tuple[int, float]]] = {}

    def add_step(self, step: int, mode: str, *, global_step: int, time: float = float("nan")) -> None:
        """Adds a step."""
        self._table.setdefault(mode, {})[step] = (global_step, time)

    def add(self, name: str, step: int, mode: str, value: ArrayLike, *, collection: str | None = None) -> None:
        """Adds the value of a tensor at a step; a number for a tensor of one element."""
        self._join(name, collection)
        self._full.setdefault((name, mode), {})[step] = np.asarray(value)

    def add_numbers(
        self, name: str, steps: Sequence[int], values: Sequence[float], mode: str, *, collection: str | None = None
    ) -> None:
        """Adds the values of a tensor of one element at many steps, in ascending order."""
        self._join(name, collection)
        self._single.setdefault((name, mode), _Column()).extend(steps, values)

    def add_reduction(
        self, name: str, kind: str, step: int, mode: str, value: float, *, collection: str | None = None
    ) -> None:
        """Adds a reduction of a tensor at a step; steps are added in ascending order."""
        self._join(name, collection)
        self._reduced.setdefault((name, mode), {}).setdefault(kind, _Column()).extend((step,), (value,))

    def steps(self, mode: str) -> StepTable:
        """The recorded steps of a mode; empty arrays if there are none."""
        rows = sorted((step, *rest) for step, rest in self._table.get(mode, {}).items())
        return StepTable(
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([row[1] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows], dtype=np.float64),
        )

    def _join(self, name: str, collection: str | None) -> None:
        if collection is not None:
            members = self.collections.setdefault(collection, [])
            if name not in members:
                members.append(name)

    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors."""
        return {name for name, _ in (*self._full, *self._single, *self._reduced)}

    def modes(self, name: str) -> tuple[str, ...]:
        """Modes in which a tensor was recorded."""
        return tuple(
            mode for mode in MODES if any((name, mode) in there for there in (self._full, self._single, self._reduced))
        )

    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which all elements of a tensor were recorded, int64 [n], ascending."""
        whole = self._full.get((name, mode), {})
        single = self._single.get((name, mode))
        if single is None:
            return np.array(sorted(whole), dtype=np.int64)
        return np.array(sorted({*whole, *single.steps}), dtype=np.int64) if whole else single.series().steps

    def value(self, name: str, step: int, mode: str) -> Array:
        """All elements of a tensor at one of `steps_in_full`."""
        whole = self._full.get((name, mode), {})
        return whole[step] if step in whole else np.asarray(self._single[name, mode].at(step))

    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind."""
        found = {kind: column.series() for kind, column in self._reduced.get((name, mode), {}).items()}
        single = self._single.get((name, mode))
        if single is None or (name, mode) in self._full:
            return found
        return of_one_element(single.series()) | found


def of_one_element(series: Series) -> dict[str, Series]:
    """All reductions of a tensor of one element, computed for all steps at once."""
    return {kind: Series(series.steps, reduce_numbers(kind, series.values)) for kind in REDUCTIONS}


class _Column:
    """A growing series; its arrays are rebuilt only after it has grown."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._values: list[float] = []
        self._series = Series(np.empty(0, np.int64), np.empty(0))

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        self.steps.extend(steps)
        self._values.extend(values)

    def at(self, step: int) -> float:
        return self._values[bisect.bisect_left(self.steps, step)]

    def series(self) -> Series:
        known, now = len(self._series), len(self.steps)
        if known != now:  # otherwise each read would convert the whole run again
            steps = np.concatenate([self._series.steps, np.array(self.steps[known:], dtype=np.int64)])
            values = np.concatenate([self._series.values, np.array(self._values[known:], dtype=np.float64)])
            self._series = Series(steps, values)
        return self._series


def _known(mode: str) -> str:
    """Checks a mode: a misspelled one would look like a mode without steps."""
    if mode not in MODES:
        raise RecordingError(f"Unknown mode {mode!r}; valid modes: {', '.join(MODES)}.")
    return mode


def _few(steps: Sequence[int]) -> str:
    shown = ", ".join(str(step) for step in steps[:5])
    return shown + (f", ... {steps[-1]}" if len(steps) > 5 else "") if steps else "(none)"
