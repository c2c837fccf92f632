"""WeightUpdateRatio and UnchangedTensor: whether the optimizer moves the weights, and how far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import curves, layers, learning_rate, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.grouping import long_list, together
from training_scripts.rules.tensors.vanishing_gradient import Gradients

NO_UPDATES = (
    "Neither weights in full at two steps nor their update_ratio was recorded. Record the collection weights in full"
    " (full-tensors=true) or with recorder=builtin, and a train.save_interval of at most a third of the run's steps."
)

NO_GRADIENT_ADVICE = (
    "No gradient reaches these weights, so changing lr has no effect: see VanishingGradient, DeadRelu and AllZero"
    " for the cause."
)

NOT_LEARNED = (
    "None of these is a weight or a gradient: it is normal that metrics, labels and predictions stay the same. To check"
    " only what is trained, set UnchangedTensor.collection_names=weights."
)

NEAR_ZERO = 0.02
"""A layer begins practically at zero if its standard deviation times sqrt(inputs) is below this; 0.6 is usual."""

NO_GRADIENT = 1e-9
"""If the mean absolute gradient of every layer is below this, nothing more can be learned."""


def _ratio_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: mean |update| / (mean |weight| + epsilon) between saved steps is out of the thresholds."""
    run = evidences.of(trial)
    findings, evaluated = [], False
    for name in selection.weights(run):
        series = _update_ratio(run, name, parameters, norm=1)
        if series is None or not len(series):
            continue
        evaluated = True
        large = series.values > parameters["large_threshold"]
        small = series.values < parameters["small_threshold"]
        for hit, word, limit in ((large, "above", "large_threshold"), (small, "below", "small_threshold")):
            if hit.any():
                extreme = float(series.values[hit].max() if word == "above" else series.values[hit].min())
                findings.append(
                    Finding(
                        f"{name} was updated by {number_text(extreme, 2)} of its size, {word}"
                        f" {number_text(parameters[limit])}, at"
                        f" {counted(int(hit.sum()), 'step')} from {int(series.steps[hit][0])} on.",
                        tensor=name,
                        mode=TRAIN,
                        steps=long_list(series.steps[hit]),
                        numbers={"ratio": extreme},
                    )
                )
    if not evaluated:
        raise NotEvaluated(NO_UPDATES)
    return together(findings, "The update ratio of {count} weights is out of bounds, first at step {begin}: {names}.")


def _update_ratio(run: Evidence, name: str, parameters: Parameters, *, norm: int) -> Series | None:
    """The ratio update / (weight + epsilon) at each step that has an earlier one, computed or else recorded."""
    steps = run.steps_in_full(name, TRAIN)
    if len(steps) < 2:
        return run.reduction(name, "update_ratio", TRAIN)
    apart = parameters.get("num_steps") or 0
    places, ratios = [], []
    values: dict[int, NDArray[np.float64]] = {}
    for place in range(1, len(steps)):
        # AWS: the step just before, or the latest one at least num_steps back
        earlier = place - 1
        if apart:
            earlier = int(np.searchsorted(steps, steps[place] - apart, side="right")) - 1
        if earlier < 0:
            continue
        for wanted in (earlier, place):
            if wanted not in values:
                values[wanted] = run.value(name, int(steps[wanted]), TRAIN).astype(np.float64).ravel()
        before, after = values[earlier], values[place]
        if before.shape != after.shape:
            continue  # a different tensor with the same name
        ratios.append(float(_size(after - before, norm) / (_size(before, norm) + parameters["epsilon"])))
        places.append(place)
        values = {kept: value for kept, value in values.items() if kept >= earlier}
    return Series(steps[places], np.array(ratios)) if places else None


def _size(array: NDArray[np.float64], norm: int) -> float:
    return float(np.abs(array).mean()) if norm == 1 else float(np.sqrt(array @ array))


