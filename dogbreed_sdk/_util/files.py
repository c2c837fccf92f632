"""Locks on files, between the processes of one machine; the kernel releases them however their holder ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made where it is missing; waits for it as long as it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def file_lock_within(path: Path, seconds: float) -> Iterator[bool]:
    """Hold an exclusive lock on a file; yields False, and holds nothing, where another process keeps it.

    Args:
        path: The file; made where it is missing.
        seconds: How long to wait. At least a moment: `is_locked` itself holds a lock while it looks.
    """
    with path.open("a") as handle:
        yield _acquired(handle.fileno(), time.monotonic() + seconds)


def is_locked(path: Path) -> bool:
    """Whether a process holds the exclusive lock on a file."""
    try:
        with path.open("rb") as handle:
            # A shared lock: of several processes that check at once, none takes another one for the holder.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _acquired(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True
