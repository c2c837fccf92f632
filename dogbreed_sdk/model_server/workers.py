"""Several processes that serve one model: fed with connections in turn, replaced when they die, ended together."""

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

from dogbreed_sdk._util.processes import PACKAGE_PARENT
from dogbreed_sdk._util.sockets import bind
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.connection_passing import hand_over
from dogbreed_sdk.model_server.parent_socket import READY, USED, Lifeline
from dogbreed_sdk.model_server.restarts import Restarts
from dogbreed_sdk.model_server.settings import Settings
from dogbreed_sdk.model_server.worker import SHUTDOWN_SECONDS, announce

_PACKAGE = "dogbreed_sdk.model_server"
_LOOK_SECONDS = 0.2
_BACKLOG = 2048
_KILL_AFTER_SECONDS = SHUTDOWN_SECONDS + 5.0

_log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """One place of the server, the process that fills it, and the two sockets to it."""

    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    channel: socket.socket | None = None
    ready: bool = False
    started: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    not_before: float = field(default_factory=time.monotonic)


def run_workers(settings: Settings) -> int:
    """Serve with `settings.workers` processes until a signal, the starter's end, or long idleness.

    Returns:
        The exit status: 1 where the first processes could not load the model; their output says why.
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
        self._lifeline = None if settings.lifeline is None else Lifeline(settings.lifeline)
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
                if not self._tend():
                    return 1
                self._listen()
                if self._was_ready and time.monotonic() - self._last_use > self._settings.idle_seconds:
                    _log.warning("Ending after %.0f idle seconds.", self._settings.idle_seconds)
                    break
        finally:
            self._end_all()
        return 0

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _tend(self) -> bool:
        """Fill empty places; False when the model proves not to load at all."""
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is not None:
                if not self._was_ready:
                    return False
                self._lost(worker, worker.process)
            if worker.process is None and time.monotonic() >= worker.not_before:
                self._start(worker)
        self._listen_if(any(worker.ready for worker in self._workers))
        return True

    def _listen_if(self, somebody_is_ready: bool) -> None:
        """Take connections only while there is a worker for them: others wait in the socket's queue."""
        if somebody_is_ready and not self._listening:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._listening and not somebody_is_ready:
            self._selector.unregister(self._listener)
        self._listening = somebody_is_ready

    def _lost(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        worker.not_before = now + worker.restarts.pause(now - worker.started)
        how = f"by signal {-process.returncode}" if process.returncode < 0 else f"with status {process.returncode}"
        _log.error("Worker %d ended %s; another takes its place.", process.pid, how)
        self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        if worker.line is not None:
            self._selector.unregister(worker.line)
            worker.line.close()
        if worker.channel is not None:
            worker.channel.close()
        worker.process, worker.line, worker.channel, worker.ready = None, None, None, False

    def _start(self, worker: _Worker) -> None:
        line, their_line = socket.socketpair()
        channel, their_channel = socket.socketpair()
        with their_line, their_channel:
            descriptors = (their_channel.fileno(), their_line.fileno())
            arguments = self._settings.worker_arguments(connections=descriptors[0], lifeline=descriptors[1])
            worker.process = subprocess.Popen(
                [sys.executable, "-m", _PACKAGE, *arguments],
                cwd=PACKAGE_PARENT,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C comes to the parent, which ends them in order
            )
        line.setblocking(False)
        channel.setblocking(False)
        worker.line, worker.channel, worker.started = line, channel, time.monotonic()
        self._selector.register(line, selectors.EVENT_READ, worker)

    def _listen(self) -> None:
        """For a moment, hand connections over and hear what workers say."""
        for key, _ in self._selector.select(_LOOK_SECONDS):
            if key.data is None:
                self._accept()
            else:
                self._hear(key.data)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # its client has gone again
            return
        self._last_use = time.monotonic()
        for _ in range(len(self._workers)):
            self._workers.append(self._workers.pop(0))  # the next one's turn
            worker = self._workers[-1]
            if worker.ready and worker.channel is not None:
                with suppress(OSError):  # one that has just died
                    hand_over(worker.channel, connection)
                    return
        connection.close()

    def _hear(self, worker: _Worker) -> None:
        assert worker.line is not None
        try:
            heard = worker.line.recv(1024)
        except OSError:
            heard = b""
        if not heard:
            worker.ready = False
            time.sleep(_LOOK_SECONDS / 10)  # it ends: its exit status comes next
        if USED in heard or READY in heard:  # loading is no idleness
            self._last_use = time.monotonic()
        if READY in heard:
            worker.ready = True
            if not self._was_ready:
                announce(self._settings, self._listener)
                if self._lifeline:
                    self._lifeline.send(READY)
            self._was_ready = True

    def _end_all(self) -> None:
        """Have all finish what they accepted; one that does not end in time is killed."""
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
                self._forget(worker)
        self._selector.close()
