"""One run of a comparison: its name, its parameters, and its results with their uncertainty."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.debugging.comparison import spellings
from dogbreed_sdk.debugging.comparison.axes import progress
from training_scripts.recording.trial.trial import TRAIN, despite_damage
from training_scripts.rules.evidence import task
from training_scripts.rules.evidence.epochs import loss_names
from training_scripts.rules.evidence.learning_curves import Curve
from training_scripts.rules.evidence.recorded import mapping
from training_scripts.rules.evidence.run import Run
from training_scripts.training.hyperparameters import table, typed

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent
    from dogbreed_sdk.pages.verdict import Verdict

# Names of jobs begin with the same name and day; that much is left out.
_LONG_BEGINNING = 10
# Parameters that plan how long a run is, by meaning.
_LENGTHS = frozenset(
    {"epochs", "trainingsteps", "steps", "maxsteps", "numsteps", "iterations", "maxiterations", "iters"}
)
ACCURACY, LOSS = "accuracy", "loss"
VALIDATION, TRAINING = "validation", "training"


@dataclass(frozen=True)
class Result:
    """The result of a run in one measure.

    Attributes:
        value: Its best validation value; without validation, the last smoothed training value.
        error: Its standard error, from the number of validation samples; NaN if unknown.
        epoch: The epoch of the best value; None without validation.
        split: validation or training.
    """

    value: float
    error: float
    epoch: int | None
    split: str


class ComparedRun:
    """A run among others.

    Attributes:
        report: The run's own report.
        name: A short name that no other run of the comparison has.
        columns: What the comparison calls each parameter, by meaning; without one, the run's own names are used.
    """

    def __init__(self, report: ReportContent, name: str) -> None:
        self.report = report
        self.name = name
        self.columns: Mapping[str, str] = {}

    @property
    def source(self) -> str:
        """The job, folder or URI."""
        return self.report.source

    @cached_property
    def curves(self) -> Mapping[str, Curve]:
        """The curves by measure; accuracy only where the run has classes."""
        return {name: curve for name, curve in self.report.curves.items() if name == LOSS or self.has_classes}

    @cached_property
    def results(self) -> Mapping[str, Result]:
        """The result by measure."""
        found = {name: _result(curve) for name, curve in self.curves.items()}
        return {name: result for name, result in found.items() if result is not None}

    @property
    def has_diverged(self) -> bool:
        """Whether the last recorded training loss is not a finite number."""
        curve = self.curves.get(LOSS)
        return curve is not None and len(curve.train) > 0 and not np.isfinite(curve.train.values[-1])

    @cached_property
    def progress(self) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """How far the run is after each step, by axis."""
        evidence = self.report.evidence
        return {} if evidence is None else despite_damage(lambda: progress(evidence))

    @cached_property
    def loss_kind(self) -> str:
        """What the recorded loss is, in words: losses of different kinds cannot be compared. Empty without a loss."""
        evidence = self.report.evidence
        name = "" if evidence is None else next(iter(loss_names(evidence)), "")
        kind = "over classes" if self.has_classes else "without classes"
        return f"{name.removesuffix('_output_0')} {kind}" if name else ""

    @cached_property
    def has_classes(self) -> bool:
        """Whether the run classifies."""
        evidence = self.report.evidence
        return evidence is not None and bool(despite_damage(lambda: task.has_classes(evidence)))

    @cached_property
    def given(self) -> Mapping[str, object]:
        """The hyperparameters by the run's own names."""
        if self.report.trial is None:
            return {}
        facts = self.report.trial.run
        ours = {name.replace("_", "-"): typed(name, value) for name, value in mapping(facts, "hyperparameters").items()}
        return {**ours, **mapping(facts, "parameters")}

    @cached_property
    def facts(self) -> Mapping[str, object]:
        """What is recorded of the training's settings and data, in plain words; the length is the one it has had."""
        if self.report.trial is None:
            return {}
        facts = self.report.trial.run
        sizes = mapping(facts, "sizes")
        classes = facts.get("classes")
        epochs, steps = self.amount("epoch"), self.amount("step")
        known = {
            "batch size": facts.get("batch_size"),
            "learning rate": facts.get("learning_rate"),
            "epochs": facts.get("epochs") or (None if epochs is None else round(epochs, 1)),
            "training steps": int(steps) if epochs is None and steps is not None else None,
            "processes": _several(facts.get("workers")),
            "accumulation": _several(facts.get("accumulation")),
            "backbone": facts.get("backbone"),
            "training samples": sizes.get("train"),
            "validation samples": sizes.get("valid"),
            "classes": len(classes) if classes else None,
        }
        return {name: value for name, value in known.items() if value is not None}

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What the run calls each parameter, by meaning: its own name, else that of the recorded fact."""
        facts = {spellings.meaning(name): value for name, value in self.facts.items()}
        own = spellings.by_meaning(self.given, self.given, facts)
        # Who gives a number of epochs or steps has planned the length; the one that the run has had is its result.
        planned = {"trainingsteps"} if own.keys() & _LENGTHS else set()
        facts_alone = {spellings.meaning(name): name for name in self.facts}
        return {**own, **{key: name for key, name in facts_alone.items() if key not in own.keys() | planned}}

    @cached_property
    def parameters(self) -> Mapping[str, object]:
        """The hyperparameters, and the facts of its data that it has no parameter for, by the comparison's names."""
        values = {**self.facts, **self.given}
        return {self.columns.get(key, name): values[name] for key, name in self.names.items()}

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict on the run."""
        from dogbreed_sdk.debugging.verdict import verdict  # noqa: PLC0415 - on demand, as elsewhere

        return verdict(self.report)

    @property
    def neutral(self) -> frozenset[str]:
        """The parameters that only control recording, which never changes the result."""
        if self.report.trial is None or not mapping(self.report.trial.run, "hyperparameters"):
            return frozenset()
        return frozenset(row.name for row in table() if row.recording)

    @cached_property
    def is_whole(self) -> bool:
        """Whether the run has ended by itself."""
        report = self.report
        return not report.is_running and not report.has_no_end and report.status not in ("Failed", "Stopped")

    @cached_property
    def seconds(self) -> float | None:
        """Wall time from the first to the last training step; None if unknown."""
        evidence = self.report.evidence
        times = evidence.steps(TRAIN).times if evidence is not None else np.zeros(0)
        times = times[np.isfinite(times)]
        return float(times[-1] - times[0]) if len(times) > 1 else None

    def amount(self, axis: str) -> float | None:
        """How much of an axis the run has covered; None if unknown."""
        known = self.progress.get(axis)
        return float(known[1][-1]) if known is not None and len(known[1]) else None

    def samples(self, measure: str) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
        """The loss, or whether it is right, of each validation sample at the best epoch, and the labels, [n] each.

        None if single samples were not recorded.
        """
        result, evidence = self.results.get(measure), self.report.evidence
        if result is None or result.epoch is None or evidence is None:
            return None
        return despite_damage(lambda: _samples(Run.of(evidence), result.epoch, measure))


def _samples(run: Run | None, epoch: int | None, measure: str) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    if run is None:
        return None
    place = np.flatnonzero(run.means.epochs == epoch)
    answers = run.answers(int(place[0])) if len(place) else None
    if answers is None:
        return None
    labels, predicted = answers
    if measure == ACCURACY:
        return (labels == predicted).astype(np.float64), labels
    losses = run.picture_losses(int(place[0]))
    return None if losses is None or len(losses) != len(labels) else (losses, labels)


def _result(curve: Curve) -> Result | None:
    if curve.best is not None:
        error = float(curve.errors[curve.best])
        return Result(float(curve.valid[curve.best]), error, int(curve.numbers[curve.best]), VALIDATION)
    # A value from before a run diverged is not its result.
    last = float(curve.smooth[-1]) if len(curve.smooth) else math.nan
    return Result(last, math.nan, None, TRAINING) if math.isfinite(last) else None


def _several(count: int | None) -> int | None:
    """A number above 1: one process is what runs without the fact have too."""
    return count if count is not None and count > 1 else None


def short_names(sources: Sequence[str]) -> list[str]:
    """Short names that tell sources apart: the parts of their paths in which they differ.

    >>> short_names(["runs/base/debug-output", "runs/large-lr/debug-output"])
    ['base', 'large-lr']
    >>> short_names(["dogs-1", "/data/runs/dogs-2/"]), short_names(["a", "a"])
    (['dogs-1', 'dogs-2'], ['a', 'a (2)'])
    >>> short_names(["dogbreed-261130-100343-3446", "dogbreed-261130-100434-1434"])
    ['…100343-3446', '…100434-1434']
    """
    parts = [[part for part in source.replace(os.sep, "/").split("/") if part and part != "."] for source in sources]
    parts = [each or [source] for each, source in zip(parts, sources, strict=True)]
    while all(len(each) > 1 for each in parts) and len({each[-1] for each in parts}) == 1 and len(parts) > 1:
        parts = [each[:-1] for each in parts]
    depth = 1
    longest = max(map(len, parts))
    while depth < longest and len({tuple(each[-depth:]) for each in parts}) < len({tuple(each) for each in parts}):
        depth += 1
    names = ["/".join(each[-depth:]) for each in parts]
    begin = _common_beginning(names)
    found: list[str] = []
    for name in names:
        short = f"…{name[begin:]}" if begin else name
        again = sum(each == short or each.startswith(f"{short} (") for each in found)
        found.append(f"{short} ({again + 1})" if again else short)
    return found


def _common_beginning(names: Sequence[str]) -> int:
    """The length of what all names begin with, up to a hyphen or underscore; 0 if it is not worth leaving out."""
    shortest = min(map(len, names))
    begin = next((place for place in range(shortest) if len({name[place] for name in names}) > 1), shortest)
    while begin and names[0][begin - 1] not in "-_":
        begin -= 1
    return begin if begin >= _LONG_BEGINNING and len(set(names)) > 1 else 0
