"""Underfitting: training pictures that are not learned, although training has converged."""

from __future__ import annotations

import math

from dogbreed_sdk._util.formatting import change, number, percent
from dogbreed_sdk.debugging.insights.convergence import outlook
from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts._util.wilson import wilson
from training_scripts.rules.evidence.run import Run

# Classes that overlap, and labels of which a tenth is wrong, leave accuracies of 70 to 90% in healthy runs. Only below
# this, and with a setting that explains it, is it worth a hint.
LOW = 0.7
# With this training accuracy or more, capacity does not limit the run.
FITTED = 0.9


def find(run: Run) -> list[Insight]:
    """Reports that even the training pictures are not learned, although training has converged."""
    best = run.best
    if best is None or best < 2 or outlook(run) is not None:  # in the first epochs, training accuracy lags behind
        return []
    trained, validated, size = float(run.train.accuracy[best]), float(run.valid.accuracy[best]), run.valid_size
    if not (math.isfinite(trained) and math.isfinite(validated) and size) or trained > FITTED:
        return []
    low, high = wilson(validated * size, size)
    # Validation uses plain pictures without dropout, so its accuracy may be higher.
    if trained > max(high, validated + 0.05):
        return []
    new, why = _more_room(run)
    worth_a_try = trained < LOW and bool(new)
    return [
        Insight(
            topic="underfitting",
            title=f"{'Underfitting: even' if worth_a_try else 'Even'} of the training pictures, only {percent(trained)}"
            " are right.",
            explanation=(
                "Training and validation accuracy agree, so more pictures would not help. Either the network lacks the "
                "capacity, or the freedom, to fit its pictures, or classes overlap and labels are wrong, so that no "
                "network could."
            )
            + f" {why}".rstrip(),
            evidence=(
                (
                    f"Accuracy at epoch {best + 1}: training {percent(trained)}, validation {percent(validated)} (95% "
                    f"interval {percent(low)} to {percent(high)})."
                ),
                (
                    f"Loss at epoch {best + 1}: training {number(float(run.train.loss[best]))}, validation "
                    f"{number(float(run.valid.loss[best]))}; the loss has converged."
                ),
            ),
            confidence="medium",
            next_step=f"Set {change(run.settings, new)}."
            if new
            else "Try a larger network, and look at some mistakes.",
            severity="hint" if worth_a_try else "info",
            hyperparameters=new,
            steps=(run.last_step(best),),
        )
    ]


def _more_room(run: Run) -> tuple[dict[str, object], str]:
    settings = run.settings
    if settings.get("dropout", 0.0) >= 0.3:
        return {"dropout": round(settings["dropout"] / 3, 2)}, "Dropout removes capacity that is needed here."
    if settings.get("weight-decay", 0.0) > 0.1:
        return {"weight-decay": 0.01}, "The weight decay keeps the weights small."
    if not settings or not run.words.is_ours:
        return {}, ""
    if not settings.get("hidden"):
        return {"hidden": "512"}, "A linear head can only separate what the backbone's features separate."
    return {
        "unfreeze": int(settings.get("unfreeze", 0)) + 1
    }, "The frozen backbone's features may not fit these pictures."
