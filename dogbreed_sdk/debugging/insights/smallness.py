"""Small data sets: what a validation split of this size, and so few training pictures, can and cannot tell."""

from __future__ import annotations

import math

import numpy as np

from dogbreed_sdk.debugging.insights import statistics
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.run import Run
from dogbreed_sdk.debugging.insights.words import percent, plural, points

# Half an interval of more than 5 points hides most of what tuning a head can bring.
WIDE = 0.05
# Below five pictures a class each picture decides how its class is seen.
FEW = 5


def look(run: Run) -> list[Insight]:
    """A validation split too small, and too few training pictures, each where it holds."""
    found = [_small_validation(run), _few_pictures(run)]
    return [insight for insight in found if insight is not None]


def _small_validation(run: Run) -> Insight | None:
    size = run.valid_size
    if run.best is None or not size:
        return None
    accuracy = float(run.valid.accuracy[run.best])
    if not math.isfinite(accuracy):
        return None
    half = statistics.half_width(accuracy, size)
    if half <= WIDE:
        return None
    needed = math.ceil(statistics.Z95**2 * max(accuracy * (1 - accuracy), 0.05) / 0.03**2 / 10) * 10
    low, high = statistics.wilson(accuracy * size, size)
    return Insight(
        topic="validation-size",
        title=f"{plural(size, 'validation picture')} cannot tell good from slightly better: accuracy is known to "
        f"± {points(half)}.",
        explanation="Two runs whose accuracies differ by less than this may be equally good; choose between them by "
        "the "
        "loss, or with several seeds, and trust no single comparison.",
        evidence=(
            (
                f"Validation accuracy {percent(accuracy)} of {size} pictures: 95 % interval {percent(low)} to "
                f"{percent(high)}."
            ),
            f"About {needed} validation pictures would narrow it to ± 3 points.",
        ),
        next_step=f"Move or add pictures to the valid split until it has about {needed}.",
        severity="hint",
        steps=(run.last_step(run.best),),
    )


def _few_pictures(run: Run) -> Insight | None:
    counts = run.class_counts
    if not len(counts) or np.median(counts) >= FEW:
        return None
    typical = int(np.median(counts))
    learned = f"{percent(float(np.nanmax(run.train.accuracy)))} of the training pictures" if _known(run) else "them"
    return Insight(
        topic="few-pictures",
        title=f"{plural(typical, 'training picture')} a class: training accuracy and loss say nothing here.",
        explanation=f"A head learns {learned} by heart whatever its settings; only the validation split shows what "
        "carries over. It tells which run is better overall, but not how well single classes will do: each picture "
        "decides how its whole class is seen.",
        evidence=(
            (
                f"{len(counts)} classes, {int(counts.sum())} training pictures: {int(counts.min())} to "
                f"{int(counts.max())} a class."
            ),
        ),
        next_step=f"Collect at least {4 * FEW} pictures a class before you tune anything else.",
        severity="hint",
        steps=(),
    )


def _known(run: Run) -> bool:
    return bool(np.isfinite(run.train.accuracy).any())
