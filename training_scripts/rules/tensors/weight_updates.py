"""WeightUpdateRatio and UnchangedTensor: whether the optimizer moves the weights, and how far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Parameters, Rule
from training_scripts.rules.evidence import curves, layers, learning_rate, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.grouping import long_list, together
from training_scripts.rules.tensors.exploding_tensor import CHOOSE
from training_scripts.rules.tensors.vanishing_gradient import Gradients

NO_UPDATES = (
    "Neither weights in full at two steps nor their update_ratio was recorded. Record the collection weights in full"
    " (full-tensors=true) or with recorder=builtin, and a train.save_interval of at most a third of the run's steps."
)

NO_GRADIENT_ADVICE = (
    "No gradient reaches these weights, so changing lr has no effect: see VanishingGradient, DeadRelu and AllZero"
    " for what stops it."
)

NOT_LEARNT = (
    "None of these is a weight or a gradient: metrics, labels and predictions may well stay the same. To check what"
    " is trained, set UnchangedTensor.collection_names=weights."
)

NEAR_ZERO = 0.02
"""Standard deviation times the root of the inputs, below which a layer begins as good as from zero; usual is 0.6."""

NO_GRADIENT = 1e-9
"""Below this mean absolute value, in every layer, nothing is left to learn (or to learn with)."""


def _ratio_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: mean |update| / (mean |weight| + epsilon) between saved steps is above large or below small."""
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
                        f" {int(hit.sum())} steps from {int(series.steps[hit][0])} on.",
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
    """Gives update / (weight + epsilon) at each step that has an earlier one: computed, else recorded."""
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
            continue  # another tensor of the same name
        ratios.append(float(_size(after - before, norm) / (_size(before, norm) + parameters["epsilon"])))
        places.append(place)
        values = {kept: value for kept, value in values.items() if kept >= earlier}
    return Series(steps[places], np.array(ratios)) if places else None


def _size(array: NDArray[np.float64], norm: int) -> float:
    return float(np.abs(array).mean()) if norm == 1 else float(np.sqrt(array @ array))


def _ratio_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: every recorded update so small that float32 loses it, or several so large that they replace the weights.

    Judged only for what is trained (has a gradient), only from the start (schedules end at 0, and so do converged
    runs), and not where the weights were nothing yet (a layer that begins at zero may grow by any ratio).
    """
    run = evidences.of(trial)
    small, large, evaluated = [], [], 0
    for name in selection.trained_weights(run):
        series = _update_ratio(run, name, parameters, norm=2)
        if series is None or not len(series):
            continue
        evaluated += 1
        values = series.values
        # A rate that is warmed up begins at 0, so that one record shows nothing.
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
        small = []  # where there is nothing left to learn, nothing needs to move
    findings = [
        *together(small, "{count} weights do not move, from step {begin} on: {names}."),
        *together(large, "{count} weights are replaced rather than adjusted, first at step {begin}: {names}."),
    ]
    if small and large:
        return findings
    if large:
        by = f"{learning_rate.lower(run)}"
        return Answer(findings, advice=f"{by}; a good ratio is about 0.1 in the first step and 0.001 later on.")
    raised = "Raise lr, which may be 0 or nearly so; a good ratio is about 0.001 per step."
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
        # Hardly there yet: it began at or near zero. A usual beginning that one step blew up does not count.
        gain = layers.gain(run, name, int(series.steps[0]) + 1)
        if gain is None or gain < NEAR_ZERO:
            grown = before <= 1e-3 * float(np.median(lengths.values))
    single = (values > parameters["large_threshold"]) & ~grown
    often: NDArray[np.bool_] = (values > parameters["large_share"]) & ~grown
    often[0] = False
    begin = curves.first_streak(often, 3)
    if begin >= 0 and often[begin:].mean() > 0.5:
        return often
    # A span of several steps may change weights by more than one step should; only single updates are evaluated so.
    gap = int(np.median(np.diff(series.steps))) if len(series) > 1 else 1
    one_step = gap == 1 or not len(run.steps_in_full(name, TRAIN))
    return single if single.any() and one_step else None


def _cut_off(run: Evidence, findings: list[Finding]) -> bool:
    """Whether all these weights get a gradient of exactly nothing where they stand still."""
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
    """AWS: numpy.allclose over num_steps available steps in a row; on reductions, of all of them."""
    run = evidences.of(trial)
    names = selection.chosen(run, parameters, run.recorded_names())
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
                findings.append(_unchanged(name, mode, np.array(hit), parameters["num_steps"]))
    if not evaluated:
        raise NotEvaluated(
            f"No tensor was recorded at {parameters['num_steps']} steps (num_steps). Record more often (save_interval)."
        )
    found = together(findings, "{count} tensors do not change, first at step {begin}: {names}.")
    learnt = {*selection.weights(run), *selection.gradients(run), *selection.members(run, "biases")}
    if any(finding.tensor in learnt for finding in findings):
        return found
    return Answer(found, advice=NOT_LEARNT if found else "")


def _same_as_before(
    run: Evidence, name: str, mode: str, parameters: Parameters
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Recorded steps from the second on, and whether the tensor is the same as at the one before."""
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


