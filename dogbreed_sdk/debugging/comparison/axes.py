"""How far a training step is into its run: in steps, epochs, or samples seen, so that runs of any shape compare."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.evidence.epochs import epochs
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.step_sizes import batch_sizes

Floats = NDArray[np.float64]

AXES = {"epoch": "epochs", "samples": "samples seen", "step": "training steps"}
"""The axes by name, with their labels; the first one that all runs have is shown first."""


def progress(evidence: Evidence) -> Mapping[str, tuple[Floats, Floats]]:
    """For each axis that is known: training steps, and how far the run is after each of them, both float64 [n].

    Between two recorded steps, interpolate; after the end of step `s`, `s + 1` steps are done.
    """
    table = evidence.steps(TRAIN).steps
    if not len(table):
        return {}
    steps = table.astype(np.float64)
    found = {"step": (steps, steps + 1)}
    by_epoch = _epochs(evidence)
    if by_epoch is not None:
        found["epoch"] = by_epoch
    sizes = batch_sizes(evidence, TRAIN)
    if sizes is not None:
        # Steps that were not recorded are as large as the next recorded one.
        gaps = np.diff(np.concatenate([[-1.0], steps]))
        found["samples"] = (steps, np.cumsum(sizes * gaps))
    return found


def positions(known: tuple[Floats, Floats], steps: Floats) -> Floats:
    """How far the run is after these training steps, float64 [n]; NaN where a step is NaN."""
    found: Floats = np.interp(steps, *known)
    return np.where(np.isfinite(steps), found, np.nan)


def _epochs(evidence: Evidence) -> tuple[Floats, Floats] | None:
    """The share of its epoch that is done after each step, plus the epochs before; None if there are no epochs."""
    per_epoch = evidence.run.get("steps_per_epoch")
    planned = per_epoch if isinstance(per_epoch, int) and per_epoch > 0 else 0
    where, done = [], []
    parts = [part for part in epochs(evidence) if part.number > 0 and len(part.train_steps)]
    if not planned and not any(len(part.eval_steps) for part in parts):
        return None
    for part in parts:
        first = planned * (part.number - 1) if planned else int(part.train_steps[0])
        length = planned or int(part.train_steps[-1]) - first + 1
        where.append(part.train_steps.astype(np.float64))
        done.append(part.number - 1 + (part.train_steps - first + 1) / length)
    return (np.concatenate(where), np.concatenate(done)) if where else None
