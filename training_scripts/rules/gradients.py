"""VanishingGradient: no gradient reaches a layer, so it does not learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training_scripts.recording.trial import Trial
from training_scripts.rules import evidence as evidences
from training_scripts.rules import selection
from training_scripts.rules.findings import Finding, NotEvaluated, Rule

REMEDY = "Record gradients (collection gradients) with train.save_interval at most a third of the run's steps."


def _vanishing_aws(trial: Trial, parameters: Mapping[str, Any]) -> list[Finding]:
    """AWS: the mean of the absolute values of a gradient is below the threshold at any recorded step."""
    run = evidences.of(trial)
    names = selection.gradients(run)
    if not names:
        raise NotEvaluated(f"No gradients were recorded. {REMEDY}")
    findings = []
    for name in names:
        mode = selection.first_mode(run, name)
        series = run.reduction(name, "abs_mean", mode)
        if series is None:
            continue
        low = series.values < parameters["threshold"]
        if low.any():
            least = float(np.min(series.values[low]))
            findings.append(
                Finding(
                    f"The mean absolute value of {name} is {least:.2g}, below {parameters['threshold']:g}.",
                    tensor=name,
                    mode=mode,
                    steps=tuple(series.steps[low].tolist()),
                    numbers={"abs_mean": least},
                )
            )
    return findings


RULES = (
    Rule(
        name="VanishingGradient",
        judge=_vanishing_aws,
        aws={"threshold": 1e-7},
        default={"threshold": 1e-7},
        description="Gradients so small that layers do not learn.",
        advice=(
            "Use fewer layers (hidden), ReLU instead of sigmoid or tanh, normalisation or residual connections,"
            " or an initialisation that keeps variances (Xavier, He)."
        ),
    ),
)
