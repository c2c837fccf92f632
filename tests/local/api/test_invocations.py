"""What InvokeEndpoint passes on, what it makes of a model server's misbehavior, and what a hop costs."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.api.invocations import Invoker
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.store import ENDPOINT
from tests.waiting import wait_for

SERVING = {"config": "c", "variants": [{"variant": {"VariantName": "Main"}, "model": "m", "container": {}}]}


class Model(BaseHTTPRequestHandler):
    """A model server that does what the request's body says."""

    protocol_version = "HTTP/1.1"
    connections: set[Any] = set()  # noqa: RUF012
    late: list[Any] = []  # noqa: RUF012 - clients that wait for an answer that comes late
    answer_late = threading.Event()
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"headers":
            self.answer(200, repr(sorted((k.lower(), v) for k, v in self.headers.items())).encode())
        elif body == b"refuse":
            self.answer(415, b'{"error": "no such type"}')
        elif body == b"sleep":
            self.late.append(self.client_address)
            self.answer_late.wait(60.0)
            self.answer(200, b"late")
        elif body == b"break":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif body == b"chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        elif body == b"flood":
            self.answer(200, bytes(26 * 1024 * 1024))
        elif body == b"goodbye":
            self.close_connection = True  # without saying so: the kept connection goes stale
            self.answer(200, b"bye")
        else:
            self.answer(200, body[::-1], **{"X-Amzn-SageMaker-Custom-Attributes": "trace=1"})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def model(store: Store) -> Iterator[ThreadingHTTPServer]:
    """An endpoint "echo" in service whose model server is a thread of this process."""
    Model.connections, Model.late, Model.answer_late = set(), [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        process = {"pid": os.getpid(), "created": psutil.Process().create_time(), "port": server.server_port}
        store.create(
            ENDPOINT,
            "echo",
            {},
            {"status": "InService", "serving": SERVING, "servers": {"Main": process}},
        )
        yield server
        Model.answer_late.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def runtime(client: Any) -> Any:
    return client("sagemaker-runtime")


@pytest.mark.usefixtures("model")
def test_body_and_headers_go_both_ways(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(
        EndpointName="echo", Body=b"\x00\xffabc", ContentType="image/jpeg", Accept="text/plain", CustomAttributes="a=1"
    )
    assert answer["Body"].read() == b"cba\xff\x00"
    assert answer["ContentType"] == "text/plain"
    assert answer["InvokedProductionVariant"] == "Main"
    assert answer["CustomAttributes"] == "trace=1"
    assert answer["ResponseMetadata"]["RequestId"]
    seen = runtime.invoke_endpoint(
        EndpointName="echo", Body=b"headers", ContentType="image/png", Accept="application/json", CustomAttributes="a=1"
    )["Body"].read().decode()  # fmt: skip
    for header in (
        ("content-type", "image/png"),
        ("accept", "application/json"),
        ("x-amzn-sagemaker-custom-attributes", "a=1"),
    ):
        assert repr(header) in seen
    assert "authorization" not in seen  # a model has no business with the caller's signature


@pytest.mark.usefixtures("model")
def test_what_the_model_refuses_is_a_model_error(runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="echo", Body=b"refuse")
    answer = caught.value.response
    assert answer["OriginalStatusCode"] == 415
    assert answer["OriginalMessage"] == '{"error": "no such type"}'
    assert answer["Error"]["Message"].startswith('Received client error (415) from primary with message "{"error"')


@pytest.mark.usefixtures("model")
def test_chunked_and_empty_bodies(runtime: Any) -> None:
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"chunks")["Body"].read() == b"abcde"
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"")["Body"].read() == b""


@pytest.mark.usefixtures("model")
def test_connections_are_kept_and_replaced_when_they_go_stale(runtime: Any) -> None:
    for _ in range(5):
        runtime.invoke_endpoint(EndpointName="echo", Body=b"abc")
    assert len(Model.connections) == 1
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"goodbye")["Body"].read() == b"bye"
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"abc")["Body"].read() == b"cba"
    assert len(Model.connections) == 2


@pytest.mark.usefixtures("model")
def test_the_limit_of_a_payload_is_25_mb(runtime: Any) -> None:
    most = bytes(25 * 1024 * 1024)
    assert len(runtime.invoke_endpoint(EndpointName="echo", Body=most)["Body"].read()) == len(most)
    with pytest.raises(runtime.exceptions.ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="echo", Body=most + b"x")
    assert caught.value.response["Error"] == {
        "Code": "413",
        "Message": "HTTP content length exceeded 26214400 bytes.",
    }
    with pytest.raises(runtime.exceptions.ModelError, match="larger than 25 MiB"):
        runtime.invoke_endpoint(EndpointName="echo", Body=b"flood")


