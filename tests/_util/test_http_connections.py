"""What all our servers do with a request that two servers could read in two ways."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dogbreed_sdk.local import LocalSageMaker
from dogbreed_sdk.model_server import start
from dogbreed_sdk.testing import FakeEndpoint
from tests.model_server.model_process import write_model
from tests.service.running import BREEDS, RunningService

pytestmark = pytest.mark.extras

PATHS = {"service": "/v1/classify", "model server": "/invocations", "workers": "/invocations", "local": "/"}
CODE = "def model_fn(model_dir): return None\ndef predict_fn(data, model): return data"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
Exchange = Callable[[bytes], bytes]


@pytest.fixture(scope="module", params=list(PATHS))
def exchange(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Sends bytes after a request line and a Host to a server, and gives all it answers until it closes."""
    folder: Path = tmp_path_factory.mktemp("served")
    if request.param == "service":
        running, url = RunningService(FakeEndpoint(BREEDS)), ""
    elif request.param == "local":
        running = LocalSageMaker(folder)
    else:
        workers = 2 if request.param == "workers" else 1
        running = start(write_model(folder / "model", CODE), code="bundle", workers=workers)
    with running:
        url = running.endpoint_url if isinstance(running, LocalSageMaker) else running.url
        address = ("127.0.0.1", urlsplit(url).port or 0)

        def exchanged(rest: bytes) -> bytes:
            with socket.create_connection(address, timeout=120) as connection:
                line = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                connection.sendall(line % PATHS[request.param].encode() + rest)
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
                return answer

        yield exchanged


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused_and_what_follows_it_is_never_read(
    exchange: Exchange, headers: bytes
) -> None:
    answer = exchange(headers + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1


def test_so_it_is_after_a_request_that_is_fine(exchange: Exchange) -> None:
    fine = b"Content-Length: 2\r\n\r\n{}"
    twice = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = exchange(fine + twice + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 400 Bad Request" in answer[10:]
    assert b"smuggled" not in answer


def test_a_request_with_one_length_keeps_its_connection(exchange: Exchange) -> None:
    last = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = exchange(b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + last)
    assert answer.count(b"HTTP/1.1 ") == 2
