"""Servers that keep a client waiting, send it elsewhere or away: no request outlasts its time or leaves its process."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore
import pytest
import urllib3
from PIL import Image

from dogbreed_sdk import BreedClassifier, EndpointTimeoutError, LabelError, ModelError, Session, ThrottledError
from dogbreed_sdk.client import classifier as classifier_module
from dogbreed_sdk.client import invoker, retries
from dogbreed_sdk.client.options import Options
from dogbreed_sdk.client.transports import deadlines, endpoint
from dogbreed_sdk.client.transports.endpoint import EndpointTransport
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.passing_time import set_time
from tests.waiting import wait_for

BREEDS = ["001.Pug", "002.Boxer"]
SCORES = b'{"model_id": "m", "predictions": [{"probabilities": [0.25, 0.75]}]}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(SCORES) + SCORES
Handle = Callable[[socket.socket], None]
Serve = Callable[[Handle], str]
Client = Callable[[str, Options], BreedClassifier]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that does with each connection what a test wants; gives its URL."""
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(handle: Handle) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def handled(connected: socket.socket) -> None:
            with contextlib.suppress(OSError):
                handle(connected)
            connected.close()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    opened.append(server.accept()[0])
                    threads.append(threading.Thread(target=handled, args=(opened[-1],)))
                    threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for one in opened:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive()
    for one in opened:
        one.close()


