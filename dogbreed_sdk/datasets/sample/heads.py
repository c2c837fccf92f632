"""Draws a dog's head, from the front and in profile, from the description of a breed."""

from __future__ import annotations

from dataclasses import dataclass

from dogbreed_sdk.datasets.sample.breeds import Breed
from dogbreed_sdk.datasets.sample.easel import Colour, Easel, Fur, Patch, Point, mix, oval, shaded

_NOSE = (34, 28, 30)
_TAN = (186, 122, 64)
_TONGUE = (222, 112, 118)

# Outlines of the left ear from the front, in units of half a head; the right one is its mirror image.
_EARS: dict[str, list[Point]] = {
    "pricked": [(-0.28, -0.78), (-0.55, -1.35), (-0.78, -1.62), (-0.92, -1.2), (-0.94, -0.42), (-0.6, -0.4)],
    "bat": [(-0.3, -0.74), (-0.5, -1.3), (-0.8, -1.52), (-1.06, -1.3), (-1.04, -0.7), (-0.86, -0.34)],
    "folded": [(-0.34, -0.78), (-0.62, -1.12), (-0.98, -1.05), (-1.16, -0.6), (-1.08, -0.28), (-0.84, -0.5)],
    "drop": [(-0.5, -0.78), (-0.88, -0.82), (-1.18, -0.4), (-1.24, 0.14), (-1.02, 0.4), (-0.84, 0.0)],
    "long": [(-0.56, -0.66), (-0.9, -0.66), (-1.22, 0.0), (-1.36, 0.78), (-1.12, 1.16), (-0.84, 0.84), (-0.8, 0.1)],
}


@dataclass(frozen=True)
class Mood:
    """What changes from picture to picture: where the head turns (-1 to 1), whether the tongue shows, eye colour."""

    turn: float
    tongue: bool
    eyes: Colour


def coat_fur(breed: Breed, *, scale: float = 1.0) -> Fur:
    """The hair of a breed, longer on the body than on the head (`scale`)."""
    length = (0.06 + 0.26 * breed.hair) * scale
    if breed.curly:
        return Fur(length=0.16 * scale, density=30, contrast=0.26, curly=True)
    return Fur(length=length, density=30 if breed.hair < 0.3 else 34, contrast=0.1 + 0.1 * breed.hair)


def front_head(easel: Easel, breed: Breed, mood: Mood) -> None:
    """A head that looks at us; the frame's unit is half its width, its origin between the eyes."""
    upright = breed.ears in ("pricked", "bat", "folded")
    if upright:
        _front_ears(easel, breed)
    wide = breed.head
    skull = easel.part(
        [
            (0.0, -0.92), (-0.6 * wide, -0.8), (-0.94 * wide, -0.25), (-0.88 * wide, 0.3), (-0.56 * wide, 0.74),
            (0.0, 0.95), (0.56 * wide, 0.74), (0.88 * wide, 0.3), (0.94 * wide, -0.25), (0.6 * wide, -0.8),
        ],
        breed.coat,
    )  # fmt: skip
    shift = 0.3 * mood.turn
    _front_markings(easel, breed, skull, shift)
    easel.fur(skull, coat_fur(breed, scale=0.6), source=(shift, 0.3))
    _front_muzzle(easel, breed, shift)
    _front_mouth(easel, breed, mood, shift)
    for side in (-1.0, 1.0):
        _eye(easel, (side * 0.4 * wide + shift * 0.6, -0.14), mood, size=0.13 if breed.snout > 0.2 else 0.16)
    if not upright:
        _front_ears(easel, breed)


