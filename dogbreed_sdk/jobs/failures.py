"""Diagnoses a failed job: the traceback in its log, the kind of failure, the cause, and a fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from dogbreed_sdk._util.tracebacks import parted
from training_scripts._util.safe_text import without_secrets

TRACEBACK_LINES = 12

FailureKind = Literal[
    "package missing",
    "disk full",
    "out of memory",
    "not a number",
    "metric missing",
    "role not assumable",
    "image not found",
    "permission",
    "data not found",
    "capacity",
    "quota",
    "network",
    "hyperparameter",
    "service error",
    "script error",
    "unknown",
]


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


class _Known(NamedTuple):
    """A failure that is known: a pattern in the log or the reason, and what to do."""

    kind: FailureKind
    pattern: str
    fix: str


_GRANT_CALL = (
    "Grant the job's role the action that {0} needs (dogbreed doctor --policy role prints a policy with all of them)."
)
# The first match wins: what names a cause exactly is above what it may be a part of. The words of AWS are those of
# published failure reasons; they are not documented, so what does not match stays as it is.
_KNOWN: tuple[_Known, ...] = (
    _Known(
        "package missing",
        r"ModuleNotFoundError: No module named '?([\w.]+)",
        "Install the package {0!r} where the job runs: for local SageMaker in this environment, for AWS through "
        "training_scripts/requirements.txt.",
    ),
    _Known(
        "disk full",
        r"No space left on device|Errno 28|insufficient (?:disk|storage) space|not enough (?:disk )?space",
        "Free disk space, or use a larger volume (volume_size_gb on AWS, another --root locally).",
    ),
    _Known(
        "out of memory",
        r"DataLoader worker .* (?:bus error|killed by signal: (?:Bus error|Killed))|insufficient shared memory",
        "The workers that read pictures ran out of memory: use fewer workers or a larger instance.",
    ),
    _Known(
        "out of memory",
        r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|can't allocate memory",
        "Halve batch-size, unfreeze fewer blocks, or use a larger instance.",
    ),
    _Known(
        "out of memory",
        r"exit(?:ed with)? code:? -?(?:9|137)\b|ExitCode:? -?(?:9|137)\b|SIGKILL|MemoryError|Cannot allocate memory|"
        r"use an instance type with more memory",
        "The process was killed, usually because it ran out of memory: halve batch-size or use a larger instance.",
    ),
    _Known(
        "not a number",
        r"for the objective metric .* is not a finite number",
        "Search lower learning rates, and find the epoch in which the loss grew in the trial's log.",
    ),
    _Known(
        "metric missing",
        r"not find any of .*metric|no objective metric|did not emit|Regex of the objective metric",
        "Print the objective metric in a format that its metric definition matches.",
    ),
    _Known(
        "role not assumable",
        r"sts:AssumeRole|trust relationship",
        "Set the role's trust policy to the one that 'dogbreed doctor --policy trust' prints.",
    ),
    _Known(
        "image not found",
        r"Cannot find (?:repository|image|requested image)|CannotPullContainer|manifest unknown|"
        r"(?:image|repository) .*does not exist|ImagePull",
        "Check that the image exists in the job's region and that the role may pull it (ecr:BatchGetImage).",
    ),
    _Known(
        "permission",
        r"not authorized to perform:? ([\w-]+:\w+)(?: on (?:the )?resource:? (\S+?))?(?: because|[.,]?\s|[.,]?$)",
        "Grant the job's role {0} on {1} (dogbreed doctor --policy role prints a policy with all that it needs).",
    ),
    _Known("permission", r"\((?:403|AccessDenied\w*)\) when calling the (\w+) operation", _GRANT_CALL),
    _Known("permission", r"AccessDenied when calling (?:the )?(\w+)", _GRANT_CALL),
    _Known(
        "permission",
        r"KMS\w*Exception|kms:\w+|customer master key",
        "Grant the job's role kms:Decrypt and kms:GenerateDataKey on the key, also in the key's own policy.",
    ),
    _Known(
        "permission",
        r"AccessDenied|Access Denied|not authorized to perform",
        "Grant the job's role access to the URI named above, also in the policies of its bucket and of its KMS key.",
    ),
    _Known(
        "data not found",
        r"illegal char sub-sequence",
        "Use a bucket prefix without empty parts: SageMaker does not read keys that contain '//'.",
    ),
    _Known(
        "network",
        r"connect timeout on endpoint|Could not connect to the endpoint URL|ConnectTimeoutError|"
        r"(?:Temporary failure in|Failed to resolve|name) (?:name )?resolution|Network is unreachable",
        "The job has no way to that address: in a VPC, add a gateway endpoint for S3 and a NAT gateway for the rest; "
        "with network isolation, use packaged weights.",
    ),
    _Known(
        "data not found",
        r"the job has (?:no channel|the channels)|Data download failed|No S3 objects found|NoSuchKey|NoSuchBucket|"
        r"no such (?:file or directory|folder)|does not exist",
        "Check that the data set's folder still exists and that its URI is correct.",
    ),
    _Known(
        "capacity",
        r"InsufficientCapacity|InsufficientInstanceCapacity|CapacityError|Unable to provision requested ML compute",
        "AWS has no free capacity for this instance type: try again later or choose another one.",
    ),
    _Known(
        "quota",
        r"service limit '([^']+)' is ([\d.]+)",
        "The account's quota {0!r} is {1}: request an increase under Service Quotas, Amazon SageMaker, or choose "
        "another instance type.",
    ),
    _Known(
        "quota",
        r"ResourceLimitExceeded",
        "Request an increase under Service Quotas, Amazon SageMaker, or choose another instance type.",
    ),
    _Known(
        "hyperparameter",
        r"unrecognized arguments: (\S+)|error: argument (\S+?):|error: ([\w-]+): .* (?:is not|must be) ",
        "Correct the hyperparameter {0}; 'dogbreed train --help' lists them with what they accept.",
    ),
    _Known(
        "service error",
        r"InternalServerError|internal error\. Please try again|ServiceUnavailable",
        "The failure is SageMaker's own: start the job again.",
    ),
)
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
    if told := _error_line(log):
        return told.removeprefix("error: ").strip()
    reported = _REPORTED.search(reason)
    message = (reported.group(1) if reported else reason).strip()
    _, exception = parted(message.splitlines())
    return exception[0] if exception else message


def _error_line(log: Sequence[str]) -> str:
    """The last line in which one of our scripts says what is wrong, or an empty string."""
    return next((line for line in reversed(log) if line.startswith("error: ")), "")


def _kind_and_fix(text: str) -> tuple[FailureKind, str]:
    for known in _KNOWN:
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
