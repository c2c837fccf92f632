"""What a run records at one step, before it is encoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A tensor's value: an array of any shape and element type."""


@dataclass
class Step:
    """One recorded step.

    Attributes:
        mode: TRAIN, EVAL, PREDICT or GLOBAL.
        mode_step: Counted within the mode.
        global_step: Counted over all modes.
        time: When it was recorded, seconds since 1970.
        numbers: Name and value of each tensor of one element.
        arrays: Name and value of each other tensor.
    """

    mode: str
    mode_step: int
    global_step: int
    time: float
    numbers: list[tuple[str, float]] = field(default_factory=list)
    arrays: list[tuple[str, Array]] = field(default_factory=list)
