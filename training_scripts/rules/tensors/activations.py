"""DeadRelu and SaturatedActivation: layers whose units no longer respond to their inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.reductions import SATURATION, inactive_fraction, saturated_fraction
from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.bounds import ANY_NUMBER, COUNT, PERCENTAGE
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import curves, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.grouping import long_list, together
from training_scripts.rules.tensors.vanishing_gradient import Gradients

NO_RELU = (
    "No outputs of ReLU layers were recorded. Record the collection relu_output (recorder=builtin does if the"
    " trained layers have ReLUs, for example with hidden=512; for smdebug,"
    " include_regex '.*_(input|output)_.*')."
)
NO_SIGMOID = (
    "No inputs or outputs of sigmoid or tanh layers were recorded. Record the collections sigmoid_output and"
    " tanh_output (recorder=builtin does if the trained layers have some; for smdebug,"
    " include_regex '.*_(input|output)_.*')."
)


NO_GRADIENT_ADVICE = (
    "Units that get no gradient are dead ReLUs, or other activations in the flat part of their range: divide lr by 3 "
    "and warm it up; initialize biases to 0; use a leaky ReLU or a normalization before the activation. To see "
    "which units these are, record the outputs of the activations (collection relu_output)."
)


def _dead_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: more than threshold_layer percent of a layer's units fire in less than threshold_inactivity percent."""
    run = evidences.of(trial)
    shares = {
        name: _inactive(run, name, parameters["threshold_inactivity"])
        for name in _relus(run, parameters["tensor_regex"])
    }
    findings = _layers_above(run, shares, parameters["threshold_layer"], "inactive", missing=NO_RELU)
    return together(findings, "{count} ReLU layers are mostly inactive, first at step {begin}: {names}.")


def _layers_above(
    run: Evidence, shares: Mapping[str, Series | None], percent: float, word: str, *, missing: str
) -> list[Finding]:
    """A finding for each layer whose share of such units exceeds a percentage at any step."""
    known = {name: series for name, series in shares.items() if series is not None}
    if not known:
        raise NotEvaluated(missing)
    hits = {name: series.values * 100 > percent for name, series in known.items()}
    return [
        _layer_finding(name, known[name], hit, word, mode=selection.first_mode(run, name), since="first at step {}")
        for name, hit in hits.items()
        if hit.any()
    ]


def _relus(run: Evidence, pattern: str) -> list[str]:
    named = {name for name in run.recorded_names() if selection.matches(pattern, name)}
    return selection.natural(named | selection.members(run, "relu_output"))


def _inactive(run: Evidence, name: str, threshold: float) -> Series | None:
    """The share of inactive units of a layer per step, recorded or computed."""
    return _by_step(run, name, "inactive_fraction", lambda value: inactive_fraction(value, threshold))


def _by_step(run: Evidence, name: str, kind: str, compute: Callable[[NDArray[Any]], float]) -> Series | None:
    mode = selection.first_mode(run, name)
    steps = run.steps_in_full(name, mode)
    known = [(step, value) for step in steps.tolist() if (value := run.value(name, step, mode)).ndim and value.size]
    if known:
        numbers = [compute(value) for _, value in known]
        return Series(np.array([step for step, _ in known], dtype=np.int64), np.array(numbers))
    return run.reduction(name, kind, mode)


def _layer_finding(
    name: str, series: Series, hit: NDArray[np.bool_], what: str, *, mode: str, since: str = "from step {} on"
) -> Finding:
    worst = float(series.values[hit].max())
    return Finding(
        f"In {name}, {100 * worst:.0f}% of the units are {what}, {since.format(int(series.steps[hit][0]))}.",
        tensor=name,
        mode=mode,
        steps=long_list(series.steps[hit]),
        numbers={"share": worst},
    )


