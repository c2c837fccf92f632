"""Python's tracebacks in text: where the frames end and the exception begins."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FRAME = re.compile(r'\s*File ".*", line \d+')


def parted(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines up to the last traceback's last frame, and its exception with all that follows.

    The heading of the traceback may have been cut off. Without a frame, or with nothing after the frames, all lines
    come first.

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
