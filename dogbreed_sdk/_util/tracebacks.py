"""Splits Python's tracebacks into frames and exception."""

from __future__ import annotations

import re
from collections.abc import Sequence

TRACEBACK = "Traceback (most recent call last):"

_FRAME = re.compile(r'\s*File ".*", line \d+')


def parted(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines up to the last traceback's last frame, and its exception with all lines after it.

    The heading of the traceback may be missing. Without a frame, or without a line after the frames, all lines are in
    the first list.

    >>> frames, exception = parted(['  File "x.py", line 1, in <module>', "    run()", "ValueError: no", "  dogs"])
    >>> exception
    ['ValueError: no', '  dogs']
    """
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    if frames:
        for number in range(frames[-1] + 1, len(lines)):
            if lines[number].strip() and not lines[number][0].isspace():
                return list(lines[:number]), list(lines[number:])
    return list(lines), []
