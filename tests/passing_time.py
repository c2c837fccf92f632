"""Time that passes when a test says so, for limits that no test can wait for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from training_scripts._util.atomic import write_atomically

_FILE = "TIME_PASSED"
# Python imports it at every start. It moves the clocks by which limits are kept, and not the wall clock.
_MOVED_CLOCKS = f"""
import os, time
def moved(clock):
    def now(*arguments):
        try:
            with open(os.environ[{_FILE!r}]) as file:
                return clock(*arguments) + float(file.read())
        except (KeyError, OSError):
            return clock(*arguments)
    return now
time.monotonic, time.clock_gettime = moved(time.monotonic), moved(time.clock_gettime)
"""


def set_time(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType, **functions: Callable[..., Any]) -> None:
    """Gives modules that use `time` other functions of it, such as `monotonic`.

    Never replace those of `time` itself: the threads of this process, such as a server's event loop, use them, and a
    timer that is set while the clock is hours ahead does not expire for hours.
    """
    for module in modules:
        monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(time), **functions}))


class PassingTime:
    """The clocks of processes that are started with its environment, and of those that they start with it.

    Args:
        folder: A new folder that nothing else uses.

    Attributes:
        environment: Variables.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_MOVED_CLOCKS)
        self._file = folder / "passed"
        searched = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {"PYTHONPATH": os.pathsep.join(searched), _FILE: str(self._file)}

    def move(self, seconds: float) -> None:
        """Put the clocks forward by this many seconds since the beginning, not since the last call."""
        write_atomically(self._file, str(seconds))
