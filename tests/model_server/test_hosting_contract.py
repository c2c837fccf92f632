"""The model server by itself: SageMaker's hosting contract, run as its own process."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.model_server.app import MAXIMUM_WAITING, ModelApp
from dogbreed_sdk.model_server.handlers import ModelRequest, ModelResponse
from dogbreed_sdk.model_server.settings import read_settings
from tests.model_server.conftest import ServerStarter
from tests.model_server.model_process import Server, write_model
from tests.waiting import wait_for

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
    time.sleep(0.02)
    active -= 1
    if data == "fail":
        raise KeyError("weights")
    return {"at_once": seen, "value": data}
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/vnd.test+json"
"""


SLOW = """
import time
def model_fn(model_dir): return 0
def predict_fn(data, model):
    time.sleep(data)
    return "done"
"""

# Computes nothing before there is a file.
HELD = """
import os, time
def model_fn(model_dir): return open(model_dir + "/computed", "a", buffering=1)
def predict_fn(data, model):
    model.write(f"{data}\\n")
    while not os.path.exists(os.environ["GO"]): time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that only ask."""
    running = Server(write_model(tmp_path_factory.mktemp("model"), CODE))
    running.wait()
    yield running
    running.end()


def test_the_models_functions_make_the_answer(server: Server) -> None:
    status, body, content_type = server.request("POST", "/invocations", b"[1]", content_type="application/json")
    assert (status, json.loads(body)["value"], content_type) == (200, [1], "application/vnd.test+json")


def test_a_refusal_reaches_the_client_as_it_is(server: Server) -> None:
    answer = server.request("POST", "/invocations", b"x", content_type="text/plain")
    assert answer == (422, "a picture, please", "text/plain; charset=utf-8")


def test_an_error_of_the_model_is_told_and_its_traceback_logged(serve: ServerStarter) -> None:
    server = serve(CODE)
    status, body, _ = server.request("POST", "/invocations", b'"fail"', content_type="application/json")
    assert (status, body) == (500, "KeyError: 'weights'")
    assert "Traceback" not in body
    assert 'raise KeyError("weights")' in server.end()


