"""Serves an application until SIGTERM or Ctrl-C: takes no new connection then, and finishes what it accepted."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvicorn

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.service.protocol import PatientProtocol

if TYPE_CHECKING:
    from fastapi import FastAPI

# Longer than the 60 s for which load balancers keep theirs: whoever closes later never loses a request.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 256


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigurationError: The address is none of this machine's, or the port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it on, each answer costs 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another --port, or 0 for a free one."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """The address to type into a browser on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is bound, not binding it
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(
    app: FastAPI, *, deadline_seconds: float, trusted_proxies: Sequence[str] = (), protocol: type = PatientProtocol
) -> uvicorn.Server:
    """A server whose `run(sockets=[...])` returns when all is answered after a signal.

    Args:
        app: What it serves.
        deadline_seconds: The deadline of a request; the server waits a little longer for the last one.
        trusted_proxies: Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed.
        protocol: How connections are handled.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
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
        )
    )


class JsonLines(logging.Formatter):
    """One JSON object a line; the access log's lines are such already."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        text = super().format(record)
        if record.name == "dogbreed_sdk.service.access":
            return text
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": "message",
            "logger": record.name,
            "message": text,
        }
        return json.dumps(line)


def log_to_stderr() -> None:
    """Has the service's and the server's log written to standard error, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines("%(message)s"))
    for name, level in (("dogbreed_sdk.service", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
