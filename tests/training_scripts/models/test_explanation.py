"""Where the evidence is: the map adds up to the logit, for every way in which backbones pool."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from training_scripts.data import preprocessing
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models import backbones, explanation, folding, heads
from training_scripts.models.model import Model

# Averaged by a module, by a function behind a functional ReLU, by a mean, behind a permutation; convolutional heads.
AVERAGING = ["resnet18", "densenet121", "shufflenet_v2_x0_5", "swin_t", "squeezenet1_1", "efficientnet_lite0"]
# A layer, a normalization, or attention lies between the last feature map and the features.
OTHERS = ["mobilenet_v3_small", "convnext_tiny", "vit_b_32", "alexnet"]


def model_of(backbone: nn.Module, head: nn.Module, *, tta: str = "none") -> Model:
    described = SimpleNamespace(backbone="a backbone", tta=tta)
    return Model(backbone, head, cast(Any, described)).eval().requires_grad_(False)


def made(name: str, *hidden: int, tta: str = "none") -> tuple[Model, Tensor]:
    """A model with random weights, as a bundle's is loaded, and a picture."""
    spec = backbones.spec(name)
    torch.manual_seed(3)
    backbone = folding.for_inference(backbones.create(name, weights="none"))
    head = heads.build(heads.HeadSpec(hidden), width=spec.feature_width, classes=4)
    return model_of(backbone, head, tta=tta), torch.randn(1, 3, 224, 224)


@pytest.mark.parametrize(("name", "tta"), [*((name, "none") for name in AVERAGING), ("resnet18", "flip")])
def test_the_mean_of_the_map_is_the_logit_less_the_bias(name: str, tta: str) -> None:
    model, pixels = made(name, tta=tta)
    with torch.no_grad():
        last = cast(nn.Linear, cast(nn.Sequential, model.head)[-1])
        last.bias.zero_()  # beside features of random weights, it would swallow the digits that count
        logits = model(pixels)[0]
    for index in (0, 3):
        found = explanation.contributions(model, pixels, index)
        assert min(found.shape) >= 7
        torch.testing.assert_close(found.mean(), logits[index], rtol=1e-3, atol=1e-12)
        assert float(found.std()) > 0


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_each_value_is_the_class_activation_map_of_its_position(tta: str) -> None:
    features = torch.rand(1, 6, 5, 4)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = heads.build(heads.HeadSpec(), width=6, classes=3)
    model = model_of(nn.Sequential(nn.ReLU(), pool), head, tta=tta)
    found = explanation.contributions(model, features, 1)
    weights = cast(nn.Linear, cast(nn.Sequential, head)[-1]).weight[1]
    torch.testing.assert_close(found, torch.einsum("c,chw->hw", weights, features[0]))


def test_a_hidden_head_is_weighted_by_its_gradient() -> None:
    model, pixels = made("resnet18", 32)
    with torch.no_grad():
        features = model.backbone(pixels)
    features.requires_grad_()
    [gradient] = torch.autograd.grad(model.head(features)[0, 2], features)
    found = explanation.contributions(model, pixels, 2)
    torch.testing.assert_close(found.mean(), (gradient * features).sum().detach(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_average_has_a_map_too(name: str) -> None:
    model, pixels = made(name)
    before = model(pixels)
    found = explanation.contributions(model, pixels, 1)
    assert found.shape[0] == found.shape[1] >= 6
    assert bool(found.isfinite().all())
    assert float(found.std()) > 0
    torch.testing.assert_close(model(pixels), before, rtol=0, atol=0)
    assert not torch.is_grad_enabled() or not any(each.requires_grad for each in model.parameters())


def test_a_model_without_a_grid_is_refused() -> None:
    flat = model_of(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(explanation.ExplanationError, match="has no feature map with a grid"):
        explanation.contributions(flat, torch.rand(1, 3, 2, 2), 0)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (224, 224), (90, 130), (3000, 200), (100, 2000)])
@pytest.mark.parametrize(("resize", "crop"), [(224, 224), (256, 224), (232, 224)])
def test_the_seen_part_of_a_picture_is_that_which_the_pixels_show(
    size: tuple[int, int], resize: int, crop: int
) -> None:
    across = Image.linear_gradient("L").rotate(90).resize(size, Image.Resampling.BILINEAR)
    down = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR)
    picture = Image.merge("RGB", [across, down, down])
    settings = Preprocessing(resize, crop, (0, 0, 0), (1, 1, 1), "bilinear")
    pixels = preprocessing.to_pixels(picture, settings).astype(float)
    left, top, right, bottom = preprocessing.seen_box(size, resize=resize, crop=crop)
    # The gradients run from 0 to 255 over the whole picture; a pixel shows the value of its middle.
    shown = [pixels[crop // 2, 0, 0], pixels[crop // 2, -1, 0], pixels[0, crop // 2, 1], pixels[-1, crop // 2, 1]]
    half_across, half_down = (right - left) / crop / 2, (bottom - top) / crop / 2
    places = [
        (left + half_across) / size[0],
        (right - half_across) / size[0],
        (top + half_down) / size[1],
        (bottom - half_down) / size[1],
    ]
    expected = [place * 255 for place in places]
    if across.getpixel((0, 0)) > across.getpixel((size[0] - 1, 0)):
        expected[:2] = [255 - value for value in expected[:2]]
    assert shown == pytest.approx(expected, abs=2.5)
