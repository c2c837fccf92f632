"""Model servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_server.model_process import Server, write_model

ServerStarter = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[ServerStarter]:
    """Starts a server on a model with this code and waits until it answers; `options` and variables follow."""
    started: list[Server] = []

    def start(code: str, *options: str, **environment: str) -> Server:
        server = Server(write_model(tmp_path / f"model{len(started)}", code), *options, **environment)
        started.append(server)
        server.wait()
        return server

    yield start
    for server in started:
        if server.process.stderr is not None and not server.process.stderr.closed:
            server.end()
