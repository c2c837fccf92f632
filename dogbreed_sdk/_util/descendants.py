"""Ends the processes that a script or a model has started, including orphans and those in other sessions.

On Linux, a process can adopt the orphans among its descendants, so that none leaves its tree. On other systems, or if
the adopter was killed, descendants are recognized by a variable in their environment.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import psutil

from dogbreed_sdk._util.processes import is_service

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
# A killed process ends at once, unless the machine is busy or a disk does not answer.
_ATTEMPTS = 250
_LOOK_SECONDS = 0.02

Find = Callable[[], Iterable[psutil.Process]]


def adopt_orphans() -> bool:
    """Make orphaned descendants of this process its children; False if the system does not support that."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def end_descendants(spare: Collection[int] = (), *, of: int | None = None) -> None:
    """Kill all descendants of a process that adopts orphans, and wait until they have ended.

    Args:
        spare: Children of the process that are still needed.
        of: The process; default: this one. Nothing happens if it has ended.
    """

    def descendants() -> list[psutil.Process]:
        try:
            found = psutil.Process(of).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in found if process.pid not in spare]

    _end(descendants, below=os.getpid() if of is None else of)


def end_marked(variable: str, prefix: str) -> None:
    """Kill all processes in whose environment a variable begins with a prefix, except this one and its ancestors.

    Args:
        variable: The variable.
        prefix: The beginning of its value, such as a folder of the job.

    Raises:
        ValueError: The prefix is empty, so that every process of this user would be killed.
    """
    if not prefix:
        raise ValueError(f"end_marked needs a prefix of ${variable}: an empty one marks every process")
    mine = {os.getpid(), *(process.pid for process in psutil.Process().parents())}

    def marked() -> Iterable[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid not in mine and process.environ().get(variable, "").startswith(prefix):
                    yield process

    _end(marked)


def reap_adopted(spare: Collection[int]) -> None:
    """Reap adopted orphans that have ended: until then, each occupies an entry in the process table.

    Args:
        spare: Children of this process that it waits for itself.
    """
    for process in psutil.Process().children():
        if process.pid not in spare:
            _reap(process.pid)


def _end(find: Find, *, below: int | None = None) -> None:
    """Kill the processes that are found until none is left: a process may start others before it is killed.

    Args:
        find: Finds them.
        below: The process that they descend from; default: this one.
    """
    root = os.getpid() if below is None else below
    for _ in range(_ATTEMPTS):
        found = [process for process in find() if not _is_of_service(process, root)]
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        for process in found:
            _reap(process.pid)
        if not any(_runs(process) for process in found):
            return
        time.sleep(_LOOK_SECONDS)


def _is_of_service(process: psutil.Process, root: int) -> bool:
    """Whether a process is a service, or was started by a service below `root`.

    A service that was started inside a job is another job or server, which outlives this one, as on AWS.
    """
    with suppress(psutil.Error):
        for found in (process, *process.parents()):
            if found.pid == root:
                return False
            if is_service(found.cmdline()):
                return True
    return False


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
