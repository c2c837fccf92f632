"""The same picture has the same features in training, in every engine, in a store and in serving, within 1e-5."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training_scripts import inference
from training_scripts.data import decoding, image_folder, jpeg_pixels, preprocessing, resize_mode
from training_scripts.data.image_folder import DataSet
from training_scripts.data.resize_mode import ResizeMode
from training_scripts.features import extraction
from training_scripts.models import backbones, folding
from training_scripts.models.description import BundleDescription
from training_scripts.models.engines import selection
from training_scripts.models.engines.engine import TOLERANCE, EngineChoice, EngineName, deviation
from training_scripts.models.engines.onnx_model import OnnxModel
from training_scripts.models.model import Model, load

BACKBONE = "efficientnet_lite0"
ENGINES: tuple[EngineName, ...] = ("torch", "onnxruntime", "openvino")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small batches on shared cores are quicker with one thread, and never wait for a neighbor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(picture_folder: Path) -> DataSet:
    return image_folder.read_dataset(image_folder.find_splits(picture_folder))


@pytest.fixture(scope="module")
def pixels(dataset: DataSet) -> torch.Tensor:
    """The preprocessed test pictures of two classes."""
    return preprocessed(dataset, "crop")


def preprocessed(dataset: DataSet, mode: ResizeMode) -> torch.Tensor:
    made = backbones.spec(BACKBONE).with_resize_mode(mode).preprocessing
    paths = [sample.path for sample in dataset.splits["test"][:5]]
    return torch.stack([preprocessing.to_tensor(decoding.decode(path), made) for path in paths])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The backbone with its real weights, as training on pictures runs it."""
    return backbones.create(BACKBONE)


@pytest.fixture(scope="module")
def expected(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(pixels)


@pytest.mark.parametrize("mode", resize_mode.CHOICES)
def test_every_decoder_reads_the_same_pixels(
    dataset: DataSet, mode: ResizeMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    assert jpeg_pixels.is_used()
    pixels = preprocessed(dataset, mode)
    monkeypatch.setattr(jpeg_pixels, "is_used", lambda: False)
    made = backbones.spec(BACKBONE).with_resize_mode(mode).preprocessing
    views = [preprocessing.sample_views(sample, made, (preprocessing.PLAIN,)) for sample in dataset.splits["test"][:5]]
    assert torch.equal(preprocessing.normalize(np.concatenate(views), made), pixels)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_computes_what_training_does(
    name: EngineName, network: nn.Module, pixels: torch.Tensor, expected: torch.Tensor
) -> None:
    pytest.importorskip(name)
    lines: list[str] = []
    choice = EngineChoice(name, "fp32")
    engine = selection.chosen(choice, folding.for_inference(network), side=224, report=lines.append)
    assert (engine.choice, lines) == (choice, [])
    assert deviation(engine.run(pixels), expected) <= TOLERANCE
    if name != "torch":  # a pass over any part of the pictures, on any number of cores, gives the same bytes
        alone = torch.cat([engine.run(pixels[row : row + 1]) for row in range(len(pixels))])
        assert torch.equal(alone, engine.run(pixels))


@pytest.mark.parametrize("mode", resize_mode.CHOICES)
@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_stores_and_endpoints_agree(
    name: EngineName,
    dataset: DataSet,
    mode: ResizeMode,
    written_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(name)
    rows = {"fp32": ((EngineChoice(name, "fp32"),),) if name != "torch" else ()}
    monkeypatch.setattr(selection, "_ROWS", rows)
    monkeypatch.setattr(selection, "_LEAST_SAVING", -9.0)  # whatever the timing says on a busy machine
    monkeypatch.setattr(selection, "FEWEST_VIEWS", 1)
    few = image_folder.DataSet(dataset.classes, {split: samples[::3] for split, samples in dataset.splits.items()})
    lines: list[str] = []
    stored = extraction.extract(
        few,
        backbone_name=BACKBONE,
        weights="none",  # those of the bundle
        views=preprocessing.parse_views("plain"),
        resize_mode=mode,
        folder=tmp_path / "features",
        report=lines.append,
    )
    assert any(line.startswith(f"engine: {EngineChoice(name, 'fp32')}") for line in lines)
    facts = stored.pass_facts() or {}
    assert (facts["engine"], facts["precision"], stored.precision) == (name, "fp32", "fp32")
    model = _with(load(written_bundle), mode)
    bodies = [sample.path.read_bytes() for sample in few.splits["test"]]
    inputs = torch.cat([inference.prepare_fn(inference.input_fn(body, "image/jpeg"), model) for body in bodies])
    in_store = torch.from_numpy(np.array(stored.split("test").features[:, 0], np.float32))
    serving = [model] if name == "torch" else [model, OnnxModel(model)]
    for server in serving:
        with torch.inference_mode():
            logits, features = server.forward_with_features(inputs)
        assert deviation(features, in_store) <= TOLERANCE
        assert deviation(logits, model.head(in_store)) <= TOLERANCE


def _with(model: Model, mode: ResizeMode) -> Model:
    """The model as its bundle describes it if it was trained with a resize mode."""
    made = backbones.spec(BACKBONE).with_resize_mode(mode).preprocessing
    values = dataclasses.replace(model.description, preprocessing=made).to_dict()
    return Model(model.backbone, model.head, BundleDescription.from_json(json.loads(json.dumps(values))))


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_a_head_on_rounded_features_is_served_exactly(
    name: EngineName, network: nn.Module, pixels: torch.Tensor, expected: torch.Tensor
) -> None:
    pytest.importorskip(name)
    if not selection.has_bf16():
        pytest.skip("this processor has no instructions for bfloat16")
    engine = selection.chosen(EngineChoice(name, "bf16"), folding.for_inference(network), side=224, report=pytest.fail)
    rounded = engine.run(pixels)
    assert TOLERANCE < deviation(rounded, expected) < 0.1
    # A head that tells the pictures apart as well as a trained one does: each is nearest to itself.
    head = nn.functional.normalize(rounded, dim=1).T * 20
    trained, served = ((nn.functional.normalize(each, dim=1) @ head).softmax(1) for each in (rounded, expected))
    assert float((trained - served).abs().mean()) < 0.005
