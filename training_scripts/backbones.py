"""The pretrained networks: what each wants and gives, and how to build one without its classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from training_scripts import ScriptError
from training_scripts.pictures import Preprocessing

if TYPE_CHECKING:
    from torch import nn


class BackboneError(ScriptError):
    """A backbone is unknown, or its weights cannot be had; the message names the remedy."""


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone's name, the width of its features, the pictures it wants, where the network comes from."""

    name: str
    feature_width: int
    preprocessing: Preprocessing
    origin: Literal["torchvision", "package"]


def names() -> tuple[str, ...]:
    """Names the registered backbones."""
    raise NotImplementedError


def spec(name: str) -> BackboneSpec:
    """Looks a backbone up: a registered one, or any torchvision classification model."""
    raise NotImplementedError


def create(name: str, *, weights: str = "pretrained") -> nn.Module:
    """Builds [n, 3, h, w] -> [n, feature_width], frozen (eval mode, no gradients)."""
    raise NotImplementedError


def unfreeze_last(backbone: nn.Module, count: int) -> list[nn.Parameter]:
    """Makes the last `count` layers or blocks trainable and returns their parameters."""
    raise NotImplementedError


def for_inference(backbone: nn.Module) -> nn.Module:
    """Gives a faster copy (folded batch norms, channels last) that computes the same within 1e-4."""
    raise NotImplementedError
