"""The breeds of the drawn sample, in pairs that resemble each other, described by what can be seen."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from dogbreed_sdk.datasets.sample.easel import Color

Mark = Literal["saddle", "blaze", "mask", "muzzle", "chest", "socks", "tan", "tip", "tongue"]
Ears = Literal["pricked", "folded", "drop", "long", "bat"]
Tail = Literal["whip", "plume", "curl", "stub"]

BLACK = (46, 42, 45)  # of saddles, masks and dark ears too
_WHITE = (244, 240, 232)
_CREAM = (240, 220, 186)


@dataclass(frozen=True)
class Breed:
    """What distinguishes one breed from another.

    Attributes:
        folder: The class folder, numbered over all breeds so that it is the same however many are drawn.
        coat: Main color.
        ears: Their shape.
        tail: Its shape.
        marks: The coat's markings; "tan" means tan points above the eyes, on cheeks and legs. "tongue": that it shows.
        pale: Color of blaze, muzzle, chest, paws and tip of the tail.
        dark_ears: Whether the ears are black.
        hair: Length of the hair, 0 smooth to 1 long.
        curly: Whether the hair curls.
        snout: 0 flat to 1 long.
        head: Width of the skull; 1 is usual.
        legs: Length of the legs; 1 is usual.
        girth: Thickness of the body; 1 is usual.
        eyes: Their color.
    """

    folder: str
    coat: Color
    ears: Ears
    tail: Tail
    marks: frozenset[Mark] = frozenset()
    _: KW_ONLY
    pale: Color = _WHITE
    dark_ears: bool = False
    hair: float = 0.15
    curly: bool = False
    snout: float = 0.6
    head: float = 1.0
    legs: float = 1.0
    girth: float = 1.0
    eyes: Color = (84, 54, 34)


_WHITE_FRONT = frozenset[Mark]({"blaze", "muzzle", "chest", "socks", "tip"})
_HOUND = _WHITE_FRONT | frozenset[Mark]({"saddle"})
_TRICOLOR = _WHITE_FRONT | frozenset[Mark]({"tan"})
_MASK = frozenset[Mark]({"mask"})
_SHEPHERD = _MASK | frozenset[Mark]({"saddle"})
_BULLDOG = _MASK | frozenset[Mark]({"chest"})

# In the order in which they are taken: the two of a pair are hard to tell apart, so that no number of breeds
# makes an easy data set.
# fmt: off
BREEDS: tuple[Breed, ...] = (
    Breed("003.Beagle", (184, 118, 64), "drop", "whip", _HOUND, snout=0.5, legs=0.9),
    Breed("002.Basset_hound", (178, 112, 60), "long", "whip", _HOUND, snout=0.75, legs=0.5, girth=1.12),
    Breed("010.Labrador_retriever", (222, 184, 126), "drop", "whip", pale=_CREAM, girth=1.08, head=1.05),
    Breed("009.Golden_retriever", (212, 156, 88), "drop", "plume", frozenset({"chest"}), pale=_CREAM, hair=0.7),
    Breed("006.Border_collie", BLACK, "folded", "plume", _WHITE_FRONT, hair=0.65, snout=0.7, head=0.94),
    Breed("005.Bernese_mountain_dog", BLACK, "drop", "plume", _TRICOLOR, hair=0.65, head=1.1, girth=1.18),
    Breed("008.German_shepherd", (186, 134, 80), "pricked", "plume", _SHEPHERD, hair=0.4, snout=0.85, dark_ears=True),
    Breed("004.Belgian_malinois", (198, 142, 84), "pricked", "whip", _MASK, dark_ears=True, snout=0.85, head=0.92,
          girth=0.9, legs=1.08),
    Breed("011.Poodle", (150, 96, 62), "drop", "whip", hair=0.5, curly=True, snout=0.8, head=0.9, legs=1.1),
    Breed("001.American_water_spaniel", (112, 68, 44), "long", "whip", hair=0.5, curly=True, legs=0.8),
    Breed("012.Pug", (222, 190, 144), "folded", "curl", _MASK, dark_ears=True, snout=0.05, head=1.14, legs=0.66,
          girth=1.16),
    Breed("007.French_bulldog", (206, 168, 122), "bat", "stub", _BULLDOG, snout=0.0, head=1.16, legs=0.62,
          girth=1.16),
)
# fmt: on
