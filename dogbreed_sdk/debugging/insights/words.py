"""Numbers and lists as insights write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def number(value: float) -> str:
    """A loss or a ratio with three significant digits.

    >>> number(0.72136), number(41.27), number(0.00012)
    ('0.721', '41.3', '0.00012')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -3:
        return f"{value:.2g}"
    return f"{value:.{max(0, 2 - size)}f}"


def interval(value: float, half: float) -> str:
    """A value with half of its interval, both to the interval's first or second digit.

    >>> interval(0.72136, 0.0634), interval(0.13, 0.00804), interval(7.7027, 1.05)
    ('0.721 ± 0.063', '0.130 ± 0.008', '7.7 ± 1.1')
    """
    if not (math.isfinite(half) and half > 0 and math.isfinite(value)):
        return number(value)
    decimals = min(max(0, 1 - math.floor(math.log10(half))), 3 if half >= 0.001 else 9)
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"


def percent(share: float) -> str:
    """A share of 1 in percent: a decimal between 1 and 99.9 only where it says something.

    >>> percent(0.772), percent(1.0), percent(0.004)
    ('77.2 %', '100 %', '0.4 %')
    """
    value = 100 * share
    return f"{value:.0f} %" if abs(value - round(value)) < 0.05 else f"{value:.1f} %"


def points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0236)
    '2.4 points'
    """
    return f"{100 * share:.1f} points"


def seconds(duration: float) -> str:
    """A time span in the unit that suits it.

    >>> seconds(0.0123), seconds(4.2), seconds(312), seconds(7500)
    ('12 ms', '4.2 s', '5.2 min', '2.1 h')
    """
    if duration < 1:
        return f"{1000 * duration:.{0 if duration >= 0.01 else 1}f} ms"
    if duration < 100:
        return f"{duration:.1f} s" if duration < 20 else f"{duration:.0f} s"
    return f"{duration / 60:.1f} min" if duration < 6000 else f"{duration / 3600:.1f} h"


def listed(names: Iterable[str], *, most: int = 5) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    every = list(names)
    shown = ", ".join(every[:most])
    return f"{shown} and {len(every) - most} more" if len(every) > most else shown


def plural(count: int, word: str) -> str:
    """A count with its noun.

    >>> plural(1, "epoch"), plural(3, "epoch")
    ('1 epoch', '3 epochs')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def round_rate(value: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten: how people write learning rates.

    >>> round_rate(0.00167), round_rate(0.0324)
    (0.002, 0.05)
    """
    size = 10.0 ** math.floor(math.log10(value))
    mantissa = min((1, 2, 5, 10), key=lambda nice: abs(math.log(value / size / nice)))
    return float(f"{mantissa * size:.0e}")


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
