"""Runs the scripts of a job's hosts: reads their output, and ends all of them if the job must stop or one fails."""

from __future__ import annotations

import os
import re
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from dogbreed_sdk import container
from dogbreed_sdk._util.descendants import end_descendants, reap_adopted
from dogbreed_sdk._util.tracebacks import TRACEBACK
from dogbreed_sdk.local.failure_reason import is_full_disk
from dogbreed_sdk.local.jobs.script_process import Script, ScriptProcess

GRACE_VARIABLE = "DOGBREED_LOCAL_STOP_GRACE_SECONDS"
_TICK_SECONDS = 0.2
_FULL_SECONDS = 0.02
_DRAIN_SECONDS = 5.0
_REAP_SECONDS = 10.0
# How long a script may take from its last traceback to its end, or a launcher to notice it.
_TRACEBACK_SECONDS = 60.0

# What torchrun prints about a process that something killed, such as the kernel when memory runs out; SIGABRT and
# SIGTERM are what a lost connection ends in.
_KILLED = re.compile(rf"failed \(exitcode: -(?:{signal.SIGKILL:d}|{signal.SIGSEGV:d}|{signal.SIGBUS:d})\)")
# The exit statuses of a script that ended because it was asked to.
_ASKED_TO_END = (-signal.SIGTERM, -signal.SIGKILL)

# What ends the scripts of a job: a request, a limit (MaxRuntime or MaxWait), a full disk, or a lost spot instance.
EndReason = Literal["stop", "runtime", "wait", "disk", "interruption"]


@dataclass(frozen=True)
class ScriptEnd:
    """How the scripts of a job ended.

    Attributes:
        reason: Why they were ended, or None if they ended by themselves.
        host: The host to blame if a script failed, else the first one.
        exit_status: The exit status of that host's script, negative for a signal.
    """

    reason: EndReason | None
    host: str
    exit_status: int


def stop_grace_seconds() -> float:
    """How long a script may take after SIGTERM; DOGBREED_LOCAL_STOP_GRACE_SECONDS overrides AWS's 120."""
    return float(os.environ.get(GRACE_VARIABLE) or container.STOP_GRACE_SECONDS)


