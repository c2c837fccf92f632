"""Memorized training pictures: a gap between training and validation accuracy."""

from __future__ import annotations

from dogbreed_sdk._util.formatting import change, number, percent, points
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.smallness import few_pictures
from training_scripts._util.wilson import wilson
from training_scripts.rules.evidence.overfitting import ACCURACY_GAP, accuracies_diverge
from training_scripts.rules.evidence.run import Run

# Between a tenth and a quarter, a gap is usual for networks that fit their training pictures: every fine-tuned backbone
# on a few dozen pictures per class has one. A wider one is worth acting on.
WIDE = 0.25
MEMORIZED = "More epochs would hardly close this gap: the network has learned what these pictures show."


def find(run: Run) -> list[Insight]:
    """Reports that the training pictures were memorized, if validation accuracy is much lower."""
    if run.epochs < 2 or few_pictures(run) or not accuracies_diverge(run):
        return []
    insight = _gap(run)
    return [insight] if insight else []


def _gap(run: Run) -> Insight | None:
    best, size = run.best, run.valid_size
    if best is None or not size:
        return None
    trained, validated = float(run.train.accuracy[best]), float(run.valid.accuracy[best])
    low, high = wilson(validated * size, size)
    new, step, why = _against_gap(run)
    return Insight(
        topic="generalization-gap",
        title=f"The training pictures are memorized ({percent(trained)} right); "
        f"of the {size:,} validation pictures, {percent(validated)} are right.",
        explanation=" ".join([MEMORIZED, why]).rstrip(),
        evidence=(
            (
                f"Accuracy at epoch {best + 1}: training {percent(trained)}, validation {percent(validated)} (95% "
                f"interval {percent(low)} to {percent(high)}): a gap of {points(trained - validated)}."
            ),
            (
                f"Loss at epoch {best + 1}: training {number(float(run.train.loss[best]))}, validation "
                f"{number(float(run.valid.loss[best]))}."
            ),
        ),
        confidence="high" if trained - high > ACCURACY_GAP else "medium",
        next_step=step,
        severity="hint" if trained - validated >= WIDE else "info",
        hyperparameters=new,
        steps=(run.last_step(best),),
    )


def _against_gap(run: Run) -> tuple[dict[str, object], str, str]:
    """The hyperparameters to change, the next step in words, and the reason."""
    settings = run.settings
    if run.words.is_ours and settings.get("hidden") and settings.get("dropout", 0.0) < 0.5:
        new: dict[str, object] = {"dropout": 0.5}
        return (
            new,
            f"Set {change(settings, new)}.",
            "Hidden layers have the capacity to memorize pictures; dropout reduces it, but slows learning.",
        )
    views = str(settings.get("views", ""))
    if run.words.is_ours and settings and "crops" not in views:
        new = {"views": f"{views},crops:4" if views else "plain,flip,crops:4"}
        return (
            new,
            f"Collect more pictures per class; if you cannot, try {change(settings, new)}.",
            "A linear head has little to regularize; more views of each picture, or more pictures, help more.",
        )
    if run.words.is_ours:
        return (
            {},
            "Collect more pictures per class, or try a larger backbone (model=...).",
            "Views and regularization are already in use.",
        )
    return (
        {},
        "Collect more pictures per class, augment them, or regularize more strongly (dropout, weight-decay).",
        "",
    )
