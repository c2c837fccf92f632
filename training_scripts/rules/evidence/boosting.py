"""XGBoost's recordings: one step per round, with the metric of each data set as a tensor of its own.

smdebug records all rounds in mode GLOBAL, and names a metric after its data set: train-logloss, validation-logloss.
Rules and reports read losses by mode, so here the round is a TRAIN step followed by an EVAL step of the same loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.run_facts import RunFacts
from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, Series, StepTable, Trial

# Metrics that rise as the model gets better are not losses: XGBoost's documentation, learning task parameters.
_RISES = re.compile(r"^(auc|aucpr|map|ndcg|pre|ams)\b")
_NAMES = {TRAIN: "train-", EVAL: "validation-"}


def with_modes(trial: Trial) -> Trial:
    """The trial with TRAIN and EVAL steps if XGBoost made it, else the trial itself."""
    if not len(trial.steps(GLOBAL).steps) or len(trial.steps(TRAIN).steps):
        return trial
    names = trial.recorded_names()
    metrics = [
        name.removeprefix(_NAMES[TRAIN])
        for name in sorted(names)
        if name.startswith(_NAMES[TRAIN]) and name.replace(_NAMES[TRAIN], _NAMES[EVAL], 1) in names
    ]
    losses = [metric for metric in metrics if not _RISES.match(metric)]
    return _Boosting(trial, losses) if losses else trial


class _Boosting(Trial):
    """A trial of rounds in mode GLOBAL, shown as TRAIN and EVAL steps.

    Args:
        trial: The recording.
        losses: Names of the losses, without the data set's.
    """

    def __init__(self, trial: Trial, losses: Sequence[str]) -> None:
        self._trial = trial
        self._losses = losses
        self.name, self.ended, self.workers, self.problems = trial.name, trial.ended, trial.workers, trial.problems
        self.collections = {**trial.collections, "losses": list(losses)}
        self.run = cast("RunFacts", {"steps_per_epoch": 1, **trial.run})

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the trial, such as its folder on disk."""
        if name == "_trial":  # not set yet, because a copy is being made
            raise AttributeError(name)
        return getattr(self._trial, name)

    def of_worker(self, worker: str | int) -> Trial:
        """What one of `workers` recorded."""
        return with_modes(self._trial.of_worker(worker))

    def steps(self, mode: str) -> StepTable:
        """The rounds, for TRAIN and for EVAL; each EVAL step follows the TRAIN step of its round."""
        if mode not in _NAMES:
            return self._trial.steps(TRAIN)  # which has none
        table = self._trial.steps(GLOBAL)
        return StepTable(table.steps, 2 * table.global_steps + (mode == EVAL), table.times)

    def recorded_names(self) -> set[str]:
        """Names of all recorded tensors; a loss has one for both data sets."""
        prefixed = {prefix + loss for loss in self._losses for prefix in _NAMES.values()}
        return (self._trial.recorded_names() - prefixed) | set(self._losses)

    def modes(self, name: str) -> tuple[str, ...]:
        """TRAIN and EVAL for a loss, TRAIN for everything else."""
        if name in self._losses:
            return (TRAIN, EVAL)
        return (TRAIN,) if self._trial.modes(name) else ()

    def steps_in_full(self, name: str, mode: str) -> NDArray[np.int64]:
        """Steps at which all elements of a tensor were recorded, int64 [n], ascending."""
        return self._trial.steps_in_full(*self._place(name, mode))

    def value(self, name: str, step: int, mode: str) -> NDArray[Any]:
        """All elements of a tensor at one of `steps_in_full`."""
        name, mode = self._place(name, mode)
        return self._trial.value(name, step, mode)

    def recorded_reductions(self, name: str, mode: str) -> Mapping[str, Series]:
        """The reductions that were recorded for a tensor, by kind."""
        return self._trial.recorded_reductions(*self._place(name, mode))

    def _place(self, name: str, mode: str) -> tuple[str, str]:
        """The name and mode under which a tensor was recorded."""
        if name in self._losses and mode in _NAMES:
            return _NAMES[mode] + name, GLOBAL
        return name, GLOBAL if mode == TRAIN else TRAIN  # TRAIN has none
