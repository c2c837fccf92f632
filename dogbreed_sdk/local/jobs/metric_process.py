"""The program of `metric_search`, which searches log lines for metrics: `python -I -S metric_process.py`.

A script's line can keep a regular expression busy for years, and only the end of the process interrupts Python's
engine. One JSON document per line comes in: first the expressions and the seconds of processor time for each search,
then [number of the first expression to search with, text] for every log line. One goes out per search: what the
expression's first group captured, in order. The kernel ends a process that searches too long (SIGPROF).
"""

from __future__ import annotations

import json
import re
import signal
import sys

# Longer than any number; a whole line would be sent back otherwise.
_LONGEST_CAPTURE = 200
_NOTHING = b"[]\n"


def main() -> None:
    """Search lines until the input ends."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    lines, answers = sys.stdin.buffer, sys.stdout.buffer
    settings = json.loads(lines.readline())
    patterns = [None if regex is None else re.compile(regex) for regex in settings["patterns"]]
    for line in lines:
        first, text = json.loads(line)
        for pattern in patterns[first:]:
            captured: list[str] = []
            if pattern is not None:
                signal.setitimer(signal.ITIMER_PROF, settings["seconds"])
                captured = [(match.group(1) or "")[:_LONGEST_CAPTURE] for match in pattern.finditer(text)]
                signal.setitimer(signal.ITIMER_PROF, 0)
            # One by one, so that `metric_search` knows which search ended the process. Most find nothing.
            answers.write(json.dumps(captured).encode() + b"\n" if captured else _NOTHING)
            answers.flush()


if __name__ == "__main__":
    main()
