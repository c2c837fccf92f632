"""The model server by itself: SageMaker's hosting contract, run as its own process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

CODE = """
import json, threading, time
active = 0
class Refused(ValueError):
    status_code = 422
def model_fn(model_dir, context):
    return {"factor": 10}
def input_fn(body, content_type):
    if content_type == "text/plain":
        raise Refused("a picture, please")
    return json.loads(body)
def predict_fn(data, model):
    global active
    active += 1
    seen = active
    time.sleep(0.05)
    active -= 1
    if data == "fail":
        raise KeyError("weights")
    return {"at_once": seen, "value": data}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/vnd.test+json"
"""


class Server:
    def __init__(self, folder: Path, code: str) -> None:
        (folder / "code").mkdir(parents=True)
        (folder / "code/inference.py").write_text(code)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dogbreed_sdk.serving", "--model-dir", str(folder)],
            env={**os.environ, "SAGEMAKER_BIND_TO_PORT": str(self.port)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert self.request("GET", "/ping")[0] == 200
                return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers["content-type"] or ""
        finally:
            connection.close()

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "model", CODE)
    started.wait()
    yield started
    if started.process.poll() is None:
        started.end()
    assert started.process.stderr is not None
    started.process.stderr.close()


def test_the_models_functions_make_the_answer(server: Server) -> None:
    status, body, content_type = server.request("POST", "/invocations", b"[1]", content_type="application/json")
    assert (status, json.loads(body)["value"], content_type) == (200, [1], "application/vnd.test+json")


def test_a_refusal_reaches_the_client_as_it_is(server: Server) -> None:
    answer = server.request("POST", "/invocations", b"x", content_type="text/plain")
    assert answer == (422, "a picture, please", "text/plain; charset=utf-8")


def test_an_error_of_the_model_is_told_and_its_traceback_logged(server: Server) -> None:
    status, body, _ = server.request("POST", "/invocations", b'"fail"', content_type="application/json")
    assert (status, body) == (500, "KeyError: 'weights'")
    assert "Traceback" not in body
    assert 'raise KeyError("weights")' in server.end()


def test_a_body_over_25_mb_is_refused(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/invocations")
    connection.putheader("content-length", str(25 * 1024 * 1024 + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert b"25 MB" in response.read()
    connection.close()


def test_other_routes_and_methods_do_not_exist(server: Server) -> None:
    assert server.request("GET", "/")[0] == 404
    assert server.request("GET", "/invocations")[0] == 405


def test_the_models_code_is_called_once_at_a_time_and_excess_is_turned_away(server: Server) -> None:
    def call(_: int) -> tuple[int, str, str]:
        return server.request("POST", "/invocations", b"[1]", content_type="application/json")

    with ThreadPoolExecutor(90) as pool:
        answers = list(pool.map(call, range(90)))
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 64
    assert {json.loads(body)["at_once"] for status, body, _ in answers if status == 200} == {1}


def test_sigterm_answers_what_was_accepted(server: Server) -> None:
    def call(_: int) -> int:
        return server.request("POST", "/invocations", b"[1]", content_type="application/json")[0]

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call, number) for number in range(8)]
        time.sleep(0.15)
        server.process.send_signal(signal.SIGTERM)
        assert [future.result() for future in calls] == [200] * 8
    assert server.process.wait(timeout=10) in (0, -signal.SIGTERM)


DEFAULTS = "def model_fn(model_dir): return lambda rows: [sum(row) for row in rows]"


def test_defaults_read_json_csv_and_numpy_and_write_json(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array = tmp_path / "array.npy"
    numpy.save(array, numpy.array([[1.0, 2.0]]))
    server = Server(tmp_path / "model", DEFAULTS)
    server.wait()
    kinds = {"application/json": b"[[1, 2]]", "text/csv": b"1,2\n", "application/x-npy": array.read_bytes()}
    answers = {kind: server.request("POST", "/invocations", body, content_type=kind) for kind, body in kinds.items()}
    assert {json.loads(body)[0] for _, body, _ in answers.values()} == {3.0}
    assert server.request("POST", "/invocations", b"[[1", content_type="application/json")[0] == 400
    assert server.request("POST", "/invocations", b"x", content_type="image/jpeg")[0] == 415
    refused = server.request("POST", "/invocations", b"[[1]]", content_type="application/json", accept="text/html")
    assert refused[0] == 406
    server.end()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("predict_fn = None", "error: inference.py defines no model_fn"),
        ("def model_fn(d): ...\ndef transform_fn(*a): ...", "error: inference.py defines transform_fn"),
        ("def model_fn(d): raise OSError('weights are broken')", "OSError: weights are broken"),
    ],
)
def test_a_model_that_cannot_serve_ends_with_the_reason(tmp_path: Path, code: str, message: str) -> None:
    server = Server(tmp_path / "model", code)
    error = server.process.communicate(timeout=20)[1]
    assert server.process.returncode == 1
    assert message in error


def test_it_loads_nothing_of_sagemaker(tmp_path: Path) -> None:
    code = "import sys\nassert not {'boto3', 'botocore', 'sagemaker', 'torch', 'numpy'} & set(sys.modules), 'heavy'"
    server = Server(tmp_path / "model", code)
    assert "defines no model_fn" in server.process.communicate(timeout=20)[1]
