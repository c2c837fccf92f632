"""A script that runs on one host of a job: its output, its end, and the end of all processes that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.log_file import LineSplitter
from dogbreed_sdk._util.processes import dismiss_guard, guard_pid, signal_group, start_guard
from dogbreed_sdk.local.jobs.container_view import ContainerView
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
    """

    host: str
    command: Sequence[str]
    shown: Sequence[str]
    view: ContainerView
    folder: Path
    environment: Mapping[str, str] = field(repr=False)


class ScriptProcess:
    """A running script, in its own process group; a guard ends it if this process dies.

    Args:
        script: What to run.

    Attributes:
        host: The host that it runs on.
        output: The pipe of its standard output and error.
        ending: A descriptor that becomes readable when the script ends; None where the system has none.
        exit_status: Its exit status once `finish` has been called, negative for a signal.
    """

    def __init__(self, script: Script) -> None:
        self.host = script.host
        self.exit_status: int | None = None
        self._mark = script.environment.get(JOB_MARK, "")
        self._splitter = LineSplitter()
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
        self.output = self._process.stdout
        try:
            self._guard = start_guard(self._process.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            self.output.close()
            raise
        self.ending = _end_descriptor(self._process.pid)

    @property
    def pid(self) -> int:
        """The script's process id, which is also its group's id."""
        return self._process.pid

    @property
    def guard(self) -> int:
        """The process id of its guard."""
        return guard_pid(self._guard)

    def has_ended(self) -> bool:
        """Whether the script itself has ended; processes that it started may still run."""
        return self._process.poll() is not None

    def read(self) -> tuple[list[str], bool]:
        """The lines that are complete now, and whether more output may come; call it when there is some."""
        chunk = os.read(self.output.fileno(), _CHUNK_BYTES)
        return (self._splitter.feed(chunk), True) if chunk else (self.rest(), False)

    def rest(self) -> list[str]:
        """The last line, if it is not complete and no more output is read."""
        return self._splitter.finish()

    def terminate(self) -> None:
        """Ask the script to end: only the script itself, which could not save if its data loaders died first."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Kill the script and its group."""
        signal_group(self.pid, signal.SIGKILL)

    def finish(self) -> None:
        """Kill what runs of the script's group, wait for the script, and let its guard end."""
        if self.exit_status is None:
            self.kill()
            self.exit_status = self._process.wait()
            dismiss_guard(self._guard)

    def end_strays(self) -> None:
        """Kill the host's processes that have left the script's group: daemons, and those in other sessions."""
        if self._mark:
            end_marked(JOB_MARK, self._mark)

    def close(self) -> None:
        """Close the script's output."""
        self.output.close()
        if self.ending is not None:
            os.close(self.ending)
            self.ending = None


def _end_descriptor(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # only Linux has it, from 5.3 on
        return None
