"""Faults of the network: its initial weights, activations that pass no gradient, depth, and dropout."""

from __future__ import annotations

import math

import numpy as np

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.layout import INPUT_MEAN, INPUT_STD
from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.causes.cause import NOTHING_LEARNED, Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence import learning_rate
from training_scripts.rules.findings import RuleResult

UNSCALED = 10.0
"""Inputs with a mean or standard deviation beyond this have never been scaled: that of scaled ones is about 1."""
FROM_THE_START = 3
"""Findings that begin within this many saved steps were there from the start."""
SURE = 3.0
"""Standard errors by which the loss must be lower in evaluation."""
STRONG_DROPOUT = 0.75
HARDLY = 0.6
"""A training loss above this share of the chance-level loss: hardly anything is learned in training mode."""
ABOVE = 1.3
"""A training loss above this multiple of the chance-level loss has diverged, which dropout alone does not cause."""
BETTER = 0.85
"""A validation loss below this share of the training loss: the network knows more than it shows in training."""


def _began(result: RuleResult) -> int:
    """The first step of a rule's findings."""
    return min((finding.steps[0] for finding in result.findings if finding.steps), default=0)


def _messages(result: RuleResult) -> tuple[str, ...]:
    """What a rule found, in a few sentences."""
    return tuple(finding.message for finding in result.findings[:4]) or (result.message,)


def _early(signs: Signs, step: int) -> bool:
    """Whether a step is one of the first saved ones."""
    table = signs.gradients
    steps = table.steps if table is not None else signs.evidence.steps(TRAIN).steps
    return bool(len(steps) <= FROM_THE_START or step <= steps[FROM_THE_START - 1])


def find_unscaled_inputs(signs: Signs) -> Cause | None:
    """Inputs that are so large that usual initial weights give outputs far too large."""
    poor = signs.issues.get("PoorWeightInitialization")
    begun = [finding for finding in poor.findings if "initial" in finding.numbers] if poor is not None else []
    if poor is None or not begun or len(begun) < len(poor.findings):
        return None  # the outputs begin at a usual size, or the weights themselves are wrong
    mean, spread = _first_inputs(signs)
    if not max(abs(mean), spread) > UNSCALED:
        return None
    size = (
        f"have a spread of {number_text(spread, 2)}"
        if spread > UNSCALED
        else f"are around {number_text(mean, 2)}, far from 0"
    )
    return Cause(
        id="inputs-not-scaled",
        title=f"The inputs are not scaled: they {size}, so the loss begins far above that of guessing.",
        explanation="Usual initial weights expect inputs with a mean of about 0 and a spread of about 1. Larger ones "
        "make all signals and gradients as much larger, so the first outputs are confident and wrong.",
        evidence=(
            (
                f"Training inputs begin with a mean of {number_text(mean, 3)} and a standard deviation of "
                f"{number_text(spread, 3)}."
            ),
            begun[0].message,
        ),
        advice="Scale the inputs of all splits to a mean of about 0 and a spread of about 1 (pictures: divide by 255, "
        "then Normalize; tables: subtract each column's mean and divide by its standard deviation). Do that before you "
        "change the learning rate or the initial weights.",
        topic=NOTHING_LEARNED,
        steps=poor.steps[:20],
    )


def _first_inputs(signs: Signs) -> tuple[float, float]:
    """Mean and standard deviation of the first recorded training inputs; NaN if unknown."""
    found = []
    for name in (INPUT_MEAN, INPUT_STD):
        series = signs.scalar(name)
        found.append(float(series.values[0]) if series is not None and len(series) else math.nan)
    return found[0], found[1]


def find_initialization(signs: Signs) -> Cause | None:
    """Weights that are zero or equal, or that amplify signals far too much."""
    poor, zero = signs.issues.get("PoorWeightInitialization"), signs.issues.get("AllZero")
    of_weights = zero is not None and any(not one.tensor.startswith("gradient/") for one in zero.findings if one.tensor)
    if poor is not None and all("share_of_largest" in one.numbers for one in poor.findings):
        poor = None  # small gradients in the first step: the network is too deep, or its activations are saturated
    result = poor or (zero if of_weights and zero is not None and _early(signs, _began(zero)) else None)
    if result is None:
        return None
    return Cause(
        id="bad-initialization",
        title=f"The initial weights are wrong: {_lowered(result.findings[0].message)}",
        explanation=(
            "Equal weights stay equal, since they get the same gradients; weights that are far too large or too small "
            "make the signals of each layer larger or smaller."
        ),
        evidence=_messages(result),
        advice=(
            "Initialize weights at random with a standard deviation of about 1 / sqrt(inputs) (Xavier for tanh and "
            "sigmoid, He for ReLU; PyTorch's default does), biases at zero. Do that before you change the learning "
            "rate."
        ),
        topic=NOTHING_LEARNED,
        steps=result.steps[:20],
    )


def _lowered(text: str) -> str:
    """A sentence as a part of another one; names of tensors keep their capitals."""
    first = text.split(" ", 1)[0]
    return text if any(sign in first for sign in "._/") else text[:1].lower() + text[1:]


