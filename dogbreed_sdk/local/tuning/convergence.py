"""Decides whether a search still improves: for the completion criteria of a tuning job, and what Describe reports."""

from __future__ import annotations

from collections.abc import Sequence

# API reference, HyperParameterTuningJobCompletionDetails: an improvement of 1% or less is none.
_RELATIVE_IMPROVEMENT = 0.01
# AWS's criteria for convergence are not published. Ours: no improvement in 10 trials, and in a third of all trials.
FEWEST_TRIALS = 10
_SHARE = 3


def jobs_without_improvement(values: Sequence[float], *, maximize: bool) -> int:
    """The number of trials since the last one whose objective was more than 1% better than the best before it.

    Args:
        values: The objective values of the finished trials, in the order in which they ended.
        maximize: Whether larger values are better.

    >>> jobs_without_improvement([0.5, 0.6, 0.601, 0.602], maximize=True)
    2
    """
    if not values:
        return 0
    best, count = values[0], 0
    for value in values[1:]:
        gain = value - best if maximize else best - value
        if gain > _RELATIVE_IMPROVEMENT * abs(best):
            best, count = value, 0
        else:
            count += 1
    return count


def has_converged(values: Sequence[float], *, maximize: bool) -> bool:
    """Whether more trials are unlikely to find a better objective value; arguments as for the count above."""
    stagnant = jobs_without_improvement(values, maximize=maximize)
    return stagnant >= max(FEWEST_TRIALS, len(values) // _SHARE)
