"""Real bundles behind the model server: torch and ONNX Runtime, alone and in micro-batches, give the same answers."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import torch

from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.model_server import ServerProcess, process, start
from tests.conftest import draw_shape
from tests.training_scripts.conftest import write_bundle
from training_scripts import inference
from training_scripts.models import explanation
from training_scripts.models.engines import backends, exporting
from training_scripts.models.engines.engine import TOLERANCE, EngineError, deviation
from training_scripts.models.engines.onnx_model import OnnxModel
from training_scripts.models.engines.onnxruntime_engine import OnnxRuntimeEngine
from training_scripts.models.engines.warming_model import WarmingModel
from training_scripts.models.model import Model, load

RANKED, SCORES = "application/vnd.dogbreed+json", "application/vnd.dogbreed.scores+json"
COUNT = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    generator = random.Random(3)
    names = ["001.Red_disc", "002.Blue_square", "010.Green_stripes"]
    bodies = []
    for number in range(COUNT):
        shape = draw_shape(names[number % 3], generator)
        buffer = io.BytesIO()
        shape.resize((96 + number, 120)).save(buffer, "PNG" if number % 2 else "JPEG")
        bodies.append(buffer.getvalue())
    return bodies


@pytest.fixture(scope="module", params=["torch", "onnx"])
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with start(folder, backend=request.param, status=lambda _: None) as started:
        yield started


def ask(server: ServerProcess, picture: bytes, accept: str = "application/json") -> Any:
    headers = {"Content-Type": "image/jpeg", "Accept": accept}
    response = requests.post(f"{server.url}/invocations", picture, headers=headers, timeout=30)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith(accept)
    return response.json()


@pytest.fixture(scope="module")
def expected(model: Model, pictures: list[bytes]) -> list[torch.Tensor]:
    """The probabilities of each picture, by torch, each alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other actively, and for seconds where the machine is busy
    predictions = [inference.predict_fn(inference.input_fn(picture, "image/png"), model) for picture in pictures]
    torch.set_num_threads(threads)
    return [(prediction.logits[0].double() / model.temperature).softmax(0) for prediction in predictions]


def test_clients_in_company_get_the_answers_they_get_alone(
    server: ServerProcess, model: Model, pictures: list[bytes], expected: list[torch.Tensor]
) -> None:
    some = pictures[:24]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda picture: ask(server, picture, SCORES), some))
    for probabilities, answer in zip(expected, answers, strict=False):
        (row,) = answer["predictions"]
        assert answer["model_id"] == model.model_id
        assert row["probabilities"] == pytest.approx(probabilities.tolist(), abs=1e-4)


def test_a_lone_request_and_a_bad_one_in_company(
    server: ServerProcess, pictures: list[bytes], expected: list[torch.Tensor]
) -> None:
    (scores,) = ask(server, pictures[0], RANKED)["predictions"]
    assert scores["scores"][0]["index"] == int(expected[0].argmax())
    tensor = json.dumps(torch.zeros(3, 224, 224).tolist())

    def post(body: bytes, content_type: str) -> int:
        headers = {"Content-Type": content_type}
        return requests.post(f"{server.url}/invocations", body, headers=headers, timeout=30).status_code

    mixed = [(pictures[1], "image/png"), (b"no picture", "image/jpeg"), (tensor.encode(), "application/json")] * 4
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda sent: post(*sent), mixed))
    assert statuses == [200, 400, 200] * 4


@pytest.fixture(scope="module")
def exported(model: Model) -> OnnxModel:
    return OnnxModel(model, threads=2)


def test_onnx_runtime_says_what_torch_says(
    exported: OnnxModel, model: Model, pictures: list[bytes], expected: list[torch.Tensor]
) -> None:
    pixels = [inference.prepare_fn(inference.input_fn(picture, "image/png"), model) for picture in pictures]
    for prediction, probabilities in zip(inference.predict_batch_fn(pixels, exported), expected, strict=True):
        assert isinstance(prediction, inference.Prediction)
        own = (prediction.logits[0].double() / model.temperature).softmax(0)
        assert torch.equal(own.argmax(), probabilities.argmax())
        assert float((own - probabilities).abs().max()) < 1e-4
    with torch.inference_mode():
        features = model.forward_with_features(pixels[0])[1]
    assert torch.allclose(exported.forward_with_features(pixels[0])[1], features, atol=1e-4)


