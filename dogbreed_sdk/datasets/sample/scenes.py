"""Draws what surrounds a dog: places out of focus, things in front of it, and the camera's own traces."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from dogbreed_sdk.datasets.sample.easel import Colour, Easel, mix, oval, shaded

# Places are drawn this many times smaller and enlarged: out of focus, for next to nothing.
_SOFTNESS = 4


def _jitter(rng: random.Random, colour: Colour, spread: int = 22) -> Colour:
    red, green, blue = (max(0, min(255, channel + rng.randint(-spread, spread))) for channel in colour)
    return red, green, blue


def _blobs(pen: ImageDraw.ImageDraw, rng: random.Random, colour: Colour, count: int, band: tuple[float, float]) -> None:
    """Round spots within a band of heights (shares of the picture), as leaves, bushes, stones or lamps."""
    width, height = pen.im.size
    top, low = band
    for _ in range(count):
        x, y = rng.random() * width, (top + rng.random() * (low - top)) * height
        size = (0.03 + 0.09 * rng.random()) * width
        pen.ellipse((x - size, y - size, x + size, y + size), fill=_jitter(rng, shaded(colour, rng.uniform(0.7, 1.2))))


def _ground(pen: ImageDraw.ImageDraw, rng: random.Random, above: Colour, below: Colour, horizon: float) -> None:
    """Two areas, each becoming lighter towards the line between them."""
    width, height = pen.im.size
    line = horizon * height
    above, below = _jitter(rng, above), _jitter(rng, below)
    for y in range(height):
        far = abs(y - line) / height
        base = above if y < line else below
        pen.line((0, y, width, y), fill=mix(mix(base, (255, 255, 255), 0.25), base, min(1.0, far * 2)))


def _park(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _ground(pen, rng, (150, 194, 232), (112, 158, 76), 0.5)
    _blobs(pen, rng, (64, 116, 60), 26, (0.25, 0.5))
    _blobs(pen, rng, (126, 170, 84), 30, (0.6, 1.0))


def _beach(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _ground(pen, rng, (168, 212, 240), (226, 204, 160), 0.5)
    width, height = pen.im.size
    pen.rectangle((0, height * 0.38, width, height * 0.54), fill=_jitter(rng, (74, 150, 182)))
    _blobs(pen, rng, (214, 190, 146), 16, (0.62, 1.0))


def _room(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    wall = rng.choice([(214, 198, 176), (176, 194, 202), (226, 214, 214), (160, 172, 150)])
    _ground(pen, rng, wall, (158, 112, 74), 0.64)
    width, height = pen.im.size
    x = rng.random() * width * 0.7
    pen.rectangle((x, height * 0.08, x + width * 0.3, height * 0.4), fill=_jitter(rng, (232, 240, 246)))
    y = height * rng.uniform(0.72, 0.86)
    rug = _jitter(rng, rng.choice([(150, 54, 54), (60, 84, 130), (196, 178, 140)]))
    pen.ellipse((-width * 0.1, y, width * 1.1, height * 1.15), fill=rug)


def _snow(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _ground(pen, rng, (188, 204, 222), (238, 242, 248), 0.48)
    _blobs(pen, rng, (92, 112, 116), 14, (0.3, 0.48))
    _blobs(pen, rng, (226, 234, 244), 20, (0.6, 1.0))


def _forest(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _ground(pen, rng, (70, 92, 62), (122, 92, 58), 0.58)
    width, height = pen.im.size
    _blobs(pen, rng, (96, 128, 66), 34, (0.0, 0.55))
    for _ in range(6):
        x, half = rng.random() * width, (0.015 + 0.03 * rng.random()) * width
        pen.rectangle((x - half, 0, x + half, height * 0.62), fill=_jitter(rng, (74, 58, 46)))
    _blobs(pen, rng, (156, 104, 52), 24, (0.62, 1.0))


def _studio(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    cloth = rng.choice([(92, 104, 122), (146, 120, 104), (206, 204, 200), (58, 60, 66), (122, 146, 150)])
    _ground(pen, rng, cloth, shaded(cloth, 0.82), 0.72)


def _street(pen: ImageDraw.ImageDraw, rng: random.Random) -> None:
    _ground(pen, rng, (182, 178, 176), (132, 130, 132), 0.56)
    width, height = pen.im.size
    x = 0.0
    while x < width:
        wide = (0.15 + 0.2 * rng.random()) * width
        house = _jitter(rng, rng.choice([(172, 96, 76), (212, 190, 152), (134, 140, 152), (226, 220, 212)]))
        pen.rectangle((x, rng.random() * height * 0.2, x + wide, height * 0.56), fill=house)
        x += wide
    _blobs(pen, rng, (240, 214, 140), 6, (0.1, 0.5))


_PLACES: tuple[Callable[[ImageDraw.ImageDraw, random.Random], None], ...] = (
    _park, _beach, _room, _snow, _forest, _studio, _street,
)  # fmt: skip


def place(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A place out of focus, of the given size in pixels."""
    small = Image.new("RGB", (size[0] // _SOFTNESS, size[1] // _SOFTNESS))
    rng.choice(_PLACES)(ImageDraw.Draw(small), rng)
    return small.filter(ImageFilter.GaussianBlur(1.2)).resize(size, Image.Resampling.BICUBIC)


def cast_shadow(easel: Easel, x: float, y: float, width: float) -> None:
    """The soft dark spot below something that stands on the ground, in the easel's frame."""
    for grow in (1.0, 0.82, 0.62):
        easel.fill(easel.outline(oval(x, y, width * grow, 0.26 * grow)), (26, 24, 22), opacity=0.16)


def cover(easel: Easel) -> None:
    """Puts something in front, as happens in photographs: grass, leaves, a ball, a rail. The frame is in pixels."""
    width, height = easel.image.size
    rng = easel.rng
    kind = rng.choice(("grass", "leaves", "ball", "rail"))
    if kind == "grass":
        green = _jitter(rng, (92, 140, 60))
        for _ in range(rng.randint(25, 60)):
            x, tall = rng.random() * width, height * rng.uniform(0.08, 0.3)
            tip = x + rng.uniform(-0.06, 0.06) * width
            blade = [(x - width * 0.008, height), (tip, height - tall), (x + width * 0.008, height)]
            easel.fill(easel.outline(blade, curved=False), _jitter(rng, green, 14))
    elif kind == "leaves":
        side, green = rng.choice((0.0, 1.0)), _jitter(rng, (80, 126, 62))
        for _ in range(rng.randint(8, 22)):
            x = (side + rng.uniform(-0.26, 0.26)) * width
            leaf = easel.at(x, rng.random() * height, turn=rng.random() * 360, scale=width * rng.uniform(0.03, 0.07))
            leaf.part([(-1.0, 0.0), (0.0, -0.42), (1.0, 0.0), (0.0, 0.42)], _jitter(rng, green, 18), depth=0.2)
    elif kind == "ball":
        x, y, size = width * rng.uniform(0.1, 0.9), height * rng.uniform(0.78, 0.95), width * rng.uniform(0.06, 0.12)
        easel.part(oval(x, y, size, size), _jitter(rng, rng.choice([(206, 60, 56), (230, 220, 80), (60, 110, 200)])))
    else:
        y, half = height * rng.uniform(0.55, 0.9), height * 0.025
        bar = [(-9, y - half), (width + 9, y - half * 0.4), (width + 9, y + half * 1.6), (-9, y + half)]
        easel.fill(easel.outline(bar, curved=False), _jitter(rng, rng.choice([(120, 88, 62), (210, 210, 206)])))


def photograph(image: Image.Image, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """What a camera makes of a scene: exposure, contrast, tint, a light fall-off, sometimes blur, and noise."""
    picture = image.resize(size, Image.Resampling.LANCZOS)
    if rng.random() < 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.76, 1.22))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.8, 1.18))
    picture = ImageEnhance.Color(picture).enhance(rng.uniform(0.65, 1.25))
    warm = rng.uniform(-0.08, 0.08)
    tint = [round(min(255, value * gain)) for gain in (1 + warm, 1.0, 1 - warm) for value in range(256)]
    picture = picture.point(tint)
    dark = Image.radial_gradient("L").resize(size).point([round(255 - 0.22 * value) for value in range(256)])
    picture = ImageChops.multiply(picture, Image.merge("RGB", (dark, dark, dark)))
    grain = Image.frombytes("L", size, rng.randbytes(size[0] * size[1]))
    strength = rng.uniform(0.015, 0.055)
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), strength)
