"""Runs a training script: reads its output, ends it when asked to, and lets none of its processes survive it."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dogbreed_sdk import container
from dogbreed_sdk.local.log_file import LineSplitter
from dogbreed_sdk.local.processes import dismiss_guard, signal_group, start_guard

GRACE_VARIABLE = "DOGBREED_LOCAL_STOP_GRACE_SECONDS"
_CHUNK_BYTES = 64 * 1024
_TICK_SECONDS = 0.2
_DRAIN_SECONDS = 5.0

EndReason = Literal["stop", "runtime", "disk"]


@dataclass(frozen=True)
class ScriptEnd:
    """How a script ended.

    Attributes:
        exit_status: Its exit status, negative for a signal.
        reason: Why it was ended, or None when it ended by itself.
    """

    exit_status: int
    reason: EndReason | None


def stop_grace_seconds() -> float:
    """How long a script may take after SIGTERM; DOGBREED_LOCAL_STOP_GRACE_SECONDS overrides AWS's 120."""
    return float(os.environ.get(GRACE_VARIABLE) or container.STOP_GRACE_SECONDS)


def is_full_disk(error: OSError) -> bool:
    """Whether an error means that there is no space left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class ScriptProcess:
    """A script in a process group of its own.

    Args:
        command: What to run.
        folder: Its working folder.
        environment: Its whole environment.
        consume: Takes its output, line by line, standard output and error as they come.
        wish: Asked several times a second whether the script should end, and why.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        consume: Callable[[list[str]], None],
        wish: Callable[[], EndReason | None],
    ) -> None:
        self._consume = consume
        self._wish = wish
        self._splitter = LineSplitter()
        self._reason: EndReason | None = None
        self._kill_at = float("inf")
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._guard = start_guard(self._process.pid)

    @property
    def pid(self) -> int:
        """The script's process id, which is its group's id too."""
        return self._process.pid

    def wait(self) -> ScriptEnd:
        """Serve the script until it has ended, then end what it left running."""
        assert self._process.stdout is not None
        with self._process.stdout as output, selectors.DefaultSelector() as selector:
            try:
                selector.register(output, selectors.EVENT_READ)
                self._follow(selector, output.fileno())
            finally:
                signal_group(self.pid, signal.SIGKILL)
                exit_status = self._process.wait()
                dismiss_guard(self._guard)
            self._drain(selector, output.fileno())
        return ScriptEnd(exit_status, self._reason)

    def _follow(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        look_at = 0.0
        while self._process.poll() is None:
            if selector.get_map() and selector.select(_TICK_SECONDS):
                if not self._read(descriptor):
                    selector.unregister(descriptor)
            elif not selector.get_map():
                time.sleep(_TICK_SECONDS)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + _TICK_SECONDS
                self._look()

    def _look(self) -> None:
        if self._reason is None:
            wish = self._wish()
            if wish is not None:
                self._end(wish)
        elif time.monotonic() >= self._kill_at:
            signal_group(self.pid, signal.SIGKILL)

    def _end(self, reason: EndReason) -> None:
        self._reason = reason
        self._kill_at = time.monotonic() + stop_grace_seconds()
        # Its own children are left to the script: a data loader that dies first would spoil the last save.
        self._process.terminate()

    def _read(self, descriptor: int) -> bool:
        chunk = os.read(descriptor, _CHUNK_BYTES)
        self._hand_over(self._splitter.feed(chunk) if chunk else self._splitter.finish())
        return bool(chunk)

    def _hand_over(self, lines: list[str]) -> None:
        try:
            self._consume(lines)
        except OSError as error:
            if not is_full_disk(error):
                raise
            if self._reason is None:
                self._end("disk")

    def _drain(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        """Read what is left in the pipe, which a process outside the group may keep open."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while selector.get_map() and time.monotonic() < deadline and selector.select(_TICK_SECONDS):
            if not self._read(descriptor):
                return
        self._hand_over(self._splitter.finish())
