"""VanishingGradient: layers that get almost no gradient, so they do not learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import TRAIN, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Explanation, Parameters, Rule
from training_scripts.rules.evidence import curves, learning_rate, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated

WHILE = 3
"""After this many recorded steps with a gradient, it counts as having vanished during the run."""

REMEDY = "Record the collection gradients, with train.save_interval at most a third of the run's steps."


def _vanishing_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: the mean absolute value of a gradient is below the threshold at any recorded step."""
    run = evidences.of(trial)
    findings, evaluated = [], False
    for name in selection.gradients(run):
        mode = selection.first_mode(run, name)
        series = run.reduction(name, "abs_mean", mode)
        if series is None:
            continue
        evaluated = True
        low = series.values < parameters["threshold"]
        if low.any():
            least = float(np.min(series.values[low]))
            message = (
                f"The mean absolute value of {name} is {number_text(least, 2)}, below"
                f" {number_text(parameters['threshold'])}."
            )
            steps = tuple(series.steps[low].tolist())
            findings.append(Finding(message, tensor=name, mode=mode, steps=steps, numbers={"abs_mean": least}))
    if not evaluated:
        raise NotEvaluated(f"No gradients were recorded. {REMEDY}")
    return findings


def _vanishing_default(trial: Trial, parameters: Parameters) -> list[Finding] | Answer:
    """Ours: at several steps in a row, layers get almost no gradient while others get some, and the run does not learn.

    When a run converges, the gradients of all layers shrink together, so each is compared with the largest one at the
    same step. Adam compensates for small gradients, so a small share alone is not a fault in a run that learns. Below
    the absolute threshold it is a fault in any run: Adam's epsilon (1e-8) and the resolution of float32 dominate there.
    """
    run = evidences.of(trial)
    table = Gradients.of(run)
    if table is None:
        raise NotEvaluated(f"No gradients of weights were recorded. {REMEDY}")
    seen = learning(run)
    learned = seen is not None and (seen.learned or seen.falling)
    largest = table.lengths.max(axis=0)
    # If all gradients are zero, no layer gets less than another.
    share = np.where(largest > 0, table.lengths / np.where(largest > 0, largest, 1), 1.0)
    tiny = (table.sizes < parameters["threshold"]) & (share < parameters["share_beside_threshold"])
    if not learned:
        tiny |= share < parameters["share"]
    # If no layer gets a gradient, there is no largest one to compare with. But a high loss should produce gradients.
    dead = table.sizes.max(axis=0) < parameters["threshold"]
    if seen is not None and not learned and seen.final.mean > seen.floor > 0:
        tiny |= dead[None, :]
    patience = min(parameters["patience"], len(table.steps))
    findings = []
    for row, name in enumerate(table.names):
        begin = curves.first_streak(tiny[row], patience)
        # A layer whose gradient comes and goes still learns. So it must be tiny at most later steps, and at the last.
        if begin < 0 or not tiny[row, -1] or tiny[row, begin:].mean() < 0.5:
            continue
        findings.append(_one(table, row, name, begin))
    return Answer(_grouped(findings, len(table.names)), advice=_advice(run, table, findings))


def _advice(run: Evidence, table: Gradients, findings: list[Finding]) -> str:
    """Advice if gradients arrived for a while, so that the depth of the network cannot be the cause."""
    begin = min((finding.steps[0] for finding in findings), default=0)
    before = int((table.steps < begin).sum())
    # Depth makes gradients small. Only dead or disconnected units make them zero.
    nothing = bool(findings) and not any(finding.numbers["abs_mean"] for finding in findings)
    if nothing and not before:
        return (
            "Gradients are exactly zero, which depth alone does not cause: look at DeadRelu first, and for layers "
            "that are disconnected from the loss."
        )
    if before < (1 if nothing else WHILE):
        return ""
    return (
        f"{learning_rate.lower(run)}: gradients arrived until step {begin}, so layers have"
        " saturated or died since then. See DeadRelu and SaturatedActivation."
    )


@dataclass(frozen=True)
class Gradients:
    """Gradients of the weights, at the steps at which all were recorded.

    Attributes:
        names: The tensors.
        steps: TRAIN steps, int64 [steps].
        sizes: Mean absolute values, float64 [tensors, steps].
        lengths: Norms (l2), float64 [tensors, steps]; `sizes` if one of the tensors lacks them.
    """

    names: list[str]
    steps: NDArray[np.int64]
    sizes: NDArray[np.float64]
    lengths: NDArray[np.float64]

    @classmethod
    def of(cls, run: Evidence) -> Gradients | None:
        """The gradients of a run at steps where all are finite; None if there are none."""
        if "weight gradients" not in run.kept:
            run.kept["weight gradients"] = cls._read(run)
        kept: Gradients | None = run.kept["weight gradients"]
        return kept

    @classmethod
    def _read(cls, run: Evidence) -> Gradients | None:
        found = {name: run.reduction(name, "abs_mean", TRAIN) for name in selection.weight_gradients(run)}
        known = {name: series for name, series in found.items() if series is not None}
        if not known:
            return None
        longest = max((series.steps for series in known.values()), key=len)
        # A layer that was added later, or that lacks a step, cannot be compared with the others.
        names = [name for name, series in known.items() if np.array_equal(series.steps, longest)]
        sizes = np.array([known[name].values for name in names])
        norms = [run.reduction(name, "l2", TRAIN) for name in names]
        # Norms and mean absolute values cannot be compared with each other, so one of them serves for all layers.
        complete = [one.values for one in norms if one is not None and len(one) == len(longest)]
        lengths = np.array(complete) if len(complete) == len(names) else sizes
        finite = np.isfinite(sizes).all(axis=0) & np.isfinite(lengths).all(axis=0)
        if not finite.any():
            return None
        return cls(names, longest[finite], sizes[:, finite], lengths[:, finite])


