"""VanishingGradient: no gradient reaches a layer, so it does not learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.trial import TRAIN, Series, Trial
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.declaration import Answer, Parameters, Rule
from training_scripts.rules.evidence import curves, learning_rate, selection
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated

WHILE = 3
"""Recorded steps with a gradient, from which on it vanished in mid-run."""

REMEDY = "Record the collection gradients, with train.save_interval at most a third of the run's steps."


def _vanishing_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: the mean of the absolute values of a gradient is below the threshold at any recorded step."""
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
    """Ours: layers get almost no gradient while others get some, step after step, and the run does not learn.

    Convergence makes the gradients of all layers small together, so each is measured against the largest of its
    step. Adam makes up for small gradients, so a merely small share is not a fault of a run that learns; below the
    absolute threshold, where Adam's epsilon (1e-8) and float32 end, it is.
    """
    run = evidences.of(trial)
    table = Gradients.of(run)
    if table is None:
        raise NotEvaluated(f"No gradients of weights were recorded. {REMEDY}")
    seen = learning(run)
    learned = seen is not None and (seen.learned or seen.falling)
    largest = table.lengths.max(axis=0)
    share = np.where(largest > 0, table.lengths / np.where(largest > 0, largest, 1), 1.0)  # all nothing: none is less
    tiny = (table.sizes < parameters["threshold"]) & (share < parameters["share_beside_threshold"])
    if not learned:
        tiny |= share < parameters["share"]
    # No gradient at all in any layer: nothing is larger than anything, but a loss that stays high has one to give.
    dead = table.sizes.max(axis=0) < parameters["threshold"]
    if seen is not None and not learned and seen.final.mean > seen.floor > 0:
        tiny |= dead[None, :]
    patience = min(parameters["patience"], len(table.steps))
    findings = []
    for row, name in enumerate(table.names):
        begin = curves.first_streak(tiny[row], patience)
        # Where it comes and goes the layer still learns: most of the steps since then must be so, the last included.
        if begin < 0 or not tiny[row, -1] or tiny[row, begin:].mean() < 0.5:
            continue
        findings.append(_one(table, row, name, begin))
    return Answer(_grouped(findings, len(table.names)), advice=_advice(run, table, findings))


def _advice(run: Evidence, table: Gradients, findings: list[Finding]) -> str:
    """What to do where gradients were there for a while: then the depth of the network is not the reason."""
    begin = min((finding.steps[0] for finding in findings), default=0)
    before = int((table.steps < begin).sum())
    # Depth makes gradients small; only dead or cut off units make them nothing.
    nothing = bool(findings) and not any(finding.numbers["abs_mean"] for finding in findings)
    if nothing and not before:
        return (
            "Gradients are exactly zero, which depth alone does not cause: look at DeadRelu first, and at "
            "what is cut off."
        )
    if before < (1 if nothing else WHILE):
        return ""
    return (
        f"{learning_rate.lower(run)}: gradients arrived until step {begin}, so layers have"
        " saturated or died since. See DeadRelu and SaturatedActivation."
    )


class Gradients:
    """The weights' gradients at the steps at which all of them were recorded: abs_mean and l2 [tensors, steps]."""

    def __init__(
        self,
        names: list[str],
        steps: NDArray[np.int64],
        sizes: NDArray[np.float64],
        lengths: NDArray[np.float64],
    ) -> None:
        self.names = names
        self.steps = steps
        self.sizes = sizes
        self.lengths = lengths

    @classmethod
    def of(cls, run: Evidence) -> Gradients | None:
        """Those of a run, non-finite steps left out; None where there are none."""
        if "weight gradients" not in run.kept:
            run.kept["weight gradients"] = cls._read(run)
        kept: Gradients | None = run.kept["weight gradients"]
        return kept

    @classmethod
    def _read(cls, run: Evidence) -> Gradients | None:
        rows: list[tuple[str, Series, Series]] = []
        for name in selection.weight_gradients(run):
            size = run.reduction(name, "abs_mean", TRAIN)
            length = run.reduction(name, "l2", TRAIN)
            if size is None:
                continue
            if length is None or len(length) != len(size):
                length = size  # without l2, the mean absolute value shows nearly the same
            rows.append((name, size, length))
        if not rows:
            return None
        longest = max((row[1].steps for row in rows), key=len)
        # A layer that came later, or that lacks a step, cannot be compared with the others.
        rows = [row for row in rows if np.array_equal(row[1].steps, longest)]
        sizes = np.array([row[1].values for row in rows])
        lengths = np.array([row[2].values for row in rows])
        finite = np.isfinite(sizes).all(axis=0) & np.isfinite(lengths).all(axis=0)
        if not finite.any():
            return None
        return cls([row[0] for row in rows], longest[finite], sizes[:, finite], lengths[:, finite])


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
        f"{name} is {number_text(median, 2)} in the mean of absolute values from step {int(table.steps[begin])} on,"
        f" {number_text(share, 1)} of the largest gradient.",
        tensor=name,
        mode=TRAIN,
        steps=tuple(table.steps[begin:].tolist()),
        numbers={"abs_mean": median, "share_of_largest": share},
    )


def _grouped(findings: list[Finding], layers: int) -> list[Finding]:
    """One sentence for all layers first, where there are several."""
    if len(findings) < 2:
        return findings
    least = min(findings, key=lambda finding: finding.numbers["abs_mean"])
    begin = min(finding.steps[0] for finding in findings)
    told = (
        f"{number_text(least.numbers['abs_mean'], 2)} in the mean of absolute values,"
        f" {number_text(least.numbers['share_of_largest'], 1)} of the largest gradient"
        if least.numbers["abs_mean"]
        else "none at all"
    )
    together = Finding(
        f"{len(findings)} of {layers} weight tensors get almost no gradient from step {begin} on; the least is"
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
            "threshold": 1e-7,  # AWS's: below, Adam's epsilon of 1e-8 and the resolution of float32 take over
            "share_beside_threshold": 1e-3,  # a thousandth: layers of a network that converges stay within a hundredth
            # of a run that does not learn. At PyTorch's initialization the least gradient is 0.003 of the largest with
            # 4 sigmoid layers, 0.0006 with 5, 0.00006 with 6; 0.4 with 6 ReLU layers, 0.02 with 10
            "share": 1e-3,
            "patience": 3,  # recorded steps in a row, or all where there are fewer: one batch may be an accident
        },
        description="Layers that get almost no gradient while others get some.",
        advice=(
            "Use fewer layers (hidden), ReLU instead of sigmoid or tanh, normalization or residual connections, or an"
            " initialization that keeps variances (Xavier, He). If it began in the middle of the run, lower lr: "
            "the layers before them may have saturated or died."
        ),
        bounds={"share_beside_threshold": SHARE, "share": SHARE, "patience": COUNT},
        precedes=("AllZero",),
        order=10,
        aws_name="VanishingGradient",
        collections=("gradients",),
    ),
)
