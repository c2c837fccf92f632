"""Time that no correction of the clock moves: for limits and durations, also across processes.

The wall clock may be put forward or back at any moment (a network time server, a resumed virtual machine). A mark
names the boot and the seconds since then, so that the time between two marks is right whatever the wall clock did.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Continues while the machine sleeps; only Linux has it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The identifier of the machine's present boot; empty where the system has none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        pass
    try:
        command = ["sysctl", "-n", "kern.bootsessionuuid"]  # macOS
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def mark() -> str:
    """The present moment, comparable between the processes of one machine."""
    return f"{boot_id()}:{_seconds():.3f}"


def elapsed(since: str | None, wall: float) -> float:
    """The seconds since a moment, 0 at least.

    Args:
        since: Its mark.
        wall: The same moment by the wall clock, in epoch seconds: used where there is no mark, or one of an earlier
            boot.
    """
    boot, _, seconds = (since or "").rpartition(":")
    if boot and boot == boot_id():
        return max(0.0, _seconds() - float(seconds))
    return max(0.0, time.time() - wall)


def age(kept: Mapping[str, Any]) -> float:
    """The seconds since a clock was made by `start`."""
    return elapsed(kept["mark"], kept["time"])


def start() -> dict[str, Any]:
    """A clock to keep in a record's state: the wall clock's time now, and the mark to count on from."""
    return {"time": time.time(), "mark": mark()}


def read(kept: Mapping[str, Any]) -> float:
    """The time by a clock that `start` made: epoch seconds that only ever rise, and as fast as time does."""
    return float(kept["time"]) + age(kept)


def _seconds() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
