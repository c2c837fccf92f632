"""Brushes for drawn pictures: smooth shapes with soft shading and fur, on a Pillow image, placed by a transform."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

_STEPS = 7  # line pieces between two control points: smooth at the sizes drawn here


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two; `share` 0 is the first, 1 the second.

    >>> mix((0, 0, 0), (100, 200, 50), 0.5)
    (50, 100, 25)
    """
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shaded(colour: Colour, factor: float) -> Colour:
    """A colour made brighter (factor above 1) or darker, kept within 0 to 255."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


def smooth(points: Sequence[Point]) -> list[Point]:
    """The closed Catmull-Rom curve through control points, as a polygon."""
    curve: list[Point] = []
    count = len(points)
    for index in range(count):
        (x0, y0), (x1, y1) = points[index - 1], points[index]
        (x2, y2), (x3, y3) = points[(index + 1) % count], points[(index + 2) % count]
        for step in range(_STEPS):
            t = step / _STEPS
            a, b, c = -t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3
            d = t**3 - t**2
            curve.append(((a * x0 + b * x1 + c * x2 + d * x3) / 2, (a * y0 + b * y1 + c * y2 + d * y3) / 2))
    return curve


def oval(x: float, y: float, width: float, height: float, *, corners: int = 24) -> list[Point]:
    """An ellipse around a point, as a polygon; width and height are its half axes."""
    angles = (2 * math.pi * corner / corners for corner in range(corners))
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


def ribbon(path: Sequence[tuple[float, float, float]]) -> list[Point]:
    """The outline of a stroke of changing width through (x, y, half width): tails and legs."""
    left: list[Point] = []
    right: list[Point] = []
    for index, (x, y, half) in enumerate(path):
        before, after = path[max(0, index - 1)], path[min(len(path) - 1, index + 1)]
        angle = math.atan2(after[1] - before[1], after[0] - before[0])
        left.append((x - half * math.sin(angle), y + half * math.cos(angle)))
        right.append((x + half * math.sin(angle), y - half * math.cos(angle)))
    return left + right[::-1]


@dataclass(frozen=True)
class Patch:
    """A shape on the picture: its mask, and where that lies (left, top) in pixels."""

    mask: Image.Image
    left: int
    top: int

    def within(self, other: Patch) -> Patch:
        """The part of this shape that lies inside another."""
        left, top = self.left - other.left, self.top - other.top
        cut = other.mask.crop((left, top, left + self.mask.width, top + self.mask.height))
        return replace(self, mask=ImageChops.multiply(self.mask, cut))


@dataclass(frozen=True)
class Fur:
    """How a coat looks: hair length in units of the shape's frame, hairs per 1000 pixels, contrast, curls."""

    length: float = 0.08
    density: float = 26.0
    contrast: float = 0.16
    curly: bool = False


