"""ExplodingTensor, AllZero and TensorVariance: values that no tensor should have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, PERCENTAGE
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import curves, learning_rate, selection, workers
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.epochs import loss_names, training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated, in_workers
from training_scripts.rules.grouping import first_workers, long_list, together

SHOW_NONFINITE = ("mean", "l2", "abs_mean", "max", "min", "std")
"""Reductions that show values that are not finite: if one value is NaN or infinite, so is a sum over the tensor."""

USUAL = 5
"""Number of losses before an explosion that are needed to see whether it appeared suddenly."""

EXPLODED = "{count} tensors contain NaN or infinity, first at step {begin}: {names}."


def _bad_steps(run: Evidence, name: str, mode: str, *, only_nan: bool) -> NDArray[np.int64]:
    """Steps at which a tensor contains NaN, or (unless only_nan) infinity."""
    full = run.steps_in_full(name, mode)
    if len(full) and run.value(name, int(full[0]), mode).dtype.kind != "f":
        return full[:0]  # labels and counts are always finite
    steps = _nan_steps(run, name, mode) if only_nan else _nonfinite_steps(run, name, mode)
    return np.array(sorted(steps), dtype=np.int64)


def _nan_steps(run: Evidence, name: str, mode: str) -> set[int]:
    full = run.steps_in_full(name, mode).tolist()
    steps = {step for step in full if np.isnan(run.value(name, step, mode)).any()}
    for kind, series in run.recorded_reductions(name, mode).items():
        if kind in SHOW_NONFINITE:
            steps.update(series.steps[np.isnan(series.values)].tolist())
    return steps


def _nonfinite_steps(run: Evidence, name: str, mode: str) -> set[int]:
    exact = run.reduction(name, "nonfinite_fraction", mode)
    if exact is not None and len(exact):  # the other reductions add nothing
        return set(exact.steps[~(exact.values == 0)].tolist())
    steps: set[int] = set()
    for kind in SHOW_NONFINITE:
        series = run.reduction(name, kind, mode)
        if series is not None:
            steps.update(series.steps[~np.isfinite(series.values)].tolist())
    return steps


def _exploding_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: any tensor contains NaN or infinity at any step."""
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, selection.tensors(run))
    if not names:
        raise NotEvaluated("No tensor was recorded.")
    findings = []
    for name in names:
        for mode in run.modes(name):
            steps = _bad_steps(run, name, mode, only_nan=parameters["only_nan"])
            if len(steps):
                where = _origin(run, name, mode, int(steps[0]), only_nan=parameters["only_nan"])
                findings.append(_exploded(name, mode, steps, where))
    findings.sort(key=lambda finding: finding.steps[0])
    return together(findings, EXPLODED)


def _origin(run: Evidence, name: str, mode: str, step: int, *, only_nan: bool) -> tuple[str, ...]:
    """The workers whose own part of a tensor is not finite at a step: their next gradients make all weights NaN."""
    return workers.concerned(run, name, lambda part: step in _bad_steps(part, name, mode, only_nan=only_nan))


def _exploded(name: str, mode: str, steps: NDArray[np.int64], where: tuple[str, ...]) -> Finding:
    return Finding(
        f"{name} ({mode}) contains NaN or infinity at {counted(len(steps), 'recorded step')}, first at step "
        f"{int(steps[0])}{in_workers(where)}.",
        tensor=name,
        mode=mode,
        steps=long_list(steps),
        numbers={"steps": len(steps)},
        workers=where,
    )


