"""The learning-rate schedules of the hyperparameter `scheduler`."""

from __future__ import annotations

import math


def factor(scheduler: str, done: float) -> float:
    """The factor by which the learning rate is multiplied.

    Args:
        scheduler: cosine (from 1 to 0 over the run), step (a tenth after each third), none.
        done: Fraction of the run's steps that are done, from 0 to below 1.
    """
    if scheduler == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 0.1 ** int(done * 3) if scheduler == "step" else 1.0
