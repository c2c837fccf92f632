"""Turns a picture file into a network's input: one function for training, features and serving."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from training_scripts import ScriptError

if TYPE_CHECKING:
    import torch

MAX_PIXELS = 89_478_485


class PictureError(ScriptError):
    """A picture, or a list of views, cannot be used; the message names the reason."""


@dataclass(frozen=True)
class Preprocessing:
    """How a backbone wants its pictures: shorter side, centre crop (pixels), mean and std of [0, 1] channels."""

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]

    def to_dict(self) -> dict[str, Any]:
        """Gives the plain values that `from_dict` takes back, fit for JSON."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Reads what `to_dict` gave."""
        raise NotImplementedError


@dataclass(frozen=True)
class View:
    """One deterministic augmentation: "plain", "flip" or "crop" (then `index` tells the crops apart)."""

    kind: Literal["plain", "flip", "crop"]
    index: int = 0


PLAIN = View("plain")


def parse_views(text: str) -> tuple[View, ...]:
    """Reads a list of views such as "plain,flip,crops:2"; "plain" must be in it and comes first."""
    raise NotImplementedError


def decode(data: bytes | Path) -> Image.Image:
    """Reads a picture as upright RGB."""
    raise NotImplementedError


def to_tensor(image: Image.Image, preprocessing: Preprocessing, view: View = PLAIN, *, key: str = "") -> torch.Tensor:
    """Gives float32 [3, crop, crop], normalised; `key` (the sample's name) seeds a crop view's rectangle."""
    raise NotImplementedError
