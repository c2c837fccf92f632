"""Underfitting: training pictures that are not learned, though training has come to rest."""

from __future__ import annotations

import math

from dogbreed_sdk.debugging.formatting import change, number, percent
from dogbreed_sdk.debugging.insights.convergence import outlook
from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.run import Run

# Nine training pictures in ten right: whatever limits such a run, it is not a lack of capacity.
FITTED = 0.9


def find(run: Run) -> list[Insight]:
    """That even the training pictures are not learned, though training has come to rest."""
    best = run.best
    if best is None or best < 2 or outlook(run) is not None:  # the first epochs' training accuracy is that of learning
        return []
    trained, judged, size = float(run.train.accuracy[best]), float(run.valid.accuracy[best]), run.valid_size
    if not (math.isfinite(trained) and math.isfinite(judged) and size) or trained > FITTED:
        return []
    low, high = statistics.wilson(judged * size, size)
    # Validation uses plain pictures without dropout: it may well be the better one.
    if trained > max(high, judged + 0.05):
        return []
    new, why = _more_room(run)
    return [
        Insight(
            topic="underfitting",
            title=f"Underfitting: even of the training pictures only {percent(trained)} are right.",
            explanation=(
                "Training and validation agree, so more pictures would not help; the network lacks the "
                f"capacity, or the freedom, to fit what it sees. {why}"
            ),
            evidence=(
                (
                    f"Accuracy at epoch {best + 1}: training {percent(trained)}, validation {percent(judged)} (95 % "
                    f"interval {percent(low)} to {percent(high)})."
                ),
                (
                    f"Loss at epoch {best + 1}: training {number(float(run.train.loss[best]))}, validation "
                    f"{number(float(run.valid.loss[best]))}, and it has come to rest."
                ),
            ),
            confidence="medium",
            next_step=f"Set {change(run.settings, new)}." if new else "Give the network more layers to learn with.",
            severity="hint",
            hyperparameters=new,
            steps=(run.last_step(best),),
        )
    ]


def _more_room(run: Run) -> tuple[dict[str, object], str]:
    settings = run.settings
    if not settings:
        return {}, ""
    if settings.get("dropout", 0.0) >= 0.3:
        return {"dropout": round(settings["dropout"] / 3, 2)}, "Dropout takes away capacity that is needed here."
    if settings.get("weight-decay", 0.0) > 0.1:
        return {"weight-decay": 0.01}, "The weight decay keeps the weights small."
    if not settings.get("hidden"):
        return {"hidden": "512"}, "A linear head can only separate what the backbone's features separate."
    return {
        "unfreeze": int(settings.get("unfreeze", 0)) + 1
    }, "The frozen backbone's features may not fit these pictures."
