"""An inference.py as notebook authors write it: AWS's defaults, transform_fn, and whatever its functions return."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model_server.conftest import ServerStarter
from tests.model_server.model_process import Server, write_model

ONLY_MODEL_FN = """
import torch
def model_fn(model_dir):
    net = torch.nn.Linear(2, 3)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        net.bias.zero_()
    return torch.nn.Sequential(net, torch.nn.Dropout(0.9))
"""
ROWS = [[1.0, 2.0], [3.0, 4.0]]
LOGITS = [[1.0, 2.0, 3.0], [3.0, 4.0, 7.0]]


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(write_model(tmp_path_factory.mktemp("model"), ONLY_MODEL_FN))
    server.wait()
    yield server
    server.end()


def decoded(body: bytes, kind: str) -> Any:
    if kind == "application/x-npy":
        return np.load(io.BytesIO(body), allow_pickle=False).tolist()
    if kind == "text/csv":
        return [[float(cell) for cell in line.split(",")] for line in body.decode().splitlines()]
    return json.loads(body)


KINDS = {
    "application/json": json.dumps(ROWS).encode(),
    "text/csv": b"1,2\n3,4\n",
    "application/x-npy": npy(np.array(ROWS, "float32")),
}


@pytest.mark.parametrize("accept", KINDS)
@pytest.mark.parametrize("sent", KINDS)
def test_a_model_fn_alone_serves_every_format_of_the_sdks_serializers(linear: Server, sent: str, accept: str) -> None:
    response, body = linear.exchange_bytes("POST", "/invocations", KINDS[sent], content_type=sent, accept=accept)
    assert (response.status, response.headers["content-type"].partition(";")[0]) == (200, accept)
    assert decoded(body, accept) == LOGITS  # the dropout is off: the default predict_fn evaluates


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/x-npy, application/json", "application/x-npy"),
        ("application/json;q=0.2, text/csv;q=0.9", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/*", "text/csv"),
    ],
)
def test_of_several_formats_the_client_gets_the_one_it_prefers(linear: Server, accept: str, kind: str) -> None:
    headers = {"content_type": "application/json", "accept": accept}
    response, body = linear.exchange_bytes("POST", "/invocations", b"[[1, 2], [3, 4]]", **headers)
    assert response.headers["content-type"].partition(";")[0] == kind
    assert decoded(body, kind) == LOGITS


def test_arrays_keep_their_dtype_and_one_row_of_csv_has_one_dimension(linear: Server) -> None:
    """Both as with AWS's toolkit: a model of doubles gets doubles, and a client that forgot astype learns of it."""
    doubles = npy(np.array(ROWS))
    status, body, _ = linear.request("POST", "/invocations", doubles, content_type="application/x-npy")
    assert status == 500
    assert "dtype" in body
    assert json.loads(linear.request("POST", "/invocations", b"1,2\n", content_type="text/csv")[1]) == LOGITS[0]


TRANSFORM = """
import json
events = []
def pre_model_fn(model_dir): events.append("pre")
def model_fn(model_dir, context):
    events.append("load")
    return 3
def model_warmup_fn(model_dir, model): events.append(f"warm {model}")
def transform_fn(model, data, content_type, accept, context):
    inference_id = context.get_all_request_header(idx=0).get("X-Amzn-SageMaker-Inference-Id")
    if inference_id:
        assert inference_id == context.get_request_header(0, key="x-amzn-sagemaker-inference-id")
        events.append(inference_id)
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", ",".join(events))
    if data == "teapot":
        context.set_response_status(code=418, phrase="short and stout")
    return f"{type(data).__name__} {content_type} {accept} {model}", "text/plain"
"""


def test_transform_fn_replaces_the_three_functions(serve: ServerStarter) -> None:
    server = serve(TRANSFORM)
    headers = {"content_type": "text/csv", "accept": "a/b", "X_Amzn_SageMaker_Inference_Id": "i"}
    response, body = server.exchange("POST", "/invocations", b"1,2", **headers)
    assert (body, response.headers["content-type"].partition(";")[0]) == ("str text/csv a/b 3", "text/plain")
    assert response.headers["x-amzn-sagemaker-custom-attributes"] == "pre,load,warm 3,i"
    assert server.request("POST", "/invocations", b"x", content_type="image/png")[1] == (
        "bytes image/png application/json 3"
    )
    assert server.request("POST", "/invocations", b"teapot", content_type="text/csv")[0] == 418