def _exploding_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: NaN and infinity, except in gradients that a loss scaler skips; and growth without bound."""
    run = evidences.of(trial)
    findings = [finding for finding in _exploding_aws(run, parameters) if finding.tensor]
    in_training = [finding for finding in findings if finding.mode == TRAIN]
    findings = in_training or findings  # those in evaluations are consequences
    if all(selection.GRADIENT in finding.tensor for finding in findings):
        # In mixed precision, a loss scaler skips the steps at which gradients overflow. That is harmless if it stops.
        findings = [finding for finding in findings if _lasts(run, finding)]
    told = together(findings, EXPLODED)
    return Answer(told, advice=_of_one_batch(run, findings)) if told else _growth(run, parameters)


def _of_one_batch(run: Evidence, findings: list[Finding]) -> str:
    """Advice if the losses before the explosion were normal; empty if they grew, or if too few are known."""
    loss = training_loss(run)
    begin = min(finding.steps[0] for finding in findings)
    where = in_workers(first_workers(findings))
    if loss is None or findings[0].mode != TRAIN:
        return ""
    before = loss.values[loss.steps < begin]
    if len(before) < USUAL or not np.isfinite(before).all():
        return ""
    if before[-3:].max() > 2 * float(np.median(before[-4 * USUAL :])):
        return ""
    return (
        f"It appeared suddenly, with no growth of the loss before: check the batch of step {begin}{where} for inputs "
        "that are NaN, infinite or far too large. If the batch is fine, divide lr by 3 or clip gradients."
    )


def _lasts(run: Evidence, finding: Finding) -> bool:
    steps = run.tensor(finding.tensor).steps(finding.mode)
    return finding.steps[-1] == steps[-1] and finding.numbers["steps"] >= min(3, len(steps))


def _growth(run: Evidence, parameters: Parameters) -> list[Finding]:
    findings = []
    names = [*loss_names(run), *selection.gradients(run), *selection.trained_weights(run)]
    for name in names:
        series = run.reduction(name, "l2", TRAIN) or run.reduction(name, "abs_mean", TRAIN)
        if series is None or not len(series):
            continue
        large = series.values > parameters["magnitude"]
        grown = series.values > parameters["growth"] * max(float(series.values[0]), 1e-300)
        hit = large & grown
        if hit.any() and hit[-1]:
            worst = float(series.values[hit].max())
            findings.append(
                Finding(
                    f"{name} grew from {number_text(series.values[0], 2)} to {number_text(worst, 2)}: it is about "
                    "to overflow.",
                    tensor=name,
                    mode=TRAIN,
                    steps=long_list(series.steps[hit]),
                    numbers={"first": float(series.values[0]), "largest": worst},
                )
            )
    return together(findings, "{count} tensors grow without bound from step {begin} on: {names}.")


def _zero_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: the share of zeros in a tensor reaches the threshold at any step."""
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, selection.tensors(run))
    findings, evaluated = [], False
    for name in names:
        for mode in run.modes(name):
            series = zeros(run, name, mode)
            if series is None:
                continue
            evaluated = True
            hit = series.values * 100 >= parameters["threshold"]
            if hit.any():
                share = float(series.values[hit].max())
                findings.append(_all_zero(name, mode, series.steps[hit], share, "first at step {}"))
    if not evaluated:
        raise NotEvaluated("No tensor was recorded in full or with its zero_fraction.")
    return together(findings, "{count} tensors are zero, first at step {begin}: {names}.")


def zeros(run: Evidence, name: str, mode: str) -> Series | None:
    """The share of zeros per step. smdebug's reductions show only whether all values are zero: 1 if so, otherwise 0."""
    series = run.reduction(name, "zero_fraction", mode)
    if series is None:
        series = run.reduction(name, "abs_mean", mode) or run.reduction(name, "l2", mode)
        if series is not None:
            series = Series(series.steps, (series.values == 0).astype(np.float64))
    return series


def _all_zero(name: str, mode: str, steps: NDArray[np.int64], share: float, since: str = "from step {} on") -> Finding:
    return Finding(
        f"{100 * share:.0f}% of the values of {name} ({mode}) are zero, {since.format(int(steps[0]))}.",
        tensor=name,
        mode=mode,
        steps=long_list(steps),
        numbers={"zero_fraction": share},
    )


