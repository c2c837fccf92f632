"""Scores how unlike all others a picture is, and finds those that show nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training_scripts.features.unit_rows import READ_ROWS, UnitFeatures, blocks

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_BLOCK_BYTES = 96 << 20
# In units of the median absolute deviation of a normal distribution: the usual 3 of robust statistics.
DEVIATIONS = 3.0
_MAD_OF_NORMAL = 1.4826
# Standard deviation of a thumbnail's pixels, of 255. The plainest of 8,400 photographs of dogs has 13.5.
FLAT_DEVIATION = 8.0


def scores(features: UnitFeatures, targets: Integers, *, classes: int) -> Floats:
    """How unlike the classes each picture is [n]: 0 to 2, and usually below 0.4; higher is less similar.

    It is the cosine distance to the nearest class's mean, as in the rejection rule of models
    (`training_scripts.models.rejection`). Distances to neighbors miss strangers that come in groups.

    Args:
        features: Features of length 1 [n, width].
        targets: Class of each picture [n].
        classes: Number of classes.
    """
    sums = np.zeros((classes, features.shape[1]), np.float32)
    for part, block in blocks(features):
        np.add.at(sums, targets[part], block)
    directions = _directions(sums).T
    nearest = np.empty(len(targets), np.float32)
    for part, block in blocks(features, max(1, min(READ_ROWS, _BLOCK_BYTES // (4 * classes)))):
        likeness = block @ directions
        # Its own class's mean is taken over the others, as if the picture were new.
        others = _directions(sums[targets[part]] - block)
        likeness[np.arange(len(block)), targets[part]] = (block * others).sum(1)
        nearest[part] = likeness.max(1)
    return np.asarray(1 - nearest, np.float32)


def unusual(scored: Floats) -> Integers:
    """The indices of outliers, the least similar first: above the median by three robust standard deviations."""
    median = float(np.median(scored))
    deviation = _MAD_OF_NORMAL * float(np.median(np.abs(scored - median)))
    found = np.flatnonzero(scored > median + max(DEVIATIONS * deviation, 1e-3))
    return found[np.argsort(-scored[found], kind="stable")]


def flat(thumbnails: Sequence[bytes]) -> NDArray[np.bool_]:
    """Whether each picture is nearly uniform [n], by its thumbnail."""
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(thumbnails), -1)
    return np.array([row.std() < FLAT_DEVIATION for row in pixels])


def _directions(vectors: Floats) -> Floats:
    directions: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return directions
