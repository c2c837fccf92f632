"""What the peers' servers share: a plain PyTorch network, and pictures as torchvision prepares them."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

CLASSES = 120
_STEPS = transforms.Compose(
    [
        transforms.Resize(224),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
    ]
)


def load(weights: Path) -> nn.Module:
    """The network whose whole state dict is in a file."""
    network = EfficientNet.from_name("efficientnet-lite0")
    network._fc = nn.Linear(network._fc.in_features, CLASSES)
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def write_weights(path: Path) -> Path:
    """Writes weights for `load`; serving costs the same with any."""
    torch.manual_seed(0)
    network = EfficientNet.from_name("efficientnet-lite0")
    network._fc = nn.Linear(network._fc.in_features, CLASSES)
    torch.save(network.state_dict(), path)
    return path


def prepare(content: bytes) -> Tensor:
    """A picture's pixels [3, 224, 224]."""
    return _STEPS(Image.open(io.BytesIO(content)).convert("RGB"))


@torch.inference_mode()
def answer(network: nn.Module, batch: Tensor) -> list[list[float]]:
    """Probabilities [n, classes]."""
    return network(batch).softmax(1).tolist()
