"""Draws a whole dog in one of several poses, from the description of a breed."""

from __future__ import annotations

from collections.abc import Callable

from dogbreed_sdk.datasets.sample.breeds import Breed
from dogbreed_sdk.datasets.sample.easel import Colour, Easel, Patch, Point, mix, oval, ribbon, shaded
from dogbreed_sdk.datasets.sample.heads import Mood, coat_fur, front_head, side_head

_TAN = (186, 122, 64)


def portrait(easel: Easel, breed: Breed, mood: Mood) -> None:
    """Head and shoulders; the origin is between the eyes, the unit half a head."""
    girth = breed.girth
    body = easel.part(
        [
            (0.0, 0.4), (-0.6, 0.6), (-1.0 * girth, 1.4), (-1.35 * girth, 2.4), (-1.45 * girth, 5.6),
            (1.45 * girth, 5.6), (1.35 * girth, 2.4), (1.0 * girth, 1.4), (0.6, 0.6),
        ],
        breed.coat,
    )  # fmt: skip
    _chest(easel, breed, body, [(0.0, 0.7), (-0.62, 1.3), (-0.66, 2.2), (0.0, 3.2), (0.66, 2.2), (0.62, 1.3)])
    easel.fur(body, coat_fur(breed, scale=1.3), source=(0.0, 0.2), fall=(0.0, 1.0))
    front_head(easel, breed, mood)


def sitting(easel: Easel, breed: Breed, mood: Mood) -> None:
    """A dog that sits and faces us; the origin is the middle of the body, the unit half a head."""
    girth, down = breed.girth, 1.7 + 0.45 * breed.legs
    _tail(easel.at(0.9 * girth, down - 0.35), breed, [(0.0, 0.0), (0.7, -0.1), (1.2, -0.55), (1.35, -1.05)])
    for mirror in (False, True):
        haunch = easel.at(0, 0, mirror=mirror)
        thigh = haunch.part(oval(-0.92 * girth, down - 0.62, 0.62 * girth, 0.78), shaded(breed.coat, 0.9))
        haunch.fur(thigh, coat_fur(breed, scale=1.1), source=(-0.9, down - 1.2), fall=(0.0, 0.8))
        _paw(haunch, breed, -1.12 * girth, down, wide=0.42)
    body = easel.part(
        [
            (0.0, -1.2), (-0.62, -0.9), (-0.92 * girth, 0.0), (-0.95 * girth, 1.0), (-0.6 * girth, down - 0.1),
            (0.6 * girth, down - 0.1), (0.95 * girth, 1.0), (0.92 * girth, 0.0), (0.62, -0.9),
        ],
        breed.coat,
    )  # fmt: skip
    _chest(easel, breed, body, [(0.0, -0.9), (-0.58, -0.4), (-0.52, 0.6), (0.0, 1.2), (0.52, 0.6), (0.58, -0.4)])
    easel.fur(body, coat_fur(breed, scale=1.3), source=(0.0, -1.2), fall=(0.0, 1.0))
    for mirror in (False, True):
        leg = easel.at(0, 0, mirror=mirror)
        _leg(leg, breed, [(-0.4, 0.5, 0.34), (-0.42, 1.2, 0.27), (-0.42, down, 0.22)])
    front_head(easel.at(0.12 * mood.turn, -1.5), breed, mood)


