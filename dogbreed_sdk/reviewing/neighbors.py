"""The nearest neighbors of every picture by its features, in blocks: time grows with n^2, memory with n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_scripts.features.unit_rows import UnitFeatures, blocks

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

COUNT = 20
# Similarities are compared in the directions of the largest variance, of which these suffice to find candidates; what
# is found is compared in all directions.
_DIRECTIONS = 256
_ITERATIONS = 3
_CANDIDATES = 2 * COUNT
_BLOCK_BYTES = 96 << 20
# Rows that are compared together with others; with fewer, reading the others takes longer than comparing them.
_LEAST_ROWS = 256


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbors of n pictures, the nearest first.

    Attributes:
        indices: [n, k].
        similarities: Cosines of the angles between features [n, k]; 1 is the same direction.
    """

    indices: Integers
    similarities: Floats


def nearest(features: UnitFeatures, *, count: int = COUNT) -> Neighbors:
    """Finds the nearest neighbors of every picture among the others.

    Args:
        features: Features of length 1 [n, width].
        count: Number of neighbors of each; fewer if there are fewer pictures.
    """
    pictures = len(features)
    count = min(count, pictures - 1)
    candidates = min(max(_CANDIDATES, count), pictures - 1)
    short = _main_directions(features)
    indices = np.empty((pictures, count), np.int64)
    similarities = np.empty((pictures, count), np.float32)
    step = max(_LEAST_ROWS, _BLOCK_BYTES // (12 * pictures))
    for start in range(0, pictures, step):
        rows = np.arange(start, min(start + step, pictures))
        found = _candidates(short, rows, candidates)
        exact = np.stack([features[near] @ own for near, own in zip(found, features[rows], strict=True)])
        order = np.argsort(-exact, axis=1, kind="stable")[:, :count]
        indices[rows] = np.take_along_axis(found, order, 1)
        similarities[rows] = np.take_along_axis(exact, order, 1)
    return Neighbors(indices, similarities)


def _candidates(short: Floats, rows: Integers, count: int) -> Integers:
    """The most similar others of some rows [rows, count], in no order; all are compared, a block at a time."""
    step = max(count + 1, _BLOCK_BYTES // (12 * len(rows)))
    found = np.empty((len(rows), 0), np.int64)
    best = np.empty((len(rows), 0), np.float32)
    for start in range(0, len(short), step):
        likeness = short[rows] @ short[start : start + step].T
        itself = np.flatnonzero((rows >= start) & (rows < start + step))
        likeness[itself, rows[itself] - start] = -np.inf
        earlier = found.shape[1]
        if earlier:
            likeness = np.concatenate([best, likeness], axis=1)
        kept = min(count, likeness.shape[1] - 1)
        chosen = np.argpartition(likeness, likeness.shape[1] - kept - 1, axis=1)[:, likeness.shape[1] - kept :]
        best = np.take_along_axis(likeness, chosen, 1)
        if earlier:
            known = np.take_along_axis(found, np.minimum(chosen, earlier - 1), 1)
            found = np.where(chosen < earlier, known, chosen - earlier + start)
        else:
            found = chosen
    return found


def _main_directions(features: UnitFeatures) -> Floats:
    """The features in the directions of their largest variance about the origin; unchanged if that saves no time.

    The directions are found by subspace iteration (Halko, Martinsson and Tropp, "Finding structure with randomness",
    2011, algorithm 4.4), ten times as fast as an eigendecomposition and as good for candidates.
    """
    if min(features.shape[1], len(features) // 8) <= _DIRECTIONS:
        return np.asarray(features[:])
    products = np.zeros((features.shape[1], features.shape[1]), np.float32)
    for _, block in blocks(features):
        products += block.T @ block
    directions = np.random.default_rng(0).standard_normal((features.shape[1], _DIRECTIONS), np.float32)
    for _ in range(_ITERATIONS):
        directions = np.linalg.qr(products @ directions)[0]
    short = np.empty((len(features), _DIRECTIONS), np.float32)
    for part, block in blocks(features):
        short[part] = block @ directions
    return short
