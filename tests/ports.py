"""Ports for servers that are started as processes."""

from __future__ import annotations

import random
import socket

# Below those that systems choose for connections and for servers that ask for any port: nobody else takes one of these
# before its server binds it.
_PORTS = range(20_000, 30_000)


def free_port() -> int:
    """A port on loopback that is free, and stays so until a server is told to use it."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