def begun(server: Server, length: tuple[str, object], first: bytes) -> http.client.HTTPConnection:
    """A request of which only the beginning has been sent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/invocations")
    connection.putheader("content-type", "application/json")
    connection.putheader(length[0], str(length[1]))
    connection.endheaders(first)
    return connection


def test_a_body_over_25_mb_is_refused(server: Server) -> None:
    connection = begun(server, ("content-length", 25 * 1024 * 1024 + 1), b"")
    response = connection.getresponse()
    assert response.status == 413
    assert b"25 MiB" in response.read()
    connection.close()


def test_batch_transform_jobs_get_a_recommendation(server: Server) -> None:
    status, body, _ = server.request("GET", "/execution-parameters")
    assert status == 200
    assert json.loads(body) == {"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}


def test_other_routes_and_methods_do_not_exist(server: Server) -> None:
    assert server.request("GET", "/")[0] == 404
    assert server.request("GET", "/invocations")[0] == 405


def test_the_models_code_is_called_once_at_a_time_and_excess_is_turned_away(server: Server) -> None:
    waiting = [begun(server, ("content-length", 3), b"[") for _ in range(MAXIMUM_WAITING)]
    wait_for(lambda: server.invoke()[0] == 503)
    for connection in waiting:
        connection.send(b"1]")
    answers = [connection.getresponse() for connection in waiting]
    assert [answer.status for answer in answers] == [200] * MAXIMUM_WAITING
    assert {json.loads(answer.read())["at_once"] for answer in answers} == {1}
    assert server.invoke()[0] == 200
    for connection in waiting:
        connection.close()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_answers_what_was_accepted(
    serve: ServerStarter, ending: signal.Signals, tmp_path: Path
) -> None:
    server = serve(HELD, GO=str(tmp_path / "go"))
    calls = [server.send(b"1") for _ in range(8)]
    assert server.request("GET", "/ping")[0] == 200  # what came before it has been accepted
    server.process.send_signal(ending)
    (tmp_path / "go").touch()
    assert server.answered(calls) == [200] * 8
    assert server.process.wait(timeout=60) in (0, -signal.SIGTERM)


DEFAULTS = "def model_fn(model_dir): return lambda rows: [sum(row) for row in rows]"


def test_defaults_read_json_csv_and_numpy_and_refuse_what_is_none(serve: ServerStarter, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array = tmp_path / "array.npy"
    numpy.save(array, numpy.array([[1.0, 2.0]]))
    server = serve(DEFAULTS)
    kinds = {"application/json": b"[[1, 2]]", "text/csv": b"1,2\n3,4\n", "application/x-npy": array.read_bytes()}
    answers = {kind: server.request("POST", "/invocations", body, content_type=kind) for kind, body in kinds.items()}
    assert {json.loads(body)[0] for _, body, _ in answers.values()} == {3.0}
    for body in (b" [[1, 2]]", array.read_bytes()):
        for headers in ({"content_type": "application/octet-stream"}, {}):
            assert json.loads(server.request("POST", "/invocations", body, **headers)[1]) == [3.0]
    assert server.request("POST", "/invocations", b"1,2", content_type="application/octet-stream")[0] == 415
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    huge = b"\x93NUMPY\x01\x00v\x00" + header.ljust(118)
    broken = {
        "application/json": [b"[[1", b"[" * 100_000],
        "text/csv": [b"1,x", b"1,2\n3", b"\xff", b"1" * 200_000],
        "application/x-npy": [b"", b"PK\x03\x04", huge, pickled(numpy)],
    }
    for kind, bodies in broken.items():
        for body in bodies:
            assert server.request("POST", "/invocations", body, content_type=kind)[0] == 400, (kind, body[:9])
    assert server.request("POST", "/invocations", b"x", content_type="image/jpeg")[0] == 415
    refused = server.request("POST", "/invocations", b"[[1]]", content_type="application/json", accept="text/html")
    assert refused[0] == 406


def pickled(numpy: Any) -> bytes:
    """An array of objects, which AWS's toolkit unpickles, and thereby runs."""
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("predict_fn = None", "error: The model's code does not define model_fn"),
        (
            "def model_fn(d): ...\ndef transform_fn(*a): ...\ndef input_fn(*a): ...",
            "error: inference.py defines transform_fn together with input_fn, predict_fn or output_fn",
        ),
        ("def model_fn(d): raise OSError('weights are broken')", "OSError: weights are broken"),
    ],
)
def test_a_model_that_cannot_serve_ends_with_the_reason(tmp_path: Path, code: str, message: str) -> None:
    server = Server(write_model(tmp_path / "model", code))
    error = server.process.communicate(timeout=60)[1]
    assert server.process.returncode == 1
    assert message in error


