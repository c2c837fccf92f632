"""The trials of a search in the order of their objective, and the best so far over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dogbreed_sdk.jobs.trial import Trial


def has_objective(trial: Trial) -> bool:
    """Whether a trial has a finite objective that counts: that of a failed trial does not."""
    return trial.objective is not None and math.isfinite(trial.objective) and trial.status != "Failed"


def best_first(trials: Sequence[Trial], *, maximize: bool) -> list[Trial]:
    """The trials, best first; those without an objective last, in the order in which they were created."""
    sign = -1.0 if maximize else 1.0
    return sorted(trials, key=lambda trial: sign * _value(trial) if has_objective(trial) else math.inf)


def best_so_far(trials: Sequence[Trial], *, maximize: bool) -> list[float | None]:
    """The best objective among each trial and those before it; None before the first objective.

    >>> from dogbreed_sdk.jobs.trial import Trial
    >>> values = [None, 0.5, 0.4, 0.7]
    >>> made = [Trial(str(number), {}, value, "Completed", None) for number, value in enumerate(values)]
    >>> best_so_far(made, maximize=True)
    [None, 0.5, 0.5, 0.7]
    """
    choose = max if maximize else min
    found: list[float | None] = []
    best: float | None = None
    for trial in trials:
        if has_objective(trial):
            best = _value(trial) if best is None else choose(best, _value(trial))
        found.append(best)
    return found


def by_end(trials: Sequence[Trial]) -> list[Trial]:
    """The trials in the order in which they ended: the order in which the search learned of them."""
    ended = [trial for trial in trials if trial.ended is not None]
    return sorted(ended, key=lambda trial: trial.ended.timestamp() if trial.ended else 0.0)


def _value(trial: Trial) -> float:
    assert trial.objective is not None
    return trial.objective
