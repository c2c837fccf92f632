"""Lets one process at a time work in a folder; the others wait for it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_RETRY_SECONDS = 0.5
_REPORT_SECONDS = 5.0


@contextlib.contextmanager
def exclusive(folder: Path, *, report: Callable[[str], Any], check: Callable[[], Any] = lambda: None) -> Iterator[None]:
    """Holds a folder; the kernel lets go of it when the process ends, however that happens.

    Args:
        folder: Made where it is missing; a file named `.lock` stays in it.
        report: Takes a line every few seconds while another process has the folder.
        check: Called twice a second meanwhile; what it raises ends the waiting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        reported = 0.0
        while not _locked(file.fileno()):
            if time.monotonic() - reported > _REPORT_SECONDS:
                reported = time.monotonic()
                report(f"waiting: another process works in {folder}")
            check()
            time.sleep(_RETRY_SECONDS)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing to wait for
        return True
    return True
