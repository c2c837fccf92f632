"""Asks a fork server for a process that runs a script, and follows that process to its end."""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from dogbreed_sdk._util.descendants import end_descendants
from dogbreed_sdk._util.processes import signal_group
from dogbreed_sdk.local.forking.script import inherited

# A server that has just been started imports PyTorch first.
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_END_SECONDS = 30.0
_READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fork:
    """A Python that a fork server can stand in for.

    Attributes:
        server: The descriptor by which the server is asked.
        python: The scripts' Python.
        layer: The folder of the job's layer above it.
        site_packages: The folder of that layer's packages.
        below: The folders of packages of the scripts' Python.
        added: What ends the layer's module search path.
        mark: The variable by which the job's processes are recognized.
    """

    server: int
    python: str
    layer: str
    site_packages: str
    below: Sequence[str]
    added: Sequence[str]
    mark: str


class Refused(Exception):  # noqa: N818 - the script then starts in the ordinary way
    """The fork server cannot run a script; the message says why."""


class ForkedProcess:
    """A script that runs in a fork of a fork server.

    Args:
        fork: The Python.
        command: The command line: the layer's Python, a script, and arguments.
        view: What the script sees of its container.
        folder: The working folder.
        environment: The whole environment.
        give_up: Called several times a second while the server does not answer; True ends the wait.

    Attributes:
        pid: The script's process id, which is also its group's and its session's.
        output: The pipe of its standard output and error.
        helpers: The children that this process needs for it: none, as the keeper is the server's child.

    Raises:
        Refused: The fork server has ended, does not answer, or cannot run this script.
    """

    helpers: tuple[int, ...] = ()

    def __init__(
        self,
        fork: Fork,
        *,
        command: Sequence[str],
        view: Mapping[str, object],
        folder: str,
        environment: Mapping[str, str],
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        request = {
            **{name: value for name, value in asdict(fork).items() if name != "server"},
            "command": list(command),
            "view": dict(view),
            "folder": folder,
            "environment": dict(environment),
            "process": inherited(),
        }
        reading, writing = os.pipe()
        self.output: IO[bytes] = os.fdopen(reading, "rb")
        self._connection: socket.socket | None = None
        self._received = b""
        self._ended = False
        try:
            self._connection = _connected(fork.server, writing)
            self._keeper = int(self._answer(_START_SECONDS, give_up)["keeper"])
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            answer = self._answer(_START_SECONDS)
            if "refused" in answer:
                raise Refused(str(answer["refused"]))
            self.pid = int(answer["pid"])
        except (OSError, Refused) as error:
            self.close()
            raise error if isinstance(error, Refused) else Refused(f"it has ended ({error})") from error
        finally:
            os.close(writing)

    def has_ended(self) -> bool:
        """Whether the script itself has ended, whose status `wait` gets from the keeper."""
        self._ended = self._ended or not _runs(self.pid)
        return self._ended

    def terminate(self) -> None:
        """Send SIGTERM to the script alone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> int:
        """End what the script has left running, and return its exit status, negative for a signal."""
        assert self._connection is not None
        signal_group(self.pid, signal.SIGKILL)
        end_descendants(of=self._keeper)
        try:
            self._connection.sendall(b"end\n")
            return int(self._answer(_END_SECONDS)["status"])
        except (OSError, Refused):
            return -signal.SIGKILL  # the keeper was killed, and the script with it
        finally:
            self._connection.close()

    def close(self) -> None:
        """Close the output, and the connection to the keeper."""
        self.output.close()
        if self._connection is not None:
            self._connection.close()

    def _answer(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """The next message of the keeper.

        Raises:
            Refused: None comes in time, or none will come.
            OSError: The connection is lost.
        """
        assert self._connection is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            if time.monotonic() > deadline or give_up():
                raise Refused("it does not answer")
            if select.select([self._connection], [], [], _LOOK_SECONDS)[0]:
                chunk = self._connection.recv(_READ_BYTES)
                if not chunk:
                    raise Refused("it has ended")
                self._received += chunk
        line, self._received = self._received.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found


def _connected(server: int, output: int) -> socket.socket:
    """A connection to a keeper that the server forks for it, or for which it ends."""
    ours, its = socket.socketpair()
    try:
        with socket.socket(fileno=os.dup(server)) as asking, its:
            descriptors = array.array("i", [its.fileno(), output])
            asking.sendmsg([b"1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], socket.MSG_NOSIGNAL)
    except OSError:
        ours.close()
        raise
    return ours


def _runs(pid: int) -> bool:
    """Whether a process runs that its parent does not reap before it is told to."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
