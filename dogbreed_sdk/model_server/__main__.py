"""The program `python -m dogbreed_sdk.model_server [serve] --model-dir DIR`."""

from __future__ import annotations

import atexit
import faulthandler
import io
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dogbreed_sdk._util.descendants import adopt_orphans, end_descendants
from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk._util.processes import restore_interrupts
from dogbreed_sdk._util.signals import end_on_hangup
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.settings import read_settings, require_model
from dogbreed_sdk.model_server.worker import run_worker
from dogbreed_sdk.model_server.workers import run_workers

# The process id in a container: the kernel withholds signals that the process does not handle, and loading the model
# takes seconds.
_FIRST_PROCESS = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Loads the model and serves it.

    Args:
        arguments: Without the program's name. Default: those of the process.

    Returns:
        The exit status: 1 if the model cannot be served, with the reason on standard error.
    """
    try:
        settings = read_settings(arguments)
        require_model(settings)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if settings.remove_at_end:
        _remove_at_end(settings.remove_at_end)
    restore_interrupts()
    end_on_hangup()
    if os.getpid() == _FIRST_PROCESS:
        signal.signal(signal.SIGTERM, _exit)
    if settings.log:
        sys.stdout = sys.stderr = LogStream(LogFile(settings.log))
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level, format=form, stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(max(settings.log_level, logging.WARNING))  # not its start and end
    faulthandler.enable(sys.__stderr__ or 2)
    return run_workers(settings) if settings.workers > 1 else run_worker(settings)


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _search_package_parent_last() -> None:
    """Drops the working folder from the module search path if a later entry repeats it, as where the SDK is installed.

    `python -m` puts it first, before what the model's code installs into the virtual environment of its server.
    """
    if sys.path[0] in map(os.path.realpath, sys.path[1:]):
        del sys.path[0]


def _remove_at_end(folder: Path) -> None:
    """Removes a folder when this process ends, but not when a process that the model's code forked does.

    Another process removes it, which may take seconds: meanwhile, this one would seem to serve still.
    """
    server = os.getpid()

    def remove() -> None:
        if os.getpid() == server:
            subprocess.Popen(
                ["rm", "-rf", folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )

    atexit.register(remove)


class LogStream(io.TextIOBase):
    """A standard stream that writes whole lines, with their time, to an endpoint's log."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._lock = threading.RLock()
        self._rest = ""

    def writable(self) -> bool:
        """Always true."""
        return True

    def write(self, text: str) -> int:
        """Writes complete lines; the text after the last newline waits for the rest of its line."""
        with self._lock, suppress(OSError):  # a full disk must not end a model that answers
            *lines, self._rest = (self._rest + text).split("\n")
            self._log.write(lines)
        return len(text)


if __name__ == "__main__":
    _search_package_parent_last()
    adopts = adopt_orphans()
    try:
        status = main()
    finally:
        if adopts:
            end_descendants()  # processes that the model's code started must not outlive the server
    sys.exit(status)
