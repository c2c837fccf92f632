"""The command line of the model server."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk._util.processes import restore_interrupts
from dogbreed_sdk._util.signals import end_on_hangup
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.log_stream import LogStream
from dogbreed_sdk.model_server.settings import read_settings, require_model
from dogbreed_sdk.model_server.worker import run_worker
from dogbreed_sdk.model_server.workers import run_workers

# A container's: the kernel withholds signals from it that it does not handle, and it loads for seconds.
_FIRST_PROCESS = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the model and serve it; 1 where that can't be done, with the reason on standard error."""
    try:
        settings = read_settings(arguments)
        require_model(settings)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    restore_interrupts()
    end_on_hangup()
    if os.getpid() == _FIRST_PROCESS:
        signal.signal(signal.SIGTERM, _end)
    if settings.log:
        sys.stdout = sys.stderr = LogStream(LogFile(settings.log))
    form = "%(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level, format=form, stream=sys.stderr)
    faulthandler.enable(sys.__stderr__ or 2)
    return run_workers(settings) if settings.workers > 1 else run_worker(settings)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
