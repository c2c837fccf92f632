"""Numbers that stand for a whole tensor: what is recorded instead of it, and computed where all of it is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

REDUCTIONS: dict[str, Callable[[NDArray[np.floating]], float]] = {
    "min": lambda array: float(array.min()),
    "max": lambda array: float(array.max()),
    "mean": lambda array: float(array.mean()),
    "std": lambda array: float(array.std()),
    "l2": lambda array: float(np.sqrt(np.square(array, dtype=np.float64).sum())),
    "abs_mean": lambda array: float(np.abs(array).mean()),
    "zero_fraction": lambda array: float((array == 0).mean()),
    "nonfinite_fraction": lambda array: float(1 - np.isfinite(array).mean()),
}
"""Name -> what it makes of a tensor of at least one element."""


def reduce(kind: str, array: NDArray[np.generic]) -> float:
    """One number for a tensor; NaN for an empty one.

    Args:
        kind: A name of `REDUCTIONS`.
        array: Any shape.
    """
    if not array.size:
        return float("nan")
    with np.errstate(all="ignore"):  # a diverged run's tensors overflow; that is what the number shall say
        return REDUCTIONS[kind](np.asarray(array, dtype=np.float64) if array.dtype.kind != "f" else array)
