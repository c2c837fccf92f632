"""A dog in one of two poses, from the description of its breed: tables of parts, and where a pose puts them."""

from __future__ import annotations

from dogbreed_sdk.datasets.sample.breeds import BLACK, Breed
from dogbreed_sdk.datasets.sample.easel import Coat, Easel, Part, mix, oval, points, shaded

_TAN = (186, 122, 64)
_HANGING = ("drop", "long")  # ears that lie over the head; the others stand behind it

# fmt: off
# The unit is half a head's width, the origin between the eyes.
_SKULL = (
    Part("coat", points("0,-.92 -.6,-.8 -.94,-.25 -.88,.3 -.56,.74 0,.95"), "half", 0.6),
    Part("mask", points("0,-.32 -.6,-.22 -.62,.4 0,.9"), "half", 0.5, "mask"),
    Part("tan", oval(0.4, -0.4, 0.12, 0.09), "pair", 0.3, "tan"),
    Part("tan", oval(0.6, 0.36, 0.24, 0.26), "pair", 0.4, "tan"),
    Part("pale", points("0,-.88 -.13,-.4 -.32,.4 0,.5"), "half", 0.5, "blaze"),
)
_MUZZLE = Part("muzzle", points("0,.02 -.39,.15 -.56,.6 -.34,.86 0,.92"), "half", 0.5)
_TONGUE = Part("tongue", oval(0, 0.6, 0.15, 0.28), mark="tongue")
_LIPS = Part("black", points("0,.1 -.03,.2 -.04,.34 -.17,.41 -.34,.31 -.18,.47 0,.42"), "half")
_NOSE = Part("black", points("0,-.14 -.2,-.08 -.1,.08 0,.16"), "half")
_EYE = (
    Part("black", oval(0, 0, 1.18, 1.02)), Part("eye", oval(0, 0, 0.86, 0.86)),
    Part("black", oval(0, 0, 0.5, 0.5)), Part("white", oval(-0.3, -0.35, 0.24, 0.24)),
)
# The left ear, from the front; in profile it is moved to the middle.
_EARS = {
    "pricked": (
        Part("ear", points("-.28,-.7 -.55,-1.35 -.78,-1.62 -.92,-1.2 -.94,-.42 -.6,-.4"), fur=0.6),
        Part("inner", points("-.48,-.8 -.64,-1.2 -.76,-1.36 -.82,-1.1 -.8,-.6")),
    ),
    "bat": (
        Part("ear", points("-.3,-.74 -.5,-1.3 -.8,-1.52 -1.06,-1.3 -1.04,-.7 -.86,-.34"), fur=0.6),
        Part("inner", points("-.52,-.8 -.62,-1.16 -.8,-1.3 -.94,-1.16 -.92,-.74")),
    ),
    "folded": (
        Part("ear", points("-.34,-.78 -.62,-1.12 -.98,-1.05 -1.16,-.6 -1.08,-.28 -.84,-.5"), fur=0.6),
        Part("ear", points("-.5,-.98 -.98,-1.05 -1.16,-.6 -1.04,-.3 -.8,-.62"), fur=0.6),
    ),
    "drop": (Part("ear", points("-.5,-.78 -.88,-.82 -1.18,-.4 -1.24,.14 -1.02,.4 -.84,0"), fur=1.2),),
    "long": (Part("ear", points("-.56,-.66 -.9,-.66 -1.22,0 -1.36,.78 -1.12,1.16 -.84,.84 -.8,.1"), fur=1.2),),
}
# In profile, to the right. A snout is 1 long.
_SIDE_SKULL = (
    Part("coat", points("-.1,-.86 -.78,-.5 -.86,.2 -.4,.72 .3,.68 .66,.3 .62,-.16 .44,-.66"), fur=0.6),
    Part("tan", oval(0.1, 0.4, 0.34, 0.22), fur=0.4, mark="tan"),
    Part("pale", points("0,-.82 .4,-.66 .6,-.16 .44,-.1 .3,-.5"), fur=0.4, mark="blaze"),
)
_SNOUT = (
    Part("muzzle", points("0,-.2 .5,-.12 1,-.04 1.08,.2 .95,.5 .4,.62 0,.66"), fur=0.5),
    Part("black", points("1,.34 .7,.36 .3,.4 0,.32 .3,.46 .7,.44")),
)
# Bodies have their origin in the middle.
_SITTING = (
    Part("coat", oval(0.92, 1.5, 0.62, 0.78), "pair", 1.1),
    Part("paw", oval(1.1, 2.13, 0.42, 0.19), "pair"),
    Part("coat", points("0,-1.2 -.62,-.9 -.96,-.1 -1,1 -.6,2.05 0,2.1"), "half", 1.3),
    Part("pale", points("0,-.9 -.56,-.4 -.5,.6 0,1.2"), "half", 1.2, "chest"),
    Part("leg", points("-.74,.6 -.68,1.3 -.62,2.1 -.22,2.1 -.16,1.3 -.1,.6"), "pair", 0.8),
    Part("paw", oval(0.42, 2.13, 0.32, 0.17), "pair"),
)
_STANDING = (
    Part("coat", points("1.4,-.9 .4,-.74 -.8,-.74 -1.7,-.66 -1.95,0 -1.6,.55 -.6,.52 .4,.82 1.3,.8 1.75,0"), fur=1.3),
    Part("dark", points("1.2,-.84 1,-.2 .2,.1 -.9,.06 -1.5,-.1 -1.8,-.5 -.8,-.7 .4,-.7"), fur=1.2, mark="saddle"),
    Part("pale", points("1.7,-.5 1.5,.1 .9,.4 -.4,.42 .4,.78 1.3,.76 1.72,.1"), fur=1.2, mark="chest"),
)
_NECK = (
    Part("coat", points("1,-.7 1.5,-1.9 2.2,-2 2.5,-1.3 2,-.3 1.5,.3 1,.1"), fur=1.2),
    Part("pale", points("2.4,-1.4 2,-1.1 1.4,.1 1.55,.22 2,-.34"), fur=1.2, mark="chest"),
)
_FORELEG = (
    Part("leg", points("-.34,-.2 -.26,1.2 -.2,2.1 .2,2.1 .22,1.2 .36,-.2"), fur=0.8),
    Part("paw", oval(0.06, 2.1, 0.3, 0.18)),
)
_HINDLEG = (Part("leg", points("-.46,-.2 -.4,.7 -.2,2.1 .2,2.1 .1,1.3 .46,.4 .46,-.2"), fur=0.9), _FORELEG[1])
# Tails grow from the origin to the right.
_TAILS = {
    "whip": (
        Part("tail", points("0,-.18 .6,-.36 1,-.7 1.28,-1.2 1.34,-1.18 1.18,-.56 .66,-.06 0,.18"), fur=0.8),
        Part("pale", points("1.1,-.9 1.28,-1.2 1.34,-1.18 1.26,-.8"), fur=0.8, mark="tip"),
    ),
    "plume": (
        Part("tail", points("0,-.2 .6,-.52 1,-.9 1.22,-1.24 1.36,-1.2 1.36,-.5 .7,.1 0,.2"), fur=1.4),
        Part("pale", points("1.04,-1 1.22,-1.24 1.36,-1.2 1.34,-.8"), fur=1.4, mark="tip"),
    ),
    "curl": (Part("tail", points("-.2,0 .1,-.5 -.2,-.6 -.3,-.3 -.5,-.5 -.2,-.9 .3,-.8 .45,-.4 .2,.1"), fur=0.8),),
    "stub": (Part("tail", points("0,-.18 .26,-.26 .3,-.1 0,.18"), fur=0.8),),
}
# fmt: on


