"""PoorWeightInitialization: initial weights from which the network cannot learn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import TRAIN, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import layers, selection
from training_scripts.rules.evidence.chance_level import Learning, learning
from training_scripts.rules.evidence.epochs import training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.grouping import together
from training_scripts.rules.tensors.vanishing_gradient import Gradients

NO_START = (
    "Neither weights nor gradients were recorded in the first {steps} steps (steps). Record the collections weights "
    "and gradients from step 0 on (recorder=builtin does; for smdebug, start_step 0)."
)


def _aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: in the first steps, variances differ too much, gradients are too narrow, or the loss does not fall."""
    run = evidences.of(trial)
    limit = parameters["steps"]
    inputs = [name for name in run.recorded_names() if selection.matches(parameters["activation_inputs_regex"], name)]
    variances = _early(run, inputs or selection.weights(run), "std", limit)
    widths = _widths(run, limit)
    loss = training_loss(run)
    early = loss is not None and len(loss) and loss.steps[0] < limit
    if not variances and not widths and not early:
        raise NotEvaluated(NO_START.format(steps=limit))
    found = [_ratio(variances, parameters["threshold"]), _narrow(widths, parameters["distribution_range"])]
    if loss is not None and early:
        inside = loss.steps < limit
        found.append(_stuck(loss.steps[inside], loss.values[inside], parameters["patience"]))
    return [finding for finding in found if finding is not None]


def _early(run: Evidence, names: list[str], kind: str, limit: int) -> dict[int, list[tuple[float, str]]]:
    """Step below the limit -> (reduction, tensor name) of all tensors that have it."""
    found: dict[int, list[tuple[float, str]]] = {}
    for name in names:
        series = run.reduction(name, kind, selection.first_mode(run, name))
        if series is not None:
            for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
                if step < limit:
                    found.setdefault(step, []).append((value, name))
    return found


def _ratio(variances: dict[int, list[tuple[float, str]]], threshold: float) -> Finding | None:
    steps, worst, text = [], 0.0, ""
    for step, spreads in sorted(variances.items()):
        (least, narrow), (most, wide) = min(spreads), max(spreads)
        ratio = (most / least) ** 2 if least else (math.inf if most else 1.0)
        if ratio > threshold:
            steps.append(step)
            if ratio > worst:
                worst, text = ratio, f"{wide} {number_text(most**2, 2)}, {narrow} {number_text(least**2, 2)}"
    if not steps:
        return None
    message = (
        f"Variances of layers differ by a factor of {number_text(worst, 3)} (limit {number_text(threshold)}): {text}."
    )
    return Finding(message, mode=TRAIN, steps=tuple(steps), numbers={"variance_ratio": worst})


def _widths(run: Evidence, limit: int) -> dict[int, tuple[float, str]]:
    """Step below the limit -> the smallest range from 5th to 95th percentile of a gradient, and the gradient's name."""
    narrowest: dict[int, tuple[float, str]] = {}
    for name in selection.gradients(run):
        for step in run.steps_in_full(name, TRAIN).tolist():
            if step < limit:
                low, high = np.percentile(run.value(name, step, TRAIN), [5, 95])
                narrowest[step] = min(narrowest.get(step, (math.inf, "")), (float(high - low), name))
    return narrowest


def _narrow(widths: dict[int, tuple[float, str]], distribution_range: float) -> Finding | None:
    hit = {step: width for step, width in widths.items() if width[0] < distribution_range}
    if not hit:
        return None
    width, name = min(hit.values())
    return Finding(
        f"90% of the values of {name} lie within a range of {number_text(width, 2)}, less than "
        f"{number_text(distribution_range)}.",
        tensor=name,
        mode=TRAIN,
        steps=tuple(sorted(hit)),
        numbers={"p95_minus_p5": width},
    )


def _stuck(steps: NDArray[np.int64], values: NDArray[np.float64], patience: int) -> Finding | None:
    best, waited = math.inf, 0
    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited >= patience:
            message = f"The loss did not fall for {patience} of the first steps, up to step {step}."
            return Finding(message, mode=TRAIN, steps=(step,), numbers={"best": best})
    return None


def _default(trial: Trial, parameters: Parameters) -> Answer:
    """Ours: an initialization that is wrong in any case, or one that the run did not recover from.

    AWS's three signs alone show nothing. Layers of different widths have different variances by design (Xavier, He),
    narrow gradients are usual in wide layers, and the loss of single steps may rise.
    """
    run = evidences.of(trial)
    names = selection.trained_weights(run)
    table = Gradients.of(run)
    early = _early(run, names, "std", parameters["steps"])
    begun = table is not None and bool((table.steps < parameters["steps"]).any())
    if not early and not begun:
        raise NotEvaluated(NO_START.format(steps=parameters["steps"]))
    found = _alike(run, names, parameters["steps"]) + _too_wide(run, names, parameters)
    seen = learning(run)
    if seen is not None:
        found += _too_large_outputs(run, seen, parameters)
    if seen is not None and len(seen.values) >= parameters["min_points"] and not seen.learned and not seen.falling:
        found += _from_the_start(run, names, table, parameters)
    # Small gradients in the first step are not a separate cause: they are a vanishing gradient.
    only_faint = bool(found) and all("share_of_largest" in one.numbers for one in found)
    return Answer(found, place_of="VanishingGradient" if only_faint else "")


