"""Regressions that predict no better than the mean, or the median, of the targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import number
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.rates import update_evidence
from training_scripts.rules.evidence.run import Run

_Floats = NDArray[np.float64]
# A reported loss that differs by less from one that outputs and targets give is that loss.
_ALIKE = 0.01
# Fewer targets hardly have a variance; a run of fewer epochs was ended early, and may have been on its way.
_FEW_TARGETS, _FEW_EPOCHS = 20, 3
# The constant with the lowest loss, and the loss, of the two that nearly all regressions have.
_LOSSES: tuple[tuple[str, str, Callable[[_Floats], _Floats], Callable[[_Floats], float]], ...] = (
    ("mean", "their variance", lambda values: np.mean(values, axis=0), lambda away: float(np.mean(away**2))),
    (
        "median",
        "their mean distance from it",
        lambda values: np.median(values, axis=0),
        lambda away: float(np.mean(np.abs(away))),
    ),
)


def find(run: Run) -> list[Insight]:
    """At most one insight: the lowest validation loss is not below that of a constant prediction.

    Only for a loss that the recorded outputs and targets show to be the mean squared or absolute error.
    """
    if run.best is None or run.epochs < _FEW_EPOCHS:
        return []
    shown = run.targets_and_outputs(run.best)
    if shown is None or len(shown[0]) < _FEW_TARGETS:
        return []
    targets, outputs = shown
    loss = float(run.valid.loss[run.best])
    for constant, named, best, measure in _LOSSES:
        if abs(measure(outputs - targets) - loss) > _ALIKE * abs(loss):
            continue
        guessed = measure(targets - best(targets))
        return [_insight(run, loss, constant, f"{named}, {number(guessed)}")] if 0 < guessed <= loss else []
    return []


def falls_on(run: Run) -> bool:
    """Whether the validation loss fell in every epoch, by a percent at least."""
    losses = run.valid.loss[run.validated]
    return len(losses) > 1 and bool((losses[1:] < 0.99 * losses[:-1]).all())


def _insight(run: Run, loss: float, constant: str, guessed: str) -> Insight:
    assert run.best is not None
    return Insight(
        topic="nothing-learned",
        title=f"Validation is no better than predicting the {constant} of the targets.",
        explanation="Nothing that generalizes was learned: a constant is as good, though it ignores the inputs.",
        evidence=(
            (
                f"The lowest validation loss is {number(loss)} (epoch {run.best + 1} of {run.epochs}); always "
                f"predicting the {constant} of the validation targets gives {guessed}."
            ),
            f"The training loss of the last recorded epoch is {number(float(run.train.loss[-1]))}.",
            *update_evidence(run),
        ),
        confidence="high",
        next_step="Compare some outputs with their targets: a target of another scale than the outputs needs to be "
        "normalized, and inputs must match their targets. If the training loss is far lower, the model memorizes.",
        # It may still be on its way.
        severity="hint" if falls_on(run) else "problem",
        steps=(run.last_step(run.best),),
    )
