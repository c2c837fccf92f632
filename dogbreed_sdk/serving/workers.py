"""Several processes that serve one model: started on one socket, replaced when they die, ended together."""

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

from dogbreed_sdk.local.processes import PACKAGE_PARENT
from dogbreed_sdk.serving.lifeline import READY, USED, Lifeline
from dogbreed_sdk.serving.settings import Settings
from dogbreed_sdk.serving.worker import SHUTDOWN_SECONDS

_LOOK_SECONDS = 0.2
_BACKLOG = 2048
# One that dies again and again must not keep a core busy with loading: 1, 2, 4 ... 30 s between two starts.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
_KILL_AFTER_SECONDS = SHUTDOWN_SECONDS + 5.0

_log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """One place of the server, and the process that fills it."""

    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    ready: bool = False
    started: float = 0.0
    pause: float = _FIRST_PAUSE_SECONDS
    not_before: float = field(default_factory=time.monotonic)


def run_workers(settings: Settings) -> int:
    """Serve with `settings.workers` processes until a signal, the starter's end, or long idleness.

    Returns:
        The exit status: 1 where the first processes could not load the model; their output says why.
    """
    if settings.descriptor is None:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
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
                if time.monotonic() - self._last_use > self._settings.idle_seconds:
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
        return True

    def _lost(self, worker: _Worker, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        worker.pause = (
            _FIRST_PAUSE_SECONDS
            if now - worker.started > _HEALTHY_SECONDS
            else min(2 * worker.pause, _LONGEST_PAUSE_SECONDS)
        )
        # One that has served is replaced at once; one that died while it loaded is not.
        worker.not_before = now if worker.ready else now + worker.pause
        how = f"by signal {-process.returncode}" if process.returncode < 0 else f"with status {process.returncode}"
        _log.error("Worker %d ended %s; another takes its place.", process.pid, how)
        self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        if worker.line is not None:
            self._selector.unregister(worker.line)
            worker.line.close()
        worker.process, worker.line, worker.ready = None, None, False

    def _start(self, worker: _Worker) -> None:
        line, theirs = socket.socketpair()
        with theirs:
            descriptors = (self._listener.fileno(), theirs.fileno())
            arguments = self._settings.worker_arguments(descriptor=descriptors[0], lifeline=descriptors[1])
            worker.process = subprocess.Popen(
                [sys.executable, "-m", __package__, *arguments],
                cwd=PACKAGE_PARENT,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C comes to the parent, which ends them in order
            )
        line.setblocking(False)
        worker.line, worker.started = line, time.monotonic()
        self._selector.register(line, selectors.EVENT_READ, worker)

    def _listen(self) -> None:
        """Hear what workers say, for a moment."""
        for key, _ in self._selector.select(_LOOK_SECONDS):
            worker: _Worker = key.data
            assert worker.line is not None
            try:
                heard = worker.line.recv(1024)
            except OSError:
                heard = b""
            if not heard:
                time.sleep(_LOOK_SECONDS / 10)  # it ends: its exit status comes next
            if USED in heard:
                self._last_use = time.monotonic()
            if READY in heard:
                worker.ready = True
                if not self._was_ready and self._lifeline:
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
