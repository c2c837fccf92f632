"""The socket from a model server to the process that started it: reports readiness and use, and ends the server.

A parent that is killed need not clean up: the kernel closes its end, and the server notices.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress

READY = b"r"
USED = b"u"


class ParentSocket:
    """The server's end of the socket.

    Args:
        descriptor: The inherited socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        # Child processes of the model's code must not keep the socket open after this server has ended.
        self._socket.set_inheritable(False)
        threading.Thread(target=self._end_with_parent, name="parent-socket", daemon=True).start()

    def send(self, message: bytes) -> None:
        """Sends a message to the parent; does nothing if the parent has ended or does not read.

        It never waits: a socket that is not read is full after 278 messages, and the event loop calls this.
        """
        with suppress(OSError):
            self._socket.send(message, socket.MSG_DONTWAIT)

    def _end_with_parent(self) -> None:
        with suppress(OSError):
            while self._socket.recv(1):
                continue
        # A signal also ends a server that is still loading its model.
        os.kill(os.getpid(), signal.SIGTERM)
