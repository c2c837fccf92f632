"""Small data sets: what a small validation split, or few training pictures per class, cannot show."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import percent
from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import wilson
from training_scripts.rules.evidence.predictions import unused_outputs
from training_scripts.rules.evidence.run import AS_GOOD, Run

# If half the interval is more than 5 points, it hides most improvements that tuning a head can achieve; if it is more
# than 15, which some 20 pictures have, a poor model looks like a good one.
WIDE, VERY_WIDE = 0.05, 0.15
# With fewer pictures per class than this, each picture determines how its class is learned.
FEW = 5
# Pictures for an interval of ± 3 points at any accuracy: 1.96^2 x 0.25 / 0.03^2.
ENOUGH = 1000
# Training accuracy from which on the training pictures are learned.
KNOWN = 0.99


def find(run: Run) -> list[Insight]:
    """Reports a validation split that is too small, and too few training pictures."""
    found = [_small_validation(run), _few_pictures(run), _unused_outputs(run)]
    return [insight for insight in found if insight is not None]


def _small_validation(run: Run) -> Insight | None:
    size = run.valid_size
    if run.best is None or not size:
        return None
    accuracy = float(run.valid.accuracy[run.best])
    if not math.isfinite(accuracy):
        return None
    low, high = wilson(accuracy * size, size)
    half = (high - low) / 2
    if half <= WIDE:
        return None
    very = half > VERY_WIDE
    limit = "say hardly anything about the model" if very else "cannot distinguish good from slightly better"
    return Insight(
        topic="validation-size",
        title=f"{counted(size, 'validation picture')} {limit}: the 95% interval of the accuracy is {percent(low)} to "
        f"{percent(high)}.",
        explanation="Two runs whose accuracies are in this interval may be equally good. Compare them by the loss, "
        "or over several seeds; do not rely on a single comparison.",
        evidence=(
            f"Validation accuracy {percent(accuracy)}.",
            f"About {ENOUGH:,} validation pictures would narrow it to ± 3 points, whatever the accuracy.",
        ),
        next_step=f"Use a larger valid split: the {run.size('train'):,} training pictures can spare some."
        if (run.size("train") or 0) > 4 * ENOUGH
        else "Compare runs over several seeds, and by the loss. More validation pictures would be better, but do not "
        "take them from training.",
        # It limits what can be concluded, whatever the run was like: with very few pictures, that all is well.
        severity="hint" if very else "info",
        steps=(run.last_step(run.best),),
    )


def few_pictures(run: Run) -> bool:
    """Whether most classes have too few training pictures to be evaluated one by one."""
    counts = _used_counts(run)
    return len(counts) > 0 and float(np.median(counts)) < FEW


def _used_counts(run: Run) -> NDArray[np.int64]:
    """Training pictures per class, without the outputs that no label uses."""
    return np.delete(run.class_counts, _unused(run))


def _unused(run: Run) -> NDArray[np.int64]:
    shown = run.answers(run.epochs - 1) if run.epochs else None
    return unused_outputs(run.trial.run, run.class_counts, [] if shown is None else [shown[0]])


def _unused_outputs(run: Run) -> Insight | None:
    """Reports a model with more outputs than the labels have classes."""
    unused, outputs = _unused(run), len(run.class_counts)
    if not len(unused):
        return None
    used = outputs - len(unused)
    return Insight(
        topic="unused-outputs",
        title=f"The model has {outputs} outputs, but labels use {used}.",
        explanation="It first has to learn that the other outputs are never right, and losses of guessing are given "
        f"for {outputs} classes. This harms little if the other classes are to come.",
        evidence=(f"{counted(len(unused), 'output')} without a label: {_first(unused)}.",),
        next_step=f"Give the last layer {used} outputs, unless the other classes are to come.",
        severity="hint",
    )


def _first(places: NDArray[np.int64]) -> str:
    left = len(places) - 5
    return ", ".join(map(str, places[:5].tolist())) + (f" and {left} more" if left > 0 else "")


def _few_pictures(run: Run) -> Insight | None:
    if not few_pictures(run):
        return None
    counts = _used_counts(run)
    typical = int(np.median(counts))
    return Insight(
        topic="few-pictures",
        title=f"{counted(typical, 'training picture')} per class: training accuracy and loss show nothing here.",
        explanation=(
            "A head memorizes so few pictures whatever its settings; only the validation split shows "
            "what generalizes. It shows which run is better overall, but not how well single classes do, since each "
            "picture has a large effect on its class."
        ),
        evidence=(
            f"{len(counts):,} classes, {int(counts.sum()):,} training pictures: {_range(counts)} per class.",
            *_learned(run),
        ),
        next_step=f"Collect at least {4 * FEW} pictures per class before you tune anything else.",
        severity="hint",
    )


def _learned(run: Run) -> list[str]:
    """Since when the training pictures are learned, and the validation accuracy."""
    known = np.flatnonzero(run.train.accuracy >= KNOWN)
    if run.best is None or not len(known):
        return []
    validated = float(run.valid.accuracy[run.best])
    if not math.isfinite(validated):
        return []
    told = (
        f"Training accuracy reached {percent(float(run.train.accuracy[known[0]]))} in epoch {int(known[0]) + 1}. "
        f"Validation accuracy is {percent(validated)} in epoch {run.best + 1}, which has the lowest validation loss; "
        f"epoch {run.rests + 1} was the first within {percent(AS_GOOD)} of it."
    )
    return [told]


def _range(counts: NDArray[np.int64]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