def _unchanged(name: str, mode: str, steps: NDArray[np.int64], count: int) -> Finding:
    return Finding(
        f"{name} ({mode}) did not change over {count} recorded steps, from step {int(steps[0])} on.",
        tensor=name,
        mode=mode,
        steps=long_list(steps),
        numbers={"steps": len(steps)},
    )


def _unchanged_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: trained weights that stay exactly the same from a step to the end, while there is something to learn.

    Biases before a normalization and frozen layers stay the same by construction; so does everything at the end of
    a schedule and at a loss of nothing.
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
        return []  # without gradients, frozen layers look the same as forgotten ones
    cut_off = _cut_off(run, findings)
    return Answer(
        together(findings, "{count} weights do not change, from step {begin} on: {names}."),
        advice=NO_GRADIENT_ADVICE if cut_off else "",
        is_consequence=cut_off,
    )


def _with_first(run: Evidence, name: str, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """The steps with the one before them: from there on it is the same."""
    recorded = run.tensor(name).steps(TRAIN)
    place = recorded.index(int(steps[0]))
    return np.concatenate([np.array([recorded[max(place - 1, 0)]], dtype=np.int64), steps])


def _done(run: Evidence, since: int) -> bool:
    """Whether nothing was left to learn from a step on: the run had learned by then, or no gradient was left.

    A weight that stood still while the loss fell is not excused by where the loss ended.
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
            "large_threshold": 10.0,  # AWS's, in one step: the weights before are a tenth of those after
            "large_share": 1.0,  # in three recorded steps in a row: each time all that was learned is replaced
            "small_threshold": 1e-7,  # half the resolution of float32 is 6e-8: smaller updates are rounded away
            "epsilon": 1e-9,
        },
        description="Updates that are far too large or too small for the weights.",
        advice="Too large: divide lr by 10. Too small: raise lr; a good ratio is about 0.001 per step.",
        bounds={"num_steps": COUNT},
        precedes=("SaturatedActivation",),
        order=110,
        aws_name="WeightUpdateRatio",
        collections=("weights",),
    ),
    Rule(
        name="UnchangedTensor",
        judge=_unchanged_default,
        judge_aws=_unchanged_aws,
        aws={**CHOOSE, "num_steps": 3, "rtol": 1e-5, "atol": 1e-8, "equal_nan": False},
        default={
            **CHOOSE,
            "num_steps": 3,
            "rtol": 1e-7,  # float32's resolution: the same to the last digit
            "atol": 0.0,
            "equal_nan": False,
            "share_of_run": 0.5,  # schedules may end with almost no updates; half of a run they may not
        },
        description="Weights that do not change although they are trained.",
        advice=(
            "Raise lr, which may be 0 or nearly so (also through a scheduler), and check that these weights were "
            "passed to the optimizer."
        ),
        bounds={"num_steps": COUNT, "share_of_run": SHARE},
        precedes=("LossNotDecreasing",),
        order=120,
        aws_name="UnchangedTensor",
        collections=("weights",),
    ),
)