def _dead_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: nearly all units of a layer are inactive over several recorded steps.

    It is usual that half of a layer is inactive: units specialize in classes, and in deep plain networks half of the
    units are off from the start. One batch has too few pictures to activate a unit of a rare class. So a unit counts as
    dead only if it is inactive over all of the last batches together, if outputs were recorded in full.
    """
    run = evidences.of(trial)
    names = _relus(run, parameters["tensor_regex"]) or _like_relus(run)
    findings, evaluated = [], False
    for name in names:
        series = _inactive(run, name, parameters["threshold_inactivity"])
        if series is None:
            continue
        evaluated = True
        hit = series.values * 100 >= parameters["threshold_layer"]
        begin = _lasting(hit, parameters["patience"])
        if begin >= 0 and _dead_over_batches(run, name, series.steps[begin:], parameters):
            hit[:begin] = False
            findings.append(_layer_finding(name, series, hit, "inactive", mode=selection.first_mode(run, name)))
    if evaluated:
        return together(findings, "{count} ReLU layers are dead, first at step {begin}: {names}.")
    findings = together(
        _without_gradient(run, parameters),
        "No gradient reaches the units of {count} layers, first at step {begin}: {names}.",
    )
    return Answer(findings, advice=NO_GRADIENT_ADVICE if findings else "")


def _lasting(hit: NDArray[np.bool_], patience: int) -> int:
    """Index at which a state begins that lasts to the end; -1 if it does not last, or is too short."""
    begin = curves.first_streak(hit, min(patience, len(hit)))
    return begin if begin >= 0 and hit[-1] and hit[begin:].mean() >= 0.8 else -1


def _like_relus(run: Evidence) -> list[str]:
    """Outputs recorded in full that look like those of a ReLU: never negative, and exactly zero in places.

    smdebug names the modules of a Sequential by number, so the name does not show their type.
    """
    found = []
    for name in run.recorded_names():
        if "_output_" not in name:
            continue
        steps = run.steps_in_full(name, TRAIN)
        if not len(steps):
            continue
        value = run.value(name, int(steps[0]), TRAIN)
        if value.ndim < 2 or not value.size or value.dtype.kind != "f":
            continue
        if float(value.min()) == 0 and float(value.mean()) < np.inf:
            found.append(name)
    return selection.natural(found)


def _dead_over_batches(run: Evidence, name: str, steps: NDArray[np.int64], parameters: Parameters) -> bool:
    """Whether units are inactive over all of the last batches together; True if outputs were not recorded in full."""
    mode = selection.first_mode(run, name)
    full = set(run.steps_in_full(name, mode).tolist())
    batches = [run.value(name, step, mode) for step in steps.tolist()[-8:] if step in full]
    if not batches or len({batch.shape[1:] for batch in batches}) > 1:
        return True
    whole = inactive_fraction(np.concatenate(batches), parameters["threshold_inactivity"])
    return bool(whole * 100 >= parameters["threshold_layer"])


def _without_gradient(run: Evidence, parameters: Parameters) -> list[Finding]:
    """If no activations were recorded: units whose bias gets a gradient of exactly zero, as with dead ReLUs."""
    biases = [name for name in selection.gradients(run) if name.endswith("bias")]
    table = Gradients.of(run)
    shares = [(name, run.reduction(name, "zero_fraction", TRAIN)) for name in biases]
    known = [(name, series) for name, series in shares if series is not None]
    if not known or table is None or len(known) < 2:
        raise NotEvaluated(NO_RELU)
    findings = []
    for name, series in known:
        hit = series.values * 100 >= parameters["threshold_layer"]
        begin = _lasting(hit, parameters["patience"])
        # If the loss is zero, all gradients are zero.
        others = [other.values[-1] for one, other in known if one != name]
        if begin >= 0 and min(others) < 0.5:
            hit[:begin] = False
            layer = name.removeprefix(selection.GRADIENT)
            findings.append(_layer_finding(layer, series, hit, "without any gradient", mode=TRAIN))
    return findings


def _saturated_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: more than threshold_layer percent of a layer's nodes have inputs beyond the activation's limits."""
    run = evidences.of(trial)
    shares = {name: _saturated(run, name, kind, parameters) for name, kind in _bounded(run, parameters["tensor_regex"])}
    findings = _layers_above(run, shares, parameters["threshold_layer"], "saturated", missing=NO_SIGMOID)
    return together(findings, "{count} layers are mostly saturated, first at step {begin}: {names}.")


def _bounded(run: Evidence, pattern: str) -> list[tuple[str, str]]:
    """Name and kind (sigmoid or tanh) of the tensors of such layers."""
    found = {}
    collected = {kind: selection.members(run, f"{kind}_output") for kind in ("tanh", "sigmoid")}
    for name in run.recorded_names():
        kind = next((kind for kind in collected if kind in name.lower()), "")
        if kind and (name in collected[kind] or selection.matches(pattern, name, flags=re.IGNORECASE)):
            found[name] = kind
    # If both inputs and outputs of a layer were recorded, only the inputs are evaluated.
    return [
        (name, found[name])
        for name in selection.natural(found)
        if not ("_output_" in name and name.replace("_output_", "_input_") in found)
    ]


