"""Durations as people write them: "90s", "10min", "2h", "1d 12h", a timedelta, or a number of seconds."""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timedelta, timezone

from dogbreed_sdk.errors import ConfigurationError

Duration = int | float | str | timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(
    r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?|w(?:eeks?)?)"
)
_PARTS = re.compile(rf"(?:{_PART.pattern.replace('?P<number>', '?:').replace('?P<unit>', '?:')}[\s,]*)+")


def duration_seconds(given: Duration, *, name: str, least: int = 0, most: int | None = None) -> int:
    """A duration in whole seconds.

    Args:
        given: A number of seconds, a text such as ``"10min"``, ``"2h"`` or ``"1d 12h"``, or a timedelta. A text needs a
            unit: in ``"5"`` people may see minutes or hours.
        name: The argument, for messages.
        least: The shortest accepted duration, in seconds.
        most: The longest one; None for no limit.

    Raises:
        ConfigurationError: It is not a duration, or not within the limits.

    >>> duration_seconds("1h 30min", name="max_wait"), duration_seconds(90, name="max_wait")
    (5400, 90)
    """
    seconds = _seconds(given)
    if seconds is None:
        raise ConfigurationError(
            f"{name} is {given!r}; pass a text with a unit, such as '90s', '10min', '2h' or '1d', a number of seconds, "
            "or a timedelta."
        )
    if seconds < least or (most is not None and seconds > most):
        limits = f"at least {readable(least)}" if most is None else f"{readable(least)} to {readable(most)}"
        raise ConfigurationError(f"{name} is {readable(seconds)}; it must be {limits}.")
    return seconds


def beginning(given: datetime | Duration, *, end: datetime, least: int = 1) -> datetime:
    """The beginning of a time span, in UTC.

    Args:
        given: The argument "since": a time (without a time zone it is local), or a duration before the end.
        end: The end; without a time zone it is local time.
        least: The shortest accepted duration, in seconds.

    Raises:
        ConfigurationError: It is neither, is too short, or is not before the end.
    """
    last = end.astimezone(timezone.utc)
    if not isinstance(given, datetime):
        return last - timedelta(seconds=duration_seconds(given, name="since", least=least))
    first = given.astimezone(timezone.utc)
    if first >= last:
        raise ConfigurationError(f"since ({given}) must be before until ({end}).")
    return first


def readable(seconds: float) -> str:
    """Seconds in the largest unit that gives a whole number.

    >>> readable(3600), readable(5400), readable(90), readable(0)
    ('1 h', '90 min', '90 s', '0 s')
    """
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:g} s"


def rounded(seconds: float) -> str:
    """Seconds in one or two units, cut to the smaller one: for ages, and for the time that is left.

    >>> rounded(9.7), rounded(7500), rounded(273_900)
    ('9 s', '2 h 5 min', '3 d 4 h')
    """
    whole = max(0, int(seconds))
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for (unit, size), (smaller_unit, smaller) in itertools.pairwise(units):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def _seconds(given: Duration) -> int | None:
    """The whole seconds, or None if it is not a duration. A fraction is rounded up: a limit is never shortened."""
    if isinstance(given, timedelta):
        value = given.total_seconds()
    elif isinstance(given, str):
        text = given.strip().lower()
        if _PARTS.fullmatch(text):
            value = sum(float(part["number"]) * _SECONDS[part["unit"][0]] for part in _PART.finditer(text))
        else:
            return None
    elif isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    else:
        value = float(given)
    return -int(-value // 1) if abs(value) < float("inf") else None
