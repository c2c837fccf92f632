"""Durations: what people may write, and what they are told otherwise."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest

from dogbreed_sdk import ConfigurationError
from dogbreed_sdk._util.durations import Duration, beginning, duration_seconds


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (0, 0),
        (90, 90),
        (1.2, 2),
        ("90s", 90),
        ("90 seconds", 90),
        ("10min", 600),
        ("10m", 600),
        ("2h", 7200),
        ("2 hours", 7200),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1d 12h", 129_600),
        ("1 week, 1 day", 691_200),
        (" 2H ", 7200),
        (timedelta(minutes=5), 300),
    ],
)
def test_a_duration_is_whole_seconds(given: Duration, seconds: int) -> None:
    assert duration_seconds(given, name="ttl") == seconds


def test_a_beginning_is_a_time_or_a_duration_before_the_end() -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    eleven = noon - timedelta(hours=1)
    for given in ("1h", 3600, timedelta(hours=1), eleven, eleven.astimezone(timezone(timedelta(hours=5)))):
        assert beginning(given, end=noon) == eleven
    for refused, message in (("soon", "since is 'soon'"), (noon, "must be before until"), ("0s", "at least 1 s")):
        with pytest.raises(ConfigurationError, match=message):
            beginning(refused, end=noon)


@pytest.mark.parametrize(
    "given", ["", "soon", "90", "1.5", "2x", "h", "-5", "5 m i n", "2h x", True, None, math.inf, math.nan]
)
def test_anything_else_is_refused_with_examples(given: Duration) -> None:
    with pytest.raises(ConfigurationError, match=r"ttl is .*'10min', '2h' or '1d'"):
        duration_seconds(given, name="ttl")


@pytest.mark.parametrize(
    ("given", "message"),
    [("2h", "keep_alive is 2 h; it must be 0 s to 1 h"), (-1, "keep_alive is -1 s; it must be 0 s to 1 h")],
)
def test_limits_are_named_in_readable_units(given: Duration, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        duration_seconds(given, name="keep_alive", most=3600)
