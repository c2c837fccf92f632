"""Statistics of predictions whose true classes are known: calibration, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The number of bins in Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 2.
CALIBRATION_BINS = 15
# As many points as a plot can show.
COVERAGE_POINTS = 100


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The pictures whose predicted class has a probability in (low, high].

    Attributes:
        low: Lower edge, 0 to 1.
        high: Upper edge.
        n: Number of pictures.
        probability: Their mean probability; None without pictures.
        accuracy: Share of them that are classified correctly; None without pictures.
    """

    low: float
    high: float
    n: int
    probability: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What happens if only answers that pass a threshold are used.

    Attributes:
        threshold: An answer counts if its probability is at least this, or its rejection score at most this.
        coverage: Share of the pictures whose answers count.
        accuracy: Share of these that are classified correctly.
    """

    threshold: float
    coverage: float
    accuracy: float


def calibration_bins(
    probabilities: Sequence[float], right: Sequence[bool | int], *, bins: int = CALIBRATION_BINS
) -> tuple[CalibrationBin, ...]:
    """Groups pictures by confidence, in bins of equal width, open below and closed above: ((m - 1) / bins, m / bins].

    Args:
        probabilities: Probability of the predicted class, one per picture, 0 to 1.
        right: Whether that class is correct.
        bins: Number of bins.
    """
    confidence, correct, counts = [0.0] * bins, [0] * bins, [0] * bins
    for probability, hit in zip(probabilities, right, strict=True):
        index = _bin(probability, bins)
        confidence[index] += probability
        correct[index] += hit
        counts[index] += 1
    return tuple(
        CalibrationBin(
            low=index / bins,
            high=(index + 1) / bins,
            n=n,
            probability=confidence[index] / n if n else None,
            accuracy=correct[index] / n if n else None,
        )
        for index, n in enumerate(counts)
    )


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], *, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: the mean distance between confidence and accuracy, over bins of confidence.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.

    Args:
        probabilities: Probability of the predicted class, one per picture, 0 to 1.
        right: Whether that class is correct.
        bins: Number of bins.

    Returns:
        0 if probabilities match the accuracy exactly, up to 1.

    >>> calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, False, False])
    0.4
    """
    return error_of(calibration_bins(probabilities, right, bins=bins))


def error_of(bins: Sequence[CalibrationBin]) -> float:
    """The expected calibration error of calibration bins; 0 without pictures."""
    total = sum(each.n for each in bins)
    return sum(abs((each.probability or 0.0) - (each.accuracy or 0.0)) * each.n for each in bins) / max(1, total)


def coverage_curve(
    scores: Sequence[float], right: Sequence[bool | int], *, ascending: bool = False, points: int = COVERAGE_POINTS
) -> tuple[CoveragePoint, ...]:
    """Accuracy against coverage as the threshold of a score moves, from few answers to all.

    Args:
        scores: One per picture: the probability of the predicted class, or how little it resembles any class.
        right: Whether the predicted class is correct.
        ascending: Whether low scores count first, as with rejection scores.
        points: The largest number of points.

    Returns:
        By increasing coverage; the last point covers all pictures. Empty without pictures.
    """
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=not ascending)
    found: list[CoveragePoint] = []
    correct, every = 0, max(1.0, len(order) / points)
    for count, index in enumerate(order, start=1):
        correct += right[index]
        last = count == len(order)
        # Pictures with the same score pass a threshold together.
        if last or (scores[order[count]] != scores[index] and count >= every * (len(found) + 1)):
            found.append(CoveragePoint(scores[index], count / len(order), correct / count))
    return tuple(found)


def _bin(probability: float, bins: int) -> int:
    """The bin whose upper edge is the first one not below the probability."""
    return next((index for index in range(bins) if probability <= (index + 1) / bins), bins - 1)
