"""One process that serves: loads the model, answers requests, ends after a signal, with its starter, or when idle."""

from __future__ import annotations

import asyncio
import importlib
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
from dogbreed_sdk.model_server.batching import answering
from dogbreed_sdk.model_server.connection_passing import HandedConnections
from dogbreed_sdk.model_server.handlers import ModelHandlers
from dogbreed_sdk.model_server.parent_socket import READY, USED, Lifeline
from dogbreed_sdk.model_server.settings import BACKEND_VARIABLE, Settings

# A real-time answer must come within 60 s; nobody waits longer.
SHUTDOWN_SECONDS = 60
_WATCH_SECONDS = 1.0

_log = logging.getLogger(__name__)


def run_worker(settings: Settings) -> int:
    """Serve until the end.

    Returns:
        The exit status: 1 where the model can't be loaded, with the reason on standard error.
    """
    lifeline = None if settings.lifeline is None else Lifeline(settings.lifeline)
    _prepare_process(settings)
    try:
        listener = _listener(settings)
        handlers = ModelHandlers.load(settings.model_dir, settings.code, settings.program)
        _check_backend(settings)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - whatever the model's code raises
        if _is_explained(error):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    app = ModelApp(answering(handlers, cores=available_cores()), settings)
    _Server(app, settings, lifeline).run(sockets=[listener])
    return 0


def _is_explained(error: Exception) -> bool:
    """Whether it is a fault that the user can mend, and says how: of a bundle, or its code's of this kind."""
    scripts = sys.modules.get("training_scripts")  # the bundle's own, where its code is served
    return isinstance(error, getattr(scripts, "ScriptError", ()))


def _listener(settings: Settings) -> socket.socket:
    if settings.connections is not None:
        return HandedConnections(fileno=settings.connections)
    if settings.descriptor is not None:
        return socket.socket(fileno=settings.descriptor)
    return bind(settings.host, settings.port)  # before the model is loaded, so that a port that is taken is told soon


def announce(settings: Settings, listener: socket.socket) -> None:
    """Says where the model answers, to whoever has started the server by hand."""
    if settings.is_started_by_hand:
        print(f"serving {settings.model_dir} on {url_of(listener)}  (end it with Ctrl-C)", file=sys.stderr, flush=True)


def _prepare_process(settings: Settings) -> None:
    """Threads and memory, before anything loads torch or NumPy."""
    os.environ.update(thread_environment(settings.threads))
    os.environ[BACKEND_VARIABLE] = settings.backend
    importlib.import_module("training_scripts.training.runtime").prepare_libraries()
    # A bundle brings the training_scripts it was written with: those installed here must not be found before them.
    for name in list(sys.modules):
        if name.partition(".")[0] == "training_scripts":
            del sys.modules[name]


def _check_backend(settings: Settings) -> None:
    if settings.backend == "onnx" and "onnxruntime" not in sys.modules:
        raise ConfigurationError(
            f"The model's code knows nothing of {BACKEND_VARIABLE}=onnx, and would compute with torch: use the backend "
            "torch, or a bundle that this version of the SDK has written."
        )


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, and ends when it is idle or its model does not return."""

    def __init__(self, app: ModelApp, settings: Settings, lifeline: Lifeline | None) -> None:
        config = uvicorn.Config(
            app.routes(),
            http=LimitedProtocol,
            loop="asyncio",  # uvloop, which would be taken where it is installed, accepts no handed connections
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
        self._lifeline = lifeline
        self._watching: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._watching = asyncio.create_task(self._watch())
        if self._lifeline:
            self._lifeline.send(READY)
        for listener in sockets or ():
            announce(self._settings, listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._watching:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await super().shutdown(sockets)

    async def _watch(self) -> None:
        idle_seconds = self._settings.idle_seconds
        while self._app.idle_seconds < idle_seconds:
            await asyncio.sleep(min(_WATCH_SECONDS, idle_seconds / 4))
            if self._app.is_stuck:
                self._give_up()
            if self._lifeline and self._app.idle_seconds < _WATCH_SECONDS:
                self._lifeline.send(USED)
        _log.warning("Ending after %.0f idle seconds; the next request starts the model again.", idle_seconds)
        self.should_exit = True

    def _give_up(self) -> None:
        """Ends the process: nothing else ends a thread that does not return."""
        _log.error("The model has not returned for %g s: this process ends.", self._settings.timeout_seconds)
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(1)
