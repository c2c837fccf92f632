"""A failed job's FailureReason in AWS's form, from the script's failure file and log."""

from __future__ import annotations

import errno
import re
import shlex
import shutil
import signal
import traceback
from collections.abc import Sequence
from pathlib import Path

from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk._util.text import shorten
from dogbreed_sdk._util.tracebacks import TRACEBACK, parted
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.script_files import nearest_folder, read_end
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS
from training_scripts._util.safe_text import without_secrets

# torch.distributed writes this before every line of a traceback.
_RANK = re.compile(r"^\[rank\d+\]: ?")
# The traceback of torchrun itself, which says nothing about the script.
_LAUNCHER_FAILURE = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError"
_MESSAGE_LINES = 12
# Many times more than fits into a FailureReason.
_FAILURE_BYTES = 64 * 1024
_FULL_DISK = "No space left on device"
_REPORTED = re.compile(r'(?P<head>AlgorithmError: .*?)ErrorMessage "(?P<message>.*)"\nCommand ".*', re.DOTALL)


def script_failure(
    *,
    exit_status: int,
    command: Sequence[str],
    failure_file: Path,
    tail: Sequence[str],
    folder: Path,
    host: str | None = None,
) -> str:
    """The reason why a script failed.

    Args:
        exit_status: The script's exit status, negative for a signal.
        command: The command that was run.
        failure_file: The container's output/failure, which a script may write.
        tail: The log's last lines.
        folder: The job's folder, for a full disk.
        host: The host that the script ran on, if the job has several.

    Returns:
        AWS's `AlgorithmError: ExecuteUserScriptError: ExitCode … ErrorMessage … Command …`, at most 1024
        characters: from a longer message frames are removed first, then the middle of the exception's text.
    """
    written = without_secrets(_failure_file(failure_file))
    tail = [without_secrets(line) for line in tail]
    message = _parts_of_text(written) if written else _parts_of_log(tail)
    notes = _signal_note(exit_status)
    if any(_FULL_DISK in part for part in message) or any(_FULL_DISK in line for line in tail):
        notes += full_disk(folder) + " "
    head = f'AlgorithmError: {notes}ExecuteUserScriptError:\nExitCode {exit_status}\nErrorMessage "'
    end = f'"\nCommand "{_cut_end(without_secrets(shlex.join(command)), 300)}"'
    if host is not None:
        end += f"\nHost {host}"
    return head + _fitted(message, MAXIMUM_FAILURE_CHARACTERS - len(head) - len(end)) + end


def brief(reason: str, limit: int) -> str:
    """A FailureReason, reduced to its exception if `script_failure` made it, and cut in the middle to a length.

    Args:
        reason: The FailureReason.
        limit: The length in characters.
    """
    reported = _REPORTED.fullmatch(reason)
    if reported is None:
        return shorten(reason, limit)
    _, exception = parted(reported["message"].splitlines())
    message = "\n".join(exception) or reported["message"]
    return shorten(f'{reported["head"]}ErrorMessage "{message}"', limit)


def full_disk(folder: Path) -> str:
    """The message about a disk without free space.

    Args:
        folder: A folder on it.
    """
    usage = shutil.disk_usage(nearest_folder(folder))
    return (
        f"The disk that holds {folder} is full ({amount(usage.free)} of {amount(usage.total)} free): "
        "free some space or use another root folder."
    )


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that a disk is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def unexpected(error: Exception, folder: JobFolder) -> str:
    """The reason for a job whose supervisor met an error that is not the script's or the model's.

    Args:
        error: The error; its traceback is printed.
        folder: The job's folder.
    """
    traceback.print_exception(error)
    if is_full_disk(error):
        return f"ClientError: {full_disk(folder.path)}"
    return (
        f"InternalServerError: {type(error).__name__}: {error}. "
        f"The supervisor's log {folder.supervisor_log} has the details."
    )


def _failure_file(path: Path) -> str:
    return read_end(path, _FAILURE_BYTES).replace("\0", "").strip()  # a sparse file is empty


def _parts_of_log(tail: Sequence[str]) -> list[str]:
    """The last traceback's frames, line by line, and its exception in one piece; without one the log's last lines."""
    lines = [line for line in (_RANK.sub("", line, count=1) for line in tail) if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith(TRACEBACK)]
    if not starts:
        return lines[-_MESSAGE_LINES:]
    if len(starts) > 1 and any(line.startswith(_LAUNCHER_FAILURE) for line in lines[starts[-1] :]):
        lines = lines[: starts.pop()]
    frames, exception = parted(lines[starts[-1] + 1 :])
    return [*frames[-_MESSAGE_LINES:], "\n".join(exception)] if exception else frames[-_MESSAGE_LINES:]


def _parts_of_text(text: str) -> list[str]:
    frames, exception = parted(text.splitlines())
    return [*frames, "\n".join(exception)] if exception else [text]


def _fitted(parts: Sequence[str], limit: int) -> str:
    """The last part, cut in the middle if it is too long, and as many of the preceding parts as fit."""
    text = "\n".join(parts)
    if len(text) <= limit:
        return text
    return _cut_start(text, limit) if len(parts[-1]) < limit else shorten(parts[-1], limit)


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
