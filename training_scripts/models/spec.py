"""The description of a backbone: its name, the length of its features, the pictures it expects, its origin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from training_scripts import ScriptError
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.data.resize_mode import ResizeMode

Origin = Literal["torchvision", "efficientnet_lite", "timm"]
Interpolation = Literal["bilinear", "bicubic"]
Three = tuple[float, float, float]


class BackboneError(ScriptError):
    """A backbone is unknown, or its weights are not available; the message says what to do."""


@dataclass(frozen=True)
class BackboneSpec:
    """The description of a backbone.

    Attributes:
        name: Its name; torchvision's own for its backbones, and timm's with the prefix `timm:`.
        feature_width: Length of the vector that it computes for a picture.
        preprocessing: The pictures that it expects.
        origin: The module of `training_scripts.models` that builds it and finds its weights.
    """

    name: str
    feature_width: int
    preprocessing: Preprocessing
    origin: Origin

    def with_resize_mode(self, mode: ResizeMode) -> BackboneSpec:
        """The same backbone, for pictures that are cropped or squashed; see `Preprocessing`."""
        return self if mode == "crop" else replace(self, preprocessing=self.preprocessing.squashed())
