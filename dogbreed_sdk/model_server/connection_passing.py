"""Passes accepted connections from the parent process to its workers, in turn (file descriptor passing).

Workers that all accept from one socket are loaded unevenly: the one that is awake takes each connection, and clients
keep theirs, so that one process had seven of eight clients while its neighbor was idle.
"""

from __future__ import annotations

import socket

# A descriptor travels with at least one byte.
_BYTE = b"c"


def pass_connection(channel: socket.socket, connection: socket.socket) -> None:
    """Passes a connection to the process at the other end of a channel, and closes it here.

    Raises:
        OSError: The other process has ended; the connection is still open.
    """
    socket.send_fds(channel, [_BYTE], [connection.fileno()])
    connection.close()


class PassedConnections(socket.socket):
    """The worker's end of the channel, used as a listening socket: `accept` returns the connections passed to it."""

    def listen(self, _backlog: int = 0) -> None:
        """Does nothing: the parent process listens."""

    def accept(self) -> tuple[socket.socket, object]:
        """The next connection, and its client's address.

        Raises:
            BlockingIOError: No connection is waiting.
        """
        _, descriptors, _, _ = socket.recv_fds(self, len(_BYTE), 1)
        if not descriptors:
            raise BlockingIOError("no connection is waiting")
        connection = socket.socket(fileno=descriptors[0])
        connection.setblocking(False)
        try:
            return connection, connection.getpeername()
        except OSError:  # its client has disconnected
            connection.close()
            raise BlockingIOError("the connection is gone") from None
