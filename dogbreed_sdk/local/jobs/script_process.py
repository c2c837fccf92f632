"""A script that runs on one host of a job: its output, its end, and the end of all processes that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.log_file import LineSplitter
from dogbreed_sdk._util.processes import dismiss_guard, guard_pid, signal_group, start_guard
from dogbreed_sdk.local.container_view import ContainerView
from dogbreed_sdk.local.forking.client import Fork, ForkedProcess, Refused
from dogbreed_sdk.local.jobs.environment import JOB_MARK

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Script:
    """What to run on a host.

    Attributes:
        host: The host's name.
        command: The command line.
        shown: The command line for messages.
        view: What its processes see of their container.
        folder: The working folder.
        environment: The whole environment; it marks the host's processes, see `environment.JOB_MARK`.
        fork: The Python that a fork server can stand in for; None if the script must start a new one.
    """

    host: str
    command: Sequence[str]
    shown: Sequence[str]
    view: ContainerView
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    fork: Fork | None = None


class Child(Protocol):
    """A process that runs a script, in its own session."""

    pid: int
    output: IO[bytes]

    @property
    def helpers(self) -> Collection[int]:
        """The children that this process needs for it."""

    def has_ended(self) -> bool:
        """Whether the script itself has ended."""

    def terminate(self) -> None:
        """Send SIGTERM to the script alone."""

    def wait(self) -> int:
        """Kill what still runs in the script's group, and return its exit status, negative for a signal."""

    def close(self) -> None:
        """Close the output."""


class NewProcess:
    """A script in a new process, with a guard that ends its group if this process dies.

    Args:
        script: What to run.

    Attributes:
        pid: The script's process id, which is also its group's.
        output: The pipe of its standard output and error.

    Raises:
        OSError: It can't be started.
    """

    def __init__(self, script: Script) -> None:
        self._process = subprocess.Popen(
            script.view.command(script.command),
            cwd=script.folder,
            env=dict(script.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.output: IO[bytes] = self._process.stdout
        try:
            self._guard = start_guard(self.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            self.output.close()
            raise

    @property
    def helpers(self) -> Collection[int]:
        """The script and its guard."""
        return (self.pid, guard_pid(self._guard))

    def has_ended(self) -> bool:
        """Whether the script itself has ended; processes that it started may still run."""
        return self._process.poll() is not None

    def terminate(self) -> None:
        """Send SIGTERM to the script alone."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def wait(self) -> int:
        """Kill what still runs in the script's group, wait for the script, and let its guard end."""
        signal_group(self.pid, signal.SIGKILL)
        status = self._process.wait()
        dismiss_guard(self._guard)
        return status

    def close(self) -> None:
        """Close the output."""
        self.output.close()


class ScriptProcess:
    """A running script, in its own process group, which ends if this process dies.

    Args:
        script: What to run.
        give_up: Called several times a second while a fork server does not answer; True ends the wait.

    Attributes:
        host: The host that it runs on.
        output: The pipe of its standard output and error.
        ending: A descriptor that becomes readable when the script ends; None where the system has none.
        exit_status: Its exit status once `finish` has been called, negative for a signal.
    """

    def __init__(self, script: Script, give_up: Callable[[], bool] = lambda: False) -> None:
        self.host = script.host
        self.exit_status: int | None = None
        self._mark = script.environment.get(JOB_MARK, "")
        self._splitter = LineSplitter()
        self._child = _started(script, give_up)
        self.output = self._child.output
        self.ending = _end_descriptor(self.pid)

    @property
    def pid(self) -> int:
        """The script's process id, which is also its group's id."""
        return self._child.pid

    @property
    def helpers(self) -> Collection[int]:
        """The children that this process needs for the script while it runs."""
        return self._child.helpers

    def has_ended(self) -> bool:
        """Whether the script itself has ended; processes that it started may still run."""
        return self._child.has_ended()

    def read(self) -> tuple[list[str], bool]:
        """The lines that are now complete, and whether more output may come; call it once there is output to read."""
        chunk = os.read(self.output.fileno(), _CHUNK_BYTES)
        return (self._splitter.feed(chunk), True) if chunk else (self.rest(), False)

    def rest(self) -> list[str]:
        """The last line, if it is not complete and no more output is read."""
        return self._splitter.finish()

    def terminate(self) -> None:
        """Ask the script to end: only the script itself, which could not save if its data loaders died first."""
        self._child.terminate()

    def kill(self) -> None:
        """Kill the script and its group."""
        signal_group(self.pid, signal.SIGKILL)

    def finish(self) -> None:
        """Kill what still runs in the script's group, wait for the script, and let its helpers end."""
        if self.exit_status is None:
            self.exit_status = self._child.wait()

    def end_strays(self) -> None:
        """Kill the host's processes that have left the script's group: daemons, and those in other sessions."""
        if self._mark:
            end_marked(JOB_MARK, self._mark)

    def close(self) -> None:
        """Close the script's output."""
        self._child.close()
        if self.ending is not None:
            os.close(self.ending)
            self.ending = None


def _started(script: Script, give_up: Callable[[], bool]) -> Child:
    if script.fork is not None:
        try:
            return ForkedProcess(
                script.fork,
                command=script.command,
                view=script.view.to_dict(),
                folder=str(script.folder),
                environment=script.environment,
                give_up=give_up,
            )
        except Refused as reason:
            print(f"The fork server does not run {script.host}'s script, which starts by itself: {reason}", flush=True)
    return NewProcess(script)


def _end_descriptor(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # only Linux has it, from 5.3 on
        return None