def _zero_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: weights that stay zero after training has begun, and gradients that stay zero while the loss is not zero.

    A layer may begin at zero (biases, the head of a fine-tuned network, the last scale of a residual block), but must
    not stay there. If the loss is zero, gradients are zero too.
    """
    run = evidences.of(trial)
    if not parameters["collection_names"] and not parameters["tensor_regex"]:
        names = [*selection.trained_weights(run), *selection.weight_gradients(run)]
        if not names:
            raise NotEvaluated(
                "Neither weights nor gradients were recorded: record the collections weights, gradients."
            )
    else:
        names = selection.chosen(run, parameters, ())
    findings, evaluated = [], False
    for name in names:
        series = zeros(run, name, TRAIN)
        if series is None or not len(series):
            continue
        evaluated = True
        hit = series.values * 100 >= parameters["threshold"]
        begin = curves.first_streak(hit, min(parameters["patience"], len(hit)))
        if begin < 0 or not hit[begin:].all():
            continue
        if name.startswith(selection.GRADIENT) and _settled(run, int(series.steps[begin])):
            continue
        if len(hit) == 1 and not _all_are_zero(run, names):
            continue  # one record at the start cannot show whether the layer stays at zero
        findings.append(_all_zero(name, TRAIN, series.steps[begin:], float(series.values[begin:].max())))
    if not evaluated:
        raise NotEvaluated("The share of zeros is unknown in mode TRAIN: record tensors in full, or their reductions.")
    told = together(findings, "{count} tensors are zero and stay zero, first at step {begin}: {names}.")
    return Answer(told, advice=_zero_advice(run, findings))


def _zero_advice(run: Evidence, findings: list[Finding]) -> str:
    """Advice by what is zero and since when; empty for weights that begin at zero, which the rule's advice covers."""
    of_weights = [finding for finding in findings if not finding.tensor.startswith(selection.GRADIENT)]
    told = of_weights or findings
    if not told:
        return ""
    finding = min(told, key=lambda one: one.steps[0])
    if finding.steps[0] > run.tensor(finding.tensor).steps(TRAIN)[0]:
        what = "Weights became zero" if of_weights else "Gradients became zero"
        return f"{learning_rate.lower(run)}. {what} at step {finding.steps[0]}; see DeadRelu."
    if of_weights:
        return ""
    return (
        "The weights are not zero, but no gradient reaches them from the start: look for dead ReLUs (biases far below"
        " zero, see DeadRelu) and for layers that are not part of the loss."
    )


def _settled(run: Evidence, begin: int) -> bool:
    """Whether nothing was left to learn from a step on, so that no gradient is to be expected."""
    seen = learning(run)
    if seen is None:
        return False
    there = seen.values[seen.steps >= begin]
    return bool(len(there)) and float(np.median(there)) < max(1e-6, 1e-3 * seen.initial.mean)


def _all_are_zero(run: Evidence, names: list[str]) -> bool:
    weights = [zeros(run, name, TRAIN) for name in names if not name.startswith(selection.GRADIENT)]
    return len(weights) > 1 and all(series is not None and bool((series.values >= 1).all()) for series in weights)


