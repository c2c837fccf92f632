"""Faults between the gradient and the weights: no update, old gradients, clipping, and decay."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.layout import GRADIENT_KEPT, INPUT_MEAN
from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.causes.signs import NOT_LEARNED, Signs
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.learning_rate import TYPICAL_UPDATE

SHARE_OF_LARGEST = 1e-3
"""A layer with a smaller share of the largest gradient may be too deep to move; the rule has the same limit."""
NO_UPDATE = 1e-12
"""Updates up to this share of a weight are rounding; the smallest step that float32 keeps is 6e-8 of a value."""
KEPT = 0.01
"""An old gradient of 1% of the new one is not rounding."""
CONSTANT = 1e-3
"""Norms that differ by less than a thousandth were set, not computed."""
SHRUNK = 0.5
SHRUNK_AT_ALL = 0.7
STRONG_DECAY = 0.5
"""Usual weight decays are 0.0001 to 0.1."""


def find_no_update(signs: Signs) -> Cause | None:
    """Weights that stay the same: frozen, not in the optimizer, no step, or a learning rate of 0."""
    ratios = {name: float(np.max(series.values)) for name, series in signs.updates.items() if len(series) > 1}
    if not ratios or signs.seen is None:
        return _never_anything(signs)
    still = [name for name, ratio in ratios.items() if ratio <= NO_UPDATE]
    if not still or (len(still) < len(ratios) and not _steps_are_usual(ratios)):
        return None
    arriving = {name for name in still if _has_gradient(signs, name)}
    if len(still) == len(ratios):
        return _nothing_moves(signs, arriving=bool(arriving))
    # A head may begin at zero and a schedule at a rate of 0, but not stay there.
    if arriving and "UnchangedTensor" in signs.issues:
        return _some_do_not_move(signs, sorted(arriving), len(ratios))
    return None


def _has_gradient(signs: Signs, name: str) -> bool:
    """Whether a gradient arrives that is not far smaller than those of the other layers."""
    table = signs.gradients
    if table is None or selection.GRADIENT + name not in table.names:
        return False
    row = table.lengths[table.names.index(selection.GRADIENT + name)]
    return bool(np.median(row) > SHARE_OF_LARGEST * np.median(table.lengths.max(axis=0)) > 0)


def _steps_are_usual(ratios: Mapping[str, float]) -> bool:
    """Whether other weights move by more than float32 rounds away."""
    return max(ratios.values()) > 1e-6


def _nothing_moves(signs: Signs, *, arriving: bool) -> Cause | None:
    seen, rates = signs.seen, signs.rates
    assert seen is not None
    steps = (int(seen.steps[0]),)
    if not arriving:
        # Zero gradients come from dead layers; gradients that do not exist, from a graph that ends before the weights.
        return _no_gradient(signs) if _computes_none(signs) else None
    highest = float(np.nanmax(np.abs(rates.values))) if rates is not None and len(rates) else math.nan
    if highest < 1e-7:
        return Cause(
            id="learning-rate-too-low",
            title=f"The learning rate is {number_text(highest, 2)}, so no weight changes.",
            explanation="Gradients arrive, but the steps are 0, or so small that float32 rounds them away.",
            evidence=(
                (
                    f"The highest learning rate is {number_text(highest, 2)}, and the weights are the same at all "
                    "recorded steps."
                ),
            ),
            advice="Set lr (0.001 for Adam and 0.01 to 0.1 for SGD are usual), and look at what the scheduler makes "
            "of it.",
            steps=steps,
        )
    known = rates is not None
    return Cause(
        id="weights-not-updated",
        alternatives=() if known else ("learning-rate-too-low",),
        title="No weight ever changes although gradients arrive: the optimizer does not update this model.",
        explanation=(
            "Either optimizer.step() is not called, or the optimizer was given other parameters than those that are "
            "trained (another model, a copy, or parameters from before the model was replaced)"
            + ("." if known else "; or lr is 0.")
        ),
        evidence=(
            "All weights are exactly the same at all recorded steps, and their gradients are not zero."
            + (f" The learning rate is {number_text(float(np.nanmax(rates.values)), 3)}." if rates is not None else ""),
        ),
        advice=(
            "Call optimizer.step() after loss.backward(), and create the optimizer from this model's parameters(). "
            "sum(p.numel() for g in optimizer.param_groups for p in g['params']) shows what it has"
            + ("." if known else "; print lr to rule out that it is 0.")
        ),
        steps=steps,
    )


def _computes_none(signs: Signs) -> bool:
    """Whether the recorder, which saves what gradients there are, met none at any step."""
    recorded = selection.gradients(signs.evidence)
    return not recorded and signs.scalar(INPUT_MEAN) is not None and signs.scalar(GRADIENT_KEPT) is None


def _no_gradient(signs: Signs) -> Cause:
    assert signs.seen is not None
    return Cause(
        id="frozen",
        title="No gradient reaches any weight, so none ever changes: the loss is detached from the network.",
        explanation="The optimizer skips parameters without a gradient. The outputs or the loss were detached from "
        "what computed them (detach(), .data, no_grad(), a new tensor of their values), so backward() ends there.",
        evidence=("All weights are exactly the same at all recorded steps, and no gradient was computed.",),
        advice="Do not detach the outputs: compute the loss from what the network returned, outside of "
        "torch.no_grad(), and do not call requires_grad_() on the loss, which hides the error.",
        steps=(int(signs.seen.steps[0]),),
    )


def _never_anything(signs: Signs) -> Cause | None:
    """Losses that never change, without recorded weights."""
    if signs.seen is None or selection.weights(signs.evidence) or signs.seen.learned or signs.answers_well:
        return None
    if signs.evidence.run.get("optimizer_stepped") is False:
        return _no_step(signs)
    finding = signs.issues.get("LossNotDecreasing")
    if finding is None:
        return None
    if _computes_none(signs):
        return Cause(
            id="frozen",
            title="Nothing is trained: no parameter of the network has requires_grad, or no gradient reaches any.",
            explanation="The recorder found no trained parameter, so there is no gradient and no update.",
            evidence=(finding.findings[0].message, "Inputs were recorded, but neither trained weights nor gradients."),
            advice="Set requires_grad_(True) on the layers that are to be trained, before the optimizer is created.",
            steps=(int(signs.seen.steps[0]),),
        )
    if not any("does not change" in one.message for one in finding.findings):
        return None
    return Cause(
        id="weights-not-updated",
        alternatives=("learning-rate-too-low", "frozen"),
        confidence="medium",
        title="The network never changes: optimizer.step() is missing, lr is 0, or everything is frozen.",
        explanation="The loss of the same data is exactly the same in every epoch, which only unchanged weights "
        "explain.",
        evidence=("The loss is the same in every epoch. Weights and gradients were not recorded.",),
        advice=(
            "Print the optimizer's lr, the sum of a weight before and after optimizer.step(), and its grad: no grad "
            "means frozen layers, lr 0 a scheduler, and neither a missing step() or other parameters in the optimizer."
        ),
        steps=(int(signs.seen.steps[0]),),
    )


def _no_step(signs: Signs) -> Cause:
    assert signs.seen is not None
    return Cause(
        id="weights-not-updated",
        title="The optimizer never takes a step, so no weight changes.",
        explanation="Losses were recorded, but optimizer.step() was not called even once.",
        evidence=(f"0 optimizer steps in {int(signs.seen.steps[-1]) + 1:,} training steps.",),
        advice="Call optimizer.step() after loss.backward(), on the optimizer that has this model's parameters().",
        steps=(int(signs.seen.steps[0]),),
    )


def _some_do_not_move(signs: Signs, names: list[str], of: int) -> Cause:
    assert signs.seen is not None
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Cause(
        id="layers-not-updated",
        title=f"{len(names)} of {of} weights never change although their gradients arrive: {shown}.",
        explanation="The optimizer was not given these parameters, so the rest learns without them.",
        evidence=("Their values are exactly the same at all recorded steps, and their gradients are not zero.",),
        advice="Create the optimizer from all parameters (model.parameters()), after the last layer was added.",
        steps=(int(signs.seen.steps[0]),),
    )


def find_kept_gradients(signs: Signs) -> Cause | None:
    """Gradients of earlier steps that were not cleared."""
    kept = signs.scalar(GRADIENT_KEPT)
    if kept is None or len(kept) < 3:
        return None
    later = kept.values[1:]
    if not float(np.mean(later > KEPT)) > 0.5:
        return None
    gradients = signs.total("gradients")
    grown: tuple[str, ...] = ()
    if gradients is not None and len(gradients) > 1 and gradients.values[0] > 0:
        grown = (
            (
                f"Their norm went from {number_text(float(gradients.values[0]), 2)} at the first recorded step to "
                f"{number_text(float(gradients.values[-1]), 2)}."
            ),
        )
    return Cause(
        id="gradients-accumulate",
        title="Gradients are not cleared: each step adds to those of all steps before it.",
        explanation=(
            "The weights were updated, but the old gradients are still there at the next backward pass. So each step "
            "follows the sum of all gradients, and the loss swings, with ever larger steps."
        ),
        evidence=(
            (
                f"At {int((later > KEPT).sum()):,} of {len(later):,} steps, gradients of earlier steps were left; "
                f"their norm is {number_text(float(np.median(later)), 2)} times that of the new one (median)."
            ),
            *grown,
        ),
        advice="Call optimizer.zero_grad() before each loss.backward(). Do that before you change the learning rate.",
        steps=tuple(kept.steps[1:][later > KEPT][:5].tolist()),
    )


def find_clipping(signs: Signs) -> Cause | None:
    """Gradients that were clipped to a norm that is far too small."""
    if not signs.hardly_learned or signs.seen is None:
        return None
    usual = signs.usual_update
    if math.isfinite(usual) and usual > TYPICAL_UPDATE / 3:
        return None
    gradients, updates = signs.total("gradients"), signs.total("updates")
    for series, what in ((gradients, "gradient"), (updates, "update")):
        if series is None or len(series) < 5 or not series.values.min() > 0:
            continue
        values = series.values
        if float(values.std()) > CONSTANT * float(values.mean()):
            continue
        if (
            what == "update"
            and gradients is not None
            and float(gradients.values.std()) < 0.02 * float(gradients.values.mean())
        ):
            continue  # equal gradients give equal updates without clipping
        return Cause(
            id="clipping-too-small",
            title="Gradients are clipped at every step: their total norm is always "
            f"{number_text(float(values.mean()), 3)}."
            if what == "gradient"
            else "Gradients are clipped at every step: all updates have the same length.",
            explanation="Clipping should only catch rare peaks. Here it shortens every step, so that the loss hardly "
            "falls.",
            evidence=(
                (
                    f"The total norm of the {what} is {number_text(float(values.mean()), 3)} at all {len(values)} "
                    f"recorded steps, to within {number_text(100 * float(values.std() / values.mean()), 1)}%."
                ),
                *signs.usual_update_sentence,
            ),
            advice=(
                "Raise the norm to which gradients are clipped (max_norm of clip_grad_norm_; 1.0 is usual), or do not "
                "clip. Do that before you change the learning rate."
            ),
            steps=(int(series.steps[0]),),
        )
    return None


def find_weight_decay(signs: Signs) -> Cause | None:
    """Weights that shrink instead of learning."""
    weights, seen = signs.total("weights"), signs.seen
    set_to = signs.evidence.run.get("weight_decay")
    strong = isinstance(set_to, (int, float)) and set_to >= STRONG_DECAY
    if weights is None or seen is None or len(weights) < 3:
        return None
    high = seen.chance is not None and seen.final.mean > NOT_LEARNED * seen.chance
    if not (strong and high) and (not signs.hardly_learned or signs.answers_well):
        return None
    if not weights.values[0] > 0 or not np.isfinite(weights.values).all():
        return None
    left = float(weights.values[-1] / weights.values[0])
    if left > (SHRUNK_AT_ALL if strong else SHRUNK):
        return None
    known = (
        (f"weight_decay is {number_text(float(set_to), 3)}.",) if isinstance(set_to, (int, float)) and set_to else ()
    )
    return Cause(
        id="weight-decay-too-strong",
        title=f"Weight decay is too strong: the weights shrank to {100 * left:.0f}% of their norm, and nothing is "
        "learned.",
        explanation="Each step pulls the weights toward zero by more than the gradient moves them; with weights near "
        "zero, the outputs hardly depend on the inputs.",
        evidence=(
            (
                f"The norm of all trained weights went from {number_text(float(weights.values[0]), 3)} to "
                f"{number_text(float(weights.values[-1]), 3)}, while the loss ended at "
                f"{number_text(seen.final.mean, 3)}."
            ),
            *known,
        ),
        advice="Lower weight-decay: 0.01 is usual for AdamW, 0.0001 for SGD and Adam. Keep the learning rate.",
        steps=(int(weights.steps[0]), int(weights.steps[-1])),
    )
