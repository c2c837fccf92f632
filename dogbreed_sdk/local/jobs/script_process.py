"""Runs a training script: reads its output, ends it if it must stop, and ends all processes that it started."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dogbreed_sdk import container
from dogbreed_sdk._util.descendants import end_descendants, end_marked, reap_adopted
from dogbreed_sdk._util.log_file import LineSplitter
from dogbreed_sdk._util.processes import dismiss_guard, guard_pid, signal_group, start_guard
from dogbreed_sdk.local.jobs.environment import JOB_MARK

GRACE_VARIABLE = "DOGBREED_LOCAL_STOP_GRACE_SECONDS"
_CHUNK_BYTES = 64 * 1024
_TICK_SECONDS = 0.2
_FULL_SECONDS = 0.02
_DRAIN_SECONDS = 5.0
_REAP_SECONDS = 10.0

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
    """A script in its own process group.

    Args:
        command: What to run.
        folder: Its working folder.
        environment: Its whole environment.
        consume: Called with lines of its output, standard output and error in the order in which they come.
        end_reason: Called several times a second; returns why the script must end, or None.
        has_room: Whether more output can be consumed now: a script that prints too much waits, as on a slow terminal.
        helpers: The children that this process needs itself; None if it does not adopt orphans.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        consume: Callable[[list[str]], None],
        end_reason: Callable[[], EndReason | None],
        has_room: Callable[[], bool] = lambda: True,
        helpers: Callable[[], Collection[int]] | None = None,
    ) -> None:
        self._consume = consume
        self._end_reason = end_reason
        self._has_room = has_room
        self._helpers = helpers
        self._mark = environment.get(JOB_MARK, "")
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
        """The script's process id, which is also its group's id."""
        return self._process.pid

    def wait(self) -> ScriptEnd:
        """Read the script's output until it has ended, then end the processes that it left running."""
        assert self._process.stdout is not None
        with self._process.stdout as output, selectors.DefaultSelector() as selector:
            try:
                selector.register(output, selectors.EVENT_READ)
                self._follow(selector, output.fileno())
            finally:
                signal_group(self.pid, signal.SIGKILL)
                exit_status = self._process.wait()
                self._end_strays()
                dismiss_guard(self._guard)
            self._drain(selector, output.fileno())
        return ScriptEnd(exit_status, self._reason)

    def _follow(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        check_at = 0.0
        reap_at = time.monotonic() + _REAP_SECONDS
        while self._process.poll() is None:
            if not selector.get_map():
                time.sleep(_TICK_SECONDS)
            elif self._reason is None and not self._has_room():
                time.sleep(_FULL_SECONDS)
            elif selector.select(_TICK_SECONDS) and not self._read(descriptor):
                selector.unregister(descriptor)
            if time.monotonic() >= check_at:
                check_at = time.monotonic() + _TICK_SECONDS
                self._check_end()
            if self._helpers is not None and time.monotonic() >= reap_at:
                reap_at = time.monotonic() + _REAP_SECONDS
                reap_adopted(self._spared(self._helpers))

    def _check_end(self) -> None:
        if self._reason is None:
            reason = self._end_reason()
            if reason is not None:
                self._end(reason)
        elif time.monotonic() >= self._kill_at:
            signal_group(self.pid, signal.SIGKILL)

    def _spared(self, helpers: Callable[[], Collection[int]]) -> set[int]:
        return {*helpers(), guard_pid(self._guard), self.pid}

    def _end_strays(self) -> None:
        """End the processes that have left the script's group: daemons, and those in other sessions."""
        if self._helpers is not None:
            end_descendants(self._spared(self._helpers))
        elif self._mark:
            end_marked(JOB_MARK, self._mark)

    def _end(self, reason: EndReason) -> None:
        self._reason = reason
        self._kill_at = time.monotonic() + stop_grace_seconds()
        # Only the script itself: if its data loaders died first, it could not save.
        self._process.terminate()

    def _read(self, descriptor: int) -> bool:
        chunk = os.read(descriptor, _CHUNK_BYTES)
        self._pass_on(self._splitter.feed(chunk) if chunk else self._splitter.finish())
        return bool(chunk)

    def _pass_on(self, lines: list[str]) -> None:
        try:
            self._consume(lines)
        except OSError as error:
            if not is_full_disk(error):
                raise
            if self._reason is None:
                self._end("disk")

    def _drain(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        """Read the rest from the pipe, which a process outside the group may keep open."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while selector.get_map() and time.monotonic() < deadline and selector.select(_TICK_SECONDS):
            if not self._read(descriptor):
                return
        self._pass_on(self._splitter.finish())
