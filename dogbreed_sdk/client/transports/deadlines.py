"""Ends HTTP requests in time: at a deadline, or from another thread.

A socket's own timeout restarts with every byte, so a server that drips them holds a client for ever; and while a
request is being sent it is the connect timeout, which is too short for a large picture on a slow line. Here, each read
and write gets the time that is left of the request's.

A thread that is blocked in a system call cannot be interrupted. So each connection records which thread uses it, and
shutting down its socket makes that thread's read fail at once.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import ConnectTimeoutError, ReadTimeoutError

if TYPE_CHECKING:
    from typing import TypeAlias

    from urllib3.connection import HTTPConnection
    from urllib3.connectionpool import HTTPConnectionPool

    PoolClass: TypeAlias = type[HTTPConnectionPool]
    _MixedInto = HTTPConnection
else:
    _MixedInto = object

# By thread, since a thread makes one request at a time. Adding and removing are atomic.
_IN_USE: dict[int, _TimedConnection] = {}
_ENDS: dict[int, float] = {}

# TLS sends records of this size (RFC 8446, 5.1), and each would get the entire timeout again.
_RECORD_BYTES = 16_384
# Small requests go out in one piece.
_SMALL_BYTES = 4 * _RECORD_BYTES
# A socket's timeout may exceed the remaining time by this much: setting it lets another thread run first.
_TICK_SECONDS = 0.02


class Deadline:
    """A block in which this thread makes one request, with a deadline from connecting to the last byte.

    Resolving a name cannot be aborted: it takes as long as the operating system allows.

    Args:
        seconds: Time until urllib3's ReadTimeoutError, which botocore translates into its own.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        _ENDS[get_ident()] = time.monotonic() + self._seconds

    def __exit__(self, *_: object) -> None:
        _ENDS.pop(get_ident(), None)
        _IN_USE.pop(get_ident(), None)


def with_deadlines(pool_classes: Mapping[str, PoolClass]) -> dict[str, PoolClass]:
    """urllib3's connection pool classes by scheme, changed so that their connections obey `Deadline` and `abort`."""
    return {scheme: _timed_pool(pool_class) for scheme, pool_class in pool_classes.items()}


def abort(thread_ids: Collection[int]) -> None:
    """Shuts down the connections that these threads use."""
    for thread_id in thread_ids:
        connection = _IN_USE.get(thread_id)
        used = connection.sock if connection is not None else None
        if used is not None:
            # The plain socket below TLS: closing TLS itself is not safe from a second thread.
            with suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)


def _limit(used: socket.socket, ends: float) -> None:
    """Sets a socket's timeout to the remaining time."""
    left = _left(ends)
    timeout = used.gettimeout()
    if timeout is None or not left <= timeout < left + _TICK_SECONDS:
        used.settimeout(left)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until the deadline; then it raises TimeoutError."""

    def __init__(self, received: io.RawIOBase, used: socket.socket, ends: float) -> None:
        self._received = received
        self._socket = used
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._socket, self._ends)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        ends = _ENDS.get(get_ident())
        if ends is not None:
            self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, ends))


class _TimedConnection(_MixedInto):
    """A mixin for urllib3's connection classes; it comes before them in the bases."""

    response_class = _DeadlineResponse
    _process = 0

    def connect(self) -> None:
        _IN_USE[get_ident()] = self
        self._process = os.getpid()
        ends = _ENDS.get(get_ident())
        if ends is not None and isinstance(self.timeout, (int, float)):
            try:
                self.timeout = min(self.timeout, _left(ends))
            except TimeoutError as error:
                raise ConnectTimeoutError(self, "no time was left to connect") from error
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _IN_USE[get_ident()] = self
        if self.sock is not None and self._process != os.getpid():
            # A connection of the parent process, which still uses it: each process would get the other's responses.
            self.close()
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        ends = _ENDS.get(get_ident())
        if ends is None:
            return super().send(data)
        if self.sock is None:
            self.connect()
        pieces = [data]
        if isinstance(data, (bytes, bytearray)) and len(data) > _SMALL_BYTES:
            view = memoryview(data)
            pieces = [view[start : start + _RECORD_BYTES] for start in range(0, len(view), _RECORD_BYTES)]
        try:
            for piece in pieces:
                _limit(self.sock, ends)
                super().send(piece)
        except TimeoutError as error:
            # As urllib3 does for its own read timeout; it treats a plain TimeoutError as a lost connection.
            raise ReadTimeoutError(None, None, "the request could not be sent in time") from error  # type: ignore[arg-type]
        return None


def _timed_pool(pool_class: PoolClass) -> PoolClass:
    connection_class = pool_class.ConnectionCls
    timed = type(f"Timed{connection_class.__name__}", (_TimedConnection, connection_class), {})
    return type(f"Timed{pool_class.__name__}", (pool_class,), {"ConnectionCls": timed})
