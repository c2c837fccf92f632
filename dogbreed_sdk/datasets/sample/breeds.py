"""The breeds of the drawn sample, in pairs that resemble each other, described by what can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dogbreed_sdk.datasets.sample.easel import Colour

Mark = Literal["saddle", "blaze", "mask", "muzzle", "chest", "socks", "tan", "tip"]

_WHITE = (244, 240, 232)
_CREAM = (240, 220, 186)
_BLACK = (46, 42, 45)
_TAN = (186, 122, 64)


@dataclass(frozen=True, kw_only=True)
class Breed:
    """What tells one breed from another.

    Attributes:
        folder: The class folder, numbered over all breeds so that it is the same however many are drawn.
        coat: Main colour.
        dark: Colour of saddle and mask, and of the ears if `dark_ears`.
        pale: Colour of blaze, muzzle, chest, paws and tip of the tail.
        ears: Their shape.
        dark_ears: Whether the ears have the dark colour.
        snout: 0 flat to 1 long.
        head: Width of the skull; 1 is usual.
        hair: Length of the hair, 0 smooth to 1 long.
        curly: Whether the hair curls.
        legs: Length of the legs; 1 is usual.
        girth: Thickness of the body; 1 is usual.
        tail: Its shape.
        marks: Which markings the coat has; "tan" means tan points above the eyes, on cheeks and legs.
    """

    folder: str
    coat: Colour
    dark: Colour = _BLACK
    pale: Colour = _WHITE
    ears: Literal["pricked", "folded", "drop", "long", "bat"]
    dark_ears: bool = False
    snout: float = 0.6
    head: float = 1.0
    hair: float = 0.15
    curly: bool = False
    legs: float = 1.0
    girth: float = 1.0
    tail: Literal["whip", "plume", "curl", "stub"] = "whip"
    marks: frozenset[Mark] = frozenset()


_HOUND = frozenset[Mark]({"saddle", "blaze", "muzzle", "chest", "socks", "tip"})

# In the order in which they are taken: the two of a pair are hard to tell apart, so that no number of breeds
# makes an easy data set.
BREEDS: tuple[Breed, ...] = (
    Breed(folder="003.Beagle", coat=(184, 118, 64), ears="drop", snout=0.5, legs=0.9, marks=_HOUND),
    Breed(folder="002.Basset_hound", coat=(178, 112, 60), ears="long", snout=0.75, legs=0.5, girth=1.12, marks=_HOUND),
    Breed(folder="010.Labrador_retriever", coat=(222, 184, 126), pale=_CREAM, ears="drop", girth=1.08, head=1.05),
    Breed(
        folder="009.Golden_retriever",
        coat=(212, 156, 88),
        pale=_CREAM,
        ears="drop",
        hair=0.7,
        tail="plume",
        marks=frozenset({"chest"}),
    ),
    Breed(
        folder="006.Border_collie",
        coat=_BLACK,
        ears="folded",
        hair=0.65,
        snout=0.7,
        head=0.94,
        tail="plume",
        marks=frozenset({"blaze", "muzzle", "chest", "socks", "tip"}),
    ),
    Breed(
        folder="005.Bernese_mountain_dog",
        coat=_BLACK,
        ears="drop",
        hair=0.65,
        head=1.1,
        girth=1.18,
        tail="plume",
        marks=frozenset({"blaze", "muzzle", "chest", "socks", "tan", "tip"}),
    ),
    Breed(
        folder="008.German_shepherd",
        coat=(186, 134, 80),
        ears="pricked",
        dark_ears=True,
        snout=0.85,
        hair=0.4,
        tail="plume",
        marks=frozenset({"saddle", "mask"}),
    ),
    Breed(
        folder="004.Belgian_malinois",
        coat=(198, 142, 84),
        ears="pricked",
        dark_ears=True,
        snout=0.85,
        head=0.92,
        girth=0.9,
        legs=1.08,
        marks=frozenset({"mask"}),
    ),
    Breed(folder="011.Poodle", coat=(150, 96, 62), ears="drop", snout=0.8, head=0.9, hair=0.5, curly=True, legs=1.1),
    Breed(
        folder="001.American_water_spaniel",
        coat=(112, 68, 44),
        ears="long",
        snout=0.6,
        hair=0.5,
        curly=True,
        legs=0.8,
    ),
    Breed(
        folder="012.Pug",
        coat=(222, 190, 144),
        ears="folded",
        dark_ears=True,
        snout=0.05,
        head=1.14,
        legs=0.66,
        girth=1.16,
        tail="curl",
        marks=frozenset({"mask"}),
    ),
    Breed(
        folder="007.French_bulldog",
        coat=(206, 168, 122),
        ears="bat",
        snout=0.0,
        head=1.16,
        legs=0.62,
        girth=1.16,
        tail="stub",
        marks=frozenset({"mask", "chest"}),
    ),
)
