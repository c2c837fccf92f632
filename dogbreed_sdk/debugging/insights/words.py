"""What insights write beyond plain values: intervals, rates, hyperparameters to set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dogbreed_sdk.debugging.formatting import number


def interval(value: float, half: float) -> str:
    """A value with half of its interval, both to the interval's first or second digit.

    >>> interval(0.72136, 0.0634), interval(0.13, 0.00804), interval(7.7027, 1.05)
    ('0.721 ± 0.063', '0.130 ± 0.008', '7.7 ± 1.1')
    """
    if not (math.isfinite(half) and half > 0 and math.isfinite(value)):
        return number(value)
    decimals = min(max(0, 1 - math.floor(math.log10(half))), 3 if half >= 0.001 else 9)
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"


def points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0236)
    '2.4 points'
    """
    return f"{100 * share:.1f} points"


def plural(count: int, word: str) -> str:
    """A count with its noun.

    >>> plural(1, "epoch"), plural(3, "epoch")
    ('1 epoch', '3 epochs')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def change(settings: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Hyperparameters to set, each with the value it had: `lr=0.002 (now 0.2)`."""
    return " and ".join(
        f"{name}={_written(value)}" + (f" (now {_written(settings[name]) or 'none'})" if name in settings else "")
        for name, value in new.items()
    )


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(part) for part in value)
    return str(value)