def test_without_the_extra_the_error_names_it(folder: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"pip install 'dogbreed-sdk\[onnx\]'"):
        OnnxModel(model)
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(ConfigurationError, match=r"onnxruntime. Install with: pip install 'dogbreed-sdk\[onnx\]'"):
        start(folder, backend="onnx")


def test_a_backend_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_BACKEND", "tensorflow")
    with pytest.raises(EngineError, match="must be one of auto, torch, onnx, not 'tensorflow'"):
        backends.chosen_backend()


def test_code_that_knows_no_onnx_is_not_passed_off_as_it(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("def model_fn(model_dir): return 0")
    with pytest.raises(EndpointNotReadyError, match="ignores DOGBREED_BACKEND=onnx"):
        start(tmp_path, backend="onnx", code="bundle")


def test_an_exported_model_takes_tensors_of_another_size_as_torch_does(exported: OnnxModel, model: Model) -> None:
    small = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    found, other = inference.predict_batch_fn([small, torch.zeros(1, 3, 224, 224)], exported)
    assert isinstance(found, inference.Prediction)
    assert isinstance(other, inference.Prediction)
    assert torch.equal(found.logits, inference.predict_fn(small, model).logits)


def test_attention_can_be_exported() -> None:
    class Attending(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            words = pixels.flatten(1, 2)
            features: torch.Tensor = self.attention(words, words, words, need_weights=False)[0].mean(1)
            return features

    network, pixels = Attending().eval().requires_grad_(requires_grad=False), torch.rand(3, 3, 32, 32)
    engine = OnnxRuntimeEngine(exporting.export(network, side=32))
    assert torch.allclose(engine.run(pixels), network(pixels), atol=1e-5)


def test_a_model_that_averages_views_does_so_in_onnx_runtime(model: Model) -> None:
    averaging = Model(model.backbone, model.head, dataclasses.replace(model.description, tta="flip"))
    pixels = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    own, other = (each.forward_with_features(pixels)[1] for each in (averaging, OnnxModel(averaging)))
    assert deviation(other, own) <= TOLERANCE
    assert deviation(model.forward_with_features(pixels)[1], own) > TOLERANCE


class TestAuto:
    """The default: torch at once, ONNX Runtime once it has shown to compute the same."""

    @pytest.fixture
    def served(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> WarmingModel:
        monkeypatch.delenv("DOGBREED_BACKEND", raising=False)
        loaded = inference.model_fn(str(folder))
        assert isinstance(loaded, WarmingModel)
        return loaded

    @pytest.fixture
    def many(self) -> torch.Tensor:
        return torch.rand(16, 3, 224, 224, generator=torch.Generator().manual_seed(7))

    def test_a_few_pictures_stay_in_torch_and_later_ones_go_to_onnx_runtime(
        self, served: WarmingModel, model: Model, many: torch.Tensor
    ) -> None:
        few = inference.predict_fn(many[:3], served).logits
        served.wait()
        assert not served.runs_in_onnx
        assert torch.equal(few, inference.predict_fn(many[:3], model).logits)
        inference.predict_fn(many, served)
        served.wait()
        assert served.runs_in_onnx
        assert deviation(inference.predict_fn(many, served).logits, inference.predict_fn(many, model).logits) < 1e-5
        explained = explanation.contributions(served, many[:1], 1)
        assert torch.equal(explained, explanation.contributions(model, many[:1], 1))

    def test_results_that_differ_keep_torch(
        self,
        served: WarmingModel,
        many: torch.Tensor,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        honest = OnnxModel.forward_with_features
        monkeypatch.setattr(OnnxModel, "forward_with_features", lambda *each: [1.001 * one for one in honest(*each)])
        inference.predict_fn(many, served)
        served.wait()
        assert not served.runs_in_onnx
        assert "the model stays in torch: ONNX Runtime's results deviate from it by 1e-03" in caplog.text

    def test_where_it_is_not_installed_torch_serves(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DOGBREED_BACKEND", raising=False)
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        assert type(inference.model_fn(str(folder))) is Model
