"""Ends requests in time: by a deadline, and from other threads.

A socket's own timeout starts again with every byte, so a server that drips them keeps a client for ever; and it is the
connect timeout while a request is being sent, which is too short for a large picture on a slow line. Here each read
and write gets what is left of the request's time.

A thread in a system call hears of nothing else: each connection notes which thread uses it, and shutting its socket
down makes that thread's read fail at once.
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
from typing import Any

from urllib3.exceptions import ConnectTimeoutError, ReadTimeoutError

# By thread: a thread asks one thing at a time. Adding and taking away are atomic.
_IN_USE: dict[int, Any] = {}
_ENDS: dict[int, float] = {}

# What TLS sends at a time (RFC 8446, 5.1): each such record would get the whole timeout again.
_RECORD_BYTES = 16_384
# Small requests go out in one piece.
_SMALL_BYTES = 4 * _RECORD_BYTES
# A socket's timeout may be so much longer than what is left: setting it lets another thread run first.
_TICK_SECONDS = 0.02


class Limited:
    """A block in which this thread makes one request, which gets so many seconds from connecting to its last byte.

    Resolving a name cannot be cut off: it takes as long as the operating system lets it.

    Args:
        seconds: Until urllib3's ReadTimeoutError (botocore makes its own of it).
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        _ENDS[get_ident()] = time.monotonic() + self._seconds

    def __exit__(self, *_: object) -> None:
        _ENDS.pop(get_ident(), None)
        _IN_USE.pop(get_ident(), None)


def traceable(pool_classes: Mapping[str, Any]) -> dict[str, Any]:
    """urllib3's connection pool classes by scheme, with connections that keep time and note who uses them."""
    return {scheme: _traceable_pool(pool_class) for scheme, pool_class in pool_classes.items()}


def cut(thread_ids: Collection[int]) -> None:
    """Ends the connections that these threads use."""
    for thread_id in thread_ids:
        connection = _IN_USE.get(thread_id)
        used = connection.sock if connection is not None else None
        if used is not None:
            # Of the plain socket below TLS: TLS's own farewell is not for a second thread.
            with suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)


def _limit(used: Any, ends: float) -> None:
    """Gives a socket's next read or write what is left."""
    left = _left(ends)
    timeout = used.gettimeout()
    if timeout is None or not left <= timeout < left + _TICK_SECONDS:
        used.settimeout(left)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _PunctualFile(io.RawIOBase):
    """What a socket receives until a moment; after it, reading is a TimeoutError."""

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


class _PunctualResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        ends = _ENDS.get(get_ident())
        if ends is not None:
            self.fp = io.BufferedReader(_PunctualFile(self.fp.detach(), sock, ends))


class _Traced:
    """Mixed into urllib3's connection classes, before them."""

    sock: Any
    timeout: Any
    response_class = _PunctualResponse
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
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> Any:
        _IN_USE[get_ident()] = self
        if self.sock is not None and self._process != os.getpid():
            # A connection of the parent process, which goes on using it: each would get the other's answers.
            self.close()  # type: ignore[attr-defined]
        return super().request(*args, **kwargs)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        ends = _ENDS.get(get_ident())
        if ends is None:
            return super().send(data)  # type: ignore[misc, no-any-return]
        if self.sock is None:
            self.connect()
        pieces = [data]
        if isinstance(data, (bytes, bytearray)) and len(data) > _SMALL_BYTES:
            view = memoryview(data)
            pieces = [view[start : start + _RECORD_BYTES] for start in range(0, len(view), _RECORD_BYTES)]
        try:
            for piece in pieces:
                _limit(self.sock, ends)
                super().send(piece)  # type: ignore[misc]
        except TimeoutError as error:
            # As urllib3 names what its own read timeout ends; of a plain TimeoutError it makes a lost connection.
            raise ReadTimeoutError(None, None, "the request could not be sent in time") from error  # type: ignore[arg-type]
        return None


def _traceable_pool(pool_class: Any) -> Any:
    connection_class = type(f"Traced{pool_class.ConnectionCls.__name__}", (_Traced, pool_class.ConnectionCls), {})
    return type(f"Traced{pool_class.__name__}", (pool_class,), {"ConnectionCls": connection_class})
