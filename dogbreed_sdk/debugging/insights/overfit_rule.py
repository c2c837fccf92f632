"""What the rule Overfit finds in a run, with our parameters: insights must not contradict it."""

from __future__ import annotations

from training_scripts.rules import registry
from training_scripts.rules.evidence import overfitting
from training_scripts.rules.evidence.run import Run


def validation_turned(run: Run) -> bool:
    """Whether validation turned and rose by enough to matter, while training did not."""
    parameters = registry.rule("Overfit").default
    course = overfitting.Course.of(run.trial, parameters["patience"])
    return course is not None and overfitting.turned(course, parameters)


def memorized(run: Run) -> bool:
    """Whether the training pictures were memorized, by the accuracies of the best epoch or by the last losses."""
    parameters = registry.rule("Overfit").default
    course = overfitting.Course.of(run.trial, parameters["patience"])
    by_losses = course is not None and overfitting.memorized_since(course, parameters) is not None
    return by_losses or overfitting.accuracies_diverge(run)