class ScriptProcesses:
    """The scripts of a job, one for each host, all started at once.

    Args:
        scripts: What to run.
        consume: Called with a host and lines of its output, standard output and error in the order in which they come.
        end_reason: Called several times a second; returns why the scripts must end, or None.
        has_room: Whether more output can be consumed now: a script that prints too much waits, as on a slow terminal.
        helpers: The children that this process needs itself; None if it does not adopt orphans.

    Raises:
        OSError: A script can't be started; none runs.
    """

    def __init__(
        self,
        scripts: Sequence[Script],
        *,
        consume: Callable[[str, list[str]], None],
        end_reason: Callable[[], EndReason | None],
        has_room: Callable[[], bool] = lambda: True,
        helpers: Callable[[], Collection[int]] | None = None,
    ) -> None:
        self._consume = consume
        self._end_reason = end_reason
        self._has_room = has_room
        self._helpers = helpers
        self._reason: EndReason | None = None
        self._kill_at: float | None = None  # once the scripts have been asked to end
        self._ended: list[ScriptProcess] = []  # in the order of their ends
        self._tracebacks: deque[tuple[float, str]] = deque()  # when and on which hosts they began, recently
        self._killed: list[str] = []  # the hosts whose launchers reported a killed process
        self._processes: list[ScriptProcess] = []
        try:
            for script in scripts:
                self._processes.append(ScriptProcess(script, lambda: end_reason() is not None))
        except OSError:
            self._finish()
            for process in self._processes:
                process.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The scripts' process ids, in the order of the hosts."""
        return [process.pid for process in self._processes]

    def wait(self) -> ScriptEnd:
        """Read the scripts' output until all have ended, then end the processes that they left running."""
        with ExitStack() as stack:
            for process in self._processes:
                stack.callback(process.close)
            selector = stack.enter_context(selectors.DefaultSelector())
            try:
                self._register(selector)
                self._follow(selector)
            finally:
                self._finish()
            self._drain(selector)
        return self._end()

    def _register(self, selector: selectors.BaseSelector) -> None:
        for process in self._processes:
            selector.register(process.output, selectors.EVENT_READ, process)
            if process.ending is not None:
                selector.register(process.ending, selectors.EVENT_READ)

    def _follow(self, selector: selectors.BaseSelector) -> None:
        check_at = 0.0
        reap_at = time.monotonic() + _REAP_SECONDS
        while len(self._ended) < len(self._processes):
            if self._kill_at is None and not self._has_room():
                time.sleep(_FULL_SECONDS)
            else:
                self._read_some(selector, _TICK_SECONDS)
            self._note_ends(selector)
            if time.monotonic() >= check_at:
                check_at = time.monotonic() + _TICK_SECONDS
                self._check_end()
            if self._helpers is not None and time.monotonic() >= reap_at:
                reap_at = time.monotonic() + _REAP_SECONDS
                reap_adopted(self._spared(self._helpers))

    def _note_ends(self, selector: selectors.BaseSelector) -> None:
        for process in self._processes:
            if process in self._ended or not process.has_ended():
                continue
            self._ended.append(process)
            if process.ending is not None:
                selector.unregister(process.ending)
            process.finish()
            if len(self._ended) < len(self._processes):
                process.end_strays()  # a container ends with its script, also while other hosts run
            if process.exit_status != 0 and self._kill_at is None:
                self._forget_tracebacks()
                self._ask_to_end()

    def _check_end(self) -> None:
        if self._reason is None and self._kill_at is None:
            reason = self._end_reason()
            if reason is not None:
                self._reason = reason
                self._ask_to_end()
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            for process in self._running():
                process.kill()

    def _ask_to_end(self) -> None:
        self._kill_at = time.monotonic() + stop_grace_seconds()
        for process in self._running():
            process.terminate()

    def _running(self) -> list[ScriptProcess]:
        return [process for process in self._processes if process not in self._ended]

    def _spared(self, helpers: Callable[[], Collection[int]]) -> set[int]:
        return {*helpers(), *(helper for process in self._running() for helper in process.helpers)}

    def _finish(self) -> None:
        for process in self._processes:
            process.finish()
        if self._helpers is not None:
            end_descendants(set(self._helpers()))
        else:
            for process in self._processes:
                process.end_strays()

    def _read_some(self, selector: selectors.BaseSelector, seconds: float) -> bool:
        """Read what output there is, or wait for some; returns whether anything came."""
        if not selector.get_map():
            time.sleep(seconds)
            return False
        ready = [key for key, _ in selector.select(seconds)]
        for key in ready:
            process = key.data
            if process is None:
                continue
            lines, more = process.read()
            if not more:
                selector.unregister(process.output)
            self._pass_on(process.host, lines)
        return bool(ready)

    def _pass_on(self, host: str, lines: list[str]) -> None:
        if any(TRACEBACK in line for line in lines):
            self._forget_tracebacks()
            self._tracebacks.append((time.monotonic(), host))
        if host not in self._killed and any(_KILLED.search(line) for line in lines):
            self._killed.append(host)
        try:
            self._consume(host, lines)
        except OSError as error:
            if not is_full_disk(error):
                raise
            if self._kill_at is None:
                self._reason = "disk"
                self._ask_to_end()

    def _forget_tracebacks(self) -> None:
        """Forget those that were not the end of a script: it has run on for a while."""
        recent = time.monotonic() - _TRACEBACK_SECONDS
        while self._kill_at is None and self._tracebacks and self._tracebacks[0][0] < recent:
            self._tracebacks.popleft()

    def _drain(self, selector: selectors.BaseSelector) -> None:
        """Read the rest from the pipes, which a process outside the groups may keep open."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while selector.get_map() and time.monotonic() < deadline and self._read_some(selector, _TICK_SECONDS):
            pass
        for process in self._processes:
            self._pass_on(process.host, process.rest())

    def _end(self) -> ScriptEnd:
        failed = [process for process in self._ended if process.exit_status]
        blamed = self._processes[0] if self._reason is not None or not failed else self._culprit(failed)
        assert blamed.exit_status is not None
        return ScriptEnd(self._reason, blamed.host, blamed.exit_status)

    def _culprit(self, failed: Sequence[ScriptProcess]) -> ScriptProcess:
        """The host whose script failed first.

        When one host fails, the others soon lose their connection to it, and a launcher such as torchrun may notice
        that sooner than its own script's failure. A killed process, or else the first traceback, shows where it began.

        Args:
            failed: The hosts whose scripts failed, in the order of their ends.
        """
        first, *others = failed
        suspects = {process.host: process for process in others if process.exit_status not in _ASKED_TO_END}
        suspects[first.host] = first
        killed = [host for host in self._killed if host in suspects]
        order = [host for _, host in self._tracebacks if host in suspects]
        return suspects[(killed or order)[0]] if first.host in order else first
