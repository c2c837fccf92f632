"""SageMaker's rule for ending trials early (TrainingJobEarlyStoppingType Auto): the median of running averages.

Source: developer guide, "Stop Training Jobs Early", section "How Early Stopping Works".
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

# The median of one or two trials says little; AWS's page leaves the number open.
MINIMUM_FINISHED_TRIALS = 3


def is_hopeless(values: Sequence[float], finished: Sequence[Sequence[float]], *, maximize: bool) -> bool:
    """Whether a running trial is to end: its value is worse than the median of the others' averages so far.

    Args:
        values: The trial's objective values, one an epoch.
        finished: The same of the trials that ran to their end.
        maximize: Whether larger is better.

    Returns:
        True when, at the trial's last epoch, at least 3 finished trials got as far and their running
        averages up to that epoch have a median that is better than the trial's value.
    """
    if not values:
        return False
    epoch = len(values)
    averages = [fmean(series[:epoch]) for series in finished if len(series) >= epoch]
    if len(averages) < MINIMUM_FINISHED_TRIALS:
        return False
    middle = median(averages)
    return values[-1] < middle if maximize else values[-1] > middle
