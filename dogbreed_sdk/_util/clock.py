"""Time that corrections of the wall clock do not affect: for limits and durations, also across processes.

The wall clock may jump at any moment (a network time server, a resumed virtual machine). A mark contains the boot and
the seconds since then, so that the time between two marks is always right.
"""

from __future__ import annotations

import subprocess
import time
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Continues while the machine sleeps; only Linux has it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


class StartedClock(TypedDict):
    """A clock that `start` made: the wall clock's time at that moment in epoch seconds, and the mark to count from."""

    time: float
    mark: str


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The identifier of the machine's current boot; empty where the system has none."""
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
    """The current moment, comparable between the processes of one machine."""
    return f"{boot_id()}:{_seconds():.3f}"


def elapsed(since: str | None, wall: float) -> float:
    """The seconds since a moment; never negative.

    Args:
        since: The moment's mark.
        wall: The same moment by the wall clock, in epoch seconds: used if there is no mark, or if the mark is from an
            earlier boot.
    """
    boot, _, seconds = (since or "").rpartition(":")
    if boot and boot == boot_id():
        return max(0.0, _seconds() - float(seconds))
    return max(0.0, time.time() - wall)


def age(kept: StartedClock) -> float:
    """The seconds since a clock was made by `start`."""
    return elapsed(kept["mark"], kept["time"])


def start() -> StartedClock:
    """A clock that starts now, and can be stored as JSON."""
    return {"time": time.time(), "mark": mark()}


def read(kept: StartedClock) -> float:
    """The time by a clock that `start` made: epoch seconds that never jump."""
    return float(kept["time"]) + age(kept)


def _seconds() -> float:
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
