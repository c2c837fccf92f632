"""Wilson's score interval of a share, for rules, insights, evaluations and model cards."""

from __future__ import annotations

import math

Z95 = 1.959964
"""Two-sided 95% quantile of the normal distribution."""


def wilson(right: float, total: int) -> tuple[float, float]:
    """95% interval of a share. It is valid for small samples and shares near 0 or 1.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).

    Args:
        right: The number of successes, or a share times `total`.
        total: The number of trials.

    Returns:
        The lower and the upper limit, 0 to 1; (0, 1) if there were no trials.

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    if total <= 0 or not math.isfinite(right):
        return 0.0, 1.0
    share, weight = min(max(right / total, 0.0), 1.0), Z95**2 / total
    center = (share + weight / 2) / (1 + weight)
    half = Z95 * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    # Rounding must not move an end past the share itself.
    return min(share, max(0.0, center - half)), max(share, min(1.0, center + half))
