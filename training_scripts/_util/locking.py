"""Locks on files and folders, between the processes of one machine; the kernel releases them however a holder ends.

Both packages lock through this module. Most of its users lock the very file or folder that they work on, or only look
whether somebody holds a lock, which lock files of the `filelock` package do not offer.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.5
_REPORT_SECONDS = 5.0


def try_lock(descriptor: int) -> bool:
    """Takes an exclusive lock on what is open; False where another process holds one.

    Raises:
        OSError: The file system has no locks.
    """
    return _try(descriptor, fcntl.LOCK_EX)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is made where it is missing; waits for it as long as it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def file_lock_within(path: Path, seconds: float) -> Iterator[bool]:
    """Holds an exclusive lock on a file; yields False, and holds nothing, where another process keeps it.

    Args:
        path: The file; made where it is missing.
        seconds: How long to wait. At least a moment: `is_locked` itself holds a lock while it looks.
    """
    deadline = time.monotonic() + seconds
    with path.open("a") as file:
        while not (locked := try_lock(file.fileno())) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        yield locked


@contextlib.contextmanager
def exclusive(
    folder: Path, *, report: Callable[[str], object], check: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Lets one process at a time work in a folder; the others wait for it, and say so.

    Args:
        folder: Made where it is missing; a file named `.lock` stays in it.
        report: Takes a line every few seconds while another process has the folder.
        check: Called twice a second meanwhile; what it raises ends the waiting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        reported = 0.0
        while not _locked_or_lockless(file.fileno()):
            if time.monotonic() - reported > _REPORT_SECONDS:
                reported = time.monotonic()
                report(f"waiting: another process works in {folder}")
            check()
            time.sleep(_RETRY_SECONDS)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the exclusive lock on a file."""
    try:
        with path.open("rb") as file:
            # A shared lock: of several processes that check at once, none takes another one for the holder.
            return not _try(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_or_lockless(descriptor: int) -> bool:
    try:
        return try_lock(descriptor)
    except OSError:  # a file system without locks: nothing to wait for
        return True
