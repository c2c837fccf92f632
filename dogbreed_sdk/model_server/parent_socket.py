"""The socket between a model server and its starter: readiness and use go up it, and its end ends the server.

Nothing has to be cleaned up by a starter that is killed: the kernel closes its end, and the server sees that.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress

READY = b"r"
USED = b"u"


class Lifeline:
    """The server's end.

    Args:
        descriptor: The inherited socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        # Children of the model's code must not keep the starter believing that this server lives.
        self._socket.set_inheritable(False)
        threading.Thread(target=self._end_with_starter, name="lifeline", daemon=True).start()

    def send(self, message: bytes) -> None:
        """Tell the starter something; one that is gone, or does not listen, needs to hear nothing.

        It never waits: a socket that nobody reads is full after 278 messages, and this is called in the event loop.
        """
        with suppress(OSError):
            self._socket.send(message, socket.MSG_DONTWAIT)

    def _end_with_starter(self) -> None:
        with suppress(OSError):
            while self._socket.recv(1):
                continue
        # As a signal, it also ends a server that is still loading its model.
        os.kill(os.getpid(), signal.SIGTERM)