def _saturated(run: Evidence, name: str, kind: str, parameters: Parameters) -> Series | None:
    low, high = _limits(kind, parameters, of_outputs="output" in name.lower())
    inactivity = parameters["threshold_inactivity"]
    return _by_step(run, name, "saturated_fraction", lambda value: saturated_fraction(value, low, high, inactivity))


def _limits(kind: str, parameters: Parameters, *, of_outputs: bool) -> tuple[float, float]:
    """The limits of the inputs of an activation, or of its outputs, which increase with the inputs."""
    low, high = parameters[f"threshold_{kind}_min"], parameters[f"threshold_{kind}_max"]
    return (float(_value_of(kind, low)), float(_value_of(kind, high))) if of_outputs else (low, high)


def _value_of(kind: str, limit: float) -> np.float32:
    """The activation at a limit, in float32 precision, so that recorded outputs can be equal to it."""
    value = float(np.tanh(limit) if kind == "tanh" else 1 / (1 + np.exp(-limit)))
    rounded: np.float32 = np.float32(value)
    return rounded


def _saturated_default(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Ours: over several recorded steps, most values of a layer are where the gradient shrinks to a thousandth."""
    run = evidences.of(trial)
    findings, evaluated = [], False
    for name, kind in _bounded(run, parameters["tensor_regex"]) or _like_bounded(run):
        low, high = _limits(kind, parameters, of_outputs="input" not in name.lower())
        series = _by_step(run, name, "saturated_fraction", _share_beyond(low, high))
        if series is None:
            continue
        evaluated = True
        hit = series.values * 100 > parameters["threshold_layer"]
        begin = _lasting(hit, parameters["patience"])
        if begin >= 0:
            hit[:begin] = False
            findings.append(_layer_finding(name, series, hit, "saturated", mode=selection.first_mode(run, name)))
    if not evaluated:
        raise NotEvaluated(NO_SIGMOID)
    return together(findings, "{count} layers are saturated, first at step {begin}: {names}.")


def _share_beyond(low: float, high: float) -> Callable[[NDArray[Any]], float]:
    return lambda value: float(((value <= low) | (value >= high)).mean()) if value.size else float("nan")


def _like_bounded(run: Evidence) -> list[tuple[str, str]]:
    """Outputs recorded in full whose range is that of a sigmoid or tanh. The rows of a softmax sum to one."""
    found = []
    for name in selection.natural(run.recorded_names()):
        if "_output_" not in name:
            continue
        steps = run.steps_in_full(name, TRAIN)
        if not len(steps):
            continue
        value = run.value(name, int(steps[0]), TRAIN)
        lowest, highest = run.reduction(name, "min", TRAIN), run.reduction(name, "max", TRAIN)
        if value.ndim < 2 or not value.size or value.dtype.kind != "f" or lowest is None or highest is None:
            continue
        if not lowest.values.min() >= -1 or not highest.values.max() <= 1:  # at any step; NaN is not a bounded output
            continue
        sums = value.sum(axis=-1)
        if value.min() < 0 < value.max():
            found.append((name, "tanh"))
        elif (
            value.max() > 0.5 and value.min() >= 0 and not np.allclose(sums, 1, atol=1e-3) and (value == 0).mean() < 0.1
        ):
            found.append((name, "sigmoid"))
    return found


RULES = (
    Rule(
        name="DeadRelu",
        judge=_dead_default,
        judge_aws=_dead_aws,
        aws={"tensor_regex": ".*relu_output|.*ReLU_output", "threshold_inactivity": 1.0, "threshold_layer": 50.0},
        default={
            "tensor_regex": ".*relu_output|.*ReLU_output",
            "threshold_inactivity": 1.0,
            "threshold_layer": 80.0,  # 13 of 16 units, each off with probability 1/2, are off in 1% of layers
            "patience": 3,  # recorded steps in a row, or all if there are fewer
        },
        description="ReLU layers in which almost no unit fires any more.",
        advice=(
            "Divide lr by 3 and warm it up; initialize biases to 0 or above; use a leaky ReLU or a narrower "
            "hidden layer (hidden)."
        ),
        bounds={"threshold_inactivity": PERCENTAGE, "threshold_layer": PERCENTAGE, "patience": COUNT},
        precedes=("ExplodingTensor",),
        explanation=Explanation(
            computes=(
                "At least `threshold_layer` percent of a ReLU layer's units are active in less than "
                "`threshold_inactivity` percent of the samples, over `patience` recorded steps, until the end; where "
                "outputs were recorded in full, over all of the last batches together. Without recorded activations: "
                "biases whose gradient is exactly zero."
            ),
            computes_aws=(
                "More than `threshold_layer` percent of the units are active in less than `threshold_inactivity` "
                "percent of the samples, at any step."
            ),
            parameters={
                "tensor_regex": "regular expression of the outputs of ReLUs",
                "threshold_inactivity": "a unit that is active in less than this percentage of the samples is inactive",
                "threshold_layer": "percentage of a layer's units that must be inactive",
                "patience": "recorded steps in a row",
            },
            causes=("dead-relus", "learning-rate-too-high", "bad-initialization"),
            sources=("Lu et al., Dying ReLU and Initialization: Theory and Numerical Examples (2019)",),
        ),
        order=90,
        aws_name="DeadRelu",
        collections=("relu_output",),
    ),
    Rule(
        name="SaturatedActivation",
        judge=_saturated_default,
        judge_aws=_saturated_aws,
        aws={
            "tensor_regex": ".*tanh_input|.*sigmoid_input",
            "threshold_tanh_min": SATURATION["tanh"][0],
            "threshold_tanh_max": SATURATION["tanh"][1],
            "threshold_sigmoid_min": SATURATION["sigmoid"][0],
            "threshold_sigmoid_max": SATURATION["sigmoid"][1],
            "threshold_inactivity": 1.0,
            "threshold_layer": 50.0,
        },
        default={
            "tensor_regex": ".*tanh|.*sigmoid",
            # The derivative falls to a thousandth of its maximum there: 1 - tanh(4.15)^2, and 4 s (1 - s) at 8.3.
            "threshold_tanh_min": -4.15,
            "threshold_tanh_max": 4.15,
            "threshold_sigmoid_min": -8.3,
            "threshold_sigmoid_max": 8.3,
            "threshold_layer": 50.0,
            "patience": 3,
        },
        description="Sigmoid or tanh layers that are stuck at their limits.",
        advice=(
            "Initialize weights with smaller values (Xavier), scale the inputs to mean 0 and variance 1, lower lr, or "
            "use ReLU or a normalization before the activation."
        ),
        bounds={
            "threshold_tanh_min": ANY_NUMBER,
            "threshold_sigmoid_min": ANY_NUMBER,
            "threshold_inactivity": PERCENTAGE,
            "threshold_layer": PERCENTAGE,
            "patience": COUNT,
        },
        precedes=("DeadRelu",),
        explanation=Explanation(
            computes=(
                "More than `threshold_layer` percent of a layer's values lie beyond the limits, over `patience` "
                "recorded steps, until the end. At our limits the derivative is a thousandth of its maximum: `1 - "
                "tanh(4.15)^2`, and `4 s(8.3) (1 - s(8.3))` for the sigmoid `s`."
            ),
            computes_aws=(
                "More than `threshold_layer` percent of a layer's nodes have inputs beyond the limits in all but "
                "`threshold_inactivity` percent of the samples, at any step."
            ),
            parameters={
                "tensor_regex": "regular expression of the inputs or outputs of the activations",
                "threshold_tanh_min": "lower limit of the input of tanh",
                "threshold_tanh_max": "upper limit of the input of tanh",
                "threshold_sigmoid_min": "lower limit of the input of the sigmoid",
                "threshold_sigmoid_max": "upper limit of the input of the sigmoid",
                "threshold_inactivity": "percentage of samples that may lie within the limits",
                "threshold_layer": "percentage of a layer that must be saturated",
                "patience": "recorded steps in a row",
            },
            causes=("saturated-activations", "inputs-not-scaled", "bad-initialization"),
            sources=("Glorot and Bengio (AISTATS 2010)",),
        ),
        order=100,
        aws_name="SaturatedActivation",
        collections=(
            "sigmoid_input",
            "tanh_input",
        ),
    ),
)
