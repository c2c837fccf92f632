"""Serves one model as SageMaker hosting expects: `python -m dogbreed_sdk.local.model_server --model-dir DIR`.

GET /ping answers 200 when the model is loaded; POST /invocations calls the model's code. The process ends by
itself when it has been idle for long, and on SIGTERM after it has answered what it accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import io
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.log_file import LogFile
from dogbreed_sdk.local.model_handlers import DEFAULT_PROGRAM, ModelHandlers
from dogbreed_sdk.local.processes import restore_interrupts

# SageMaker's limit of a real-time request (developer guide, quotas of SageMaker endpoints).
MAXIMUM_BODY_BYTES = 25 * 1024 * 1024
# With bodies of 25 MB this bounds the memory of waiting requests to 1.6 GB.
MAXIMUM_WAITING = 64
# A real-time answer must come within 60 s; nobody waits longer.
_SHUTDOWN_SECONDS = 60
# AWS's toolkit never calls a model's code from two threads of a process; SAGEMAKER_MODEL_SERVER_WORKERS allows it.
_DEFAULT_WORKERS = 1
_DEFAULT_PORT = 8080

_log = logging.getLogger(__name__)


class ModelApp:
    """The HTTP side of a loaded model.

    Args:
        handlers: The model.
        workers: Threads that call its code.
    """

    def __init__(self, handlers: ModelHandlers, *, workers: int) -> None:
        self._handlers = handlers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="model")
        self._waiting = 0
        self._last_use = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """How long ago the last invocation ended; 0 during one."""
        return 0.0 if self._waiting else time.monotonic() - self._last_use

    async def ping(self, _request: Request) -> Response:
        """The health check."""
        return Response(status_code=200)

    async def invocations(self, request: Request) -> Response:
        """One invocation."""
        if self._waiting >= MAXIMUM_WAITING:
            return PlainTextResponse(f"{MAXIMUM_WAITING} requests are waiting already; try again later.", 503)
        self._waiting += 1
        try:
            body = await _read(request)
            if body is None:
                return PlainTextResponse("The body is larger than 25 MB, the limit of a real-time request.", 413)
            content_type = request.headers.get("content-type", "application/octet-stream")
            accept = request.headers.get("accept", "application/json")
            call = asyncio.get_running_loop().run_in_executor(
                self._pool, self._handlers.invoke, body, content_type, "application/json" if accept == "*/*" else accept
            )
            answer, answer_type = await call
            return Response(answer, media_type=answer_type)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is left to read it
        except Exception as error:  # noqa: BLE001 - whatever the model's code raises belongs to this request alone
            return _failure(error)
        finally:
            self._waiting -= 1
            self._last_use = time.monotonic()


async def _read(request: Request) -> bytes | None:
    """The body; None as soon as it is too large."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAXIMUM_BODY_BYTES:
        return None
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAXIMUM_BODY_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _failure(error: Exception) -> Response:
    """What the client learns: the message, and whether it was the request's fault; the log has the traceback."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 500:
        return PlainTextResponse(str(error), status)
    _log.error("An invocation failed:\n%s", "".join(traceback.format_exception(error)).rstrip())
    return PlainTextResponse(f"{type(error).__name__}: {error}", 500)


def create_server(app: ModelApp, *, port: int, idle_seconds: float) -> uvicorn.Server:
    """The server of a loaded model; its `run` returns after a signal or when the model was idle for so long."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(_end_when_idle(app, server, idle_seconds))
        yield
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch

    routes = [Route("/ping", app.ping), Route("/invocations", app.invocations, methods=["POST"])]
    config = uvicorn.Config(
        Starlette(routes=routes, lifespan=lifespan),
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    return server


async def _end_when_idle(app: ModelApp, server: uvicorn.Server, idle_seconds: float) -> None:
    while app.idle_seconds < idle_seconds:
        await asyncio.sleep(min(1.0, idle_seconds / 4))
    _log.warning("Ending after %.0f idle seconds; the next request starts the model again.", idle_seconds)
    server.should_exit = True


class LogStream(io.TextIOBase):
    """A standard stream that writes whole lines, with their time, to an endpoint's log."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._lock = threading.RLock()
        self._rest = ""

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, text: str) -> int:
        """Write text; what follows the last newline waits for the next one."""
        with self._lock, suppress(OSError):  # a full disk must not end a model that answers
            *lines, self._rest = (self._rest + text).split("\n")
            self._log.write(lines)
        return len(text)


def main(arguments: list[str] | None = None) -> int:
    """Load the model and serve it; 1 where it can't be loaded, with the traceback on standard error."""
    options = _options(arguments)
    restore_interrupts()
    if options.log:
        sys.stdout = sys.stderr = LogStream(LogFile(options.log))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    faulthandler.enable(sys.__stderr__ or 2)
    try:
        handlers = ModelHandlers.load(options.model_dir, os.environ.get("SAGEMAKER_PROGRAM") or DEFAULT_PROGRAM)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception:  # noqa: BLE001 - whatever the model's code raises
        traceback.print_exc()
        return 1
    workers = int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or _DEFAULT_WORKERS)
    app = ModelApp(handlers, workers=max(1, workers))
    server = create_server(app, port=options.port, idle_seconds=options.idle_seconds)
    server.run(sockets=None if options.descriptor is None else [socket.socket(fileno=options.descriptor)])
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve a model as SageMaker hosting expects.")
    parser.add_argument("--model-dir", type=Path, required=True, help="the unpacked model.tar.gz")
    default_port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or _DEFAULT_PORT)
    parser.add_argument("--port", type=int, default=default_port, help="on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--descriptor", type=int, help="a listening socket to use instead of a port")
    parser.add_argument("--log", type=Path, help="where output goes, as JSON lines (default: standard streams)")
    parser.add_argument("--idle-seconds", type=float, default=float("inf"), help="end after so long without use")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
