"""Numbers as people write them, the same in every message of scripts, rules and reports."""

from __future__ import annotations

import math

_LARGE = ((1e12, "trillion"), (1e9, "billion"))
# Beyond it, floats do not hold every whole number, and nobody reads so many digits.
_HUGE = 1e15


def number_text(value: float, digits: int = 6) -> str:
    """A number for people: digits that count, thousands apart, words for what is large and not whole.

    Args:
        value: Any number; NaN and infinities have signs of their own.
        digits: How many digits count; all those before the point are written in any case.

    >>> [number_text(value, 3) for value in (0.123456, 12345.6, 1e-9, 3.0, 4_294_967_295, 4.31e9 + 0.5, float("nan"))]
    ['0.123', '12,346', '1e-09', '3', '4,294,967,295', '4.31 billion', 'NaN']
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    size = abs(value)
    if value == 0:
        return "0"
    if size >= _HUGE or size < 1e-4:
        return f"{value:.{max(1, digits - 1)}g}"
    if value == int(value) or 10 ** (digits - 1) <= size < 1e9:
        return f"{value:,.0f}"
    for unit, name in _LARGE:
        if size >= unit:
            return f"{number_text(value / unit, 3)} {name}"
    return f"{value:.{digits}g}"
