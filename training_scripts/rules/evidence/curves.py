"""Statistics of noisy curves: means with their standard errors, moving averages, noise and trends."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Level(NamedTuple):
    """The mean of a stretch of a curve and its standard error."""

    mean: float
    error: float


def level(values: Floats) -> Level:
    """Mean and standard error of a stretch of a curve, [n] with n >= 1.

    Noise is what remains after a straight line is fitted, so a stretch that falls steadily has a small error.
    Neighboring values of a training curve are correlated, so they count as fewer independent values: for a first-order
    autoregression with lag-one correlation r, n (1 - r) / (1 + r) of them. The error of a single value is infinity,
    because it is unknown.
    """
    count = len(values)
    mean = float(values.mean())
    if count == 1:
        return Level(mean, math.inf)
    deviations = values - mean
    if count >= 5:
        places = np.arange(count) - (count - 1) / 2
        deviations = deviations - places * (places @ deviations / (places @ places))
    variance = float(deviations @ deviations) / (count - (2 if count >= 5 else 1))
    if variance <= 0:
        return Level(mean, 0.0)
    alike = float(deviations[1:] @ deviations[:-1]) / (variance * (count - 1)) if count >= 8 else 0.0
    alike = min(max(alike, 0.0), 0.9)
    return Level(mean, math.sqrt(variance / count * (1 + alike) / (1 - alike)))


def jitter(values: Floats) -> float:
    """Standard deviation of a curve's noise, from the differences of neighbors; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    return float(np.sqrt(np.square(np.diff(values)).mean() / 2))


def usual_jitter(values: Floats) -> float:
    """The same as `jitter`, but from the median difference, so that single outliers have no effect."""
    if len(values) < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(values)))) * 1.4826 / math.sqrt(2)


def quotient(part: float, whole: float) -> float:
    """The first number divided by the second; 0 for 0 / 0, and infinite for anything else divided by 0.

    >>> quotient(1.0, -2.0), quotient(0.0, 0.0), quotient(-1.0, 0.0)
    (-0.5, 0.0, -inf)
    """
    return part / whole if whole else part * math.inf if part else 0.0


def trailing_mean(values: Floats, width: int) -> Floats:
    """Mean of each value and the `width` - 1 values before it; of fewer at the beginning."""
    counts = np.minimum(np.arange(1, len(values) + 1), max(1, width))
    means: Floats = window_sums(values, width) / counts
    return means


def window_sums(values: Floats, width: int) -> Floats:
    """Sum of each value and the `width` - 1 values before it; of fewer at the beginning."""
    width = max(1, min(width, len(values)))
    # Each window is the end of one block and the beginning of the next, blocks being as wide as a window. So the work
    # does not depend on the width, and rounding errors of a huge value reach only its neighbors.
    blocks = np.pad(values, (0, -len(values) % width)).reshape(-1, width)
    until = blocks.cumsum(axis=1).ravel()[: len(values)]
    since = blocks[:, ::-1].cumsum(axis=1)[:, ::-1].ravel()[: len(values)]
    sums: Floats = until.copy()
    begins = np.arange(len(values) - width + 1)
    across = begins[begins % width != 0]
    sums[across + width - 1] += since[across]
    return sums


def first_streak(flags: NDArray[np.bool_], length: int) -> int:
    """Index at which the first run of at least `length` true flags begins; -1 if there is none."""
    inside = 0
    for place, flag in enumerate(flags.tolist()):
        inside = inside + 1 if flag else 0
        if inside >= length:
            return place - length + 1
    return -1


def trend(values: Floats) -> float:
    """The slope of a straight line fitted to n values, divided by its standard error; NaN for fewer than three.

    For independent values without a trend, it has Student's t distribution with n - 2 degrees of freedom.
    """
    count = len(values)
    if count < 3:
        return math.nan
    places = np.arange(count) - (count - 1) / 2
    power = float((places**2).sum())
    slope = float((places * values).sum()) / power
    left = float(((values - values.mean() - slope * places) ** 2).sum())
    error = math.sqrt(left / (count - 2) / power)
    return slope / error if error > 0 else math.copysign(math.inf, slope) if slope else 0.0


def lag_one(values: Floats) -> float:
    """Correlation of neighbors; NaN if there are too few values, or if they are all equal."""
    centered = values - values.mean() if len(values) else values
    power = float((centered**2).sum())
    return float((centered[1:] * centered[:-1]).sum() / power) if len(values) > 3 and power > 0 else math.nan


def centered_mean(values: Floats, width: int) -> Floats:
    """Centered moving average. The window shrinks toward both ends and stays centered, so a slope is preserved."""
    reach = max(0, min(width, len(values) - 1) // 2)
    inner = window_sums(values, 2 * reach + 1)[2 * reach :] / (2 * reach + 1)
    heads = [values[: 2 * place + 1].mean() for place in range(reach)]
    tails = [values[len(values) - 2 * place - 1 :].mean() for place in reversed(range(reach))]
    smoothed: Floats = np.concatenate([heads, inner, tails])
    return smoothed


def smooth_jitter(values: Floats) -> float:
    """Standard deviation of a smooth curve's noise, from second differences; robust to a few jumps. NaN below five."""
    if len(values) < 5:
        return math.nan
    second = values[2:] - 2 * values[1:-1] + values[:-2]
    return float(
        1.4826 * np.median(np.abs(second)) / math.sqrt(6)
    )  # second differences of white noise have 6 times its variance
