"""CheckInputImages: whether the input pictures were normalized."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import counted, number_text
from training_scripts.recording.trial.trial import TRAIN, Trial
from training_scripts.rules.bounds import AXIS, COUNT
from training_scripts.rules.declaration import Explanation, Parameters, Rule
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence import selection
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import Finding, NotEvaluated

NO_PICTURES = (
    "No input pictures were recorded. Record the collection inputs (recorder=builtin does with features=off; for"
    " smdebug, include_regex of the first layer's input)."
)
FEATURES = (
    "The network was trained on stored features, not on pictures; extract_features checked the normalization of the"
    " pictures. Train with features=off to record pictures."
)


def _means(run: Evidence, parameters: Parameters) -> tuple[str, NDArray[np.float64], list[int]]:
    """The name of the tensor, the channel means of each recorded picture [n, channels], and the steps.

    Raises:
        NotEvaluated: No pictures were recorded, or fewer than threshold_samples.
    """
    if run.run.get("inputs") == "features":
        raise NotEvaluated(FEATURES)
    members = selection.members(run, "inputs")
    named = {name for name in run.recorded_names() if selection.matches(parameters["regex"], name)}
    for name in selection.natural(members | named):
        rows, steps = [], run.steps_in_full(name, TRAIN).tolist()
        for step in steps:
            value = run.value(name, step, TRAIN)
            channel = int(parameters["channel"])
            if value.ndim == 4:
                rows.append(np.moveaxis(value, channel, 1).reshape(len(value), value.shape[channel], -1).mean(axis=2))
            elif value.ndim == 2 and name == "input_image":  # our recorder saves the channel means of each picture
                rows.append(value)
        widths = {row.shape[1] for row in rows}
        if rows and len(widths) == 1 and widths <= {1, 3, 4}:
            means = np.concatenate(rows).astype(np.float64)
            break
    else:
        raise NotEvaluated(NO_PICTURES)
    if len(means) < parameters["threshold_samples"]:
        raise NotEvaluated(
            f"Only {counted(len(means), 'picture')} recorded; {parameters['threshold_samples']} are needed "
            "(threshold_samples). Record inputs more often (train.save_interval)."
        )
    return name, means, steps


def _check_aws(trial: Trial, parameters: Parameters) -> list[Finding]:
    """AWS: over threshold_samples pictures or more, a channel's mean differs from 0 by more than threshold_mean."""
    name, means, steps = _means(evidences.of(trial), parameters)
    off = np.abs(means.mean(axis=0))
    return [_finding(name, means, steps)] if (off > parameters["threshold_mean"]).any() else []


def _check_default(trial: Trial, parameters: Parameters) -> list[Finding]:
    """Ours: means that no normalization produces, or means other than zero in a run that does not learn.

    Pictures scaled to 0..1 differ from zero by less than a standard deviation of usual inputs. So do pictures that are
    darker than those from which the normalization was computed. Networks tolerate that, so it is reported only as the
    likely cause if a run does not learn.
    """
    run = evidences.of(trial)
    name, means, steps = _means(run, parameters)
    center, spread = np.abs(means.mean(axis=0)), means.std(axis=0, ddof=1)
    one_side = np.maximum((means > 0).mean(axis=0), (means < 0).mean(axis=0))
    hit = (
        (center - 3 * spread / np.sqrt(len(means)) > parameters["threshold_mean"])
        & (center > parameters["spreads"] * spread)
        & (one_side > 0.97)
    )
    seen = learning(run)
    suffers = seen is None or not (seen.learned or seen.falling)
    harmful = center > (parameters["threshold_mean"] if suffers else parameters["harmful_mean"])
    return [_finding(name, means, steps)] if (hit & harmful).all() else []


def _finding(name: str, means: NDArray[np.float64], steps: list[int]) -> Finding:
    center = means.mean(axis=0)
    shown = ", ".join(f"{number_text(value, 3)}" for value in center)
    return Finding(
        f"The channel means of {len(means):,} pictures are {shown} instead of about 0.",
        tensor=name,
        mode=TRAIN,
        steps=tuple(steps[:50]),
        numbers={f"channel_{place}": float(value) for place, value in enumerate(center)},
    )


RULES = (
    Rule(
        name="CheckInputImages",
        judge=_check_default,
        judge_aws=_check_aws,
        aws={"threshold_mean": 0.2, "threshold_samples": 500, "regex": ".*hybridsequential0_input_0", "channel": 1},
        default={
            "threshold_mean": 0.2,  # AWS's
            # Fewer than AWS's suffice, because the standard error of the means is subtracted.
            "threshold_samples": 30,
            # More than white pictures have with ImageNet's normalization (2.6). It is reported even if the run learns.
            "harmful_mean": 3.0,
            # The mean must exceed this many standard deviations of the means of single pictures. For natural pictures
            # in 0..1, these means are 0.45 +- 0.15, which is three standard deviations.
            "spreads": 2.0,
            "regex": "(^|_)input(_image)?(_0)?$",
            "channel": 1,
        },
        description="Pictures that were not normalized to a mean of 0.",
        advice="Normalize pictures with the backbone's own mean and standard deviation (its preprocessing).",
        bounds={"threshold_samples": COUNT, "channel": AXIS},
        precedes=("PoorWeightInitialization",),
        explanation=Explanation(
            computes=(
                "For every channel, over the recorded pictures: `abs(mean) - 3 * standard error > threshold_mean`, "
                "`abs(mean) > spreads * standard deviation of single pictures`, and the same sign in 97% of them. In "
                "a run that learns, also `abs(mean) > harmful_mean`."
            ),
            computes_aws=(
                "`abs(mean)` of a channel over at least `threshold_samples` pictures exceeds `threshold_mean`."
            ),
            parameters={
                "threshold_mean": "largest allowed mean",
                "threshold_samples": "pictures that must have been recorded",
                "harmful_mean": "largest allowed mean in a run that learns",
                "spreads": "standard deviations of single pictures that the mean must exceed",
                "regex": "regular expression of the inputs",
                "channel": "axis of the channels",
            },
        ),
        order=150,
        aws_name="CheckInputImages",
        collections=("inputs",),
    ),
)