def _alike(run: Evidence, names: list[str], limit: int) -> list[Finding]:
    """Reports equal weights: units that begin as copies of each other stay copies."""
    found = []
    for name in names:
        steps = _constant_steps(run, name)
        recorded = run.tensor(name).steps(TRAIN)
        if not steps or steps[0] != recorded[0] or recorded[0] >= limit:
            continue
        # A layer that begins at zero, such as a new head, gets different gradients, so its units differ after one step.
        # No weight matrix begins at another constant on purpose.
        at_zero = zeros_at(run, name, recorded[0])
        lasts = len(recorded) == 1 or recorded[1] in steps
        if not lasts and (at_zero or not (layers.inputs(run, name) or 0) > 1):
            continue
        found.append(
            Finding(
                f"The units of {name} begin as copies of each other, so all of them learn the same.",
                tensor=name,
                mode=TRAIN,
                steps=tuple(steps[:50]),
            )
        )
    recorded = run.tensor(found[0].tensor).steps(TRAIN) if len(found) == 1 else []
    if len(recorded) == 1 and zeros_at(run, found[0].tensor, recorded[0]):
        return []  # one layer that was recorded once: a usual start at zero
    return together(
        found, "The units of {count} layers begin as copies of each other, so all of them learn the same: {names}."
    )


def zeros_at(run: Evidence, name: str, step: int) -> bool:
    """Whether a tensor is known to contain only zeros at a recorded step."""
    length = run.reduction(name, "abs_mean", TRAIN) or run.reduction(name, "l2", TRAIN)
    return length is not None and bool((length.values[length.steps == step] == 0).any())


def _constant_steps(run: Evidence, name: str) -> list[int]:
    full = run.steps_in_full(name, TRAIN).tolist()
    if full:
        steps = []
        for step in full[:3]:
            value = run.value(name, step, TRAIN)
            if value.ndim >= 2 and len(value) > 1 and bool((value == value[:1]).all()):
                steps.append(step)
        return steps
    spread, mean = run.reduction(name, "std", TRAIN), run.reduction(name, "mean", TRAIN)
    if spread is None or mean is None or len(spread) != len(mean):
        return []
    # The scale of a normalization begins at 1. Reductions do not show its shape, but they show this value.
    constant = (spread.values <= 1e-12 * np.abs(mean.values)) & (mean.values != 1)
    return [int(step) for step in spread.steps[constant][:3]]


def _from_the_start(run: Evidence, names: list[str], table: Gradients | None, parameters: Parameters) -> list[Finding]:
    found = []
    if table is not None and table.steps[0] < parameters["steps"]:
        found += _uneven(table, parameters["share"])
    for name in names:
        gain = layers.gain(run, name, parameters["steps"])
        if gain is not None and gain < parameters["min_gain"]:
            found.append(_gain_finding(run, name, gain, parameters))
    return found


def _too_wide(run: Evidence, names: list[str], parameters: Parameters) -> list[Finding]:
    """Reports layers that amplify their signals too much. That is wrong even if the run recovers in the end."""
    gains = {name: layers.gain(run, name, parameters["steps"]) for name in names}
    return [
        _gain_finding(run, name, gain, parameters)
        for name, gain in gains.items()
        if gain is not None and gain > parameters["max_gain"]
    ]


def _gain_finding(run: Evidence, name: str, gain: float, parameters: Parameters) -> Finding:
    low, high = parameters["min_gain"], parameters["max_gain"]
    return Finding(
        f"{name} begins with a standard deviation of {number_text(gain, 2)} / sqrt(inputs), outside "
        f"{number_text(low)} to {number_text(high)}: each such layer makes signals "
        f"{'smaller' if gain < low else 'larger'} by that factor.",
        tensor=name,
        mode=TRAIN,
        steps=(run.tensor(name).steps(TRAIN)[0],),
        numbers={"gain": gain},
    )


