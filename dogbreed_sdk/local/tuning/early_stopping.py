"""Decides when a tuning job stops a training job early (TrainingJobEarlyStoppingType Auto): SageMaker's median rule.

A trial is hopeless when its objective is worse than the median of the finished trials' running averages. The tuner asks
after each epoch, and stops a hopeless trial (`tuner.py`). Source: developer guide, "Stop Training Jobs Early", section
"How Early Stopping Works".

Two other rules are elsewhere: a training run stops itself by its hyperparameter `patience` (training/early_stopping.py
of training_scripts), and the Hyperband strategy prunes trials (`search.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

# The median of one or two trials says little; AWS's page does not name a number.
MINIMUM_FINISHED_TRIALS = 3


def is_hopeless(values: Sequence[float], finished: Sequence[Sequence[float]], *, maximize: bool) -> bool:
    """Whether the tuning job should stop a running trial.

    Args:
        values: The trial's objective values, one per epoch.
        finished: The same of the trials that ran to their end.
        maximize: Whether larger values are better.

    Returns:
        True where at least 3 finished trials got as far as this one, and the median of their running averages up to
        this epoch is better than the trial's last value.
    """
    if not values:
        return False
    epoch = len(values)
    averages = [fmean(series[:epoch]) for series in finished if len(series) >= epoch]
    if len(averages) < MINIMUM_FINISHED_TRIALS:
        return False
    middle = median(averages)
    return values[-1] < middle if maximize else values[-1] > middle
