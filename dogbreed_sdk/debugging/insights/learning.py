"""Failed runs: the cause that the recording shows, or a loss at chance level without one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dogbreed_sdk._util.formatting import change, number, percent
from dogbreed_sdk.debugging.insights import mean_baseline
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.mean_baseline import falls_on
from dogbreed_sdk.debugging.insights.rates import better_rate, update_evidence
from training_scripts._util.wilson import wilson
from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.causes.find import find as find_cause
from training_scripts.rules.evidence.learning_rate import FIRST_UPDATE, blow_up, first_update
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult

# A loss within 3% of the chance-level loss is useless.
NEARLY_CHANCE = 0.97
# Certainty above accuracy, and first update relative to a good one. With ten times the best learning rate, certainty is
# 20 points above accuracy; with three times the best rate, 13 points.
BOASTING, LARGE_FIRST = 0.15, 5
# A run whose loss falls below half of the chance-level loss has recovered.
RECOVERED = 0.5
# A run of fewer epochs was ended early on purpose, and may have begun above chance level.
FEW_EPOCHS = 5
# Rules that explain why a network cannot learn.
_DEAF = {
    "DeadRelu": "ReLUs that are never active",
    "AllZero": "tensors that are all zero",
    "VanishingGradient": "vanishing gradients",
    "SaturatedActivation": "saturated activations",
    "UnchangedTensor": "weights that do not change",
}


def failures(run: Run, results: Sequence[RuleResult]) -> list[Insight]:
    """Returns at most one insight: the cause of what is wrong with the run. Its curves show nothing else then."""
    cause = find_cause(run.trial, results)
    if cause is not None:
        return [_of_cause(cause, run)]
    overshot = _overshot(run)
    if overshot is None and (constant := mean_baseline.find(run)):
        return constant
    chance = overshot or _at_chance(run, results)
    return [chance] if chance else []


def _of_cause(cause: Cause, run: Run) -> Insight:
    """The insight that reports a cause, with the learning rate to try where that is the cause."""
    new = dict(cause.hyperparameters)
    advice, evidence = cause.advice, cause.evidence
    if cause.id in ("learning-rate-too-high", "learning-rate-too-low"):
        new = better_rate(run, larger=cause.id == "learning-rate-too-low")
        advice = f"Set {change(run.settings, new)}." if new else advice
        evidence = (*evidence, *_reached(run), *update_evidence(run))
    return Insight(
        topic=cause.topic or cause.id,
        title=cause.title,
        explanation=cause.explanation,
        evidence=evidence,
        confidence=cause.confidence,
        next_step=advice,
        severity=cause.severity,
        hyperparameters=new,
        steps=cause.steps,
        cause=cause.id,
        alternatives=cause.alternatives,
    )


def _overshot(run: Run) -> Insight | None:
    """Reports a training loss that rose far above chance level, or such a validation loss in spite of some accuracy."""
    evidence = []
    steps: tuple[int, ...] = ()
    risen = blow_up(run)
    if risen:
        step, height = risen
        steps = (step,)
        against = (
            f"guessing gives {number(run.chance)}" if run.chance else f"it began at {number(run.losses.values[0])}"
        )
        evidence.append(f"The training loss rose to {number(height)} around step {step}; {against}.")
    loss, accuracy = _kept(run)
    if run.chance and run.classes and loss > run.chance and accuracy > 5 / run.classes:
        evidence.append(
            f"{percent(accuracy)} of the validation pictures are right, but the loss of {number(loss)} is above "
            f"that of guessing ({number(run.chance)}): wrong predictions are made with high confidence."
        )
    evidence += _boasting(run, accuracy)
    if not evidence or (run.does_well and not risen):
        return None
    new = better_rate(run, larger=False)
    return Insight(
        topic="learning-rate-too-large",
        title=f"The learning rate is too large: its steps overshot, and {_aftermath(run, loss)}.",
        explanation=(
            "Each step moved the weights past the minimum, so they grew. Large weights give "
            + ("confident predictions even if these are wrong" if run.classes else "predictions that are far off")
            + ", which increases the loss."
        ),
        evidence=(*evidence, *_reached(run), *update_evidence(run)),
        confidence="high" if risen or len(evidence) > 1 else "medium",
        next_step=f"Set {change(run.settings, new)}." if new else "Divide the learning rate by 3.",
        severity="problem",
        hyperparameters=new,
        steps=steps,
        cause="learning-rate-too-high",
    )


def _aftermath(run: Run, loss: float) -> str:
    """How the losses continued after the steps that overshot."""
    if run.chance is not None and loss <= RECOVERED * run.chance:
        return "the run was spent on recovering"
    began = run.chance or float(run.losses.values[0])
    if not run.train.loss[-1] <= RECOVERED * began:
        return "the loss never recovered"
    return "the validation loss never recovered" if math.isfinite(loss) else "the run was spent on recovering"


def _boasting(run: Run, accuracy: float) -> list[str]:
    """Evidence of predictions that are far more confident than accurate, after a first step that was far too large."""
    if run.best is None or not first_update(run.trial) > LARGE_FIRST * FIRST_UPDATE:
        return []
    certainty = run.certainty(run.best)
    if not certainty > accuracy + BOASTING:
        return []
    return [
        f"Right predictions have a mean probability of {percent(certainty)}, but only {percent(accuracy)} of all are."
    ]


def _at_chance(run: Run, results: Sequence[RuleResult]) -> Insight | None:
    if not run.chance or not run.classes:
        return _unmoved(run, results)
    loss, accuracy = _kept(run)
    if not math.isfinite(loss) or loss < NEARLY_CHANCE * run.chance:
        return None
    if run.epochs < FEW_EPOCHS and falls_on(run):
        return None  # it was ended while it was still on its way
    size = run.valid_size or 0
    low, high = wilson(accuracy * size, size) if math.isfinite(accuracy) and size else (0.0, 1.0)
    majority = float(run.class_counts.max() / run.class_counts.sum()) if len(run.class_counts) else 1 / run.classes
    if low > max(majority, 1 / run.classes):
        return None
    trained = float(run.train.loss[-1])
    evidence = [
        f"The lowest validation loss is {number(loss)}; guessing gives {number(run.chance)} ({run.classes} classes).",
        f"The training loss of the last recorded epoch is {number(trained)}.",
    ]
    if size and math.isfinite(accuracy):
        evidence.append(
            f"Validation accuracy {percent(accuracy)}, 95% interval {percent(low)} to {percent(high)}; "
            f"guessing gives {percent(max(majority, 1 / run.classes))}."
        )
    why, step, new = _why_chance(run, trained, results)
    return Insight(
        topic="nothing-learned",
        title="Nothing that generalizes was learned: the validation loss is that of guessing.",
        explanation=why,
        evidence=(*evidence, *update_evidence(run)),
        confidence="high" if size >= 100 else "medium",
        next_step=step,
        severity="problem",
        hyperparameters=new,
        steps=(run.last_step(run.epochs - 1),) if run.epochs else (),
    )


def _unmoved(run: Run, results: Sequence[RuleResult]) -> Insight | None:
    """Reports a training loss that ends where it began, if the number of classes is unknown."""
    losses = run.losses.values
    few = max(3, len(losses) // 10)
    if len(losses) < 3 * few or run.epochs < 2:
        return None
    first, last = float(losses[:few].mean()), float(losses[-few:].mean())
    validated = run.valid.loss[run.validated]
    if last < NEARLY_CHANCE * first or (len(validated) and validated.min() < NEARLY_CHANCE * validated[0]):
        return None
    deaf = _deaf(results)
    return Insight(
        topic="nothing-learned",
        title="Nothing was learned: the training loss ends where it began.",
        explanation=f"The rules found {' and '.join(deaf)}: no learning signal gets through."
        if deaf
        else "The learning rate is wrong, no gradient arrives, or labels do not match their pictures.",
        evidence=(
            f"The mean training loss of the first {few} steps is {number(first)}; of the last {few}, {number(last)}.",
            *([f"The lowest validation loss is {number(float(validated.min()))}."] if len(validated) else []),
            *update_evidence(run),
        ),
        confidence="high" if deaf else "medium",
        next_step="Follow the advice of these rules first."
        if deaf
        else "Try a learning rate three times larger and one three times smaller, and check some labels by eye.",
        severity="problem",
        steps=(int(run.losses.steps[-1]),),
    )


def _deaf(results: Sequence[RuleResult]) -> list[str]:
    issues = {result.name for result in results if result.status == ISSUES_FOUND}
    return [words for name, words in _DEAF.items() if name in issues]


def _why_chance(run: Run, trained: float, results: Sequence[RuleResult]) -> tuple[str, str, dict[str, object]]:
    """Explanation, next step and hyperparameters."""
    assert run.chance is not None
    deaf = _deaf(results)
    if trained < 0.9 * run.chance:
        return (
            (
                f"The network learned the training pictures (loss {number(trained)}), but nothing about the validation "
                "pictures: labels do not match their pictures (shuffled labels), or the validation split has other "
                "classes, another order of classes, or another preprocessing."
            ),
            "Check the labels of some pictures of both splits by eye before you train again.",
            {},
        )
    smaller = better_rate(run, larger=False)
    larger = better_rate(run, larger=True)

    ratio = first_update(run.trial)
    if deaf:
        return (
            f"The rules found {' and '.join(deaf)}: no learning signal gets through.",
            f"Set {change(run.settings, smaller)}." if smaller else "Lower the learning rate and start again.",
            smaller,
        )
    if math.isfinite(ratio) and ratio < FIRST_UPDATE / 10 and larger:
        return "The steps are too small to make progress.", f"Set {change(run.settings, larger)}.", larger
    return (
        (
            "Even the training pictures were not learned: the learning rate is wrong, or labels do not match "
            "their pictures."
        ),
        f"Check the labels of some pictures by eye; then set {change(run.settings, smaller)}."
        if smaller
        else "Check the labels of some pictures by eye; then try a learning rate three times smaller and one "
        "three times larger.",
        smaller,
    )


def _reached(run: Run) -> list[str]:
    loss, accuracy = _kept(run)
    if run.best is None or not math.isfinite(accuracy):
        return []
    epoch = f"epoch {run.best + 1} of {run.epochs}"
    return [f"The lowest validation loss, {number(loss)} in {epoch}, came with an accuracy of {percent(accuracy)}."]


def _kept(run: Run) -> tuple[float, float]:
    """Validation loss and accuracy of the best epoch; NaN without validation."""
    if run.best is None:
        return math.nan, math.nan
    return float(run.valid.loss[run.best]), float(run.valid.accuracy[run.best])
