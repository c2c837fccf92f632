"""SimilarAcrossRuns: whether a run reproduces another one."""

from __future__ import annotations

import math

import numpy as np

from training_scripts._util.number_text import number_text
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.trial import EVAL, TRAIN, Trial
from training_scripts.rules.declaration import Explanation, Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.epochs import loss_names
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.grouping import long_list, together


def _similar(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Compares the same tensors at the same steps of both runs, and reports those that differ by more than allowed."""
    run = evidences.of(trial)
    if not run.others:
        raise NotEvaluated("There is no other run to compare with: pass one (compare_with, or others=).")
    wanted = parameters["other_trial"]
    others = [other for other in run.others if wanted in (None, other.name)]
    if not others:
        there = ", ".join(other.name for other in run.others)
        raise NotEvaluated(f"No run is called {wanted!r} (other_trial); runs to compare with: {there}.")
    names = selection.chosen(run, parameters, loss_names(run) if parameters["losses_only"] else selection.tensors(run))
    findings, compared = [], 0
    for other in map(evidences.of, others):
        found = []
        for name in names:
            for mode in (TRAIN, EVAL):
                pair = _differences(run, other, name, mode, parameters)
                if pair is None:
                    continue
                compared += 1
                if pair.steps:
                    found.append(pair)
        findings += together(found, f"{{count}} tensors differ from {other.name}, first at step {{begin}}: {{names}}.")
    if not compared:
        there = ", ".join(one.name for one in others)
        raise NotEvaluated(f"No tensor was recorded at the same steps as in {there}.")
    return findings


def _differences(run: Evidence, other: Evidence, name: str, mode: str, parameters: Parameters) -> Finding | None:
    """How a tensor differs between two runs; no steps if it does not differ, None if it cannot be compared."""
    if not other.has(name):
        return None
    ours, theirs = run.steps_in_full(name, mode), other.steps_in_full(name, mode)
    common = np.intersect1d(ours, theirs)
    tolerance = {"rtol": parameters["rtol"], "atol": parameters["atol"], "equal_nan": True}
    steps, worst = [], 0.0
    if len(common):
        for step in common.tolist():
            one, two = run.value(name, step, mode), other.value(name, step, mode)
            if one.shape != two.shape or not np.allclose(one, two, **tolerance):
                steps.append(step)
                worst = max(worst, _distance(one, two) if one.shape == two.shape else math.inf)
    else:
        mine, counterpart = run.reduction(name, "mean", mode), other.reduction(name, "mean", mode)
        if mine is None or counterpart is None:
            return None
        common, at, where = np.intersect1d(mine.steps, counterpart.steps, return_indices=True)
        if not len(common):
            return None
        differ = ~np.isclose(mine.values[at], counterpart.values[where], **tolerance)
        steps = common[differ].tolist()
        worst = _distance(mine.values[at], counterpart.values[where])
    return Finding(
        f"{name} ({mode}) differs from {other.name} at {len(steps):,} of {len(common):,} steps, first at"
        f" {steps[0] if steps else '-'}, by {number_text(worst, 3)} at most.",
        tensor=name,
        mode=mode,
        steps=long_list(steps),
        numbers={"largest_difference": worst, "steps": len(steps), "of": len(common)},
    )


def _distance(one: Array, two: Array) -> float:
    """The largest difference of two elements, which may be integers or truth values; infinite if only one is NaN."""
    first, second = one.astype(np.float64), two.astype(np.float64)
    apart = np.abs(first - second)
    same = (first == second) | (np.isnan(first) & np.isnan(second))  # equal infinities too, whose difference is NaN
    return float(np.nan_to_num(np.where(same, 0.0, apart), nan=math.inf, posinf=math.inf).max(initial=0.0))


RULES = (
    Rule(
        name="SimilarAcrossRuns",
        judge=_similar,
        aws={**selection.TENSOR_CHOICE, "other_trial": None, "losses_only": False, "rtol": 1e-5, "atol": 1e-8},
        default={
            **selection.TENSOR_CHOICE,
            "other_trial": None,
            "losses_only": True,  # the same run has the same losses; weights differ in the last digits between machines
            "rtol": 0.01,  # machines sum in different orders, and training amplifies the differences: one percent
            "atol": 1e-6,
        },
        description="Runs that should be alike but are not.",
        advice=(
            "Compare seed, hyperparameters, data and library versions of both runs; look at the first step that"
            " differs."
        ),
        bounds={},
        explanation=Explanation(
            computes=(
                "`numpy.allclose(ours, theirs, rtol, atol)` of each tensor at each step that both runs recorded; of "
                "the means where values were not recorded in full."
            ),
            parameters={
                **selection.TENSOR_CHOICE_MEANING,
                "other_trial": "name of the run to compare with; all others by default",
                "losses_only": "compare losses only",
                "rtol": "relative tolerance",
                "atol": "absolute tolerance",
            },
        ),
        order=160,
        aws_name="SimilarAcrossRuns",
        collections=("losses",),
    ),
)