def _ratio_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: all updates are so small that float32 loses them, or several are so large that they replace the weights.

    Only weights that are trained (have a gradient) are evaluated. Small updates count only if they are small from the
    start, because schedules and converged runs end with small ones. Large updates of a layer that begins at zero do not
    count, because it may grow by any ratio.
    """
    run = evidences.of(trial)
    small, large, evaluated = [], [], 0
    for name in selection.trained_weights(run):
        series = _update_ratio(run, name, parameters, norm=2)
        if series is None or not len(series):
            continue
        evaluated += 1
        values = series.values
        # With a warm-up, lr begins at 0, so one recorded step shows nothing.
        if len(values) > 1 and max(float(np.median(values)), values[0]) < parameters["small_threshold"]:
            small.append(_ratio_finding(name, series, np.ones(len(values), dtype=bool), float(np.median(values))))
            continue
        hit = _too_large(run, name, series, parameters)
        if hit is not None:
            large.append(_ratio_finding(name, series, hit, float(np.max(values[hit]))))
    if not evaluated:
        raise NotEvaluated(NO_UPDATES)
    seen = learning(run)
    if seen is not None and seen.learned:
        small = []  # the run has learned, so weights need not change
    findings = [
        *together(small, "{count} weights hardly change, from step {begin} on: {names}."),
        *together(large, "{count} weights are replaced rather than adjusted, first at step {begin}: {names}."),
    ]
    if small and large:
        return findings
    if large:
        return Answer(
            findings,
            advice=f"{learning_rate.lower(run)}; a good ratio is about 0.1 in the first step and 0.001 later on.",
        )
    raised = "Raise lr, which may be 0 or close to 0; a good ratio is about 0.001 per step."
    if not small:
        return []
    cut_off = _cut_off(run, small)
    return Answer(findings, advice=NO_GRADIENT_ADVICE if cut_off else raised, is_consequence=cut_off)


def _too_large(run: Evidence, name: str, series: Series, parameters: Parameters) -> NDArray[np.bool_] | None:
    values = series.values
    lengths = run.reduction(name, "l2", TRAIN)
    grown = np.zeros(len(values), dtype=bool)
    if lengths is not None:
        size = np.interp(series.steps, lengths.steps, lengths.values)
        before = np.r_[lengths.values[0], size[:-1]]
        # Large updates are excused if the layer began at or near zero, but not if one step inflated normal weights.
        gain = layers.gain(run, name, int(series.steps[0]) + 1)
        if gain is None or gain < NEAR_ZERO:
            grown = before <= 1e-3 * float(np.median(lengths.values))
    single = (values > parameters["large_threshold"]) & ~grown
    often: NDArray[np.bool_] = (values > parameters["large_share"]) & ~grown
    often[0] = False
    begin = curves.first_streak(often, 3)
    if begin >= 0 and often[begin:].mean() > 0.5:
        return often
    # Several steps together may change weights by more than one step should. So this limit applies to single steps.
    gap = int(np.median(np.diff(series.steps))) if len(series) > 1 else 1
    one_step = gap == 1 or not len(run.steps_in_full(name, TRAIN))
    return single if single.any() and one_step else None


def _cut_off(run: Evidence, findings: list[Finding]) -> bool:
    """Whether the gradient of all these weights is exactly zero while they do not change."""
    sizes = []
    for finding in findings:
        series = run.reduction(selection.GRADIENT + finding.tensor, "abs_mean", TRAIN) if finding.tensor else None
        if finding.tensor and (series is None or not len(series)):
            return False
        if series is not None:
            later = series.values[series.steps >= finding.steps[0]]
            sizes.append(float(np.median(later)) if len(later) else float(series.values[-1]))
    return bool(sizes) and max(sizes) == 0.0


def _ratio_finding(name: str, series: Series, hit: NDArray[np.bool_], ratio: float) -> Finding:
    where = f"at step {int(series.steps[hit][0])}"
    if int(hit.sum()) == len(series) > 1:
        where = f"at all {len(series)} recorded steps"
    elif int(hit.sum()) > 1:
        where = f"at {int(hit.sum())} of {len(series)} recorded steps, first at {int(series.steps[hit][0])}"
    times = f"{ratio:,.0f}" if ratio >= 10 else f"{number_text(ratio, 2)}"
    moved = f"updated by {times} times its norm" if ratio else "not updated at all"
    return Finding(
        f"{name} was {moved} {where}.",
        tensor=name,
        mode=TRAIN,
        steps=long_list(series.steps[hit]),
        numbers={"ratio": ratio},
    )


def _unchanged_aws(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """AWS: numpy.allclose holds over num_steps available steps in a row; for reductions, for all of them."""
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, selection.tensors(run))
    findings, evaluated = [], False
    for name in names:
        for mode in run.modes(name):
            same = _same_as_before(run, name, mode, parameters)
            if same is None or len(same[0]) + 1 < parameters["num_steps"]:
                continue
            evaluated = True
            steps, flags = same
            streak, hit = 0, []
            for step, flag in zip(steps.tolist(), flags.tolist(), strict=True):
                streak = streak + 1 if flag else 0
                if streak >= parameters["num_steps"] - 1:
                    hit.append(step)
            if hit:
                findings.append(
                    _unchanged(name, mode, np.array(hit), parameters["num_steps"], "for the first time up to step {}")
                )
    if not evaluated:
        raise NotEvaluated(
            f"No tensor was recorded at {parameters['num_steps']} steps (num_steps). Record more often (save_interval)."
        )
    found = together(findings, "{count} tensors do not change, first at step {begin}: {names}.")
    learned = {*selection.weights(run), *selection.gradients(run), *selection.members(run, "biases")}
    if any(finding.tensor in learned for finding in findings):
        return found
    return Answer(found, advice=NOT_LEARNED if found else "")


def _same_as_before(
    run: Evidence, name: str, mode: str, parameters: Parameters
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The recorded steps from the second on, and whether the tensor is the same as at the step before."""
    tolerance = {key: parameters[key] for key in ("rtol", "atol", "equal_nan")}
    steps = run.steps_in_full(name, mode)
    if len(steps) > 1:
        flags, before = [], run.value(name, int(steps[0]), mode)
        for step in steps[1:].tolist():
            after = run.value(name, step, mode)
            flags.append(before.shape == after.shape and bool(np.allclose(before, after, **tolerance)))
            before = after
        return steps[1:], np.array(flags)
    recorded = run.recorded_reductions(name, mode)
    telling = [series for kind, series in recorded.items() if kind != "update_ratio" and len(series) > 1]
    if not telling:
        return None
    first = telling[0].steps
    rows = np.array([series.values for series in telling if np.array_equal(series.steps, first)])
    return first[1:], np.isclose(rows[:, 1:], rows[:, :-1], **tolerance).all(axis=0)


