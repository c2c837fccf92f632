"""What recognizes a running process later, as JSON; `processes` makes and reads it."""

from __future__ import annotations

from typing import TypedDict


class _Started(TypedDict):
    pid: int
    created: float


class Process(_Started, total=False):
    """A running process: its id with its start, because ids are used again.

    Attributes:
        pid: Its id.
        created: Its start in epoch seconds, by the kernel's idea of the boot time.
        start: On Linux the boot and the ticks since then, which no change of the clock moves.
        root: The device and the number of the root folder that it works for.
    """

    start: str
    root: list[int]