def _too_large_outputs(run: Evidence, seen: Learning, parameters: Parameters) -> list[Finding]:
    """Reports a first loss far above chance level: an extreme one, or one that the run did not recover from."""
    if seen.chance is None or seen.steps[0] >= parameters["steps"]:
        return []
    classes = run.run.get("classes")
    # If nearly all pictures are of one class, the chance-level loss is close to 0. A guess without knowledge of the
    # class counts has a higher loss.
    even = math.log(len(classes)) if isinstance(classes, (list, tuple)) and len(classes) > 1 else 0.0
    guess, first = max(seen.chance, even), float(seen.values[0])
    stuck = len(seen.values) >= parameters["min_points"] and not seen.learned and not seen.falling
    if first <= (parameters["times_chance"] if stuck else parameters["times_chance_at_all"]) * guess:
        return []
    return [
        Finding(
            f"The loss begins at {number_text(first, 3)}, while guessing gives {number_text(guess, 3)}: the initial "
            "outputs are far too large.",
            mode=TRAIN,
            steps=(int(seen.steps[0]),),
            numbers={"initial": first, "chance": guess},
        )
    ]


def _uneven(table: Gradients, share: float) -> list[Finding]:
    first = table.lengths[:, 0]
    least, most = int(np.argmin(first)), int(np.argmax(first))
    if first[most] <= 0 or first[least] >= share * first[most]:
        return []
    low, high = (table.names[place].removeprefix(selection.GRADIENT) for place in (least, most))
    ratio = float(first[least] / first[most])
    arrives = f"a gradient of only {number_text(ratio, 1)} times that of {high}" if ratio else "no gradient at all"
    return [
        Finding(
            f"At step {int(table.steps[0])}, {low} gets {arrives}: the initialization blocks it.",
            tensor=table.names[least],
            mode=TRAIN,
            steps=(int(table.steps[0]),),
            numbers={"share_of_largest": ratio},
        )
    ]


RULES = (
    Rule(
        name="PoorWeightInitialization",
        judge=_default,
        judge_aws=_aws,
        aws={
            "activation_inputs_regex": ".*relu_input",
            "threshold": 10.0,
            "distribution_range": 0.001,
            "patience": 5,
            "steps": 10,
        },
        default={
            "steps": 10,
            # Losses. Fewer do not show that the run did not recover.
            "min_points": 10,
            # The least share of the largest gradient that each layer must get at the first step.
            "share": 1e-4,
            # The first loss as a multiple of the chance-level loss. Outputs of order 1 give up to twice that loss.
            "times_chance": 5.0,
            # A first loss this many times the chance-level loss is too large even if the run recovers.
            "times_chance_at_all": 10.0,
            # Usual recipes give 0.6 to 1.4. A standard deviation of 0.02 with 512 inputs gives 0.45.
            "min_gain": 0.02,
            # A layer that multiplies its signals by ten saturates, or a few such layers explode.
            "max_gain": 10.0,
        },
        description="Initial weights from which the network cannot learn.",
        advice=(
            "Initialize weights at random with a standard deviation of about 1 / sqrt(inputs) (Xavier for tanh and"
            " sigmoid, He for ReLU; PyTorch's default does), biases at zero."
        ),
        bounds={"patience": COUNT, "steps": COUNT, "min_points": COUNT, "share": SHARE},
        precedes=("WeightUpdateRatio",),
        explanation=Explanation(
            computes=(
                "Within the first `steps` steps: units of a layer that begin as copies of each other; a gain "
                "`std(weights) * sqrt(inputs)` above `max_gain`; a first loss above `times_chance_at_all` times the "
                "chance-level loss. In a run that did not recover, also a first loss above `times_chance` times that "
                "loss, a gain below `min_gain`, or a layer whose first gradient is below `share` of the largest one."
            ),
            computes_aws=(
                "Within the first `steps` steps: the largest variance of a layer is more than `threshold` times the "
                "smallest; or `p95 - p5` of a gradient is below `distribution_range`; or the loss has no new minimum "
                "for `patience` steps."
            ),
            parameters={
                "activation_inputs_regex": (
                    "regular expression of the inputs whose variances are compared; the weights if none was recorded"
                ),
                "threshold": "largest allowed ratio of two layers' variances",
                "distribution_range": "smallest allowed range from the 5th to the 95th percentile of a gradient",
                "patience": "steps without a lower loss",
                "steps": "number of first steps that are evaluated",
                "min_points": "losses without which the run is not called stuck",
                "share": "least share of the largest gradient that each layer must get at the first step",
                "times_chance": "first loss as a multiple of the chance-level loss, in a run that did not recover",
                "times_chance_at_all": "the same, in any run",
                "min_gain": "smallest allowed gain, in a run that did not recover",
                "max_gain": "largest allowed gain",
            },
            causes=("bad-initialization", "inputs-not-scaled", "vanishing-gradients"),
            sources=(
                (
                    "Glorot and Bengio (AISTATS 2010) and He et al., Delving Deep into Rectifiers (ICCV 2015): the "
                    "gain of a layer"
                ),
            ),
        ),
        order=80,
        aws_name="PoorWeightInitialization",
        collections=(
            "losses",
            "weights",
            "gradients",
        ),
    ),
)
