"""Resizing a part of a picture: the digits of resizing the whole and cropping, whatever the size and the Pillow."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from training_scripts.data import resizing
from training_scripts.data.preprocessing import _crop_corner, _resized

NOISE = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3), np.uint8)
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def both(width: int, height: int, resize: int, side: int, filtering: Image.Resampling) -> tuple[np.ndarray, np.ndarray]:
    image = Image.fromarray(NOISE[:height, :width])
    size = _resized(image.size, resize)
    left, top = _crop_corner(size, side)
    whole = np.asarray(image.resize(size, filtering))[top : top + side, left : left + side]
    return whole, resizing.resized_part(image, size, (left, top), side, filtering)


@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (500, 333), (512, 512), (400, 800), (400, 801), (300, 225), (256, 256), (60, 40)]
)
@pytest.mark.parametrize(("resize", "side"), [(256, 224), (236, 200), (224, 224)])
def test_equals_the_crop_of_the_whole(size: tuple[int, int], resize: int, side: int) -> None:
    for filtering in (BILINEAR, BICUBIC):
        whole, part = both(*size, resize, side, filtering)
        assert part.shape == (side, side, 3)
        assert np.array_equal(whole, part)


def test_equals_it_at_any_size() -> None:
    dice, shortcuts = random.Random(2), 0
    for _ in range(60):
        resize = dice.choice((40, 64, 100, 128))
        side = round(resize * dice.choice((0.5, 0.8, 0.875, 1)))
        width, height = (dice.randint(resize // 2, min(1100, resize * 5)) for _ in range(2))
        whole, part = both(width, height, resize, side, dice.choice((BILINEAR, BICUBIC)))
        assert np.array_equal(whole, part), (width, height, resize, side)
        resized = _resized((width, height), resize)
        shortcuts += side <= 0.9 * resized[0] and resizing._is_horizontal_first((width, height), resized)
    assert shortcuts > 15


def test_a_pillow_with_another_order_of_passes_resizes_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Image.Image.resize

    def vertical_first(self: Image.Image, size: tuple[int, int], *arguments: object, **options: object) -> Image.Image:
        if not options and self.height != size[1]:
            self = original(self, (self.width, size[1]), *arguments)  # type: ignore[arg-type]
        return original(self, size, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", vertical_first)
    resizing._is_known_order.cache_clear()
    try:
        assert not resizing._is_known_order()
        whole, part = both(500, 375, 256, 224, BICUBIC)
        assert np.array_equal(whole, part)
    finally:
        resizing._is_known_order.cache_clear()
