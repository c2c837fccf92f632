"""One serving process: loads the model, handles requests, ends after a signal, with its parent, or when idle."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import traceback
from contextlib import suppress

import uvicorn

from dogbreed_sdk._util.cores import available_cores, thread_environment
from dogbreed_sdk._util.http_connections import LimitedProtocol
from dogbreed_sdk._util.sockets import bind, url_of
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.app import ModelApp
from dogbreed_sdk.model_server.batching import runner_for
from dogbreed_sdk.model_server.connection_passing import PassedConnections
from dogbreed_sdk.model_server.handlers import ModelHandlers
from dogbreed_sdk.model_server.parent_socket import READY, USED, ParentSocket
from dogbreed_sdk.model_server.settings import BACKEND_VARIABLE, Settings
from training_scripts.training import runtime

# SageMaker's limit for a real-time request; no client waits longer.
SHUTDOWN_SECONDS = 60
_WATCH_SECONDS = 1.0

_log = logging.getLogger(__name__)


def run_worker(settings: Settings) -> int:
    """Serves until the server ends.

    Returns:
        The exit status: 1 if the model cannot be loaded, with the reason on standard error.
    """
    parent = None if settings.parent_socket is None else ParentSocket(settings.parent_socket)
    _prepare_process(settings)
    try:
        listener = _listener(settings)
        handlers = ModelHandlers.load(settings.model_dir, settings.code, settings.program)
        _check_backend(settings)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - the model's code may raise anything
        if _is_explained(error):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    app = ModelApp(runner_for(handlers, cores=available_cores()), settings)
    _Server(app, settings, parent).run(sockets=[listener])
    return 0


def _is_explained(error: Exception) -> bool:
    """Whether the message suffices without a traceback, as for a broken bundle."""
    scripts = sys.modules.get("training_scripts")  # the bundle's own, if its code is served
    return isinstance(error, getattr(scripts, "ScriptError", ()))


def _listener(settings: Settings) -> socket.socket:
    if settings.connections is not None:
        return PassedConnections(fileno=settings.connections)
    if settings.descriptor is not None:
        return socket.socket(fileno=settings.descriptor)
    return bind(settings.host, settings.port)  # before loading the model, so that a taken port is reported at once


def announce(settings: Settings, listener: socket.socket) -> None:
    """Prints the URL, if a person started the server."""
    if settings.is_started_by_hand:
        print(
            f"serving {settings.model_dir} at {url_of(listener)}  (press Ctrl-C to stop)", file=sys.stderr, flush=True
        )


def _prepare_process(settings: Settings) -> None:
    """Sets up threads and memory, before torch or NumPy is loaded."""
    os.environ.update(thread_environment(settings.threads))
    os.environ[BACKEND_VARIABLE] = "" if settings.backend == "auto" else settings.backend  # old code knows no auto
    runtime.prepare_libraries()
    # A bundle has its own copy of training_scripts; the installed one must not be used instead.
    for name in list(sys.modules):
        if name.partition(".")[0] == "training_scripts":
            del sys.modules[name]


def _check_backend(settings: Settings) -> None:
    if settings.backend == "onnx" and "onnxruntime" not in sys.modules:
        raise ConfigurationError(
            f"The model's code ignores {BACKEND_VARIABLE}=onnx and would compute with torch. Use the backend torch, or "
            "a bundle that this version of the SDK has written."
        )


class _Server(uvicorn.Server):
    """uvicorn's server; it reports its readiness, and ends when it is idle or its model does not return."""

    def __init__(self, app: ModelApp, settings: Settings, parent: ParentSocket | None) -> None:
        config = uvicorn.Config(
            app.routes(),
            http=LimitedProtocol,
            loop="asyncio",  # uvloop, which uvicorn prefers if it is installed, cannot accept passed connections
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=60,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self._app = app
        self._settings = settings
        self._parent = parent
        self._watcher: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._watcher = asyncio.create_task(self._watch())
        if self._parent:
            self._parent.send(READY)
        for listener in sockets or ():
            announce(self._settings, listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._watcher:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        await super().shutdown(sockets)

    async def _watch(self) -> None:
        idle_seconds = self._settings.idle_seconds
        while self._app.idle_seconds < idle_seconds:
            await asyncio.sleep(min(_WATCH_SECONDS, idle_seconds / 4))
            if self._app.is_stuck:
                self._exit_hung()
            if self._parent and self._app.idle_seconds < _WATCH_SECONDS:
                self._parent.send(USED)
        _log.warning("Ending after %.0f s without requests; the next request starts the model again.", idle_seconds)
        self.should_exit = True

    def _exit_hung(self) -> None:
        """Ends the process: nothing else ends a thread that does not return."""
        _log.error("The model has not returned for %g s; this process ends.", self._settings.timeout_seconds)
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(1)
