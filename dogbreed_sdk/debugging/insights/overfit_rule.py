"""What the rule Overfit finds in a run with its default parameters. Insights must not contradict it."""

from __future__ import annotations

from training_scripts.rules import registry
from training_scripts.rules.evidence import overfitting
from training_scripts.rules.evidence.run import Run


def validation_turned(run: Run) -> bool:
    """Whether the validation loss turned upward by enough to matter, while the training loss did not."""
    parameters = registry.rule("Overfit").default
    course = overfitting.Course.of(run.trial, parameters["patience"])
    return course is not None and overfitting.turned(course, parameters)


def memorized(run: Run) -> bool:
    """Whether the training pictures were memorized, by the losses or by the accuracies of the best epoch."""
    parameters = registry.rule("Overfit").default
    course = overfitting.Course.of(run.trial, parameters["patience"])
    by_losses = course is not None and overfitting.memorized_since(course, parameters) is not None
    return by_losses or overfitting.accuracies_diverge(run)
