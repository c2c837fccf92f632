"""The program of `metric_search`, which searches log lines for metrics: `python -I -S metric_process.py`.

A regular expression can take years to search one line, and only ending the process interrupts Python's engine. The
input has one JSON document per line: first the expressions and the CPU seconds for each search, then [number of the
first expression to search with, text] for every log line. The output has one document per search, in order: the text
that the expression's first group captured. The kernel ends a process that searches too long (SIGPROF).
"""

from __future__ import annotations

import json
import re
import signal
import sys

# Longer than any number; without a limit, a whole line could be sent back.
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
            # One result at a time, so that `metric_search` knows which search ended the process. Most find nothing.
            answers.write(json.dumps(captured).encode() + b"\n" if captured else _NOTHING)
            answers.flush()


if __name__ == "__main__":
    main()
