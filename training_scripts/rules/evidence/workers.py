"""Which of a distributed run's workers a problem concerns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training_scripts.recording.trial.layout import worker_label
from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.evidence import Evidence


def concerned(run: Evidence, name: str, is_bad: Callable[[Evidence], bool]) -> tuple[str, ...]:
    """The workers for whose part of a tensor something holds, as people read their names.

    Args:
        run: The run.
        name: The tensor.
        is_bad: Whether it holds for what one worker recorded.

    Returns:
        Empty if it holds for all workers that recorded the tensor, or for none: then they do not differ.
    """
    if len(run.workers) < 2:
        return ()
    recorded = run.tensor(name).workers
    found = tuple(worker for worker in recorded if is_bad(evidences.of(run.of_worker(worker))))
    return tuple(map(worker_label, found)) if len(found) < len(recorded) else ()


def not_finite(run: Evidence, name: str, step: int) -> tuple[str, ...]:
    """The workers whose part of a tensor is not finite at a TRAIN step, as `concerned` returns them."""

    def is_bad(part: Evidence) -> bool:
        series = part.reduction(name, "mean", TRAIN)
        return series is not None and not np.isfinite(series.values[series.steps == step]).all()

    return concerned(run, name, is_bad)
