"""AWS's sagemaker-pytorch-inference toolkit serves our bundle by its own handlers, as it is."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.training_scripts.conftest import write_bundle
from training_scripts.data import arrays, preprocessing
from training_scripts.inference import input_fn, output_fn, predict_fn
from training_scripts.models.model import Model, load

RANKED = "application/vnd.dogbreed+json"
SCORES = "application/vnd.dogbreed.scores+json"


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def picture(form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((300, 240)).convert("RGB").save(buffer, form)
    return buffer.getvalue()


def request(body: bytes, content_type: str, accept: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": content_type} | ({"Accept": accept} if accept else {})
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


def expected(model: Model, body: bytes | str, content_type: str, accept: str | None = None) -> Any:
    return json.loads(output_fn(predict_fn(input_fn(body, content_type), model), accept)[0])


def test_the_toolkit_serves_every_content_type_and_reports_a_clients_faults_as_such(
    conformance_python: Path, bundle_folder: Path
) -> None:
    model = load(bundle_folder)
    pixels = preprocessing.to_tensor(preprocessing.decode(picture()), model.preprocessing)
    tensor, array = json.dumps(pixels.tolist()), arrays.write_npy(pixels.numpy())
    plain, jpeg, ranked, small, from_tensor, from_array, rows, unserved, broken, unspoken = serve(
        conformance_python,
        bundle_folder,
        request(picture(), "image/png"),
        request(picture("JPEG"), "image/jpeg", "*/*"),
        request(picture(), "image/jpeg", RANKED),
        request(picture(), "application/x-image", f"{SCORES}, {RANKED}, application/json"),
        request(tensor.encode(), "application/json", "application/json"),
        request(array, "application/x-npy", "application/x-npy"),
        request(picture(), "image/png", "text/csv"),
        request(b"text", "text/plain"),
        request(b"no picture", "image/jpeg"),
        request(picture(), "image/png", "text/html"),
    )
    scores = expected(model, picture(), "image/png")
    assert [answer["status"] for answer in (plain, jpeg, ranked, small, from_tensor)] == [200] * 5
    assert plain["content_type"] == jpeg["content_type"] == "application/json"
    assert json.loads(plain["body"])[0] == pytest.approx(scores[0], abs=1e-4)
    assert json.loads(from_tensor["body"])[0] == pytest.approx(scores[0], abs=1e-4)
    assert (from_array["content_type"], rows["content_type"]) == ("application/x-npy", "text/csv")
    received = arrays.read_npy(from_array["body"].encode("latin-1"))
    assert received[0].tolist() == pytest.approx(scores[0], abs=1e-4)
    assert [float(cell) for cell in rows["body"].split(",")] == pytest.approx(scores[0], abs=1e-4)
    assert ranked["content_type"] == RANKED
    best = json.loads(ranked["body"])["predictions"][0]["scores"][0]
    assert best["index"] == max(range(3), key=scores[0].__getitem__)
    assert json.loads(ranked["body"])["model_id"] == json.loads(small["body"])["model_id"] == model.model_id
    assert small["content_type"] == SCORES
    (probabilities,) = (row["probabilities"] for row in json.loads(small["body"])["predictions"])
    assert probabilities[best["index"]] == pytest.approx(best["probability"])
    assert (unserved["status"], broken["status"], unspoken["status"]) == (415, 400, 406)
    assert "send one of" in unserved["body"]
    assert "the picture cannot be used" in broken["body"]
