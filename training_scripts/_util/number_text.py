"""Numbers as people write them, the same in every message of scripts, rules and reports."""

from __future__ import annotations

import math

_LARGE = ((1e12, "trillion"), (1e9, "billion"))
# Above this, floats cannot represent every whole number, and nobody reads that many digits.
_HUGE = 1e15


def number_text(value: float, digits: int = 6) -> str:
    """Formats a number for people: significant digits, thousands separators, words for large fractional numbers.

    Args:
        value: Any number, including NaN and infinity.
        digits: Number of significant digits; all digits before the decimal point are always written.

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


def percent_text(share: float) -> str:
    """Formats a share of one in percent, with three significant digits.

    >>> percent_text(0.12345), percent_text(0.002), percent_text(1.0)
    ('12.3%', '0.2%', '100%')
    """
    return f"{number_text(100 * share, 3)}%"


def probability_text(probability: float) -> str:
    """Formats a model's probability as a whole percentage, but never as 0% or 100%, which it cannot be.

    >>> [probability_text(value) for value in (0.9996, 0.8751, 0.0369, 0.0002)]
    ['>99%', '88%', '4%', '<1%']
    """
    if probability < 0.005:
        return "<1%"
    return ">99%" if probability > 0.995 else f"{probability:.0%}"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "epoch"), counted(3000, "epoch"), counted(2, "class")
    ('1 epoch', '3,000 epochs', '2 classes')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith(('s', 'x', 'tch', 'sh')) else 's'}"
