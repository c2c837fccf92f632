"""Diagnoses a failed job: the traceback in its log, the cause, and a fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dogbreed_sdk._util.tracebacks import parted
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
    """

    reason: str
    traceback: str
    cause: str
    fix: str


# (pattern in the log or the reason, what to do); the first match wins.
_FIXES: tuple[tuple[str, str], ...] = (
    (
        r"ModuleNotFoundError: No module named '?([\w.]+)",
        (
            "Install the package {0!r} where the job runs: for local SageMaker in this environment, for AWS through "
            "training_scripts/requirements.txt."
        ),
    ),
    (
        r"No space left on device|Errno 28",
        "Free disk space, or use a larger volume (volume_size_gb on AWS, another --root locally).",
    ),
    (
        r"CUDA out of memory|OutOfMemoryError",
        "Halve batch-size, unfreeze fewer blocks, or use a larger instance.",
    ),
    (
        r"exit(?:ed with)? code -?9\b|ExitCode -?(?:9|137)\b|SIGKILL|MemoryError|Cannot allocate memory",
        "The process was killed, usually because it ran out of memory: halve batch-size or use a larger instance.",
    ),
    (
        r"for the objective metric .* is not a finite number",
        "Search lower learning rates, and find the epoch in which the loss grew in the trial's log.",
    ),
    (
        r"not find any of .*metric|no objective metric|did not emit|Regex of the objective metric",
        "Print the objective metric in a format that its metric definition matches.",
    ),
    (
        (
            r"the job has (?:no channel|the channels)|Data download failed|No S3 objects found|"
            r"no such (?:file or directory|folder)|does not exist"
        ),
        "Check that the data set's folder still exists and that its URI is correct.",
    ),
    (
        r"InsufficientCapacity|CapacityError",
        "AWS has no free capacity for this instance type: try again later or choose another one.",
    ),
    (
        r"AccessDenied|not authorized to perform",
        "Grant the job's role the permission named above.",
    ),
)
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
    return Failure(
        reason=reason,
        traceback="\n".join(traceback[-TRACEBACK_LINES:]),
        cause=cause,
        fix=_fix("\n".join([cause, *traceback, reason])),
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
    for line in reversed(log):
        if line.startswith("error: "):
            return line.removeprefix("error: ").strip()
    reported = _REPORTED.search(reason)
    message = (reported.group(1) if reported else reason).strip()
    _, exception = parted(message.splitlines())
    return exception[0] if exception else message


def _fix(text: str) -> str:
    for pattern, advice in _FIXES:
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            return advice.format(*match.groups())
    return ""