@pytest.mark.usefixtures("model")
def test_a_model_server_that_breaks_off_is_a_model_error(runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="echo", Body=b"break")
    assert caught.value.response["OriginalStatusCode"] == 500
    assert "without a complete answer" in str(caught.value)
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"abc")["Body"].read() == b"cba"


@pytest.mark.usefixtures("model")
def test_an_answer_that_takes_too_long_is_awss_timeout(store: Store) -> None:
    async def call() -> ApiError:
        invoker = Invoker(store, seconds=0.1)
        with pytest.raises(ApiError) as caught:
            await invoker.invoke("echo", {}, b"sleep")
        await invoker.close()
        return caught.value

    error = asyncio.run(call())
    assert (error.code, error.status, error.details["OriginalStatusCode"]) == ("ModelError", 424, 0)
    assert "Your invocation timed out while waiting for a response from container Main" in error.message


@pytest.mark.parametrize("status", ["Creating", "Failed", "Deleting"])
def test_an_endpoint_that_does_not_serve_is_not_found(runtime: Any, store: Store, status: str) -> None:
    store.create(ENDPOINT, "echo", {}, {"status": status, "serving": SERVING})
    with pytest.raises(runtime.exceptions.ValidationError, match=f"echo of account 000000000000 not found.*{status}"):
        runtime.invoke_endpoint(EndpointName="echo", Body=b"")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"TargetVariant": "Other"}, "Variant Other not found"),
        ({"TargetModel": "m.tar.gz"}, "not a multi-model endpoint"),
        ({"TargetContainerHostname": "c"}, "does not support TargetContainerHostname .a model has one container"),
        ({"InferenceComponentName": "c"}, "does not support InferenceComponentName "),
        ({"EnableExplanations": "`true`"}, "does not support EnableExplanations "),
        ({"ContentType": "x" * 1025}, "at most 1024"),
        ({"EndpointName": "under_score"}, "not an endpoint name"),
        ({"EndpointName": "ECHO"}, "Endpoint ECHO of account 000000000000 not found"),
    ],
)
def test_what_aws_would_refuse_is_refused(runtime: Any, members: dict[str, Any], complaint: str) -> None:
    with pytest.raises(runtime.exceptions.ValidationError, match=complaint):
        runtime.invoke_endpoint(**{"EndpointName": "echo", "Body": b"", **members})


@pytest.mark.usefixtures("model")
def test_slow_answers_do_not_hold_up_quick_ones(runtime: Any, client: Any) -> None:
    def call_slowly() -> None:
        client("sagemaker-runtime").invoke_endpoint(EndpointName="echo", Body=b"sleep")

    threads = [threading.Thread(target=call_slowly) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(Model.late) == 8)
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"abc")["Body"].read() == b"cba"
    assert client("sagemaker").list_models()["Models"] == []
    assert all(thread.is_alive() for thread in threads), "the slow ones were answered first"
    Model.answer_late.set()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("model")
def test_an_answer_that_comes_after_the_end_leaves_no_connection_open(store: Store) -> None:
    async def call() -> tuple[int, int]:
        invoker = Invoker(store)
        waiting = asyncio.ensure_future(invoker.invoke("echo", {}, b"sleep"))
        await asyncio.to_thread(wait_for, lambda: Model.late)
        await invoker.close()
        Model.answer_late.set()
        answer, _ = await waiting
        await asyncio.sleep(0)
        return len(answer), len(still_open())

    def still_open() -> list[Any]:
        ports = {address[1] for address in Model.connections}
        return [
            entry
            for entry in psutil.net_connections("tcp")
            if entry.pid == os.getpid() and entry.laddr.port in ports and entry.status == psutil.CONN_ESTABLISHED
        ]

    assert asyncio.run(call()) == (len(b"late"), 0)


@pytest.mark.usefixtures("model")
def test_a_hop_is_cheap(runtime: Any, store: Store) -> None:
    picture = os.urandom(20_000)

    async def direct() -> float:
        invoker, times = Invoker(store), []
        for _ in range(60):
            begin = time.perf_counter()
            await invoker.invoke("echo", {"content-type": "image/jpeg"}, picture)
            times.append(time.perf_counter() - begin)
        await invoker.close()
        return statistics.median(times)

    def over_http() -> float:
        times = []
        for _ in range(60):
            begin = time.perf_counter()
            runtime.invoke_endpoint(EndpointName="echo", Body=picture, ContentType="image/jpeg")["Body"].read()
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    # boto3 itself needs most of what remains; ten times the usual is left, which a busy machine reaches sometimes.
    wait_for(lambda: over_http() - asyncio.run(direct()) < 0.02)
