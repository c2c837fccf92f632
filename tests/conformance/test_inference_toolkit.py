"""AWS's sagemaker-pytorch-inference toolkit serves our bundle by its own handlers, as it is."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training_scripts.conftest import write_bundle
from training_scripts.data import arrays, decoding, formats, preprocessing, safe_fetch
from training_scripts.inference import RESPONSE_TYPES, input_fn, output_fn, predict_fn
from training_scripts.models.model import Model, load

RANKED = "application/vnd.dogbreed+json"
SCORES = "application/vnd.dogbreed.scores+json"
# What clients ask for, and what they get: every content type of the contract, and the ways to name none of them.
ACCEPTS = {
    **{kind: kind for kind in RESPONSE_TYPES},
    None: formats.JSON,
    "*/*": formats.JSON,
    f"text/html, {SCORES};q=0.5, {RANKED};q=0.9": RANKED,
    "text/*": arrays.CSV,
}


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def picture(form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((300, 240)).convert("RGB").save(buffer, form)
    return buffer.getvalue()


def request(body: bytes, content_type: str | None, accept: str | None = None) -> dict[str, Any]:
    headers = {name: value for name, value in (("Content-Type", content_type), ("Accept", accept)) if value}
    return {"body": base64.b64encode(body).decode(), "headers": headers}


def serve(python: Path, folder: Path, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # As the toolkit's own start script sets it before it starts TorchServe.
    environ["PYTHONPATH"] = str(folder / "code")
    done = subprocess.run(
        [python, Path(__file__).with_name("torchserve_stand_in.py"), folder],
        input=json.dumps(requests),
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def model(bundle_folder: Path) -> Model:
    return load(bundle_folder)


@pytest.fixture
def picture_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A picture's address on loopback, from which the bundle may fetch."""
    monkeypatch.setenv(safe_fetch.ENABLING_VARIABLE, "1")
    monkeypatch.setenv(safe_fetch.NETWORKS_VARIABLE, "127.0.0.0/8")
    (tmp_path / "rex.png").write_bytes(picture())
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/rex.png"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        pass


def bodies_of_every_type(model: Model, url: str) -> list[tuple[str | None, bytes]]:
    """Content types and a body of each, of one picture all of them."""
    tensor = preprocessing.to_tensor(decoding.decode(picture()), model.preprocessing)
    one, several = json.dumps(tensor.tolist()).encode(), json.dumps([tensor.tolist()] * 2).encode()
    pixels = np.asarray(Image.open(io.BytesIO(picture())))
    pictures = {name: one_format.name for one_format in formats.PICTURE_FORMATS for name in one_format.content_types}
    assert {*pictures, formats.ANY_PICTURE} == formats.PICTURE_CONTENT_TYPES
    return [
        *((content_type, picture(form)) for content_type, form in pictures.items()),
        ("image/jpeg", picture()),  # a wrong name: the bytes say what it is
        (formats.ANY_PICTURE, picture()),
        (formats.JSON, one),
        (f"{formats.JSON}; charset=utf-8", several),
        (formats.JSON, json.dumps({"url": url}).encode()),
        (arrays.NPY, arrays.write_npy(tensor.numpy())),
        (arrays.NPY, arrays.write_npy(pixels)),
        *((unnamed, body) for unnamed in (formats.OCTET_STREAM, None) for body in (picture(), one)),
        (formats.OCTET_STREAM, arrays.write_npy(tensor.numpy())),
    ]


def apart(kind: str, body: str | bytes) -> tuple[Any, list[float]]:
    """A response without its fractions, and these, which may differ in the last digits."""
    numbers: list[float] = []

    def without(value: Any) -> Any:
        if isinstance(value, float):
            numbers.append(value)
            return None
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items()}
        return [without(one) for one in value] if isinstance(value, list) else value

    text = body if isinstance(body, str) else body.decode("latin-1")
    if kind == arrays.NPY:
        content: Any = arrays.read_npy(text.encode("latin-1")).tolist()
    elif kind == arrays.CSV:
        content = [[float(cell) for cell in line.split(",")] for line in text.splitlines()]
    else:
        content = json.loads(text)
    return without(content), numbers


def test_the_toolkit_serves_every_content_type_and_form_and_reports_a_clients_faults_as_such(
    conformance_python: Path, bundle_folder: Path, model: Model, picture_url: str
) -> None:
    # Types and forms don't depend on each other: each comes up, and not each pair.
    bodies = bodies_of_every_type(model, picture_url)
    assert len(bodies) >= len(ACCEPTS)
    asked = [(*one, accept) for one, accept in zip(bodies, itertools.cycle(ACCEPTS), strict=False)]
    faults = [
        request(b"text", "text/plain"),
        request(b"no picture", "image/jpeg"),
        request(picture(), "image/png", "text/html"),
    ]
    requests = [request(body, content_type, accept) for content_type, body, accept in asked]
    *answers, unserved, broken, unspoken = serve(conformance_python, bundle_folder, *requests, *faults)
    for (content_type, body, accept), answer in zip(asked, answers, strict=True):
        where = f"{content_type}, {body[:12]!r}, Accept {accept}"
        assert (answer["status"], answer["content_type"]) == (200, ACCEPTS[accept]), f"{where}: {answer['body']}"
        ours, kind = output_fn(predict_fn(input_fn(body, content_type), model), accept)
        assert kind == ACCEPTS[accept]
        (structure, numbers), (expected, close) = apart(kind, answer["body"]), apart(kind, ours)
        assert structure == expected, where
        assert numbers == pytest.approx(close, abs=1e-4), where
    assert (unserved["status"], broken["status"], unspoken["status"]) == (415, 400, 406)
    assert "send one of" in unserved["body"]
    assert "the picture cannot be used" in broken["body"]
