"""Turns a decoded picture into a network's input: the same code for training, features and serving."""

# ruff: noqa: PLC0415 - reading a list of views needs neither torch nor NumPy

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from training_scripts.data import decoding, resizing
from training_scripts.data import resize_mode as resize_modes
from training_scripts.data.decoding import PictureError, Readable
from training_scripts.data.limits import MAX_ASPECT_RATIO
from training_scripts.data.resize_mode import ResizeMode

if TYPE_CHECKING:
    import numpy as np
    import torch

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

# A random crop covers this share of the picture, at these ratios of width to height. The ratios are those of
# Inception's training crops (Szegedy et al. 2015); the minimum area is larger, so that animals stay recognizable.
_CROP_AREA = (0.35, 1.0)
_CROP_RATIO = (3 / 4, 4 / 3)
MAX_CROP_VIEWS = 64


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a backbone's input.

    Attributes:
        resize: Length of the shorter side after resizing, in pixels; with "squash", of both sides.
        crop: Side of the square cut from the center, in pixels; with "squash", the same as `resize`.
        mean: Mean of each channel (red, green, blue), for values in [0, 1].
        std: Standard deviation of each channel, for values in [0, 1].
        interpolation: Filter for resizing, always antialiased.
        resize_mode: "crop" keeps the aspect ratio; "squash" shows the whole picture, distorted to a square.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]
    resize_mode: ResizeMode = "crop"

    def squashed(self) -> Preprocessing:
        """The same input, made by resizing the whole picture to the square."""
        return replace(self, resize=self.crop, resize_mode="squash")

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types; `from_dict` reads them back."""
        values = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        if self.resize_mode == "crop":
            del values["resize_mode"]  # the keys of features and bundles stay what they were before there was a choice
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Reads what `to_dict` returned.

        Raises:
            PictureError: A value is missing or of the wrong kind.
        """
        try:
            made = cls(
                resize=int(values["resize"]),
                crop=int(values["crop"]),
                mean=_three(values["mean"]),
                std=_three(values["std"]),
                interpolation=values["interpolation"],
                resize_mode=resize_modes.checked(values.get("resize_mode", "crop")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PictureError(f"not a description of a preprocessing ({error!r}): {values}.") from error
        sizes_fit = made.crop == made.resize if made.resize_mode == "squash" else made.crop <= made.resize
        if made.interpolation not in _RESAMPLING or made.crop <= 0 or not sizes_fit or min(made.std) <= 0:
            raise PictureError(f"invalid preprocessing: {values}.")
        return made


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


@dataclass(frozen=True)
class View:
    """One deterministic augmentation: "plain", "flip" or "crop" (`index` numbers the crops)."""

    kind: Literal["plain", "flip", "crop"]
    index: int = 0

    def __str__(self) -> str:
        return f"crop:{self.index}" if self.kind == "crop" else self.kind


PLAIN = View("plain")
FLIP = View("flip")


def parse_views(text: str) -> tuple[View, ...]:
    """Reads a list of views.

    Args:
        text: Such as "plain", "plain,flip" or "plain,flip,crops:2".

    Returns:
        The views: plain first, then flip, then the crops.

    Raises:
        PictureError: A word is unknown or repeated, or plain is missing.
    """
    parts = [part.strip().lower() for part in text.split(",") if part.strip()]
    kinds = [part.partition(":")[0] for part in parts]
    crops = 0
    for part in parts:
        count = re.fullmatch(r"crops:(\d{1,3})", part)
        if count and 1 <= int(count[1]) <= MAX_CROP_VIEWS:
            crops = int(count[1])
        elif part not in ("plain", "flip"):
            raise PictureError(
                f"unknown view {part!r} in {text!r}: a list of views contains plain, flip, and crops:K with K from 1 "
                f"to {MAX_CROP_VIEWS}, separated by commas."
            )
    if "plain" not in kinds or len(set(kinds)) < len(kinds):
        raise PictureError(f"the views {text!r} must contain plain, and no word twice; for example plain,flip.")
    return (PLAIN, *([FLIP] if "flip" in kinds else []), *(View("crop", index) for index in range(crops)))


def format_views(views: Sequence[View]) -> str:
    """Writes views as `parse_views` reads them."""
    crops = sum(view.kind == "crop" for view in views)
    return ",".join([*(view.kind for view in views if view.kind != "crop"), *([f"crops:{crops}"] if crops else [])])


def to_pixels(image: Image.Image, preprocessing: Preprocessing, view: View = PLAIN, *, key: str = "") -> np.ndarray:
    """Resizes and crops one view of a picture.

    Args:
        image: From `decode`.
        preprocessing: The input that the backbone expects.
        view: Which view.
        key: The sample's name: it seeds the rectangle of a crop view.

    Returns:
        uint8 [crop, crop, 3].
    """
    import numpy as np

    side, resampling = preprocessing.crop, _RESAMPLING[preprocessing.interpolation]
    if view.kind == "crop":
        box, mirrored = _crop_rectangle(image.size, view.index, key)
        pixels = np.asarray(image.resize((side, side), resampling, box=box))
        return pixels[:, ::-1] if mirrored else pixels
    if preprocessing.resize_mode == "squash":
        pixels = np.asarray(image if image.size == (side, side) else image.resize((side, side), resampling))
        return pixels[:, ::-1] if view.kind == "flip" else pixels
    kept = _without_far_ends(image.size)
    if kept != (0, 0, *image.size):
        image = image.crop(kept)
    size = _resized(image.size, preprocessing.resize)
    pixels = resizing.resized_part(image, size, _crop_corner(size, side), side, resampling)
    return pixels[:, ::-1] if view.kind == "flip" else pixels


def seen_box(
    size: tuple[int, int], *, resize: int, crop: int, resize_mode: ResizeMode = "crop"
) -> tuple[float, float, float, float]:
    """The part of a picture that its plain view shows.

    Args:
        size: Width and height of the upright picture, in any unit.
        resize: As in `Preprocessing`.
        crop: As in `Preprocessing`.
        resize_mode: As in `Preprocessing`.

    Returns:
        Left, top, right and bottom, in the unit of `size`; fractions of a pixel matter in small pictures.

    >>> seen_box((300, 100), resize=256, crop=224)
    (106.25, 6.25, 193.75, 93.75)
    """
    if resize_mode == "squash":
        return 0.0, 0.0, float(size[0]), float(size[1])
    left, top, right, bottom = _without_far_ends(size)
    resized = _resized((right - left, bottom - top), resize)
    across, down = (right - left) / resized[0], (bottom - top) / resized[1]
    x, y = _crop_corner(resized, crop)
    return left + x * across, top + y * down, left + (x + crop) * across, top + (y + crop) * down


def _without_far_ends(size: tuple[int, int]) -> tuple[int, int, int, int]:
    # Resizing a whole strip of 10 x 100000 pixels would take gigabytes, for ends that the crop cuts off.
    width, height = size
    longest = MAX_ASPECT_RATIO * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return left, top, width - left, height - top


def _crop_corner(size: tuple[int, int], side: int) -> tuple[int, int]:
    # Rounded half to even, as torchvision's CenterCrop does.
    return round((size[0] - side) / 2), round((size[1] - side) / 2)


def _resized(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    width, height = size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _crop_rectangle(size: tuple[int, int], index: int, key: str) -> tuple[tuple[int, int, int, int], bool]:
    """Draws a rectangle and whether to mirror it; the same index and key always give the same result."""
    width, height = size
    dice = random.Random(f"{index}|{key}".encode("utf-8", "surrogateescape"))  # noqa: S311 - augmentation, no secret
    area = width * height * dice.uniform(*_CROP_AREA)
    ratio = dice.uniform(*_CROP_RATIO)
    wide = max(1, min(width, round((area * ratio) ** 0.5)))
    high = max(1, min(height, round((area / ratio) ** 0.5)))
    left, top = dice.randint(0, width - wide), dice.randint(0, height - high)
    return (left, top, left + wide, top + high), dice.random() < 0.5


def all_views(image: Image.Image, preprocessing: Preprocessing, views: Sequence[View], *, key: str = "") -> np.ndarray:
    """Makes several views of a picture: `to_pixels` for each, but resizes only once.

    Args:
        image: From `decode`.
        preprocessing: The input that the backbone expects.
        views: Which views.
        key: The sample's name.

    Returns:
        uint8 [views, crop, crop, 3].
    """
    import numpy as np

    plain = to_pixels(image, preprocessing)
    made = {"plain": plain, "flip": plain[:, ::-1]}
    return np.stack([made[v.kind] if v.kind in made else to_pixels(image, preprocessing, v, key=key) for v in views])


def sample_views(sample: Readable, preprocessing: Preprocessing, views: Sequence[View]) -> np.ndarray:
    """Reads a picture of a data set and makes its views: `decode`, then `all_views`.

    Args:
        sample: The picture.
        preprocessing: The input that the backbone expects.
        views: Which views.

    Returns:
        uint8 [views, crop, crop, 3].

    Raises:
        PictureError: It cannot be read, or `decode` refuses it.
    """
    return all_views(decoding.decode_sample(sample), preprocessing, views, key=sample.name)


def approximate_views(sample: Readable, preprocessing: Preprocessing, views: Sequence[View]) -> np.ndarray:
    """Makes the views of `sample_views` in half of the time, with pixels that are up to 2 of 255 off.

    Torch resizes with coefficients of 16 bits, where Pillow's have 22: one value in 300 differs. A crop view is
    resized without the pixels around its rectangle, so its edges differ more. Arguments, result and errors are those of
    `sample_views`.
    """
    import numpy as np

    pixels = np.asarray(decoding.decode_pixels(sample))
    size, side = (pixels.shape[1], pixels.shape[0]), preprocessing.crop
    plain = _approximate_plain(pixels, preprocessing)
    made = {"plain": plain, "flip": plain[:, ::-1]}

    def cropped(view: View) -> np.ndarray:
        (x0, y0, x1, y1), mirrored = _crop_rectangle(size, view.index, sample.name)
        part = resizing.approximate(pixels[y0:y1, x0:x1], (side, side), preprocessing.interpolation)
        return part[:, ::-1] if mirrored else part

    return np.stack([made[view.kind] if view.kind in made else cropped(view) for view in views])


def _approximate_plain(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The plain view of pixels uint8 [h, w, 3]."""
    side = preprocessing.crop
    if preprocessing.resize_mode == "squash":
        return resizing.approximate(pixels, (side, side), preprocessing.interpolation)
    x0, y0, x1, y1 = _without_far_ends((pixels.shape[1], pixels.shape[0]))
    resized = _resized((x1 - x0, y1 - y0), preprocessing.resize)
    left, top = _crop_corner(resized, side)
    whole = resizing.approximate(pixels[y0:y1, x0:x1], resized, preprocessing.interpolation)
    return whole[top : top + side, left : left + side]


def normalize(pixels: np.ndarray, preprocessing: Preprocessing, *, device: str = "cpu") -> torch.Tensor:
    """Turns pixels into a network's input.

    Args:
        pixels: uint8 [..., crop, crop, 3].
        preprocessing: Its mean and std are applied.
        device: Where to: the pixels, a quarter of the input's bytes, are copied there first.

    Returns:
        float32 [..., 3, crop, crop], whose channels lie together in memory; the same numbers whether a picture comes
        alone or in a batch.
    """
    import numpy as np
    import torch

    raw = torch.from_numpy(np.require(pixels, requirements=("C", "W")))  # torch warns of constant memory
    if device != "cpu":
        # From pinned memory the device reads by itself, while this thread continues.
        raw = raw.pin_memory().to(device, non_blocking=True)
    # Whole rows at a time: over the three values of a pixel, torch takes twice as long.
    width = raw.shape[-2]
    mean, std = (torch.tensor(each, device=device).repeat(width) for each in (preprocessing.mean, preprocessing.std))
    values = raw.flatten(-2).float().div_(255.0).sub_(mean).div_(std)
    return values.reshape(raw.shape).movedim(-1, -3)


def to_tensor(image: Image.Image, preprocessing: Preprocessing, view: View = PLAIN, *, key: str = "") -> torch.Tensor:
    """Turns a picture into a network's input: `to_pixels`, then `normalize`.

    Args:
        image: From `decode`.
        preprocessing: The input that the backbone expects.
        view: Which view of the picture.
        key: The sample's name: it seeds the rectangle of a crop view.

    Returns:
        float32 [3, crop, crop].
    """
    return normalize(to_pixels(image, preprocessing, view, key=key), preprocessing)


def to_array(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """What `to_tensor` returns, the same numbers, as an array and without torch.

    Args:
        image: From `decode`.
        preprocessing: The input that the backbone expects.

    Returns:
        float32 [3, crop, crop].
    """
    import numpy as np

    values = to_pixels(image, preprocessing).astype(np.float32)
    values /= np.float32(255)
    values -= np.asarray(preprocessing.mean, np.float32)
    values /= np.asarray(preprocessing.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1))
