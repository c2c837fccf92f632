"""Draws shapes with soft shading and fur on a Pillow image, placed by a frame that moves, turns and stretches them."""

from __future__ import annotations

import cmath
import functools
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Color = tuple[int, int, int]
Outline = tuple[complex, ...]  # points x + y j, x to the right and y down

_STEPS = 7  # line pieces between two control points: smooth at the sizes drawn here
_SHADOW_COLOR = (18, 12, 10)
# Darkness over the bounding box of a shape that is lit from above on the left, in 0 to 255; small, as it is smooth.
_SHADING = (
    Image.radial_gradient("L")
    .crop((68, 80, 248, 260))
    .point([max(0, v - 50) * 0.42 for v in range(256)])
    .resize((30, 30), Image.Resampling.BOX)
)


def points(text: str) -> Outline:
    """The points of an outline, written as in an SVG polygon.

    >>> points("0,-1 .5,2")
    (-1j, (0.5+2j))
    """
    return tuple(complex(*map(float, point.split(","))) for point in text.split())


def oval(x: float, y: float, width: float, height: float) -> Outline:
    """The outline of an ellipse around (x, y); width and height are its half axes."""
    angles = [math.pi * corner / 4 for corner in range(8)]
    return tuple(complex(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles)


class Part(NamedTuple):
    """One shape of a drawing.

    Attributes:
        color: Its name in the coat's palette.
        outline: Points that a smooth closed line goes through.
        sides: A "half" outline runs from axis to axis (x = 0) and is completed by its mirror image; a "pair" is drawn
            on both sides of the axis.
        fur: Length of its hair, as a multiple of the coat's; 0 for bare skin.
        mark: The marking that it belongs to; left out of coats without it.
    """

    color: str
    outline: Outline
    sides: Literal["one", "half", "pair"] = "one"
    fur: float = 0.0
    mark: str = ""


class Coat(NamedTuple):
    """What parts are painted with: named colors, hair (length in units of the frame), and the markings to draw."""

    palette: Mapping[str, Color]
    hair: float = 0.0
    curly: bool = False
    marks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Easel:
    """A frame on a picture, to draw in.

    Attributes:
        image: The RGB picture.
        rng: The only source of chance.
        origin: Where the frame's (0, 0) lies in the picture.
        axis: What one unit of the frame is in pixels, and how far it is turned, as a complex factor.
        stretch: Factors for x and y before that; a negative one mirrors.
    """

    image: Image.Image
    rng: random.Random
    origin: complex = 0j
    axis: complex = 1 + 0j
    stretch: tuple[float, float] = (1.0, 1.0)

    def at(self, x: float, y: float, *, scale: float = 1.0, turn: float = 0.0) -> Easel:
        """An easel whose origin is this one's point (x, y), scaled and turned (degrees, clockwise)."""
        mirrored = math.copysign(1.0, self.stretch[0])
        axis = self.axis * cmath.rect(scale, math.radians(turn) * mirrored)
        return replace(self, origin=self._placed(complex(x, y)), axis=axis, stretch=(mirrored, 1.0))

    def stretched(self, x: float, y: float) -> Easel:
        """This easel, with all that is drawn wider by the factor `x` (mirrored where it is below 0), taller by `y`."""
        return replace(self, stretch=(self.stretch[0] * x, self.stretch[1] * y))

    def draw(self, parts: Iterable[Part], coat: Coat) -> None:
        """Paints parts in their order."""
        for part in parts:
            if part.mark in coat.marks or not part.mark:
                for curve in _curves(part.outline, part.sides):
                    self._paint(curve, coat.palette[part.color], coat, part.fur)

    def cast_shadow(self, x: float, y: float, width: float) -> None:
        """Darkens the ground around a point softly, as below something that stands there."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self._polygon(oval(x, y, width, 0.3)), fill=102)
        self.image.paste(_SHADOW_COLOR, mask=mask.filter(ImageFilter.BoxBlur(self.image.height / 60)))

    def _placed(self, point: complex) -> complex:
        return self.origin + self.axis * complex(point.real * self.stretch[0], point.imag * self.stretch[1])

    def _polygon(self, outline: Outline) -> list[tuple[float, float]]:
        return [(at.real, at.imag) for at in map(self._placed, outline)]

    def _paint(self, outline: Outline, color: Color, coat: Coat, fur: float) -> None:
        polygon = self._polygon(outline)
        across, down = zip(*polygon, strict=True)
        (width, height), left, top = self.image.size, max(0, math.floor(min(across))), max(0, math.floor(min(down)))
        right, low = min(width, math.ceil(max(across)) + 1), min(height, math.ceil(max(down)) + 1)
        if left >= right or top >= low:  # outside the picture
            return
        box = (left, top, right, low)
        mask = Image.new("L", (right - left, low - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in polygon], fill=255)
        self.image.paste(color, box, mask)
        shading = ImageChops.multiply(_SHADING.resize(mask.size, Image.Resampling.BILINEAR), mask)
        self.image.paste(_SHADOW_COLOR, box, shading)
        if fur:
            self._comb(mask, complex(*box[:2]), max(2.0, coat.hair * fur * abs(self.axis)), curly=coat.curly)

    def _comb(self, mask: Image.Image, corner: complex, length: float, *, curly: bool) -> None:
        """Covers a shape with hairs in the colors that are there, outward and down; long ones reach over its edge."""
        pen, chance, (width, height) = ImageDraw.Draw(self.image), self.rng.random, mask.size
        inside = mask.tobytes()
        colors: Any = self.image.load()
        for _ in range(width * height // 36):
            x, y = int(chance() * width), int(chance() * height)
            if not inside[y * width + x]:
                continue
            root = corner + complex(x, y)
            tone = shaded(colors[root.real, root.imag], 1.06 - 0.12 * y / height + (chance() - 0.5) * 0.32)
            away = complex(x / width - 0.5, y / height - 0.1) + 0.7 * complex(chance() - 0.5, chance() - 0.5)
            tip = root + cmath.rect(length * (0.5 + chance()), cmath.phase(away))
            if curly:
                start, low, high = chance() * 360, root - length / 2 * (1 + 1j), root + length / 2 * (1 + 1j)
                pen.arc((low.real, low.imag, high.real, high.imag), start, start + 220, tone, 2)
            else:
                pen.line((root.real, root.imag, tip.real, tip.imag), tone, 2)


def shaded(color: Color, factor: float) -> Color:
    """A color made brighter (factor above 1) or darker, kept within 0 to 255."""
    red, green, blue = color
    return min(255, round(red * factor)), min(255, round(green * factor)), min(255, round(blue * factor))


def mix(first: Color, second: Color, share: float) -> Color:
    """A color between two; `share` 0 is the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


@functools.cache
def _curves(outline: Outline, sides: Literal["one", "half", "pair"]) -> list[Outline]:
    """The closed curves that a part is made of, as polygons."""
    mirrored = tuple(-point.conjugate() for point in outline)
    whole = {"one": [outline], "half": [outline + mirrored[-2:0:-1]], "pair": [outline, mirrored]}
    return [_smooth(line) for line in whole[sides]]


def _smooth(outline: Outline) -> Outline:
    """The closed Catmull-Rom curve through an outline's points."""
    curve, ring = [], (outline[-1], *outline, *outline[:2])
    for before, here, after, later in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        for t in (step / _STEPS for step in range(_STEPS)):
            bend = 2 * before - 5 * here + 4 * after - later
            curve.append(here + t / 2 * (after - before + t * (bend + t * (3 * (here - after) + later - before))))
    return tuple(curve)
