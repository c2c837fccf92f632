"""The identity of a running process, as JSON, by which it is recognized later; `processes` writes and reads it."""

from __future__ import annotations

from typing import TypedDict


class _Started(TypedDict):
    pid: int
    created: float


class Process(_Started, total=False):
    """A running process: its id and its start, because ids are reused.

    Attributes:
        pid: Its id.
        created: Its start in epoch seconds, based on the boot time that the kernel reports.
        start: On Linux, the boot and the ticks since then, which changes of the clock do not affect.
        root: The device and the number of the root folder that it works for.
    """

    start: str
    root: list[int]