RETURNS = """
import numpy as np
def model_fn(model_dir): return None
def input_fn(request_body, request_content_type="application/json"): return request_body
def predict_fn(data, model):
    return {
        "bytes": b"raw", "str": "text", "array": np.array([[1, 2]], "int16"), "list": [[1.5]],
        "dict": {"a": np.float32(2)},
        "pair": ("body", "text/x-own"), "array pair": (np.ones(2, "float32"), "application/x-npy"), "set": {1},
        "odd pair": ({"a": 1}, "application/vnd.own+json"),
    }[data]
def output_fn(prediction, accept): return prediction
"""


def test_output_fn_may_return_any_body_with_or_without_its_content_type(serve: ServerStarter) -> None:
    server = serve(RETURNS)

    def output(which: str, accept: str = "application/json") -> tuple[str, bytes]:
        headers = {"content_type": "application/json", "accept": accept}
        response, body = server.exchange_bytes("POST", "/invocations", which.encode(), **headers)
        return response.headers["content-type"].partition(";")[0], body

    assert output("bytes", "image/png, */*") == ("image/png", b"raw")
    assert output("str", "text/csv") == ("text/csv", b"text")
    assert output("array") == ("application/json", b"[[1, 2]]")
    assert np.load(io.BytesIO(output("array", "application/x-npy")[1])).dtype == "int16"
    assert output("list", "text/csv") == ("text/csv", b"1.5\n")
    assert output("dict", "a/b") == ("application/json", b'{"a": 2.0}')
    assert output("pair") == ("text/x-own", b"body")
    assert decoded(output("array pair")[1], "application/x-npy") == [1.0, 1.0]
    assert output("odd pair") == ("application/vnd.own+json", b'{"a": 1}')
    status, body, _ = server.request(
        "POST", "/invocations", b"dict", content_type="application/json", accept="text/csv"
    )
    assert (status, "Accept application/json instead" in body) == (406, True)
    status, body, _ = server.request("POST", "/invocations", b"set", content_type="application/json")
    assert (status, "a prediction of type set has no form in JSON" in body) == (500, True)


def torchscript(path: Path) -> None:
    import torch  # noqa: PLC0415

    net = torch.nn.Linear(2, 1)
    with torch.no_grad():
        net.weight.fill_(1.0)
        net.bias.zero_()
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 2)), str(path))


@pytest.mark.parametrize("name", ["model.pt", "net.pth"])
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_torchscript_model_needs_no_code(tmp_path: Path, name: str) -> None:
    torchscript(tmp_path / name)
    (tmp_path / "code").mkdir()
    server = Server(tmp_path)
    server.wait()
    assert server.invoke(b"[[1, 2]]") == (200, "[[3.0]]")
    server.end()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "loads a TorchScript file, model.pt or the only .pt or .pth file of the model; it found none"),
        (["a.pt", "b.pth"], "it found a.pt, b.pth. Define model_fn"),
        (["model.pth"], "model.pth is not a TorchScript model"),
        (["inference.py"], "The model has no code/inference.py"),
        (["code/serve.py"], "The model has no code/inference.py: pack it into model.tar.gz, or set SAGEMAKER_PROGRAM."),
    ],
)
def test_a_model_without_code_or_torchscript_says_what_to_add(tmp_path: Path, files: list[str], message: str) -> None:
    (tmp_path / "code").mkdir()
    for name in files:
        (tmp_path / name).write_text("pass")
    error = Server(tmp_path).process.communicate(timeout=60)[1]
    assert message in error
    assert "Traceback" not in error


WITH_TOOLKIT = """
from sagemaker_inference import content_types, decoder, encoder, errors
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    if content_type == "image/bmp":
        raise errors.GenericInferenceToolkitError(415, "No bitmaps, please")
    return decoder.decode(body, content_type)
def predict_fn(data, model):
    return data * 2
def output_fn(prediction, accept):
    return encoder.encode(prediction, content_types.JSON if accept == content_types.ANY else accept)
"""


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(write_model(tmp_path_factory.mktemp("doubling"), WITH_TOOLKIT))
    server.wait()
    yield server
    server.end()


@pytest.mark.parametrize("kind", KINDS)
def test_the_codecs_of_awss_toolkit_are_there_without_it(doubling: Server, kind: str) -> None:
    response, body = doubling.exchange_bytes("POST", "/invocations", KINDS[kind], content_type=kind, accept=kind)
    assert (response.status, decoded(body, kind)) == (200, [[2.0, 4.0], [6.0, 8.0]])


def test_errors_of_awss_toolkit_have_their_status(doubling: Server) -> None:
    status, body = doubling.invoke(b"BM", content_type="image/bmp")
    assert status == 415
    assert "No bitmaps, please" in body


def test_a_content_type_without_codec_is_named(doubling: Server) -> None:
    status, body = doubling.invoke(b"x", content_type="text/html")
    assert status == 500
    assert "Content type text/html is not supported" in body