def _variance(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Both sets: the variance of a tensor is above max_threshold or below min_threshold, both set by the user."""
    highest, lowest = parameters["max_threshold"], parameters["min_threshold"]
    if highest is None and lowest is None:
        raise NotEvaluated(
            "No bounds were set, and no default suits every network: set TensorVariance.max_threshold, "
            ".min_threshold or both."
        )
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, selection.members(run, "weights") or selection.tensors(run))
    findings, evaluated = [], False
    for name in names:
        for mode in run.modes(name):
            series = run.reduction(name, "std", mode)
            if series is None:
                continue
            evaluated = True
            variance = np.square(series.values)
            high = variance > highest if highest is not None else np.zeros(len(series), dtype=bool)
            low = variance < lowest if lowest is not None else np.zeros(len(series), dtype=bool)
            hit = high | low
            if hit.any():
                least, most = float(variance[hit].min()), float(variance[hit].max())
                findings.append(
                    Finding(
                        f"The variance of {name} ({mode}) is out of bounds at {counted(int(hit.sum()), 'step')}: from "
                        f"{number_text(least, 3)} to {number_text(most, 3)}, bounds "
                        f"{lowest if lowest is not None else 'none'} to {highest if highest is not None else 'none'}.",
                        tensor=name,
                        mode=mode,
                        steps=long_list(series.steps[hit]),
                        numbers={"least": least, "most": most},
                    )
                )
    if not evaluated:
        raise NotEvaluated("Neither all values nor the reduction std was recorded for any of these tensors.")
    return together(findings, "The variance of {count} tensors is out of bounds, first at step {begin}: {names}.")


RULES = (
    Rule(
        name="ExplodingTensor",
        judge=_exploding_default,
        judge_aws=_exploding_aws,
        aws={**selection.TENSOR_CHOICE, "only_nan": False},
        default={
            **selection.TENSOR_CHOICE,
            "only_nan": False,
            "magnitude": 1e12,  # the square still fits float32 (3e38), but not after a few more steps of such growth
            "growth": 1e6,  # values that were large from the start may just have large units
        },
        description="NaN, infinity, or numbers that are about to overflow.",
        advice=(
            "Divide lr by 3, warm it up over the first steps, or clip gradients. If it is there from step 0, check the"
            " inputs and the initialization."
        ),
        bounds={},
        precedes=("VanishingGradient",),
        explanation=Explanation(
            computes=(
                "A training tensor contains NaN or infinity. Gradients alone count only if they are still not finite "
                "at the last recorded step: a loss scaler skips such steps in mixed precision. Otherwise: a loss, "
                "gradient or trained weight whose norm exceeds `magnitude` and `growth` times its first value, at the "
                "last recorded step too."
            ),
            computes_aws="Any chosen tensor contains NaN or (unless `only_nan`) infinity at any step.",
            parameters={
                **selection.TENSOR_CHOICE_MEANING,
                "only_nan": "count NaN only, and not infinity",
                "magnitude": "norm above which a tensor is about to overflow float32",
                "growth": "factor by which it must have grown since its first value",
            },
            causes=("nan-input", "nan-target", "undefined-loss", "learning-rate-too-high"),
        ),
        order=20,
        aws_name="ExplodingTensor",
        collections=(
            "losses",
            "weights",
            "gradients",
        ),
    ),
    Rule(
        name="AllZero",
        judge=_zero_default,
        judge_aws=_zero_aws,
        aws={**selection.TENSOR_CHOICE, "threshold": 100.0},
        default={**selection.TENSOR_CHOICE, "threshold": 100.0, "patience": 2},
        description="Tensors that contain only zeros.",
        advice=(
            "Initialize weights at random (Xavier, He): if all weights are zero, no gradient reaches the layers "
            "before them. If gradients are zero, look for dead ReLUs and for layers that are not part of the "
            "loss."
        ),
        bounds={"threshold": PERCENTAGE, "patience": COUNT},
        precedes=("UnchangedTensor",),
        explanation=Explanation(
            computes=(
                "A trained weight or a gradient of which at least `threshold` percent are zero at `patience` recorded "
                "steps in a row and at all later ones. Gradients that are zero because the loss is zero do not count."
            ),
            computes_aws="At least `threshold` percent of a tensor's values are zero at any step.",
            parameters={
                **selection.TENSOR_CHOICE_MEANING,
                "threshold": "percentage of zeros",
                "patience": "recorded steps in a row",
            },
            causes=("bad-initialization", "dead-relus", "weight-decay-too-strong"),
        ),
        order=30,
        aws_name="AllZero",
        collections=("weights",),
    ),
    Rule(
        name="TensorVariance",
        judge=_variance,
        aws={**selection.TENSOR_CHOICE, "max_threshold": None, "min_threshold": None},
        default={**selection.TENSOR_CHOICE, "max_threshold": None, "min_threshold": None},
        description="Tensors whose variance is outside the bounds that you set.",
        advice="Too high: lower lr, or initialize weights with smaller values. Too low: use larger ones (Xavier, He).",
        bounds={},
        explanation=Explanation(
            computes=(
                "`std(tensor)^2 > max_threshold` or `< min_threshold` at any step. Nothing is evaluated until you set "
                "one of them, because no default suits every network."
            ),
            parameters={
                **selection.TENSOR_CHOICE_MEANING,
                "max_threshold": "largest allowed variance",
                "min_threshold": "smallest allowed variance",
            },
        ),
        order=40,
        aws_name="TensorVariance",
        collections=("weights",),
    ),
)