def standing(easel: Easel, breed: Breed, mood: Mood) -> None:
    """A dog that stands and looks to the right; the origin is the middle of the body, the unit half a head."""
    girth, down = breed.girth, 0.75 + 1.35 * breed.legs
    stride = easel.rng.uniform(-0.3, 0.3)
    for x, step in ((-1.25, -stride), (1.05, stride)):
        far = [(x + 0.2, 0.2, 0.32), (x + 0.25 + step, down * 0.6, 0.2), (x + 0.2 + step, down - 0.08, 0.17)]
        _leg(easel, breed, far, far=True)
    _tail(easel.at(-1.7, -0.45, mirror=True), breed, [(0.0, 0.0), (0.6, -0.2), (1.1, -0.65), (1.3, -1.2)])
    body = easel.part(
        [
            (1.35, -0.9), (0.4, -0.74), (-0.8, -0.74), (-1.7, -0.66), (-1.95, 0.0), (-1.6, 0.55 * girth),
            (-0.6, 0.52 * girth), (0.4, 0.82 * girth), (1.3, 0.8 * girth), (1.75, 0.1), (1.7, -0.6),
        ],
        breed.coat,
    )  # fmt: skip
    if "saddle" in breed.marks:
        saddle = [(1.2, -1.0), (1.0, -0.2), (0.2, 0.1), (-0.9, 0.06), (-1.6, -0.2), (-1.9, -0.8), (0.0, -1.1)]
        easel.fill(easel.outline(saddle).within(body), breed.dark)
    if "chest" in breed.marks:
        under = [(2.0, -0.6), (1.5, 0.1), (0.9, 0.5), (-0.4, 0.42), (-0.8, 1.1), (1.4, 1.3), (2.1, 0.6)]
        easel.fill(easel.outline(under).within(body), breed.pale)
    easel.fur(body, coat_fur(breed, scale=1.3), source=(2.2, -1.0), fall=(-0.3, 0.5))
    for x, step in ((-1.5, stride), (1.2, -stride)):
        near = [(x, 0.0, 0.46 if x < 0 else 0.36), (x - 0.05 + step, down * 0.62, 0.22), (x + step, down, 0.19)]
        _leg(easel, breed, near)
    neck = easel.part(
        [(1.0, -0.7), (1.5, -1.9), (2.2, -2.0), (2.5, -1.3), (2.0, -0.3), (1.5, 0.3), (1.0, 0.1)], breed.coat, depth=0.2
    )
    if "chest" in breed.marks:
        front = [(2.5, -1.5), (2.0, -1.1), (1.5, 0.3), (1.6, 0.8), (2.3, 0.2), (2.7, -1.0)]
        easel.fill(easel.outline(front).within(neck), breed.pale)
    easel.fur(neck, coat_fur(breed, scale=1.2), source=(2.2, -2.2), fall=(-0.2, 0.8))
    side_head(easel.at(2.1, -1.9, turn=easel.rng.uniform(-14, 10), scale=0.95), breed, mood)


POSES: tuple[Callable[[Easel, Breed, Mood], None], ...] = (portrait, sitting, standing)


def _chest(easel: Easel, breed: Breed, body: Patch, points: list[Point]) -> None:
    if "chest" in breed.marks:
        easel.fill(easel.outline(points).within(body), mix(breed.coat, breed.pale, 0.92))


def _leg(easel: Easel, breed: Breed, path: list[tuple[float, float, float]], *, far: bool = False) -> None:
    colour = _leg_colour(breed)
    patch = easel.part(ribbon(path), shaded(colour, 0.66) if far else colour, depth=0.25)
    easel.fur(patch, coat_fur(breed, scale=0.8), source=(path[0][0], path[0][1] - 0.5), fall=(0.0, 0.9))
    if "socks" in breed.marks:
        x, y, half = path[-1]
        sock = easel.outline(oval(x, y - 0.1, half * 1.5, 0.42)).within(patch)
        easel.fill(sock, shaded(breed.pale, 0.7) if far else breed.pale)
    _paw(easel, breed, path[-1][0], path[-1][1], wide=path[-1][2] * 1.5, far=far)


def _leg_colour(breed: Breed) -> Colour:
    return _TAN if "tan" in breed.marks else breed.coat


def _paw(easel: Easel, breed: Breed, x: float, y: float, *, wide: float, far: bool = False) -> None:
    colour = breed.pale if "socks" in breed.marks else shaded(_leg_colour(breed), 0.95)
    easel.part(oval(x + 0.04, y, wide, 0.19), shaded(colour, 0.66) if far else colour, depth=0.3)
    for toe in (-0.3, 0.3):
        easel.line([(x + toe * wide, y + 0.02), (x + toe * wide, y + 0.15)], shaded(colour, 0.55), width=0.03)


def _tail(easel: Easel, breed: Breed, path: list[Point]) -> None:
    """A tail that grows from the origin to the right; long hair makes it a plume."""
    if breed.tail == "stub":
        path, widths = [(0.0, 0.0), (0.25, -0.12)], [0.2, 0.12]
    elif breed.tail == "curl":
        path, widths = (
            [(0.0, 0.0), (0.3, -0.45), (0.0, -0.8), (-0.35, -0.55), (-0.15, -0.3)],
            [0.22, 0.2, 0.18, 0.16, 0.1],
        )
    else:
        widths = [0.2, 0.3, 0.32, 0.12] if breed.tail == "plume" else [0.18, 0.14, 0.11, 0.05]
    wag = easel.rng.uniform(-18, 18)
    wagged = easel.at(0, 0, turn=wag)
    colour = breed.dark if "saddle" in breed.marks else breed.coat
    outline = ribbon([(x, y, half) for (x, y), half in zip(path, widths, strict=True)])
    patch = wagged.part(outline, colour, depth=0.25)
    if "tip" in breed.marks:
        x, y = path[-1]
        wagged.fill(wagged.outline(oval(x, y, 0.4, 0.4)).within(patch), breed.pale)
    wagged.fur(patch, coat_fur(breed, scale=1.4 if breed.tail == "plume" else 0.8), source=(0.0, 0.2), fall=(0.0, 0.3))