def sitting(easel: Easel, breed: Breed) -> None:
    """A dog that sits and faces us; the origin is the middle of the body, the unit half a head."""
    coat, tall = _coat(breed), 0.79 + 0.21 * breed.legs
    easel.cast_shadow(0, 2.2 * tall, 1.9)
    _draw_tail(easel.at(0.9 * breed.girth, 1.8 * tall), breed, coat)
    easel.stretched(breed.girth, tall).draw(_SITTING, coat)
    _draw_face(easel.at(0, -1.5), breed, coat)


def standing(easel: Easel, breed: Breed) -> None:
    """A dog that stands and looks to the right; origin and unit are as for `sitting`."""
    coat, tall, stride = _coat(breed), 0.36 + 0.64 * breed.legs, easel.rng.uniform(-9, 9)
    far = coat._replace(palette={name: shaded(color, 0.66) for name, color in coat.palette.items()})
    easel.cast_shadow(0, 2.15 * tall, 1.9)
    easel.at(-1.1, 0, turn=-stride).stretched(0.8, tall).draw(_HINDLEG, far)
    easel.at(1.25, 0, turn=stride).stretched(0.8, tall).draw(_FORELEG, far)
    _draw_tail(easel.at(-1.7, -0.45).stretched(-1, 1), breed, coat)
    easel.stretched(1, breed.girth).draw(_STANDING, coat)
    easel.at(-1.45, 0, turn=stride).stretched(1, tall).draw(_HINDLEG, coat)
    easel.at(1.2, 0, turn=-stride).stretched(1, tall).draw(_FORELEG, coat)
    easel.draw(_NECK, coat)
    _draw_profile(easel.at(2.1, -1.9, turn=easel.rng.uniform(-14, 10), scale=0.95), breed, coat)


