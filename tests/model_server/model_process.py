"""A model server as a process of the test's own, on a model whose code the test writes."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.ports import free_port
from tests.waiting import wait_for


def write_model(folder: Path, code: str, program: str = "inference.py") -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / program).write_text(code)
    return folder


class Server:
    """`python -m dogbreed_sdk.model_server` on a folder, with command-line `options` and `environment` variables."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dogbreed_sdk.model_server", "--model-dir", str(folder), *options],
            env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(self.port), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/ping")[0] == 200
        except ConnectionRefusedError:
            assert self.process.poll() is None, self.end()
            return False

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, str]:
        response, text = self.exchange(method, path, body, **headers)
        return response.status, text, response.headers["content-type"] or ""

    def exchange(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        response, content = self.exchange_bytes(method, path, body, **headers)
        return response, content.decode()

    def exchange_bytes(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def send(self, body: bytes) -> http.client.HTTPConnection:
        """An invocation whose response the caller takes from the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        return connection

    def answered(self, connections: Iterable[http.client.HTTPConnection]) -> list[int]:
        """The status codes of their responses."""
        statuses = []
        for connection in connections:
            with contextlib.closing(connection):
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
        return statuses

    def invoke(self, body: bytes = b"[1]", **headers: str) -> tuple[int, str]:
        return self.request("POST", "/invocations", body, **{"content_type": "application/json", **headers})[:2]

    def end(self) -> str:
        """What it wrote to standard error, once it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)[1]
