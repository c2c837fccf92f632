"""The numbers that are allowed for a parameter of a rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

from training_scripts._util.number_text import number_text


@dataclass(frozen=True)
class Bounds:
    """The range of numbers allowed for a parameter, both ends included. Infinity and NaN are never allowed.

    Attributes:
        lowest: The smallest number.
        highest: The largest number.
        whole: Whether it must be a whole number.

    Examples:
        >>> from dogbreed_sdk.debugging import Bounds
        >>> share = Bounds(0, 1)
        >>> share.allow(0.5), share.allow(2)
        (True, False)
    """

    lowest: float = 0
    highest: float = math.inf
    whole: bool = False

    def allow(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        within = math.isfinite(value) and self.lowest <= value <= self.highest
        return within and (not self.whole or value == int(value))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        if math.isfinite(self.highest):
            return f"{kind} from {number_text(self.lowest)} to {number_text(self.highest)}"
        return f"{kind} of {number_text(self.lowest)} or more" if math.isfinite(self.lowest) else kind


NOT_NEGATIVE = Bounds()
"""The bounds of each number for which a rule declares no other bounds."""

ANY_NUMBER = Bounds(lowest=-math.inf)
SHARE = Bounds(highest=1)
PERCENTAGE = Bounds(highest=100)

COUNT = Bounds(lowest=1, whole=True)
"""Numbers of steps, epochs, samples and the like."""

POSITION = Bounds(whole=True)
"""A step or a class, counted from 0."""

AXIS = Bounds(lowest=-math.inf, whole=True)
"""An axis of an array, which may be counted from the end."""
