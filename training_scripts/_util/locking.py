"""Locks on files and folders between the processes of one machine; the kernel releases them however a holder ends.

Both packages lock through this module. Most callers lock the file or folder itself that they work on, or only check
whether it is locked. The lock files of the `filelock` package support neither.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path

_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.5
_REPORT_SECONDS = 5.0


def try_lock(descriptor: int) -> bool:
    """Takes an exclusive lock on an open file or folder; False if another process holds one.

    Raises:
        OSError: The file system has no locks.
    """
    return _try(descriptor, fcntl.LOCK_EX)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is created if it is missing; waits for the lock without a timeout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Holds a shared lock on a file, which is created if it is missing; waits for the end of an exclusive one."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def file_lock_within(path: Path, seconds: float) -> Iterator[bool]:
    """Holds an exclusive lock on a file; yields False, and holds nothing, if another process keeps it.

    Args:
        path: The file; created if it is missing.
        seconds: The timeout. It must not be 0, because `is_locked` itself holds the lock for a moment.
    """
    with path.open("a") as file:
        # Attempts count, not the clock: a machine that stalls for a while must not use up the time with one attempt.
        attempts = ceil(seconds / _POLL_SECONDS)
        while not (locked := try_lock(file.fileno())) and attempts > 0:
            attempts -= 1
            time.sleep(_POLL_SECONDS)
        yield locked


@contextlib.contextmanager
def exclusive(
    folder: Path, *, report: Callable[[str], object], check: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Lets one process at a time work in a folder; the others wait and report that they wait.

    Args:
        folder: The folder; created if it is missing. A file named `.lock` stays in it.
        report: Called with a line every few seconds while another process uses the folder.
        check: Called twice a second while waiting; an exception from it ends the wait.
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
            # A shared lock, so that processes that check at the same time do not mistake each other for the holder.
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
