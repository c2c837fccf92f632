"""Holds fork servers for the jobs that this process starts, and hands them on to the supervisors of those jobs.

A fork server lives as long as somebody holds the descriptor by which it is asked: the process that has started it, and
all supervisors that have inherited it. So it needs no supervision, and ends with a search that was killed.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk._util.cores import thread_environment
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE, server
from dogbreed_sdk.local.jobs.environment import JOB_MARK

# The rooms for a script's command line and environment, as /proc shows them. Longer ones are cut.
_COMMAND_ROOM, _ENVIRONMENT_ROOM = 4_000, 16_000
_PROGRAM = Path(server.__file__)
_OFF = "off"

_Key = tuple[str, tuple[tuple[str, str], ...]]


class ForkServers:
    """The fork servers that one process holds, one for each Python and environment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[_Key, int] = {}

    def descriptor(self, python: str, extra: Mapping[str, str]) -> int | None:
        """The descriptor by which a fork server is asked; starts one if there is none.

        Args:
            python: The scripts' Python.
            extra: Variables of the job that may matter when PyTorch is imported.

        Returns:
            None where there can be no fork server; a server that then fails to import PyTorch simply ends.
        """
        environment = {**inherited(os.environ), **thread_environment(1), "PYTHONUNBUFFERED": "1", **extra}
        key = (python, tuple(sorted(environment.items())))
        with self._lock:
            held = self._held.get(key)
            if held is not None and not _is_over(held):
                return held
            if held is not None:
                os.close(self._held.pop(key))
            try:
                self._held[key] = _start(python, environment)
            except OSError:
                return None
            return self._held[key]

    def close(self) -> None:
        """Let go of all fork servers: they end as soon as no supervisor holds them."""
        with self._lock:
            for held in self._held.values():
                os.close(held)
            self._held.clear()


SERVERS = ForkServers()


def is_possible(environ: Mapping[str, str]) -> bool:
    """Whether this system has what fork servers need, and they are not switched off.

    On other systems than Linux, libraries do not work in forks. The processes of a job must not hold anything that
    outlives the job.
    """
    return sys.platform == "linux" and environ.get(FORK_SERVER_VARIABLE) != _OFF and JOB_MARK not in environ


def handed_down(environ: Mapping[str, str]) -> int | None:
    """The descriptor that this process has inherited, if its fork server still runs.

    Args:
        environ: This process's environment.
    """
    number = environ.get(FORK_SERVER_VARIABLE, "")
    if not number.isdecimal() or not is_possible(environ):
        return None
    try:
        descriptor = int(number)
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode) or _is_over(descriptor):
            return None
        os.set_inheritable(descriptor, False)
    except OSError:
        return None
    return descriptor


def _is_over(descriptor: int) -> bool:
    """Whether nobody answers any longer at the other end."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _start(python: str, environment: Mapping[str, str]) -> int:
    """Start a fork server; returns the descriptor by which it is asked."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Its output is a pipe, as that of scripts is: Python's streams depend on that. Nobody reads what PyTorch's import
    # may print, and the server keeps the pipe open.
    reading, writing = os.pipe()
    descriptors = [its.fileno(), reading]
    try:
        subprocess.run(
            [python, str(_PROGRAM), *map(str, descriptors), "-" * _COMMAND_ROOM],
            # The last variable: what /proc shows ends where a script's environment does.
            env={**environment, JOB_MARK: "-" * _ENVIRONMENT_ROOM},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            pass_fds=descriptors,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        ours.close()
        raise OSError(f"the fork server can't be started: {error}") from error
    finally:
        its.close()
        os.close(reading)
        os.close(writing)
    return ours.detach()
