"""Formats values for JSON and for people: no NumPy, no NaN, no endless text, only significant digits.

Numbers, shares and times are formatted the same way wherever a report shows them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from training_scripts._util.number_text import number_text, percent_text
from training_scripts._util.safe_text import without_secrets

# A message is a sentence or two; longer text was not written for people.
MAX_TEXT = 2_000
# Deeper than any report; files from disk may be nested as deeply as Python allows.
MAX_DEPTH = 32


def plain(value: Any, *, depth: int = 0) -> Any:
    """Converts a value to dicts, lists, strings, numbers and None; NaN and infinity, which JSON lacks, become None.

    Args:
        value: Any value; parts that are nested too deeply become an ellipsis.
        depth: How deeply the value itself is nested.

    >>> plain({"loss": float("nan"), "steps": (1, 2)})
    {'loss': None, 'steps': [1, 2]}
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {whole(str(key)): plain(entry, depth=depth + 1) for key, entry in value.items()}
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return plain(value.tolist(), depth=depth + 1)
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        entries = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [plain(entry, depth=depth + 1) for entry in entries]
    return whole(str(value))


def whole(text: str) -> str:
    r"""Makes a text safe for a report: without secrets in URLs and without lone surrogates.

    Names from disk may contain lone surrogates, which cannot be encoded.

    >>> whole("a\ud800b")
    'a?b'
    """
    text = without_secrets(text)
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def number(value: float | None, *, digits: int = 4) -> str:
    """Formats a number: four significant digits, thousands separators, an exponent for many zeros.

    >>> [number(value) for value in (0.123456, 12345.6, 1e-9, 3, float("nan"), None)]
    ['0.1235', '12,346', '1e-09', '3', 'NaN', '—']
    """
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text: str = number_text(_float(value), digits)
    return text


def percent(share: float | None) -> str:
    """Formats a share of one in percent.

    >>> percent(0.1234), percent(1.0), percent(None)
    ('12.3%', '100%', '—')
    """
    if share is None or not math.isfinite(_float(share)):
        return "—"
    return percent_text(_float(share))


def seconds(value: float | None) -> str:
    """Formats a duration in a suitable unit.

    >>> [seconds(value) for value in (0.0000123, 0.0123, 4.5, 92, 7300)]
    ['12.3 µs', '12.3 ms', '4.5 s', '1 min 32 s', '2 h 1 min']
    """
    if value is None or not math.isfinite(value := _float(value)):
        return "—"
    if value == 0:
        return "0 s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (60.0, 1.0, "s")):
        if abs(value) < limit:
            return f"{number(value * factor, digits=3)} {unit}"
    rounded = round(abs(value))
    hours, minutes, rest = rounded // 3600, rounded % 3600 // 60, rounded % 60
    parts = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return ("-" if value < 0 else "") + " ".join(f"{count} {unit}" for count, unit in parts if count)


def date(value: object) -> str | None:
    """Formats seconds since 1970 as a date and time; None for anything else.

    >>> date(1_750_000_000.5), date(3), date("today")
    ('2025-06-15 15:06:40 UTC', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1e8 < value < 1e11:
        return None
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))


def amount(value: float | None) -> str:
    """Formats bytes in a suitable unit.

    >>> amount(1_500_000), amount(12)
    ('1.5 MB', '12 B')
    """
    if value is None or not math.isfinite(value := _float(value)):
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{number(value, digits=3)} {unit}"
        value /= 1000
    return f"{number(value, digits=3)} TB"


def clipped(text: object, limit: int = MAX_TEXT) -> str:
    """Cuts a text to a limit, with an ellipsis.

    >>> clipped("four words of text", 10)
    'four words …'
    """
    every = str(text)
    return every if len(every) <= limit else every[:limit].rstrip() + " …"


def step_list(steps: Sequence[int], *, most: int = 4) -> str:
    """Lists the first steps, and the last.

    >>> step_list([10, 20, 30]), step_list(range(0, 100, 10))
    ('10, 20, 30', '0, 10, 20, 30, … 90 (10 in all)')
    """
    if len(steps) <= most:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:most]))}, … {steps[-1]} ({len(steps)} in all)"


def joined(words: Sequence[str], *, most: int = 4) -> str:
    """Lists words as in a sentence.

    >>> joined(["a"]), joined(["a", "b", "c"]), joined(list("abcdef"))
    ('a', 'a, b and c', 'a, b, c, d and 2 more')
    """
    # "and 1 more" is not shorter than the name.
    kept = len(words) if len(words) <= most + 1 else most
    shown = [*words[:kept], *([f"{len(words) - kept} more"] if len(words) > kept else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def interval(value: float, half: float) -> str:
    """A value with half of its interval, both to the interval's first or second digit.

    >>> interval(0.72136, 0.0634), interval(0.13, 0.00804), interval(7.7027, 1.05)
    ('0.721 ± 0.063', '0.130 ± 0.008', '7.7 ± 1.1')
    """
    if not (math.isfinite(half) and half > 0 and math.isfinite(value)):
        return number(value)
    decimals = min(max(0, 1 - math.floor(math.log10(half))), 3 if half >= 0.001 else 9)
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"


def counted_more(count: int) -> str:
    """How many more there are, with the verb.

    >>> counted_more(1), counted_more(1200)
    ('1 more is', '1,200 more are')
    """
    return f"{count:,} more {'is' if count == 1 else 'are'}"


def points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0236)
    '2.4 points'
    """
    return f"{100 * share:.1f} points"


def change(settings: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Hyperparameters to set, each with the value it had: `lr=0.002 (now 0.2)`."""
    return " and ".join(
        f"{name}={_setting(value)}" + (f" (now {_setting(settings[name]) or 'none'})" if name in settings else "")
        for name, value in new.items()
    )


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(part) for part in value)
    return str(value)


def _float(value: float) -> float:
    """Converts to float; an integer from JSON may be too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
