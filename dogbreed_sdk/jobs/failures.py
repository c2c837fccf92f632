"""Diagnoses a failed job: the traceback in its log, the kind of failure, the cause, and a fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dogbreed_sdk._util.tracebacks import parted
from dogbreed_sdk.jobs.known_failures import KNOWN_FAILURES, FailureKind
from training_scripts._util.safe_text import without_secrets

TRACEBACK_LINES = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """The diagnosis of a failed job.

    Attributes:
        reason: SageMaker's FailureReason.
        traceback: The end of the last traceback in the log, or an empty string.
        cause: The line that names the cause.
        fix: What to try next, or an empty string.
        kind: What kind of failure it is; one of `FailureKind`.
        location: The last line of the script itself in the traceback, as ``train.py:12``, or an empty string.
    """

    reason: str
    traceback: str
    cause: str
    fix: str
    kind: FailureKind = "unknown"
    location: str = ""


_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_INSTALLED = re.compile(r"site-packages|dist-packages|/lib/python|^<")
_REPORTED = re.compile(r'ErrorMessage "(.*?)"\s*(?:\n|Command|$)', re.DOTALL)


def diagnose(reason: str, log: Sequence[str]) -> Failure:
    """Diagnoses a failure.

    Args:
        reason: SageMaker's FailureReason; may be empty.
        log: The job's log lines, oldest first; the last few hundred are enough.

    >>> log = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: lr is negative"]
    >>> diagnose("AlgorithmError: ExecuteUserScriptError", log).cause
    'ValueError: lr is negative'
    """
    reason, log = without_secrets(reason), [without_secrets(line) for line in log]
    traceback = _last_traceback(log)
    cause = _cause(reason, traceback, log)
    kind, fix = _kind_and_fix("\n".join([cause, *traceback, reason, _error_line(log)]))
    if kind == "unknown" and traceback:
        kind = "script error"
    return Failure(
        reason=reason,
        traceback="\n".join(traceback[-TRACEBACK_LINES:]),
        cause=cause,
        fix=fix,
        kind=kind,
        location=_location(traceback or reason.splitlines()),
    )


def _last_traceback(log: Sequence[str]) -> list[str]:
    """The last traceback: from its heading to the exception, which is the first line after the indented frames."""
    for start in range(len(log) - 1, -1, -1):
        if log[start].startswith("Traceback (most recent call last)"):
            for end in range(start + 2, len(log)):
                if log[end].strip() and not log[end].startswith(" ") and log[end - 1].startswith(" "):
                    return list(log[start : end + 1])
            return list(log[start:])
    return []


def _cause(reason: str, traceback: Sequence[str], log: Sequence[str]) -> str:
    if traceback:
        return traceback[-1].strip()
    if line := _error_line(log):
        return line.removeprefix("error: ").strip()
    reported = _REPORTED.search(reason)
    message = (reported.group(1) if reported else reason).strip()
    _, exception = parted(message.splitlines())
    return exception[0] if exception else message


def _error_line(log: Sequence[str]) -> str:
    """The last line in which one of our scripts says what is wrong, or an empty string."""
    return next((line for line in reversed(log) if line.startswith("error: ")), "")


def _kind_and_fix(text: str) -> tuple[FailureKind, str]:
    for known in KNOWN_FAILURES:
        match = re.search(known.pattern, text, re.IGNORECASE)
        if match:
            named = [group.strip("\"'") for group in match.groups() if group]
            # The resource of a denied action is not always named.
            return known.kind, known.fix.format(*named, *["the resource"] * known.fix.count("{1}"))
    return "unknown", ""


def _location(traceback: Sequence[str]) -> str:
    """The innermost frame outside installed packages: what the author of the script can change."""
    frames = [match for line in traceback if (match := _FRAME.match(line))]
    own = [match for match in frames if not _INSTALLED.search(match["file"])]
    return f"{PurePosixPath(own[-1]['file']).name}:{own[-1]['line']}" if own else ""
