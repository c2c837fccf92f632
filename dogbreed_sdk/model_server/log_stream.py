"""A standard stream that writes into an endpoint's log."""

from __future__ import annotations

import io
import threading
from contextlib import suppress

from dogbreed_sdk._util.log_file import LogFile


class LogStream(io.TextIOBase):
    """Writes whole lines, with their time, to a log."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._lock = threading.RLock()
        self._rest = ""

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, text: str) -> int:
        """Write text; what follows the last newline waits for the next one."""
        with self._lock, suppress(OSError):  # a full disk must not end a model that answers
            *lines, self._rest = (self._rest + text).split("\n")
            self._log.write(lines)
        return len(text)
