"""The server that is up for a root folder: one at a time, found by the file that it leaves there."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk._util.process_identity import Process
from dogbreed_sdk._util.processes import end_process, identify_self, is_alive
from dogbreed_sdk._util.sockets import bind
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.client_environment import client_environment
from dogbreed_sdk.local.server import LocalSageMaker
from dogbreed_sdk.local.store import Store
from training_scripts._util.atomic import write_json_atomically
from training_scripts._util.locking import file_lock_within, is_locked, shared_lock

DEFAULT_PORT = 8765
_FILE, _LOCK, _USERS = "server.json", "server.lock", "server.users"
# `is_locked` holds the lock for a moment, too.
_LOCK_SECONDS = 0.5
_STARTING_SECONDS = 60.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class RunningServer:
    """A server that is up.

    Attributes:
        url: Where it listens.
        root: Its folder.
        process: Its process.
        command: What started it: "up", or "run" for the duration of a program.
    """

    url: str
    root: Path
    process: Process
    command: str

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.process["pid"])


class ServerIsUpError(ConfigurationError):
    """Another server is up for the folder.

    Attributes:
        server: That server; None if its URL is not known yet.
    """

    def __init__(self, message: str, server: RunningServer | None) -> None:
        super().__init__(message)
        self.server = server


def find(root: Path) -> RunningServer | None:
    """The server that is up for a folder; waits for one that is starting."""
    deadline = time.monotonic() + _STARTING_SECONDS
    while is_locked(root / _LOCK):
        server = _recorded(root)
        if server is not None and is_alive(server.process, root=root):
            return server
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)
    return None


@contextmanager
def using(root: Path) -> Iterator[RunningServer | None]:
    """The server that is up for a folder, which a `local run` that started it keeps up within the context."""
    if find(root) is not None:
        with shared_lock(root / _USERS):
            server = find(root)  # again: it may have ended before it could see the lock
            if server is not None:
                yield server
                return
    yield None


def wait_for_users(root: Path, report: Callable[[], object]) -> None:
    """Wait until no other program uses the server; `report` is called once if there is one."""
    reported = False
    while True:
        with file_lock_within(root / _USERS, _LOCK_SECONDS) as is_free:
            if is_free:
                return
        if not reported:
            reported = True
            report()


def stop(server: RunningServer) -> None:
    """End a server; its jobs and endpoints continue."""
    end_process(server.process, grace_seconds=_STOP_SECONDS, root=server.root)


@contextmanager
def serving(root: Path, *, host: str, port: int | None, command: str) -> Iterator[RunningServer]:
    """Serve a folder within the context; this process, and what it starts, calls the server instead of AWS.

    Args:
        root: The folder; created if it is missing.
        host: A loopback address.
        port: The port; default: the one that the folder's last server had, or else 8765, or else a free one.
        command: See `RunningServer`.

    Raises:
        ServerIsUpError: Another server is up for the folder.
        ConfigurationError: The folder can't be written, or the port is taken.
    """
    root = Path(root).absolute()
    Store(root).close()  # makes the folder, or says why it can't
    with file_lock_within(root / _LOCK, _LOCK_SECONDS) as is_ours:
        if not is_ours:
            raise _is_up(root, find(root))
        chosen = _usual_port(root, host) if port is None else port
        with LocalSageMaker(root, host=host, port=chosen) as server, _calling(server.endpoint_url, root):
            running = RunningServer(server.endpoint_url, root, identify_self(root=root), command)
            document = {"url": running.url, "process": running.process, "command": command}
            write_json_atomically(root / _FILE, document, durable=False)
            yield running


@contextmanager
def _calling(url: str, root: Path) -> Iterator[None]:
    """This process, and with it the jobs and model servers that it starts, calls the server instead of AWS."""
    changes = client_environment(url, root, os.environ)
    changed = {*changes.variables, *changes.unset}
    before = {name: value for name, value in os.environ.items() if name in changed}
    # Nothing else is touched, even for a moment: other threads may read the environment.
    for name in changes.unset:
        os.environ.pop(name, None)
    os.environ.update(changes.variables)
    try:
        yield
    finally:
        for name in changed - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)


def _usual_port(root: Path, host: str) -> int:
    """The port that jobs of an earlier server still call, if it is free."""
    recorded = _recorded(root)
    earlier = int(recorded.url.rpartition(":")[2]) if recorded else DEFAULT_PORT
    for port in dict.fromkeys((earlier, DEFAULT_PORT)):
        with contextlib.suppress(ConfigurationError):
            bind(host, port).close()
            return port
    return 0


def _recorded(root: Path) -> RunningServer | None:
    try:
        found = json.loads((root / _FILE).read_text("utf-8"))
        return RunningServer(found["url"], root, found["process"], found["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_up(root: Path, server: RunningServer | None) -> ServerIsUpError:
    where = f"at {server.url} (process {server.pid})" if server else "and starting"
    return ServerIsUpError(
        f"A server is already up for {root}, {where}. Use it, or end it with 'dogbreed local stop'.", server
    )
