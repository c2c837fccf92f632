"""Hands accepted connections from the parent of several workers to them, in turn.

Workers that all accept from one socket share badly: whoever is awake takes what comes, and clients keep their
connections, so that one process had seven of eight clients while its neighbour idled.
"""

from __future__ import annotations

import socket
from typing import Any

_ONE = b"c"


def hand_over(channel: socket.socket, connection: socket.socket) -> None:
    """Give a connection to the process at the other end, and close it here.

    Raises:
        OSError: Nobody is at the other end; the connection is still open.
    """
    socket.send_fds(channel, [_ONE], [connection.fileno()])
    connection.close()


class HandedConnections(socket.socket):
    """The worker's end, in the shape of a listening socket: what it accepts are the connections handed over."""

    def listen(self, *_: Any) -> None:
        """The parent listens."""

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that was handed over.

        Raises:
            BlockingIOError: There is none.
        """
        _, descriptors, _, _ = socket.recv_fds(self, len(_ONE), 1)
        if not descriptors:
            raise BlockingIOError("no connection is waiting")
        connection = socket.socket(fileno=descriptors[0])
        connection.setblocking(False)
        try:
            return connection, connection.getpeername()
        except OSError:  # its client has gone again
            connection.close()
            raise BlockingIOError("the connection is gone") from None