@pytest.fixture(params=["server", "endpoint"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    """Makes a client of a URL: as of a model server, and as of SageMaker's runtime through boto3."""

    def made(url: str, options: Options) -> BreedClassifier:
        if request.param == "server":
            return BreedClassifier.from_server(url, labels=BREEDS, **options)
        return BreedClassifier("dogs", session=Session.local(tmp_path, endpoint_url=url), labels=BREEDS, **options)

    return made


@pytest.fixture(scope="module")
def large_picture() -> bytes:
    """A PNG of 8 MB, which no socket's buffer holds."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (1660, 1660), os.urandom(1660 * 1660 * 3)).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def requested(connected: socket.socket) -> None:
    """Reads one request."""
    with connected.makefile("rb") as file:
        length = 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if len(file.read(length)) < max(length, 1):
            raise ConnectionError("no whole request")


def drips(content: bytes) -> Handle:
    """Sends an answer in small drops, and the last one never."""

    def handle(connected: socket.socket) -> None:
        requested(connected)
        for byte in content[:-1]:
            connected.sendall(bytes([byte]))
            time.sleep(0.05)
        connected.recv(1)  # until the client hangs up

    return handle


def takes_little(connected: socket.socket) -> None:
    """Reads 80 kB a second: never idle for long, and never done."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    while connected.recv(1 << 12):
        time.sleep(0.05)


def test_a_deadline_that_leaves_no_time_to_connect_is_named(serve: Serve, client: Client) -> None:
    classifier = client(serve(drips(OK)), {"deadline": 1e-6})
    with pytest.raises(EndpointTimeoutError, match=r"timed out.*The limit was deadline=1e-06 s"):
        classifier.classify(picture())


@pytest.mark.parametrize("content", [OK[:17] + b"X-Slow: " + b"o" * 200, OK], ids=["headers", "all of it"])
def test_an_answer_that_drips_ends_with_the_deadline(serve: Serve, client: Client, content: bytes) -> None:
    classifier = client(serve(drips(content)), {"deadline": 0.6})
    start = time.monotonic()
    with pytest.raises(EndpointTimeoutError, match="timed out"):
        classifier.classify(picture())
    assert time.monotonic() - start >= 0.6


def test_a_request_that_cannot_be_sent_ends_with_the_deadline(
    serve: Serve, client: Client, large_picture: bytes
) -> None:
    classifier = client(serve(takes_little), {"deadline": 1.0})
    start = time.monotonic()
    with pytest.raises(EndpointTimeoutError, match="timed out"):
        classifier.classify(large_picture)
    assert time.monotonic() - start >= 1.0


def test_sending_may_take_longer_than_connecting(serve: Serve, client: Client, large_picture: bytes) -> None:
    def is_slow_to_take(connected: socket.socket) -> None:
        time.sleep(0.6)
        requested(connected)
        connected.sendall(OK)

    classifier = client(serve(is_slow_to_take), {"connect_timeout": 0.2, "max_attempts": 1})
    assert classifier.classify(large_picture).label == "Boxer"


def test_asking_again_for_labels_is_within_the_same_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    set_time(monkeypatch, classifier_module, invoker, retries, deadlines, monotonic=lambda: now)

    class Slow(FakeEndpoint):
        given: list[float] = []  # noqa: RUF012 - a test's own

        def invoke(self, *what: object, connect_timeout: float, read_timeout: float):  # type: ignore[no-untyped-def,override]
            nonlocal now
            self.given.append(read_timeout)
            now += 0.3
            return super().invoke(*what, connect_timeout=connect_timeout, read_timeout=read_timeout)  # type: ignore[arg-type]

    endpoint = Slow(BREEDS)
    classifier = endpoint.classifier(deadline=5.0)
    classifier.classify(picture())
    endpoint.changes_model(["Basenji", "Beagle"], model_id="another")
    assert classifier.classify(picture()).label == "Basenji"
    assert endpoint.given == pytest.approx([5.0, 5.0, 4.7])


def test_probabilities_of_a_model_that_never_names_its_classes_are_a_label_error() -> None:
    with pytest.raises(LabelError, match="returned probabilities without labels"):
        FakeEndpoint(BREEDS).answers_bytes(SCORES, times=2).classifier().classify(picture())


def refuses_once(retry_after: bytes) -> Handle:
    asked: list[int] = []

    def handle(connected: socket.socket) -> None:
        requested(connected)
        asked.append(1)
        refusal = b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 4\r\n\r\nbusy" % retry_after
        connected.sendall(refusal if len(asked) == 1 else OK)

    return handle


def test_a_server_that_names_a_time_is_not_asked_before(serve: Serve, client: Client) -> None:
    start = time.monotonic()
    assert client(serve(refuses_once(b"1")), {}).classify(picture()).label == "Boxer"
    assert time.monotonic() - start >= 1.0


def test_a_time_behind_the_deadline_is_not_waited_for(serve: Serve) -> None:
    with pytest.raises(ThrottledError):
        BreedClassifier.from_server(serve(refuses_once(b"3600")), deadline=3000.0).classify(picture())


def test_a_picture_does_not_follow_a_redirect(serve: Serve) -> None:
    followed: list[int] = []
    elsewhere = serve(lambda _: followed.append(1))

    def redirects(connected: socket.socket) -> None:
        requested(connected)
        connected.sendall(
            b"HTTP/1.1 307 Go\r\nLocation: %s/invocations\r\nContent-Length: 0\r\n\r\n" % elsewhere.encode()
        )

    with pytest.raises(ModelError, match="answered 307"):
        BreedClassifier.from_server(serve(redirects)).classify(picture())
    assert not followed


def test_those_who_wait_for_one_endpoint_wait_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now, began, allowed = 1000.0, set(), []

    def monotonic() -> float:
        began.add(threading.get_ident())
        return now

    def wait(_session: object, _name: str, *, timeout: float, progress: object) -> None:
        nonlocal now
        wait_for(lambda: len(began) == 6)
        allowed.append(timeout)
        now += timeout

    monkeypatch.setattr(endpoint, "wait_in_service", wait)
    transport = EndpointTransport("dogs", Session.local(tmp_path, endpoint_url="http://127.0.0.1:9"))
    monkeypatch.setattr(endpoint, "time", SimpleNamespace(monotonic=monotonic))
    threads = [threading.Thread(target=transport.wait_until_ready, args=(0.5,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed == [0.5] + [0.0] * 5, "one after the other they would wait for 3 s"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # the test's own server has threads
def test_a_forked_process_does_not_share_connections(serve: Serve, client: Client) -> None:
    connections: list[int] = []

    def answers_for_ever(connected: socket.socket) -> None:
        connections.append(1)
        while True:
            requested(connected)
            connected.sendall(OK)

    classifier = client(serve(answers_for_ever), {})
    classifier.classify(picture())
    process = multiprocessing.get_context("fork").Process(target=classifier.classify, args=(picture(),))
    process.start()
    process.join(120.0)
    assert (process.exitcode, len(connections)) == (0, 2)
    assert classifier.classify(picture()).label == "Boxer"
    assert len(connections) == 2


def runtime_client() -> Any:
    return boto3.Session("id", "secret", region_name="us-east-1").client("sagemaker-runtime")


def test_boto3s_connections_keep_time() -> None:
    client = runtime_client()
    endpoint._add_deadlines(client)  # its warning is an error here
    http = client._endpoint.http_session
    url = "https://runtime.sagemaker.us-east-1.amazonaws.com"
    pools = [manager.connection_from_url(url) for manager in (http._manager, http._get_proxy_manager("http://proxy:1"))]
    versions = f"botocore {botocore.__version__}, urllib3 {urllib3.__version__}"
    for pool in pools:
        assert issubclass(pool.ConnectionCls, deadlines._TimedConnection), f"{versions}: deadlines are not kept"


@pytest.mark.parametrize("gone", ["_pool_classes_by_scheme", "_manager", "http_session", "shared"])
def test_connections_that_cannot_keep_time_are_warned_of(gone: str) -> None:
    client = runtime_client()
    http = client._endpoint.http_session
    if gone == "shared":
        http._pool_classes_by_scheme = dict(http._pool_classes_by_scheme)
    else:
        delattr(client._endpoint if gone == "http_session" else http, gone)
    with pytest.warns(RuntimeWarning, match=rf"outlast their .* of botocore {botocore.__version__} with urllib3 "):
        endpoint._add_deadlines(client)