@dataclass(frozen=True)
class Easel:
    """Draws in a frame of its own, which is moved, turned, scaled and mirrored onto the picture.

    Attributes:
        image: The RGB picture to draw on.
        rng: The only source of chance.
        frame: x' = a x + b y + c and y' = d x + e y + f, as (a, b, c, d, e, f).
        light: Where light comes from, in pixels' directions (x to the right, y down), of length 1.
    """

    image: Image.Image
    rng: random.Random
    frame: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    light: Point = (-0.5, -0.86)

    def at(self, x: float, y: float, *, scale: float = 1.0, turn: float = 0.0, mirror: bool = False) -> Easel:
        """An easel whose origin is this one's point (x, y), scaled, turned (degrees, clockwise) and mirrored."""
        a, b, c, d, e, f = self.frame
        cos, sin = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
        sign = -1.0 if mirror else 1.0
        inner = (sign * cos, -sin, x, sign * sin, cos, y)
        p, q, r, s, t, u = inner
        frame = (a * p + b * s, a * q + b * t, a * r + b * u + c, d * p + e * s, d * q + e * t, d * r + e * u + f)
        return replace(self, frame=frame)

    @property
    def unit(self) -> float:
        """How many pixels one unit of this frame is."""
        a, b, _, d, e, _ = self.frame
        return math.sqrt(abs(a * e - b * d))

    def place(self, point: Point) -> Point:
        """A point of this frame in pixels."""
        a, b, c, d, e, f = self.frame
        x, y = point
        return a * x + b * y + c, d * x + e * y + f

    def outline(self, points: Sequence[Point], *, curved: bool = True) -> Patch:
        """The patch that a closed line encloses."""
        placed = [self.place(point) for point in (smooth(points) if curved else points)]
        left, top = math.floor(min(x for x, _ in placed)), math.floor(min(y for _, y in placed))
        width = math.ceil(max(x for x, _ in placed)) - left + 1
        height = math.ceil(max(y for _, y in placed)) - top + 1
        mask = Image.new("L", (max(1, width), max(1, height)))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in placed], fill=255)
        return Patch(mask, left, top)

    def fill(self, patch: Patch, colour: Colour, *, opacity: float = 1.0) -> None:
        """Paints a patch in one colour."""
        mask = patch.mask if opacity >= 1 else patch.mask.point([round(value * opacity) for value in range(256)])
        self.image.paste(colour, (patch.left, patch.top), mask)

    def shade(self, patch: Patch, *, depth: float = 0.35) -> None:
        """Gives a patch volume: its side away from the light becomes darker, towards the edge most."""
        width, height = patch.mask.size
        spread = 1.5
        gradient = _RADIAL.resize((max(1, round(width * spread)), max(1, round(height * spread))))
        left = round(width * (spread - 1) / 2 - self.light[0] * width * 0.2)
        top = round(height * (spread - 1) / 2 - self.light[1] * height * 0.2)
        shadow = gradient.crop((left, top, left + width, top + height)).point(_shadow_curve(depth))
        self.image.paste((18, 12, 10), (patch.left, patch.top), ImageChops.multiply(shadow, patch.mask))

    def part(self, points: Sequence[Point], colour: Colour, *, depth: float = 0.35) -> Patch:
        """Paints and shades a shape; the usual way to add a part of the body."""
        patch = self.outline(points)
        self.fill(patch, colour)
        self.shade(patch, depth=depth)
        return patch

    def fur(self, patch: Patch, fur: Fur, *, source: Point, fall: Point = (0.0, 0.6)) -> None:
        """Covers a patch with hairs of the colours that are there; long ones reach over its edge.

        Args:
            patch: What is covered.
            fur: The coat.
            source: The point of this frame that hairs grow away from.
            fall: The direction (pixels) that all hairs lean to.
        """
        width, height = patch.mask.size
        inside: Any = patch.mask.load()
        colours: Any = self.image.load()
        pen = ImageDraw.Draw(self.image)
        chance, centre = self.rng.random, self.place(source)
        length = max(2.0, fur.length * self.unit)
        for _ in range(int(width * height * fur.density / 1000)):
            x, y = int(chance() * width), int(chance() * height)
            px, py = x + patch.left, y + patch.top
            if not (inside[x, y] and 0 <= px < self.image.width and 0 <= py < self.image.height):
                continue
            away_x, away_y = px - centre[0], py - centre[1]
            far = math.hypot(away_x, away_y) or 1.0
            lean_x = away_x / far + fall[0] + (chance() - 0.5) * 0.9
            lean_y = away_y / far + fall[1] + (chance() - 0.5) * 0.9
            reach = length * (0.5 + chance()) / (math.hypot(lean_x, lean_y) or 1.0)
            lit = (x / width - 0.5) * self.light[0] + (y / height - 0.5) * self.light[1]
            tone = shaded(colours[px, py], 1 + 0.22 * lit + (chance() - 0.5) * 2 * fur.contrast)
            if fur.curly:
                start = chance() * 360
                pen.arc(
                    (px - length / 2, py - length / 2, px + length / 2, py + length / 2), start, start + 220, tone, 2
                )
            else:
                pen.line((px, py, px + lean_x * reach, py + lean_y * reach), tone, 2)

    def line(self, points: Sequence[Point], colour: Colour, *, width: float) -> None:
        """Draws a line through points, as wide as `width` units of this frame."""
        placed = [self.place(point) for point in points]
        ImageDraw.Draw(self.image).line(placed, colour, max(1, round(width * self.unit)), joint="curve")


_RADIAL = Image.radial_gradient("L")


def _shadow_curve(depth: float) -> list[int]:
    """Maps distance from the lit point (0 to 255) to the strength of the shadow there."""
    return [round(255 * depth * max(0.0, min(1.0, (value - 70) / 150)) ** 1.3) for value in range(256)]