def _coat(breed: Breed) -> Coat:
    marks = breed.marks
    leg = _TAN if "tan" in marks else breed.coat
    muzzle = breed.pale if "muzzle" in marks else BLACK if "mask" in marks else mix(breed.coat, breed.pale, 0.3)
    ear = BLACK if breed.dark_ears else shaded(breed.coat, 0.82)
    palette = {
        "coat": breed.coat, "dark": BLACK, "pale": breed.pale, "tan": _TAN, "muzzle": muzzle, "eye": breed.eyes,
        "mask": mix(breed.coat, BLACK, 0.82), "ear": ear, "inner": mix(ear, (226, 160, 150), 0.5), "leg": leg,
        "paw": breed.pale if "socks" in marks else leg, "tail": BLACK if "saddle" in marks else breed.coat,
        "black": (34, 28, 30), "white": (250, 250, 250), "tongue": (222, 112, 118),
    }  # fmt: skip
    return Coat(palette, 0.16 if breed.curly else 0.06 + 0.26 * breed.hair, breed.curly, marks)


def _draw_tail(easel: Easel, breed: Breed, coat: Coat) -> None:
    easel.at(0, 0, turn=easel.rng.uniform(-18, 18)).draw(_TAILS[breed.tail], coat)


def _draw_face(easel: Easel, breed: Breed, coat: Coat) -> None:
    shift, lift, snub = easel.rng.uniform(-0.3, 0.3), easel.rng.uniform(0.82, 1.1), breed.snout < 0.2

    def draw_ears() -> None:
        for side in (1, -1):
            easel.stretched(side * breed.head, lift).draw(_EARS[breed.ears], coat)

    if breed.ears not in _HANGING:
        draw_ears()
    easel.stretched(breed.head, 1).draw(_SKULL, coat)
    easel.at(shift, 0).stretched(1.1 if snub else 1 - 0.28 * breed.snout, 1 + 0.3 * breed.snout).draw([_MUZZLE], coat)
    easel.at(1.3 * shift, 0.24 + 0.26 * breed.snout).draw([_TONGUE, _LIPS, _NOSE], coat)
    for side in (-0.4, 0.4):
        easel.at(side * breed.head + shift * 0.6, -0.14, scale=0.16 if snub else 0.13).draw(_EYE, coat)
    if breed.ears in _HANGING:
        draw_ears()


def _draw_profile(easel: Easel, breed: Breed, coat: Coat) -> None:
    length, ear = 0.4 + 0.95 * breed.snout, _EARS[breed.ears]
    if breed.ears not in _HANGING:
        easel.at(0.76, 0).draw(ear, coat)
    easel.draw(_SIDE_SKULL, coat)
    easel.at(0.3 + length * 0.75, 0.1).draw([_TONGUE], coat)
    easel.at(0.35, 0).stretched(length, 1).draw(_SNOUT, coat)
    easel.at(0.35 + length, 0.04, scale=0.8).draw([_NOSE], coat)
    easel.at(0.36, -0.22, scale=0.12).draw(_EYE, coat)
    easel.at(0.56 if breed.ears not in _HANGING else 0.75, 0.1).draw(ear, coat)