def find_blocked(signs: Signs) -> Cause | None:
    """Dead ReLUs, saturated activations, or vanishing gradients that were there from the start.

    A run that learned got its gradients; the rules report the units that took no part in it.
    """
    if signs.learned_most:
        return None
    for rule, make in (("DeadRelu", _dead), ("SaturatedActivation", _saturated), ("VanishingGradient", _vanishing)):
        result = signs.issues.get(rule)
        if result is None:
            continue
        if rule == "VanishingGradient" and not _early(signs, _began(result)):
            continue
        found = make(signs, result)
        if found is not None:
            return found
    return None


def _dead(signs: Signs, result: RuleResult) -> Cause | None:
    begin = _began(result)
    large = learning_rate.first_update(signs.evidence) > 1
    if large and (begin > 0 or not _early(signs, begin)):
        return None  # the first steps killed them: the learning rate is the cause
    early = _early(signs, begin)
    return Cause(
        id="dead-relus",
        title=f"ReLUs are dead from step {begin} on: no gradient passes through them."
        if early
        else f"ReLUs died around step {begin}: no gradient passes through them.",
        explanation="ReLUs that are never active pass no gradient, so no learning signal gets through and they cannot "
        "recover.",
        evidence=_messages(result),
        advice="Initialize biases at 0 and weights as He, or use LeakyReLU; the learning rate cannot revive them."
        if early
        else f"{learning_rate.lower(signs.evidence)}, or use LeakyReLU: a step around step {begin} pushed all inputs "
        "below zero.",
        topic=NOTHING_LEARNED,
        steps=result.steps[:20],
    )


def _saturated(_: Signs, result: RuleResult) -> Cause | None:
    return Cause(
        id="saturated-activations",
        title=f"Activations are saturated from step {_began(result)} on: hardly any gradient passes.",
        explanation="Sigmoid and tanh are flat at their limits, so what lies before them gets no gradient.",
        evidence=_messages(result),
        advice="Normalize the inputs to a spread of about 1, use smaller initial weights, or ReLU with normalization.",
        topic=NOTHING_LEARNED,
        steps=result.steps[:20],
    )


def _vanishing(_: Signs, result: RuleResult) -> Cause | None:
    if all(finding.numbers.get("abs_mean", 1.0) == 0 for finding in result.findings):
        return None  # exactly zero: cut off, not weakened by depth
    return Cause(
        id="vanishing-gradients",
        title="Gradients vanish on their way to the first layers, so these do not learn.",
        explanation=(
            "No learning signal gets through: vanishing gradients. A sigmoid passes at most a quarter of a gradient, "
            "and many layers multiply that."
        ),
        evidence=_messages(result),
        advice="Use ReLU, normalization or residual connections, or fewer layers; a larger lr does not help.",
        topic=NOTHING_LEARNED,
        steps=result.steps[:20],
    )


def find_dropout(signs: Signs) -> Cause | None:
    """Dropout that hides so much that training hardly learns."""
    run, chance, seen = signs.run, signs.chance, signs.seen
    if run is None or seen is None or run.epochs < 3:
        return None
    rate = signs.evidence.run.get("dropout")
    known = float(rate) if isinstance(rate, (int, float)) else math.nan
    if not math.isfinite(known) and signs.evidence.run.get("recorder") in ("builtin", "loop"):
        return None  # these recorders note the rate, so the network has no dropout
    start = chance if chance is not None else seen.initial.mean
    # The mean of the last epoch includes steps before the weights that are validated.
    end = run.losses.values[np.isin(run.losses.steps, run.train_steps[-1])]
    trained = float(end[len(end) // 2 :].mean()) if len(end) else math.nan
    validated = float(run.valid.loss[-1]) if run.epochs - 1 in run.validated else math.nan
    if not HARDLY * start < trained < ABOVE * start:
        return None
    # Few validation samples, and a few batches, differ by chance; noisy labels make both losses vary.
    error = math.hypot(float(run.valid.error[-1]), float(end.std()) / math.sqrt(max(len(end) // 2, 1)))
    better = validated < BETTER * trained and not trained - validated < SURE * error
    better = better and (math.isfinite(known) or not seen.learned)
    usable = not math.isfinite(validated) or validated < 1.1 * trained
    if not (better or (known >= STRONG_DROPOUT and usable)) or (math.isfinite(known) and known < 0.5):
        return None
    named = f"dropout={number_text(known, 3)}" if math.isfinite(known) else ""
    evidence = [
        f"The training loss of the last epoch is {number_text(trained, 3)}; it began at about {number_text(start, 3)}."
    ]
    if math.isfinite(validated):
        evidence.append(f"In validation, without dropout, it is {number_text(validated, 3)}.")
    if named:
        evidence.append(f"The network has {named}.")
    return Cause(
        id="dropout-too-strong",
        title="Dropout is far too strong"
        + (f" ({named})" if named else "")
        + ": in training, hardly anything is learned.",
        explanation="What dropout hides changes at every step, so little of the signal and of the gradient is left. "
        "Validation, where nothing is hidden, is better than training.",
        evidence=tuple(evidence),
        advice="Lower dropout: 0.1 to 0.5 is usual. Keep the learning rate."
        + (
            ""
            if named
            else " If the network has none, look at the training batches: augmentation that is "
            "too strong, or labels that do not match any more, look the same."
        ),
        confidence="high" if named else "medium",
        alternatives=() if named else ("shuffled-labels",),
        steps=(int(np.max(seen.steps)),),
    )