def _one(table: Gradients, row: int, name: str, begin: int) -> Finding:
    size, length = table.sizes[row, begin:], table.lengths[row, begin:]
    largest = table.lengths[:, begin:].max(axis=0)
    median = float(np.median(size))
    share = float(np.median(length / np.maximum(largest, 1e-300)))
    if not median:
        weight = name.removeprefix(selection.GRADIENT)
        said = f"No gradient at all reaches {weight} from step {int(table.steps[begin])} on."
        steps = tuple(table.steps[begin:].tolist())
        return Finding(said, tensor=name, mode=TRAIN, steps=steps, numbers={"abs_mean": 0.0, "share_of_largest": 0.0})
    return Finding(
        f"The mean absolute value of {name} is {number_text(median, 2)} from step {int(table.steps[begin])} on,"
        f" and the gradient is {number_text(share, 1)} times the largest one.",
        tensor=name,
        mode=TRAIN,
        steps=tuple(table.steps[begin:].tolist()),
        numbers={"abs_mean": median, "share_of_largest": share},
    )


def _grouped(findings: list[Finding], layers: int) -> list[Finding]:
    """Puts a sentence about all layers first, if there are several."""
    if len(findings) < 2:
        return findings
    least = min(findings, key=lambda finding: finding.numbers["abs_mean"])
    begin = min(finding.steps[0] for finding in findings)
    told = (
        f"a mean absolute value of {number_text(least.numbers['abs_mean'], 2)},"
        f" {number_text(least.numbers['share_of_largest'], 1)} times the largest gradient"
        if least.numbers["abs_mean"]
        else "a gradient of exactly zero"
    )
    together = Finding(
        f"{len(findings)} of {layers} weight tensors get almost no gradient from step {begin} on; the smallest is"
        f" {least.tensor} with {told}.",
        mode=TRAIN,
        steps=tuple(sorted({step for finding in findings for step in finding.steps})),
        numbers={"tensors": len(findings), "of": layers, "abs_mean": least.numbers["abs_mean"]},
    )
    return [together, *sorted(findings, key=lambda finding: finding.numbers["abs_mean"])]


RULES = (
    Rule(
        name="VanishingGradient",
        judge=_vanishing_default,
        judge_aws=_vanishing_aws,
        aws={"threshold": 1e-7},
        default={
            # AWS's. Below it, Adam's epsilon of 1e-8 and the resolution of float32 dominate.
            "threshold": 1e-7,
            # The share of the largest gradient below which a gradient under the threshold counts. In a network that
            # converges, all layers stay above a hundredth.
            "share_beside_threshold": 1e-3,
            # The share of the largest gradient that is enough evidence if the run does not learn. At PyTorch's
            # initialization, the smallest gradient is 0.003 times the largest with 4 sigmoid layers, 0.0006 with 5 and
            # 0.00006 with 6; with ReLUs it is 0.4 with 6 layers and 0.02 with 10.
            "share": 1e-3,
            # Recorded steps in a row, or all if there are fewer: a single batch may be an exception.
            "patience": 3,
        },
        description="Layers that get almost no gradient while others get some.",
        advice=(
            "Use fewer layers (hidden), ReLU instead of sigmoid or tanh, normalization or residual connections, or an"
            " initialization that preserves variances (Xavier, He). If it began in the middle of the run, lower lr: "
            "layers may have saturated or died."
        ),
        bounds={"share_beside_threshold": SHARE, "share": SHARE, "patience": COUNT},
        precedes=("AllZero",),
        explanation=Explanation(
            computes=(
                "Per weight tensor and recorded training step: `size = mean(abs(gradient))`, and `ratio = "
                "norm(gradient) / largest norm of any layer at this step`. A step counts if `size < threshold` and "
                "`ratio < share_beside_threshold`; in a run that does not learn, also if `ratio < share`, or if no "
                "layer has a gradient although the loss is above its floor. The rule fires for a tensor if `patience` "
                "recorded steps in a row count, most later ones do, and the last one does."
            ),
            computes_aws="`mean(abs(gradient)) < threshold` at any recorded step.",
            parameters={
                "threshold": "mean absolute gradient below which a layer counts as getting none",
                "share_beside_threshold": (
                    "share of the largest gradient below which a gradient under `threshold` counts"
                ),
                "share": "share of the largest gradient that is enough evidence if the run does not learn",
                "patience": "recorded steps in a row",
            },
            causes=("vanishing-gradients", "dead-relus", "saturated-activations", "frozen"),
            sources=(
                (
                    "Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks "
                    "(AISTATS 2010): gradients of deep sigmoid networks"
                ),
            ),
        ),
        order=10,
        aws_name="VanishingGradient",
        collections=("gradients",),
    ),
)