def _front_ears(easel: Easel, breed: Breed) -> None:
    colour = breed.dark if breed.dark_ears else shaded(breed.coat, 0.84)
    if "saddle" in breed.marks and breed.ears in ("drop", "long"):
        colour = shaded(breed.coat, 0.78)
    for mirror in (False, True):
        lift = easel.rng.uniform(-0.18, 0.1)
        ear = easel.at(0, 0, mirror=mirror)
        points = [(x * (0.3 + 0.7 * breed.head), y * (1 + lift)) for x, y in _EARS[breed.ears]]
        patch = ear.part(points, colour, depth=0.3)
        if breed.ears in ("pricked", "bat"):
            middle = (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
            inner = [(middle[0] + (x - middle[0]) * 0.55, middle[1] + (y - middle[1]) * 0.62) for x, y in points]
            ear.fill(ear.outline(inner).within(patch), mix(colour, (226, 160, 150), 0.5))
        if breed.ears == "folded":
            flap = [(-0.5, -0.98), (-0.98, -1.05), (-1.16, -0.6), (-1.04, -0.3), (-0.8, -0.62)]
            ear.fill(ear.outline(flap).within(patch), shaded(colour, 0.72))
        hair = 1.2 if breed.ears in ("drop", "long") else 0.6
        ear.fur(patch, coat_fur(breed, scale=hair), source=(-0.6, -0.9))


def _front_markings(easel: Easel, breed: Breed, skull: Patch, shift: float) -> None:
    if "mask" in breed.marks:
        dark = easel.outline([(shift, -0.3), (-0.62, -0.24), (-0.66, 0.4), (0.0, 1.0), (0.66, 0.4), (0.62, -0.24)])
        easel.fill(dark.within(skull), breed.dark, opacity=0.82)
    if "tan" in breed.marks:
        for side in (-1.0, 1.0):
            easel.fill(easel.outline(oval(side * 0.4, -0.4, 0.12, 0.09)).within(skull), _TAN)
            easel.fill(easel.outline(oval(side * 0.72, 0.42, 0.3, 0.3)).within(skull), _TAN)
    if "blaze" in breed.marks:
        half = easel.rng.uniform(0.1, 0.24)
        strip = [(shift * 0.3, -1.0), (-half + shift * 0.5, -0.4), (-0.36 + shift, 0.4), (0.36 + shift, 0.4)]
        easel.fill(easel.outline([*strip, (half + shift * 0.5, -0.4)]).within(skull), breed.pale)


def _front_muzzle(easel: Easel, breed: Breed, shift: float) -> None:
    colour = breed.coat
    if "muzzle" in breed.marks:
        colour = breed.pale
    elif "mask" in breed.marks:
        colour = breed.dark
    elif breed.hair < 0.9:
        colour = mix(breed.coat, breed.pale, 0.3)
    wide = 0.56 - 0.16 * breed.snout if breed.snout > 0.2 else 0.62
    low = 0.62 + 0.28 * breed.snout
    half = [(0.0, 0.02), (0.7 * wide, 0.18), (wide, low * 0.72), (0.6 * wide, low + 0.2), (0.0, low + 0.28)]
    right = [(shift * (1 + 0.3 * y / low) + x, y) for x, y in half]
    left = [(shift * (1 + 0.3 * y / low) - x, y) for x, y in half[-2:0:-1]]
    muzzle = easel.part([*right, *left], colour, depth=0.3)
    easel.fur(muzzle, coat_fur(breed, scale=0.6), source=(shift, 0.1))


def _front_mouth(easel: Easel, breed: Breed, mood: Mood, shift: float) -> None:
    at = shift * 1.3
    nose = 0.24 + 0.26 * breed.snout
    low = nose + 0.36
    line = shaded(_NOSE, 0.9)
    if mood.tongue:
        easel.part(oval(at, low + 0.24, 0.15, 0.26), _TONGUE, depth=0.25)
        easel.line([(at, low + 0.1), (at, low + 0.36)], shaded(_TONGUE, 0.75), width=0.03)
    easel.line([(at, nose), (at, low)], line, width=0.045)
    for side in (-1.0, 1.0):
        curve = [(at, low), (at + side * 0.16, low + 0.07), (at + side * 0.32, low - 0.02)]
        easel.line(curve, line, width=0.045)
    tip = easel.outline([(at - 0.2, nose - 0.08), (at, nose - 0.14), (at + 0.2, nose - 0.08), (at, nose + 0.16)])
    easel.fill(tip, _NOSE)
    easel.fill(easel.outline(oval(at - 0.06, nose - 0.07, 0.06, 0.025)), (120, 112, 116))


def _eye(easel: Easel, at: Point, mood: Mood, *, size: float) -> None:
    x, y = at
    easel.fill(easel.outline(oval(x, y, size * 1.18, size * 1.02)), (30, 22, 20))
    easel.fill(easel.outline(oval(x, y, size * 0.86, size * 0.86)), mood.eyes)
    easel.fill(easel.outline(oval(x, y, size * 0.5, size * 0.5)), (16, 12, 12))
    easel.fill(easel.outline(oval(x - size * 0.3, y - size * 0.35, size * 0.24, size * 0.24)), (250, 250, 250))


def side_head(easel: Easel, breed: Breed, mood: Mood) -> None:
    """A head in profile that looks to the right; unit and origin as for the front."""
    reach = 0.75 + 0.95 * breed.snout
    if breed.ears in ("pricked", "bat"):
        _side_ear(easel.at(0.22, 0.02), breed, far=True)
    deep = 0.62 if breed.snout < 0.2 else 0.34
    head = easel.part(
        [
            (-0.1, -0.86), (-0.78, -0.5), (-0.86, 0.2), (-0.4, 0.72), (0.3, 0.66), (reach - 0.1, 0.2 + deep),
            (reach + 0.12, 0.2), (reach, -0.02), (0.62, -0.16), (0.44, -0.66),
        ],
        breed.coat,
    )  # fmt: skip
    snout = easel.outline([(0.6, -0.3), (reach + 0.3, -0.2), (reach + 0.3, 0.8), (0.36, 0.9), (0.4, 0.2)])
    if "tan" in breed.marks:
        easel.fill(easel.outline(oval(0.2, 0.42, 0.36, 0.26)).within(head), _TAN)
        easel.fill(easel.outline(oval(0.3, -0.46, 0.13, 0.09)).within(head), _TAN)
    if "mask" in breed.marks:
        easel.fill(snout.within(head), breed.dark, opacity=0.85)
    if "muzzle" in breed.marks:
        easel.fill(snout.within(head), breed.pale)
    if "blaze" in breed.marks:
        strip = [(0.05, -1.0), (0.44, -0.78), (0.8, -0.1), (0.5, -0.05), (0.34, -0.52)]
        easel.fill(easel.outline(strip).within(head), breed.pale)
    easel.fur(head, coat_fur(breed, scale=0.6), source=(reach, 0.1))
    mouth = 0.2 + deep * 0.55
    if mood.tongue:
        easel.part(oval(reach - 0.2, mouth + 0.3, 0.13, 0.28), _TONGUE, depth=0.25)
    easel.line([(reach, mouth - 0.04), (reach * 0.75, mouth + 0.08), (0.42, mouth)], _NOSE, width=0.05)
    easel.fill(easel.outline(oval(reach + 0.06, 0.06, 0.16, 0.14)), _NOSE)
    _eye(easel, (0.38, -0.22), mood, size=0.12)
    _side_ear(easel, breed, far=False)


_SIDE_EARS: dict[str, list[Point]] = {
    "pricked": [(-0.5, -0.5), (-0.42, -1.2), (-0.22, -1.66), (0.06, -1.2), (0.16, -0.66), (-0.1, -0.4)],
    "bat": [(-0.5, -0.48), (-0.52, -1.2), (-0.24, -1.56), (0.1, -1.3), (0.16, -0.6), (-0.1, -0.36)],
    "folded": [(-0.46, -0.6), (-0.4, -1.08), (0.0, -1.12), (0.26, -0.6), (0.16, -0.36), (-0.1, -0.56)],
    "drop": [(-0.46, -0.62), (0.0, -0.72), (0.12, -0.2), (0.04, 0.36), (-0.3, 0.54), (-0.5, 0.1)],
    "long": [(-0.42, -0.44), (0.0, -0.5), (0.14, 0.2), (0.12, 0.9), (-0.18, 1.22), (-0.46, 0.9), (-0.44, 0.2)],
}


def _side_ear(easel: Easel, breed: Breed, *, far: bool) -> None:
    colour = breed.dark if breed.dark_ears else shaded(breed.coat, 0.82)
    patch = easel.part(_SIDE_EARS[breed.ears], shaded(colour, 0.8) if far else colour, depth=0.3)
    hair = 1.2 if breed.ears in ("drop", "long") else 0.6
    easel.fur(patch, coat_fur(breed, scale=hair), source=(-0.1, -0.9))
