"""CPU seconds of a piece of work with all processes that it starts, also those that outlive their starters."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable

import psutil

from dogbreed_sdk._util.descendants import adopt_orphans
from dogbreed_sdk.local.forking.lease import SERVERS

_PATIENCE_SECONDS = 60.0


def cpu_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """The CPU seconds and the wall seconds of some work, on Linux.

    The fork server that it leaves is ended, and counts in full: its import of PyTorch, and all its scripts. A process
    that keeps running for another reason would never be counted, so it is an error.

    Raises:
        RuntimeError: A process still runs a minute after the work's end.
    """
    if not adopt_orphans():
        raise RuntimeError("only Linux reports the CPU time of processes that outlive their starters")
    before, start = _spent(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    SERVERS.close()
    _wait_for_children()
    return _spent() - before, seconds


def _spent() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def _wait_for_children() -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > deadline:
                left = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
                raise RuntimeError(f"still running: {left}")
            time.sleep(0.02)
