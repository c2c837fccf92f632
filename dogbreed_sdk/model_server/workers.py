"""Several processes that serve one model: they get connections in turn, are replaced if they die, and end together."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

from dogbreed_sdk._util.location import PACKAGE_PARENT
from dogbreed_sdk._util.sockets import bind
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.connection_passing import pass_connection
from dogbreed_sdk.model_server.parent_socket import READY, USED, ParentSocket
from dogbreed_sdk.model_server.restarts import Restarts
from dogbreed_sdk.model_server.settings import Settings
from dogbreed_sdk.model_server.worker import SHUTDOWN_SECONDS, announce

_PACKAGE = "dogbreed_sdk.model_server"
_POLL_SECONDS = 0.2
_BACKLOG = 2048
_KILL_AFTER_SECONDS = SHUTDOWN_SECONDS + 5.0

_log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """One worker: its current process, the socket with its messages, and the socket that passes connections to it."""

    process: subprocess.Popen[bytes] | None = None
    messages: socket.socket | None = None
    connections: socket.socket | None = None
    ready: bool = False
    started: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    not_before: float = field(default_factory=time.monotonic)


def run_workers(settings: Settings) -> int:
    """Serves with `settings.workers` processes until a signal, the end of the parent, or the idle time.

    Returns:
        The exit status: 1 if the first processes could not load the model; their output has the reason.
    """
    if settings.descriptor is None:
        try:
            listener = bind(settings.host, settings.port)
        except ConfigurationError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        listener.listen(_BACKLOG)
    else:
        listener = socket.socket(fileno=settings.descriptor)
    with listener:
        return _Workers(settings, listener).run()


class _Workers:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._parent = None if settings.parent_socket is None else ParentSocket(settings.parent_socket)
        self._workers = [_Worker() for _ in range(settings.workers)]
        self._selector = selectors.DefaultSelector()
        self._listener.setblocking(False)
        self._listening = False
        self._ending = False
        self._was_ready = False
        self._last_use = time.monotonic()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        try:
            while not self._ending:
                if not self._start_missing():
                    return 1
                self._handle_events()
                if self._was_ready and time.monotonic() - self._last_use > self._settings.idle_seconds:
                    _log.warning("Ending after %.0f s without requests.", self._settings.idle_seconds)
                    break
        finally:
            self._end_all()
        return 0

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _start_missing(self) -> bool:
        """Starts workers whose process is missing; False if the model cannot be loaded at all."""
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is not None:
                if not self._was_ready:
                    return False
                self._on_death(worker, worker.process)
            if worker.process is None and time.monotonic() >= worker.not_before:
                self._start(worker)
        self._listen_if(any(worker.ready for worker in self._workers))
        return True

    def _listen_if(self, any_ready: bool) -> None:
        """Accepts connections only while a worker is ready; otherwise they wait in the socket's queue."""
        if any_ready and not self._listening:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._listening and not any_ready:
            self._selector.unregister(self._listener)
        self._listening = any_ready

    def _on_death(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        worker.not_before = now + worker.restarts.pause(now - worker.started)
        how = f"by signal {-process.returncode}" if process.returncode < 0 else f"with status {process.returncode}"
        _log.error("Worker %d ended %s; another takes its place.", process.pid, how)
        self._clear(worker)

    def _clear(self, worker: _Worker) -> None:
        if worker.messages is not None:
            self._selector.unregister(worker.messages)
            worker.messages.close()
        if worker.connections is not None:
            worker.connections.close()
        worker.process, worker.messages, worker.connections, worker.ready = None, None, None, False

    def _start(self, worker: _Worker) -> None:
        messages, their_messages = socket.socketpair()
        connections, their_connections = socket.socketpair()
        with their_messages, their_connections:
            descriptors = (their_connections.fileno(), their_messages.fileno())
            arguments = self._settings.worker_arguments(connections=descriptors[0], parent_socket=descriptors[1])
            worker.process = subprocess.Popen(
                [sys.executable, "-m", _PACKAGE, *arguments],
                cwd=PACKAGE_PARENT,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # so that Ctrl-C reaches the parent alone, which ends them in order
            )
        messages.setblocking(False)
        connections.setblocking(False)
        worker.messages, worker.connections, worker.started = messages, connections, time.monotonic()
        self._selector.register(messages, selectors.EVENT_READ, worker)

    def _handle_events(self) -> None:
        """Waits a moment for connections, and for messages of workers."""
        for key, _ in self._selector.select(_POLL_SECONDS):
            if key.data is None:
                self._accept()
            else:
                self._receive(key.data)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # its client has disconnected
            return
        self._last_use = time.monotonic()
        for _ in range(len(self._workers)):
            self._workers.append(self._workers.pop(0))  # round robin
            worker = self._workers[-1]
            if worker.ready and worker.connections is not None:
                with suppress(OSError):  # the worker has just died
                    pass_connection(worker.connections, connection)
                    return
        connection.close()

    def _receive(self, worker: _Worker) -> None:
        assert worker.messages is not None
        try:
            received = worker.messages.recv(1024)
        except OSError:
            received = b""
        if not received:
            worker.ready = False
            time.sleep(_POLL_SECONDS / 10)  # the process is ending; its exit status follows
        if USED in received or READY in received:  # the time to load does not count as idle
            self._last_use = time.monotonic()
        if READY in received:
            worker.ready = True
            if not self._was_ready:
                announce(self._settings, self._listener)
                if self._parent:
                    self._parent.send(READY)
            self._was_ready = True

    def _end_all(self) -> None:
        """Lets all workers finish the requests that they accepted; kills those that do not end in time."""
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _KILL_AFTER_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in self._workers:
            with suppress(OSError):
                self._clear(worker)
        self._selector.close()
