"""Cuts off requests that other threads wait for: a thread in a system call hears of nothing else.

Each connection notes which thread uses it; shutting its socket down makes that thread's read fail at once.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from threading import get_ident
from typing import Any

# By thread: a thread asks one thing at a time. Adding and taking away are atomic.
_IN_USE: dict[int, Any] = {}


def traceable(pool_classes: Mapping[str, Any]) -> dict[str, Any]:
    """urllib3's connection pool classes by scheme, with connections that note who uses them."""
    return {scheme: _traceable_pool(pool_class) for scheme, pool_class in pool_classes.items()}


def done() -> None:
    """Says that this thread's request is over; its connection may serve others."""
    _IN_USE.pop(get_ident(), None)


def cut(thread_ids: Collection[int]) -> None:
    """Ends the connections that these threads use."""
    for thread_id in thread_ids:
        connection = _IN_USE.get(thread_id)
        used = connection.sock if connection is not None else None
        if used is not None:
            # Of the plain socket below TLS: TLS's own farewell is not for a second thread.
            with suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)


class _Traced:
    """Mixed into urllib3's connection classes, before them."""

    def connect(self) -> None:
        _IN_USE[get_ident()] = self
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> Any:
        _IN_USE[get_ident()] = self
        return super().request(*args, **kwargs)  # type: ignore[misc]


def _traceable_pool(pool_class: Any) -> Any:
    connection_class = type(f"Traced{pool_class.ConnectionCls.__name__}", (_Traced, pool_class.ConnectionCls), {})
    return type(f"Traced{pool_class.__name__}", (pool_class,), {"ConnectionCls": connection_class})
