"""Outputs and targets whose shapes the loss broadcasts, so that it compares every output with every target."""

from __future__ import annotations

import numpy as np

from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.causes.signs import Signs


def find(signs: Signs) -> Cause | None:
    """Shapes such as [20, 1] and [20], whose loss the recorder found to be that of all pairs."""
    outputs, targets = (signs.evidence.run.get(name) for name in ("output_shape", "target_shape"))
    if not isinstance(outputs, list) or not isinstance(targets, list) or not outputs or not targets:
        return None
    try:
        both = list(np.broadcast_shapes(tuple(outputs), tuple(targets)))
    except ValueError:  # not what our recorder writes
        return None
    return Cause(
        id="output-target-shapes",
        title=f"Outputs {outputs} and targets {targets} broadcast to {both}: every output is compared with every "
        "target.",
        explanation="Such a loss is lowest where all outputs are the mean of the targets, so nothing about single "
        "samples is learned.",
        evidence=(f"The loss of a batch is the mean over {both}, not over its {outputs[0]} samples.",),
        advice=f"Give both the same shape: {_repair(outputs, targets)}. The learning rate is not the cause.",
    )


def _repair(outputs: list[int], targets: list[int]) -> str:
    """The call that makes the shapes equal."""
    if outputs == [*targets, 1]:
        place = len(targets)
        return f"outputs.squeeze({place}), or targets.unsqueeze({place})"
    if targets == [*outputs, 1]:
        place = len(outputs)
        return f"targets.squeeze({place}), or outputs.unsqueeze({place})"
    return "targets.reshape(outputs.shape)"