def _unchanged(name: str, mode: str, steps: NDArray[np.int64], count: int, since: str = "from step {} on") -> Finding:
    return Finding(
        f"{name} ({mode}) did not change over {count} recorded steps, {since.format(int(steps[0]))}.",
        tensor=name,
        mode=mode,
        steps=long_list(steps),
        numbers={"steps": len(steps)},
    )


def _unchanged_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: trained weights that stay exactly the same from some step to the end, although there is more to learn.

    Biases before a normalization and frozen layers stay the same by design. All weights stay the same at the end of a
    schedule, and if the loss is zero.
    """
    run = evidences.of(trial)
    if parameters["collection_names"] or parameters["tensor_regex"]:
        names = selection.chosen(run, parameters, ())
    else:
        names = selection.trained_weights(run)
    findings, evaluated = [], 0
    for name in names:
        same = _same_as_before(run, name, TRAIN, parameters)
        if same is None or len(same[0]) + 1 < parameters["num_steps"]:
            continue
        evaluated += 1
        steps, flags = same
        still = len(flags) - int(np.argmin(flags[::-1])) if not flags.all() else 0
        length = len(flags) - still
        if length >= parameters["num_steps"] - 1 and length >= parameters["share_of_run"] * len(flags):
            since = _with_first(run, name, steps[still:])
            if not _done(run, int(since[0])):
                findings.append(_unchanged(name, TRAIN, since, length + 1))
    if not evaluated:
        raise NotEvaluated(
            f"No trained weight was recorded at {parameters['num_steps']} steps or more. Record the collection weights"
            " with a smaller train.save_interval."
        )
    if len(findings) < evaluated and not selection.gradients(run):
        return []  # without gradients, frozen layers look like layers missing from the optimizer
    cut_off = _cut_off(run, findings)
    return Answer(
        together(findings, "{count} weights do not change, from step {begin} on: {names}."),
        advice=NO_GRADIENT_ADVICE if cut_off else "",
        is_consequence=cut_off,
    )


def _with_first(run: Evidence, name: str, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """The steps, preceded by the one before them, from which on the tensor is the same."""
    recorded = run.tensor(name).steps(TRAIN)
    place = recorded.index(int(steps[0]))
    return np.concatenate([np.array([recorded[max(place - 1, 0)]], dtype=np.int64), steps])


def _done(run: Evidence, since: int) -> bool:
    """Whether nothing was left to learn from a step on: the loss was low by then, or all gradients were zero.

    A weight that did not change while the loss fell is reported, however low the loss ended.
    """
    seen = learning(run)
    if seen is None or not seen.learned:
        return False
    gradients = Gradients.of(run)
    if gradients is not None:
        later = gradients.sizes[:, gradients.steps >= since]
        if later.size and bool((later < NO_GRADIENT).all()):
            return True
    there = seen.values[seen.steps >= since][:5]
    return bool(len(there)) and float(np.median(there)) < 0.1 * abs(seen.initial.mean)


RULES = (
    Rule(
        name="WeightUpdateRatio",
        judge=_ratio_default,
        judge_aws=_ratio_aws,
        aws={"num_steps": None, "large_threshold": 10.0, "small_threshold": 1e-8, "epsilon": 1e-9},
        default={
            "num_steps": None,
            # AWS's, for a single step: the weights before are a tenth of those after.
            "large_threshold": 10.0,
            # For three recorded steps in a row: each time the update replaces all that was learned.
            "large_share": 1.0,
            # Half the resolution of float32 is 6e-8: smaller updates are rounded away.
            "small_threshold": 1e-7,
            "epsilon": 1e-9,
        },
        description="Updates that are far too large or too small for the weights.",
        advice="Too large: divide lr by 3. Too small: raise lr; a good ratio is about 0.001 per step.",
        bounds={"num_steps": COUNT},
        precedes=("SaturatedActivation",),
        explanation=Explanation(
            computes=(
                "`norm(update) / (norm(weight) + epsilon)` of each trained weight, between saved steps or as recorded. "
                "Too small: the median and the first ratio are below `small_threshold`, in a run that has not learned. "
                "Too large: above `large_share` for three recorded steps in a row and in most later ones, or above "
                "`large_threshold` in a single step; growth from a start near zero does not count."
            ),
            computes_aws=(
                "`mean(abs(update)) / (mean(abs(weight)) + epsilon)` between saved steps is above `large_threshold` or "
                "below `small_threshold`."
            ),
            parameters={
                "num_steps": (
                    "compare with the latest saved step at least this many steps back; by default with the one just "
                    "before"
                ),
                "large_threshold": "largest allowed ratio of a single step",
                "large_share": "largest allowed ratio of several steps in a row",
                "small_threshold": "smallest allowed ratio",
                "epsilon": "added to the size of the weight",
            },
            causes=("learning-rate-too-high", "learning-rate-too-low", "weight-decay-too-strong"),
        ),
        order=110,
        aws_name="WeightUpdateRatio",
        collections=("weights",),
    ),
    Rule(
        name="UnchangedTensor",
        judge=_unchanged_default,
        judge_aws=_unchanged_aws,
        aws={**selection.TENSOR_CHOICE, "num_steps": 3, "rtol": 1e-5, "atol": 1e-8, "equal_nan": False},
        default={
            **selection.TENSOR_CHOICE,
            "num_steps": 3,
            "rtol": 1e-7,  # the resolution of float32: equal to the last digit
            "atol": 0.0,
            "equal_nan": False,
            "share_of_run": 0.5,  # schedules may end with almost no updates, but not for half of a run
        },
        description="Weights that do not change although they are trained.",
        advice=(
            "Raise lr, which may be 0 or close to 0 (also because of a scheduler), and check that these weights were "
            "passed to the optimizer."
        ),
        bounds={"num_steps": COUNT, "share_of_run": SHARE},
        precedes=("LossNotDecreasing",),
        explanation=Explanation(
            computes=(
                "A trained weight that is equal (`numpy.allclose` with `rtol` and `atol`) to the step before from some "
                "recorded step to the end: at least `num_steps` recorded steps and `share_of_run` of all, while there "
                "was more to learn. Frozen layers do not count."
            ),
            computes_aws=(
                "`numpy.allclose` holds over `num_steps` available steps in a row; for reductions, for all of them."
            ),
            parameters={
                **selection.TENSOR_CHOICE_MEANING,
                "num_steps": "recorded steps in a row",
                "rtol": "relative tolerance",
                "atol": "absolute tolerance",
                "equal_nan": "NaN counts as equal to NaN",
                "share_of_run": "share of the recorded steps that must be unchanged",
            },
            causes=("weights-not-updated", "layers-not-updated", "frozen", "learning-rate-too-low"),
        ),
        order=120,
        aws_name="UnchangedTensor",
        collections=("weights",),
    ),
)
