"""The server that is up for a folder: it is found, there is one at a time, and it keeps its port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.running import RunningServer, ServerIsUpError, find, serving, stop

UP = """
import sys, threading
from pathlib import Path
from dogbreed_sdk.local.running import serving
with serving(Path(sys.argv[1]), host="127.0.0.1", port=0, command="up") as server:
    print(server.url, flush=True)
    threading.Event().wait()
"""


def started(root: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", UP, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_server_is_found_and_ended_from_another_process(root: Path) -> None:
    assert find(root) is None
    process, url = started(root)
    try:
        found = find(root)
        assert found is not None
        assert (found.url, found.pid, found.command) == (url, process.pid, "up")
        refused = pytest.raises(ServerIsUpError, match=f"already up for {root}, at {url}")
        with refused as caught, serving(root, host="127.0.0.1", port=0, command="up"):
            pass
        assert caught.value.server == found
        stop(found)
        assert process.wait(20) is not None
        assert find(root) is None
    finally:
        ended(process)


def test_a_killed_server_is_not_taken_for_one_that_is_up(root: Path) -> None:
    ended(started(root)[0])
    assert find(root) is None
    with serving(root, host="127.0.0.1", port=None, command="up") as server:
        assert find(root) == server


def test_the_next_server_has_the_same_port_if_it_is_free(root: Path) -> None:
    def up(port: int | None = None) -> RunningServer:
        with serving(root, host="127.0.0.1", port=port, command="up") as server:
            return server

    first = up(0)
    assert up().url == first.url
    port = int(first.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert up().url != first.url
        with pytest.raises(ConfigurationError, match="Cannot listen on"):
            up(port)


def test_the_process_calls_the_server_as_long_as_it_is_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    before = dict(os.environ)
    with serving(root, host="127.0.0.1", port=0, command="up") as server:
        assert os.environ["AWS_ENDPOINT_URL_S3"] == server.url
        assert "AWS_PROFILE" not in os.environ
    assert dict(os.environ) == before