@pytest.mark.parametrize(
    ("folder", "options", "says"),
    [
        ("nope", [], "There is no directory .*nope"),
        ("model.tar.gz", [], r".*model\.tar\.gz is a file; unpack it"),
        ("model", [], "Cannot listen on 127.0.0.1:.* in use. Choose another --port"),
        ("model", ["--workers", "2"], "Cannot listen on 127.0.0.1:.* in use. Choose another --port"),
        ("model", ["--host", "203.0.113.1"], "Cannot listen on 203.0.113.1:.* Choose another --host"),
    ],
)
def test_a_start_that_cannot_be_says_what_to_change(tmp_path: Path, folder: str, options: list[str], says: str) -> None:
    (tmp_path / "model.tar.gz").touch()
    write_model(tmp_path / "model", "def model_fn(model_dir): return 0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = Server(tmp_path / folder, *options, "--port", port)
        error = server.process.communicate(timeout=60)[1]
    assert server.process.returncode == 1
    assert re.fullmatch(f"error: {says}.*\n", error)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_started_by_hand_it_says_where_it_answers(tmp_path: Path, workers: str) -> None:
    server = Server(write_model(tmp_path / "model", "def model_fn(model_dir): return 0"), "--workers", workers)
    server.wait()
    assert f"http://127.0.0.1:{server.port} " in server.end()


def test_it_loads_nothing_of_sagemaker(tmp_path: Path) -> None:
    code = "import sys\nassert not {'boto3', 'botocore', 'sagemaker', 'torch', 'numpy'} & set(sys.modules), 'heavy'"
    server = Server(write_model(tmp_path / "model", code))
    assert "does not define model_fn" in server.process.communicate(timeout=60)[1]


LOOKING = """
import json, logging, os
def model_fn(model_dir, context):
    logging.getLogger("model").info("loaded %s", context.system_properties["model_dir"])
    return {"threads": os.environ["OMP_NUM_THREADS"], "waiting": os.environ["OMP_WAIT_POLICY"]}
def input_fn(body, content_type, context):
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "seen")
    return context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
def predict_fn(data, model): return {"attributes": data, **model}
def output_fn(prediction, accept): return json.dumps({"accept": accept, **prediction}), "application/json"
"""


def test_sagemakers_variables_and_the_serve_argument_are_heeded(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "raise SystemExit('not this one')")
    submitted = write_model(tmp_path / "submitted", LOOKING, "other.py") / "code"
    server = Server(
        model,
        "serve",
        SAGEMAKER_SUBMIT_DIRECTORY=submitted.as_uri(),
        SAGEMAKER_PROGRAM="other",
        SAGEMAKER_CONTAINER_LOG_LEVEL="20",
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="application/x-own",
        OMP_NUM_THREADS="3",
    )
    server.wait()
    response, body = server.exchange(
        "POST", "/invocations", b"x", X_Amzn_SageMaker_Custom_Attributes="trace=1", accept="*/*"
    )
    assert json.loads(body) == {
        "accept": "application/x-own",
        "attributes": "trace=1",
        "threads": "3",
        "waiting": "PASSIVE",
    }
    assert response.headers["x-amzn-sagemaker-custom-attributes"] == "seen"
    assert f"INFO model: loaded {model}" in server.end()


def test_a_model_that_does_not_return_in_time_is_a_504_and_ends_its_process(serve: ServerStarter) -> None:
    assert serve(SLOW, SAGEMAKER_MODEL_SERVER_TIMEOUT="100").invoke(b"0") == (200, '"done"')
    server = serve(SLOW, SAGEMAKER_MODEL_SERVER_TIMEOUT="1")
    assert server.invoke(b"600") == (504, "The model did not answer within 1 s.")
    assert server.process.wait(timeout=60) == 1
    assert "has not returned for 1 s" in server.end()


@pytest.mark.parametrize(("seconds", "is_stuck"), [(0.0, False), (7.5, False), (8.5, True)])
def test_the_504_has_a_second_to_go_out_before_the_process_ends(seconds: float, is_stuck: bool) -> None:
    class Model:
        async def run(self, request: ModelRequest) -> ModelResponse:
            raise NotImplementedError

        def call_seconds(self) -> float:
            return seconds

    assert ModelApp(Model(), read_settings([], {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "7"})).is_stuck == is_stuck


def test_a_request_whose_client_has_gone_is_not_computed(serve: ServerStarter, tmp_path: Path) -> None:
    server = serve(HELD, GO=str(tmp_path / "go"))
    record = tmp_path / "model0/computed"
    first = server.send(b'"a"')
    wait_for(record.read_text)
    gone = server.send(b'"b"')
    assert server.request("GET", "/ping")[0] == 200  # what came before it has been accepted
    gone.close()
    assert server.request("GET", "/ping")[0] == 200
    (tmp_path / "go").touch()
    assert server.answered([first]) == [200]
    assert server.invoke(b'"c"')[0] == 200
    assert record.read_text() == "a\nc\n"


LARGE = 24 * 1024 * 1024


@pytest.mark.parametrize("length", [("content-length", LARGE), ("transfer-encoding", "chunked")])
def test_bodies_that_wait_are_bounded_in_bytes_too(serve: ServerStarter, length: tuple[str, object]) -> None:
    server = serve(SLOW)
    waiting = [begun(server, length, b"1") for _ in range(11)]
    response = waiting[-1].getresponse()
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert b"10 requests are already waiting" in response.read()
    for connection in waiting:
        connection.close()
    wait_for(lambda: server.invoke(b"0" + b" " * LARGE)[0] == 200)


def test_a_variable_that_makes_no_sense_ends_the_process_with_its_name(tmp_path: Path) -> None:
    server = Server(write_model(tmp_path / "model", DEFAULTS), SAGEMAKER_BIND_TO_PORT="65536")
    error = server.process.communicate(timeout=60)[1]
    assert error.startswith("error: The port (SAGEMAKER_BIND_TO_PORT) must be a whole number from 0 to 65535")
    assert server.process.returncode == 1
