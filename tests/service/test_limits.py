"""What a client could make grow is bounded, and each bound answers honestly: sizes, times, the queue, connections."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from dogbreed_sdk._util import http_connections
from dogbreed_sdk._util.http_connections import ConnectionLimits
from dogbreed_sdk.service import ServiceSettings
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.service.conftest import Serve
from tests.service.running import BREEDS, JPEG, Gate, RunningService, refuses
from tests.waiting import wait_for

PICTURE = picture(1)
CONNECTIONS_PER_ADDRESS = ServiceSettings().max_connections_per_address
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
JSON_HEAD = HEAD.replace(b"image/jpeg", b"application/json")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def connect(service: RunningService, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=120)
    connection.sendall(data)
    return connection


def everything_from(connection: socket.socket) -> bytes:
    """What arrives until the other side closes."""
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(serve: Serve) -> None:
    service = serve(max_body_bytes=1000)
    with connect(service, HEAD + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_proves_too_large_is_refused_at_once_and_the_rest_is_not_kept(serve: Serve) -> None:
    service = serve(max_body_bytes=1000)
    chunk = b"400\r\n" + b"x" * 0x400 + b"\r\n"
    with connect(service, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert service.metric("dogbreed_held_bytes") == 0


def test_a_client_that_sends_on_after_its_refusal_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connections, "MOST_DISCARDED_BYTES", 1_000_000)
    service = serve(max_body_bytes=1000)
    sent = 0
    with connect(service, HEAD + b"Content-Length: 1000000000\r\n\r\n") as connection:
        try:
            while sent < 200_000_000:
                sent += connection.send(b"x" * 65536)
        except OSError:
            pass
    assert sent < 50_000_000, "what the kernel buffers comes on top of what is read"


@pytest.mark.parametrize("way", ["form", "json"])
def test_the_limit_of_a_batch_is_its_own(serve: Serve, way: str) -> None:
    service = serve(max_body_bytes=1000, max_batch_bytes=3000)
    if way == "form":
        response = service.post(
            "/v1/classify/batch", files=[("file", ("a", b"x" * 2000)), ("file", ("b", b"x" * 1500))]
        )
    else:
        response = service.post("/v1/classify/batch", json={"pictures": [{"base64": "x" * 600_000}]})
    assert response.status_code == 413
    assert service.post("/v1/classify/batch", files={"file": ("a", PICTURE)}).status_code == 200


def test_all_bodies_together_are_bounded(serve: Serve, gate: Gate, pool: ThreadPoolExecutor) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), max_buffered_bytes=len(PICTURE) + 10)
    first = pool.submit(service.classify, PICTURE)
    gate.wait_until_entered()
    refused = service.classify(PICTURE)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/overloaded")
    gate.open.set()
    assert first.result().status_code == 200
    assert service.classify(PICTURE).status_code == 200, "its bytes have been given back"


def test_a_full_queue_answers_503_with_retry_after_and_those_inside_are_served(
    serve: Serve, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), max_concurrency=2, max_waiting=3)
    inside = [pool.submit(service.classify, PICTURE) for _ in range(5)]
    wait_for(lambda: (service.metric("dogbreed_in_flight"), service.metric("dogbreed_queue_length")) == (2, 3))
    for refused in (
        service.classify(PICTURE),
        service.post("/v1/classify/batch", files={"file": ("a", PICTURE)}),
        # Not even read: this body never comes.
        service.post("/v1/classify", data=iter([b""]), headers=JPEG),
    ):
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/overloaded")
        assert int(refused.headers["Retry-After"]) == refused.json()["retry_after"] >= 1
    gate.open.set()
    assert [answer.result().status_code for answer in inside] == [200] * 5
    assert (service.metric("dogbreed_in_flight"), service.metric("dogbreed_queue_length")) == (0, 0)
    assert service.metric('dogbreed_problems_total{kind="overloaded"}') == 3


def test_a_batch_leaves_places_for_others(serve: Serve, gate: Gate, pool: ThreadPoolExecutor) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), max_concurrency=6)
    files = [("file", (str(number), picture(number))) for number in range(20)]
    batch = pool.submit(service.post, "/v1/classify/batch", files=files)
    wait_for(lambda: service.metric("dogbreed_in_flight") == 4)
    single = pool.submit(service.classify, PICTURE)
    wait_for(lambda: service.metric("dogbreed_in_flight") == 5)
    gate.open.set()
    assert single.result().status_code == 200
    assert len(batch.result().json()["results"]) == 20


def test_pictures_that_are_fetched_leave_places_for_those_that_are_sent(
    serve: Serve, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOGBREED_FETCH_NETWORKS", "127.0.0.0/8")
    service = serve(max_concurrency=4)
    with socket.create_server(("127.0.0.1", 0)) as dawdling:
        source = {"url": f"http://127.0.0.1:{dawdling.getsockname()[1]}/rex.jpg"}
        batch = pool.submit(service.post, "/v1/classify/batch", json={"pictures": [source] * 4})
        body = json.dumps(source).encode()
        leaving = [connect(service, JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body) for _ in range(4)]
        wait_for(lambda: service.metric("dogbreed_in_flight") == 2)
        for connection in leaving:
            connection.close()
        left = 'dogbreed_http_requests_total{route="/v1/classify",status="499"}'
        wait_for(lambda: service.metric(left) == 4)
        assert service.metric("dogbreed_in_flight") == 2, "leaving ends no download"
        assert service.classify(PICTURE).status_code == 200
    assert [one["problem"]["type"] for one in batch.result().json()["results"]] == ["/problems/image-download"] * 4


def test_a_client_that_leaves_before_its_picture_is_fetched_frees_its_place(
    serve: Serve, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), max_concurrency=1)
    inside = pool.submit(service.classify, PICTURE)
    gate.wait_until_entered()
    body = b'{"url": "https://dogs.invalid/rex.jpg"}'
    with connect(service, JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body):
        wait_for(lambda: service.metric("dogbreed_queue_length") == 1)
    wait_for(lambda: service.metric("dogbreed_queue_length") == 0)
    gate.open.set()
    assert inside.result().status_code == 200


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/classify/batch", "/v1/labels"])
def test_a_deadline_that_passes_is_504_and_frees_the_place(serve: Serve, gate: Gate, path: str) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), deadline_seconds=0.2, max_concurrency=1, max_waiting=0)
    options: dict[str, Any] = {} if path == "/v1/labels" else {"files": {"file": ("a", PICTURE)}}
    response = requests.request("POST" if options else "GET", service.url + path, timeout=120, **options)
    assert (response.status_code, response.json()["type"]) == (504, "/problems/endpoint-timeout")
    gate.open.set()
    # A machine that has much to do may miss such a deadline once more.
    wait_for(lambda: service.classify(PICTURE).status_code == 200)


def test_waiting_in_the_queue_counts_for_the_deadline(serve: Serve, gate: Gate, pool: ThreadPoolExecutor) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), deadline_seconds=0.3, max_concurrency=1)
    answers = [pool.submit(service.classify, PICTURE) for _ in range(3)]
    assert [answer.result().status_code for answer in answers] == [504] * 3


@pytest.mark.parametrize("working", [True, False])
def test_a_client_that_leaves_frees_its_place(serve: Serve, gate: Gate, *, working: bool) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), max_concurrency=1, max_waiting=1)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE
    first = connect(service, request)
    gate.wait_until_entered()
    second = connect(service, request)
    wait_for(lambda: service.metric("dogbreed_queue_length") == 1)
    (first if working else second).close()
    wait_for(lambda: service.metric("dogbreed_queue_length") == 0)
    assert service.metric("dogbreed_in_flight") == 1
    (second if working else first).close()
    wait_for(lambda: service.metric("dogbreed_in_flight") == 0)
    assert service.metric('dogbreed_http_requests_total{route="/v1/classify",status="499"}') == 2
    gate.open.set()
    assert service.classify(PICTURE).status_code == 200


def test_a_body_that_trickles_is_given_up_and_never_took_a_place(serve: Serve) -> None:
    trickle = HEAD + b"Content-Length: 1000\r\n\r\nxx"
    patient = serve(read_seconds=600.0, max_concurrency=1, max_waiting=0)
    with connect(patient, trickle):
        wait_for(lambda: patient.metric("dogbreed_held_bytes") == 2)
        assert patient.classify(PICTURE).status_code == 200
    hasty = serve(read_seconds=0.3)
    with connect(hasty, trickle) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert hasty.metric("dogbreed_held_bytes") == 0


def test_a_body_that_breaks_http_is_answered_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The application, which has seen the headers alone, answers the same request."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(serve(), head + b"no number\r\n") as connection:
        assert everything_from(connection).count(b"HTTP/1.1 ") == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


HASTY = ConnectionLimits(header_seconds=0.3)
# What is never told to send something ends by another limit alone.
ENDLESS = {"header_seconds": 3600.0}


@pytest.mark.parametrize(
    "start", [b"", b"GET /healthz HTTP/1.1\r\nHo", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /h"]
)
def test_headers_that_trickle_end_the_connection(serve: Serve, start: bytes) -> None:
    service = serve(limits=HASTY)
    began = time.monotonic()
    with connect(service, start) as connection:
        answer = everything_from(connection)
    assert time.monotonic() - began > 0.2
    assert answer.count(b"HTTP/1.1 200 ") == start.count(b"\r\n\r\n")


def test_a_patient_client_keeps_its_connection(serve: Serve, gate: Gate, pool: ThreadPoolExecutor) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), limits=HASTY)
    answer = pool.submit(service.classify, PICTURE)
    gate.wait_until_entered()
    time.sleep(2 * HASTY.header_seconds)
    gate.open.set()
    assert answer.result().status_code == 200


def is_closed(connection: socket.socket) -> bool:
    """Whether the service has closed it, without a word."""
    connection.settimeout(0.05)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False


def connect_from(address: str, service: RunningService, data: bytes = b"") -> socket.socket:
    """As another machine would: on Linux, all of 127.0.0.0/8 is this one."""
    if sys.platform != "linux":
        pytest.skip("this system has one loopback address only")
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=120, source_address=(address, 0))
    connection.sendall(data)
    return connection


def test_connections_beyond_the_limit_are_refused_where_all_others_have_a_request_under_way(
    serve: Serve, gate: Gate
) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), limits=ConnectionLimits(total=3))
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE
    busy = [connect(service, request) for _ in range(3)]
    gate.wait_until_entered(3)
    with connect(service) as one_more:
        answer = everything_from(one_more)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in answer
    gate.open.set()
    for connection in busy:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.close()


def test_a_crowd_of_idle_connections_keeps_nobody_out(serve: Serve) -> None:
    service = serve(limits=ConnectionLimits(per_address=CONNECTIONS_PER_ADDRESS, **ENDLESS))
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect_from("127.0.0.2", service)) for _ in range(600)]
        neighbor = stack.enter_context(connect_from("127.0.0.3", service))
        assert [service.get("/healthz").status_code for _ in range(5)] == [200] * 5
        wait_for(lambda: len(service.server.server_state.connections) <= CONNECTIONS_PER_ADDRESS + 2)
        left = [connection for connection in crowd[-CONNECTIONS_PER_ADDRESS:] if not is_closed(connection)]
        assert len(left) == CONNECTIONS_PER_ADDRESS, "the oldest of the crowd have gone"
        wait_for(lambda: is_closed(crowd[0]))
        assert not is_closed(neighbor)


def test_one_address_may_hold_so_many_connections_and_a_proxy_more(serve: Serve, gate: Gate) -> None:
    limits = ConnectionLimits(per_address=2, proxies=("127.0.0.8/31",))
    service = serve(FakeEndpoint(BREEDS, answer=gate), limits=limits)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE
    with ExitStack() as stack:
        for address in ("127.0.0.2", "127.0.0.2", "127.0.0.9", "127.0.0.9", "127.0.0.9"):
            stack.enter_context(connect_from(address, service, request))
        gate.wait_until_entered(5)
        assert everything_from(stack.enter_context(connect_from("127.0.0.2", service))).startswith(b"HTTP/1.1 503 ")
        health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        for address in ("127.0.0.3", "127.0.0.9"):
            answered = stack.enter_context(connect_from(address, service, health))
            assert answered.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_of_all_connections_the_most_crowded_address_loses_its_oldest_idle_one(serve: Serve) -> None:
    service = serve(limits=ConnectionLimits(total=4, **ENDLESS))
    with ExitStack() as stack:
        first, *crowd = [
            stack.enter_context(connect_from(address, service))
            for address in ("127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.3", "127.0.0.4")
        ]
        wait_for(lambda: is_closed(crowd[0]))
        assert not any(is_closed(connection) for connection in (first, *crowd[1:]))


def test_shutting_down_answers_what_was_accepted_and_takes_nothing_new(
    serve: Serve, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    service = serve(FakeEndpoint(BREEDS, answer=gate), max_concurrency=1)
    answers = [pool.submit(service.classify, PICTURE) for _ in range(3)]
    wait_for(lambda: service.metric("dogbreed_queue_length") == 2)
    service.stop()
    wait_for(lambda: refuses(service.url))
    gate.open.set()
    assert [answer.result().status_code for answer in answers] == [200] * 3
