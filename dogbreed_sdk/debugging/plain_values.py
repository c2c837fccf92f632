"""Values as JSON and people can read them: no NumPy, no NaN, no endless text; numbers with as many digits as help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# A message is a sentence or two; whatever is longer was not written for people.
MAX_TEXT = 2_000


def plain(value: Any) -> Any:
    """A value of dicts, lists, strings, numbers and None; what JSON has no number for (NaN, infinity) is None.

    >>> plain({"loss": float("nan"), "steps": (1, 2)})
    {'loss': None, 'steps': [1, 2]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return plain(value.tolist())
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return [plain(entry) for entry in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    return str(value)


def number(value: float | None, *, digits: int = 4) -> str:
    """A number for people: four digits that count, thousands apart, powers of ten where there are too many zeros.

    >>> [number(value) for value in (0.123456, 12345.6, 1e-9, 3, float("nan"), None)]
    ['0.1235', '12,346', '1e-09', '3', 'NaN', '—']
    """
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}g}"
    if abs(value) >= 10 ** (digits - 1) or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """A share of one in percent.

    >>> percent(0.1234), percent(1.0), percent(None)
    ('12.3 %', '100 %', '—')
    """
    return "—" if share is None or not math.isfinite(share) else f"{100 * share:.3g} %"


def seconds(value: float | None) -> str:
    """A time span in the unit that fits.

    >>> [seconds(value) for value in (0.0000123, 0.0123, 4.5, 92, 7300)]
    ['12.3 µs', '12.3 ms', '4.5 s', '1 min 32 s', '2 h 1 min']
    """
    if value is None or not math.isfinite(value):
        return "—"
    if value == 0:
        return "0 s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (60.0, 1.0, "s")):
        if abs(value) < limit:
            return f"{value * factor:.3g} {unit}"
    whole = round(value)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def amount(value: float | None) -> str:
    """Bytes in the unit that fits.

    >>> amount(1_500_000), amount(12)
    ('1.5 MB', '12 B')
    """
    if value is None or not math.isfinite(value):
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def clipped(text: object, limit: int = MAX_TEXT) -> str:
    """A text that is no longer than it may be, and says so where it was.

    >>> clipped("four words of text", 10)
    'four words …'
    """
    whole = str(text)
    return whole if len(whole) <= limit else whole[:limit].rstrip() + " …"


def step_list(steps: Sequence[int], *, most: int = 4) -> str:
    """The first steps of many.

    >>> step_list([10, 20, 30]), step_list(range(0, 100, 10))
    ('10, 20, 30', '0, 10, 20, 30, … 90 (10 in all)')
    """
    if len(steps) <= most:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:most]))}, … {steps[-1]} ({len(steps)} in all)"


def joined(words: Sequence[str], *, most: int = 4) -> str:
    """Words as a sentence lists them.

    >>> joined(["a"]), joined(["a", "b", "c"]), joined(list("abcdef"))
    ('a', 'a, b and c', 'a, b, c, d and 2 more')
    """
    # "and 1 more" is no shorter than its name.
    kept = len(words) if len(words) <= most + 1 else most
    shown = [*words[:kept], *([f"{len(words) - kept} more"] if len(words) > kept else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
