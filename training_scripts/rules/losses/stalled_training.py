"""StalledTraining: nothing has been recorded for too long."""

from __future__ import annotations

import math

import numpy as np

from training_scripts.recording.trial.trial import EVAL, GLOBAL, PREDICT, TRAIN, Trial
from training_scripts.rules.declaration import Explanation, Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.findings import Finding, NotEvaluated


def _stalled(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Reports pauses of more than threshold seconds: between two recorded steps, or until now if the run has not ended.

    With `times_usual`, a pause must also be that many times as long as the usual pause. So runs with slow steps, or
    with few recorded steps, are not called stalled. With `abandoned`, a longer pause until now is not reported.
    """
    run = evidences.of(trial)
    tables = [(mode, run.steps(mode)) for mode in (TRAIN, EVAL, PREDICT, GLOBAL)]
    times = np.concatenate([table.times for _, table in tables])
    order = np.argsort(times)[: int(np.isfinite(times).sum())]  # NaN sorts last
    if not len(order):
        raise NotEvaluated("This recording has no times, so it is unknown when steps were recorded.")
    steps = np.concatenate([table.steps for _, table in tables])
    modes = np.repeat([mode for mode, _ in tables], [len(table.steps) for _, table in tables])
    times = times[order]
    gaps = np.diff(times)
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    limit = max(parameters["threshold"], (parameters.get("times_usual") or 0) * usual)
    findings = [
        _pause(modes[order[place]], steps[order[place]], float(gaps[place]), "before the next step", limit)
        for place in np.flatnonzero(gaps > limit).tolist()
    ]
    silence = run.now - float(times[-1])
    over = parameters.get("abandoned") or math.inf
    if not run.ended and limit < silence <= over:
        last = order[-1]
        findings.append(_pause(modes[last], steps[last], silence, "until now, and the run has not ended", limit))
    return findings


def _pause(mode: str, step: int, seconds: float, until: str, limit: float) -> Finding:
    return Finding(
        f"Nothing was recorded for {seconds:.0f} s after {mode} step {step} {until} (limit {limit:.0f} s).",
        mode=str(mode),
        steps=(int(step),),
        numbers={"seconds": seconds, "limit": limit},
    )


RULES = (
    Rule(
        name="StalledTraining",
        judge=_stalled,
        aws={"threshold": 1800.0},
        default={
            "threshold": 1800.0,  # AWS's
            # Seconds. After a day, a run that has not ended was interrupted, and its report is read for other reasons.
            "abandoned": 86_400.0,
            # Evaluations and checkpoints pause training for as long as several steps take, but not twenty.
            "times_usual": 20.0,
        },
        description="A run that stopped recording without having ended.",
        advice=(
            "Look at the job's log: waiting for data, a dead worker and a full disk are the usual causes. Stop "
            "the job if nothing moves: a stalled instance costs as much as a busy one."
        ),
        bounds={},
        explanation=Explanation(
            computes=(
                "More than `threshold` seconds, and `times_usual` times the median pause, without a recorded step: "
                "between two steps, or until now if the run has not ended (but not longer than `abandoned`)."
            ),
            computes_aws="More than `threshold` seconds without a recorded step.",
            parameters={
                "threshold": "seconds",
                "abandoned": "seconds of silence after which a run is not called stalled but abandoned",
                "times_usual": "multiple of the usual pause",
            },
        ),
        order=170,
        aws_name="StalledTrainingRule",
        collections=("losses",),
    ),
)
