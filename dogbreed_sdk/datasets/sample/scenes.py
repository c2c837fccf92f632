"""What surrounds a dog: places out of focus, things in front of it, and the camera's own traces."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from dogbreed_sdk.datasets.sample.easel import Coat, Color, Easel, Outline, Part, mix, oval, points

# Places are drawn this many times smaller and enlarged: out of focus, for next to nothing.
_SOFTNESS = 4
_DOT, _LEAF = oval(0, 0, 1, 1), points("-1,0 0,-.42 1,0 0,.42")
_RAIL = points("-9,-.3 9,-.2 9,.3 -9,.2")
_BLOCK = points("-1,-1 -1,-1 1,-1 1,-1 1,1 1,1 -1,1 -1,1")  # corners stand twice, which makes them sharp


class _Things(NamedTuple):
    """Things of one kind, scattered: for each, a value between two bounds.

    Attributes:
        outline: Their shape, drawn around its origin.
        colors: What one of them may be painted in.
        number: How many.
        x: Where they are, as a share of the picture's width.
        y: Likewise of its height.
        size: The unit of the outline, as a share of the height.
        turn: Degrees, clockwise.
    """

    outline: Outline
    colors: Sequence[Color]
    number: tuple[int, int]
    x: tuple[float, float]
    y: tuple[float, float]
    size: tuple[float, float]
    turn: tuple[float, float] = (0, 0)

    def scatter(self, easel: Easel) -> None:
        """Draws them; the frame is in pixels."""
        rng, (width, height) = easel.rng, easel.image.size
        for _ in range(rng.randint(*self.number)):
            x, y, size, turn = (rng.uniform(*bounds) for bounds in (self.x, self.y, self.size, self.turn))
            thing = easel.at(x * width, y * height, scale=size * height, turn=turn)
            thing.draw([Part("", self.outline)], Coat({"": _jitter(rng, rng.choice(self.colors))}))


def _dots(color: Color, count: int, top: float, low: float) -> _Things:
    """Bushes, leaves, stones or lamps within a band of heights."""
    return _Things(_DOT, [color], (count, count), (0, 1), (top, low), (0.04, 0.15))


# fmt: off
_WALLS = ((214, 198, 176), (176, 194, 202), (226, 214, 214), (160, 172, 150))
_CLOTHS = ((92, 104, 122), (146, 120, 104), (206, 204, 200), (58, 60, 66), (122, 146, 150))
_SEA = _Things(_RAIL, [(74, 150, 182)], (1, 1), (0.5, 0.5), (0.46, 0.46), (0.3, 0.3))
_WINDOW = _Things(_BLOCK, [(232, 240, 246)], (1, 1), (0, 1), (0.24, 0.24), (0.15, 0.2))
_RUG = _Things(_DOT, [(150, 54, 54), (60, 84, 130), (196, 178, 140)], (1, 1), (0.2, 0.8), (1.3, 1.4), (0.5, 0.6))
_TRUNKS = _Things(points("-.3,-9 .3,-9 .4,1 -.4,1"), [(74, 58, 46)], (6, 6), (0, 1), (0.5, 0.5), (0.05, 0.12))
_BRICKS = ((172, 96, 76), (212, 190, 152), (134, 140, 152), (226, 220, 212))
_HOUSES = _Things(_BLOCK, _BRICKS, (6, 6), (0, 1), (0.3, 0.42), (0.14, 0.26))
_BUSHES, _SNOW = _dots((92, 112, 116), 14, 0.3, 0.48), _dots((226, 234, 244), 20, 0.6, 1)
_FOLIAGE, _LEAVES = _dots((96, 128, 66), 34, 0, 0.55), _dots((156, 104, 52), 24, 0.62, 1)
# Colors above the horizon, the color below, the horizon as a share of the height, and what is there: a park, a beach,
# a room, snow, a forest, a studio, a street.
_PLACES: tuple[tuple[Sequence[Color], Color, float, Sequence[_Things]], ...] = (
    ([(150, 194, 232)], (112, 158, 76), 0.5, [_dots((64, 116, 60), 26, 0.25, 0.5), _dots((126, 170, 84), 30, 0.6, 1)]),
    ([(168, 212, 240)], (226, 204, 160), 0.5, [_SEA, _dots((214, 190, 146), 16, 0.62, 1)]),
    (_WALLS, (158, 112, 74), 0.64, [_WINDOW, _RUG]),
    ([(188, 204, 222)], (238, 242, 248), 0.48, [_BUSHES, _SNOW]),
    ([(70, 92, 62)], (122, 92, 58), 0.58, [_FOLIAGE, _TRUNKS, _LEAVES]),
    (_CLOTHS, (118, 116, 118), 0.72, []),
    ([(182, 178, 176)], (132, 130, 132), 0.56, [_HOUSES, _dots((240, 214, 140), 6, 0.1, 0.5)]),
)
# Grass, leaves from either side, a ball, a rail.
_COVERS = (
    _Things(points("-.05,0 0,-1 .05,0"), [(92, 140, 60)], (25, 60), (0, 1), (1, 1), (0.08, 0.3), (-14, 14)),
    _Things(_LEAF, [(80, 126, 62)], (8, 22), (-0.1, 0.26), (0, 1), (0.03, 0.07), (0, 360)),
    _Things(_LEAF, [(80, 126, 62)], (8, 22), (0.74, 1.1), (0, 1), (0.03, 0.07), (0, 360)),
    _Things(_DOT, [(206, 60, 56), (230, 220, 80), (60, 110, 200)], (1, 1), (0.1, 0.9), (0.78, 0.95), (0.06, 0.12)),
    _Things(_RAIL, [(120, 88, 62), (210, 210, 206)], (1, 1), (0.5, 0.5), (0.55, 0.9), (0.1, 0.1)),
)
# fmt: on


def place(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A place out of focus, of the given size in pixels."""
    small = Image.new("RGB", (size[0] // _SOFTNESS, size[1] // _SOFTNESS))
    skies, ground, horizon, there = rng.choice(_PLACES)
    above, below = _jitter(rng, rng.choice(skies)), _jitter(rng, ground)
    for y in range(small.height):  # lighter toward the horizon
        far = y / small.height - horizon
        color = mix((255, 255, 255), above if far < 0 else below, min(1.0, 0.75 + abs(far) / 2))
        ImageDraw.Draw(small).line((0, y, small.width, y), color)
    for things in there:
        things.scatter(Easel(small, rng))
    return small.filter(ImageFilter.GaussianBlur(1.2)).resize(size, Image.Resampling.BILINEAR)


def cover(easel: Easel) -> None:
    """Puts something in front, as happens in photographs; the frame is in pixels."""
    easel.rng.choice(_COVERS).scatter(easel)


def photograph(image: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """What a camera makes of a scene: exposure, contrast, tint, a light fall-off, sometimes blur, and noise."""
    picture = image.resize(size, Image.Resampling.HAMMING)
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.76, 1.22))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.8, 1.18))
    picture = ImageEnhance.Color(picture).enhance(rng.uniform(0.65, 1.25))
    warm = rng.uniform(-0.08, 0.08)
    picture = picture.point(
        [round(min(255, value * gain)) for gain in (1 + warm, 1.0, 1 - warm) for value in range(256)]
    )
    dark = Image.radial_gradient("L").resize(size, Image.Resampling.BILINEAR)
    dark = dark.point([round(255 - 0.22 * value) for value in range(256)])
    picture = ImageChops.multiply(picture, Image.merge("RGB", (dark, dark, dark)))
    grain = Image.frombytes("L", size, rng.randbytes(size[0] * size[1]))
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), rng.uniform(0.015, 0.055))


def _jitter(rng: random.Random, color: Color) -> Color:
    red, green, blue = (max(0, min(255, channel + rng.randint(-22, 22))) for channel in color)
    return red, green, blue
