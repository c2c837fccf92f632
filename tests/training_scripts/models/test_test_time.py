"""Test-time augmentation: training, every engine and explanations use the mean over the same views."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training_scripts import inference
from training_scripts.data.batches import FeatureBatches
from training_scripts.features.store import SplitFeatures
from training_scripts.models import model as models
from training_scripts.models import test_time
from training_scripts.models.bundle import read_description
from training_scripts.models.description import BundleError
from training_scripts.models.engines.onnx_model import OnnxModel
from training_scripts.models.model import Model
from training_scripts.models.network import Network


@pytest.fixture(scope="module")
def model(written_bundle: Path) -> Model:
    loaded = models.load(written_bundle)
    loaded.description = replace(loaded.description, tta="flip")
    return loaded


@pytest.fixture(scope="module")
def pixels(model: Model) -> torch.Tensor:
    side = model.preprocessing.crop
    return torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))


def expected_features(model: Model, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return (model.backbone(pixels) + model.backbone(pixels.flip(3))) / 2


def test_a_model_averages_the_features_of_picture_and_mirror_image(model: Model, pixels: torch.Tensor) -> None:
    expected = expected_features(model, pixels)
    with torch.inference_mode():
        logits, features = model.forward_with_features(pixels)
        torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(logits, model.head(expected), rtol=0, atol=1e-6)
        torch.testing.assert_close(model(pixels.flip(3)), logits, rtol=0, atol=1e-6)
    [served] = inference.predict_batch_fn([pixels / 4], model)
    assert isinstance(served, inference.Prediction)
    with torch.inference_mode():
        torch.testing.assert_close(served.logits, model(pixels / 4), rtol=0, atol=1e-6)


def test_onnx_runtime_computes_the_same(model: Model, pixels: torch.Tensor) -> None:
    exported = OnnxModel(model, threads=1)
    for found, expected in zip(
        exported.forward_with_features(pixels[:2]), model.forward_with_features(pixels[:2]), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_training_evaluates_what_is_served(model: Model, pixels: torch.Tensor) -> None:
    views = [model.backbone(view).numpy() for view in (pixels, pixels.flip(3), pixels * 0)]
    split = SplitFeatures(np.stack(views, 1), np.zeros(3, np.int64), ("a", "b", "c"))
    expected = expected_features(model, pixels)
    [(stored, _)] = FeatureBatches({"valid": split}, tta="flip").plain("valid", 2)
    torch.testing.assert_close(stored, expected, rtol=0, atol=1e-6)
    network = Network(model.head, model.backbone, tta="flip").eval()
    network(pixels)
    torch.testing.assert_close(network.features, expected, rtol=0, atol=1e-6)
    network.train()
    network(pixels)  # training draws one view at a time
    torch.testing.assert_close(network.features, torch.from_numpy(views[0]), rtol=0, atol=1e-6)


def test_a_description_has_it_only_if_there_is_one(model: Model) -> None:
    described = model.description.to_dict()
    assert described["tta"] == "flip"
    assert type(model.description).from_json(json.loads(json.dumps(described))).tta == "flip"
    assert "tta" not in replace(model.description, tta=test_time.NONE).to_dict()


def test_an_unknown_one_is_refused(own_bundle: Path) -> None:
    path = own_bundle / "model.json"
    assert read_description(own_bundle).tta == "none"  # bundles written before it existed
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tta": "ten crops"}))
    with pytest.raises(BundleError, match=r"tta must be one of none, flip, not 'ten crops'"):
        read_description(own_bundle)
