"""Serves an application until SIGTERM or Ctrl-C: takes no new connection then, and finishes what it accepted."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import uvicorn

from dogbreed_sdk._util.http_connections import ConnectionLimits, limited
from dogbreed_sdk._util.sockets import bind, url_of
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ConnectionLimits", "event_line", "listen", "log_to_stderr", "make_server", "url_of"]

# Longer than the 60 s for which load balancers keep theirs: whoever closes later never loses a request.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 256


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigurationError: The address is none of this machine's, or the port is taken or not allowed.
    """
    listener = bind(host, port)
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # another that is bound there has begun to listen just now
        listener.close()
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from error
    return listener


def make_server(
    app: FastAPI,
    *,
    deadline_seconds: float,
    trusted_proxies: Sequence[str] = (),
    limits: ConnectionLimits | None = None,
    at_start: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> uvicorn.Server:
    """A server whose `run(sockets=[...])` returns when all is answered after a signal.

    Args:
        app: What it serves.
        deadline_seconds: The deadline of a request; the server waits a little longer for the last one.
        trusted_proxies: Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed.
        limits: What clients may hold open; default: those of `ConnectionLimits`.
        at_start: What else runs in its event loop once it listens.
    """
    return _Server(
        uvicorn.Config(
            app,
            http=limited(limits or ConnectionLimits()),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=list(trusted_proxies),
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(deadline_seconds) + 5,
            backlog=_BACKLOG,
        ),
        at_start,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, with something to do beside."""

    def __init__(self, config: uvicorn.Config, at_start: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        super().__init__(config)
        self._at_start = at_start
        self._beside: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._at_start:
            self._beside = asyncio.create_task(self._at_start())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._beside:
            self._beside.cancel()
            await asyncio.gather(self._beside, return_exceptions=True)
        await super().shutdown(sockets)


class JsonLines(logging.Formatter):
    """One JSON object a line; the access log's lines are such already."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        text = super().format(record)
        if record.name == "dogbreed_sdk.service.access":
            return text
        return event_line(text, level=record.levelname.lower(), logger=record.name, seconds=record.created)


def event_line(
    message: str, *, level: str = "info", logger: str = "dogbreed_sdk.service", seconds: float | None = None
) -> str:
    """A message in the form of the access log's lines.

    Args:
        message: What happened.
        level: How bad that is.
        logger: Who says so.
        seconds: When, since 1970; default: now.
    """
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        "level": level,
        "event": "message",
        "logger": logger,
        "message": message,
    }
    return json.dumps(line)


def log_to_stderr() -> None:
    """Has the whole log of this process written to standard error, as JSON lines: of libraries, what went wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines("%(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("dogbreed_sdk.service").setLevel(logging.INFO)
