"""The HTTP server: after SIGTERM or Ctrl-C it accepts no new connections and finishes the requests it has."""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import uvicorn

from dogbreed_sdk._util.http_connections import ConnectionLimits, limited
from dogbreed_sdk._util.sockets import bind, url_of
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ConnectionLimits", "event_line", "listen", "log_to_stderr", "make_server", "url_of"]

# Longer than the 60 s of load balancers: the side that closes later never loses a request.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 256
_ACCESS_LOG = "dogbreed_sdk.service.access"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigurationError: The address does not belong to this machine, or the port is taken or not allowed.
    """
    listener = bind(host, port)
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # another process with the same address has just begun to listen
        listener.close()
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from error
    return listener


def make_server(
    app: FastAPI,
    *,
    deadline_seconds: float,
    trusted_proxies: Sequence[str] = (),
    limits: ConnectionLimits | None = None,
    at_start: Callable[[], Awaitable[None]] | None = None,
) -> uvicorn.Server:
    """A server whose `run(sockets=[...])` returns after a signal, when all requests are finished.

    Args:
        app: The application.
        deadline_seconds: The deadline of a request; at its end the server waits a little longer than that.
        trusted_proxies: Addresses whose X-Forwarded-For and X-Forwarded-Proto are trusted.
        limits: Limits on connections. Default: those of `ConnectionLimits`.
        at_start: Runs in the event loop once the server listens.
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
    """uvicorn's server, with a task that starts with it."""

    def __init__(self, config: uvicorn.Config, at_start: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self._at_start = at_start
        self._task: asyncio.Future[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._at_start:
            self._task = asyncio.ensure_future(self._at_start())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await super().shutdown(sockets)


class JsonLines(logging.Formatter):
    """Formats each record as a line with a JSON object; records of the access log are JSON already.

    Args:
        reword: Puts a message into the words of the program that writes the log. Default: as it is.
    """

    def __init__(self, reword: Callable[[str], str] = str) -> None:
        super().__init__("%(message)s")
        self._reword = reword

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """The message of a record, without a traceback."""
        message = super().formatMessage(record)
        return message if record.name == _ACCESS_LOG else self._reword(message)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        text = super().format(record)
        if record.name == _ACCESS_LOG:
            return text
        return event_line(text, level=record.levelname.lower(), logger=record.name, seconds=record.created)


def event_line(
    message: str, *, level: str = "info", logger: str = "dogbreed_sdk.service", seconds: float | None = None
) -> str:
    """A message as a line of the JSON log.

    Args:
        message: What happened.
        level: The log level.
        logger: Name of the logger.
        seconds: The time, in seconds since 1970. Default: now.
    """
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        "level": level,
        "event": "message",
        "logger": logger,
        "message": message,
    }
    # In another encoding, the stream would replace characters by escapes that JSON does not have.
    text = json.dumps(line, ensure_ascii=codecs.lookup(sys.stderr.encoding or "ascii").name != "utf-8")
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def log_to_stderr(reword: Callable[[str], str] = str) -> None:
    """Writes the log of this process to standard error as JSON lines; of libraries only warnings and errors.

    Args:
        reword: As for `JsonLines`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(reword))
    logging.getLogger().addHandler(handler)
    logging.getLogger("dogbreed_sdk.service").setLevel(logging.INFO)
