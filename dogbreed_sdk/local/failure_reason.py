"""A failed job's FailureReason, in AWS's form, from what the script left behind."""

from __future__ import annotations

import shlex
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from dogbreed_sdk.local.job_state import MAXIMUM_FAILURE_CHARACTERS

_TRACEBACK = "Traceback (most recent call last):"
_MESSAGE_LINES = 12
_FULL_DISK = "No space left on device"


def script_failure(
    *, exit_status: int, command: Sequence[str], failure_file: Path, tail: Sequence[str], folder: Path
) -> str:
    """The reason why a script failed.

    Args:
        exit_status: The script's, negative for a signal.
        command: What was run.
        failure_file: The container's output/failure, which a script may write.
        tail: The log's last lines.
        folder: The job's folder, for a full disk.

    Returns:
        AWS's `AlgorithmError: ExecuteUserScriptError: ExitCode … ErrorMessage … Command …`, at most 1024
        characters; the message is cut at its beginning, because a traceback says what happened at its end.
    """
    message = _failure_file(failure_file) or "\n".join(_telling_lines(tail))
    notes = _signal_note(exit_status)
    if _FULL_DISK in message or any(_FULL_DISK in line for line in tail):
        notes += full_disk(folder) + " "
    head = f'AlgorithmError: {notes}ExecuteUserScriptError:\nExitCode {exit_status}\nErrorMessage "'
    end = f'"\nCommand "{_cut_end(shlex.join(command), 300)}"'
    return head + _cut_start(message, MAXIMUM_FAILURE_CHARACTERS - len(head) - len(end)) + end


def full_disk(folder: Path) -> str:
    """What to say about a disk without free space.

    Args:
        folder: A folder on it.
    """
    usage = shutil.disk_usage(folder)
    return (
        f"The disk that holds {folder} is full ({usage.free / 1e6:.1f} of {usage.total / 1e6:.1f} MB free): "
        "free some space or use another root folder."
    )


def _failure_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _telling_lines(tail: Sequence[str]) -> list[str]:
    """The last traceback's end; without one the log's end."""
    lines = list(tail)
    starts = [number for number, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    if starts:
        lines = lines[starts[-1] + 1 :]
    return [line for line in lines if line.strip()][-_MESSAGE_LINES:]


def _signal_note(exit_status: int) -> str:
    if exit_status >= 0:
        return ""
    try:
        name = signal.Signals(-exit_status).name
    except ValueError:
        name = f"signal {-exit_status}"
    hint = " Perhaps the machine ran out of memory." if name == "SIGKILL" else ""
    return f"The script was ended by {name}.{hint} "


def _cut_start(text: str, limit: int) -> str:
    return text if len(text) <= limit else "…" + text[len(text) - limit + 1 :]


def _cut_end(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
