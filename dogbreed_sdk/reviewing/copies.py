"""Groups near-copies: pictures whose features and thumbnails agree, or whose perceptual hashes do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.datasets import near_copies
from dogbreed_sdk.reviewing.neighbors import Neighbors

# Features are compared in units of the distance at which pictures of the data set usually have their nearest
# neighbor, so that the limits hold for any backbone. Of 8,400 photographs of dogs, all pairs within these limits were
# taken in one session or are edits of one picture; mirrored pictures are at 0.12 (median), re-encoded ones at 0.21, and
# pictures cut to 80% of their sides at 0.31.
_NEAR, _NEAR_CORRELATION = 0.25, 0.5
_FAR, _FAR_CORRELATION = 0.5, 0.75
# Thumbnails of near_copies.thumbnail: rows, columns, colors.
_SHAPE = (16, 17, 3)


@dataclass(frozen=True)
class CopyGroup:
    """Pictures that look the same.

    Attributes:
        pictures: Their indices, in ascending order.
        similarity: Of the two least similar ones that are known to look the same: 1 if they are identical.
    """

    pictures: tuple[int, ...]
    similarity: float


def group(neighbors: Neighbors, digests: Sequence[str], thumbnails: Sequence[bytes]) -> list[CopyGroup]:
    """Groups pictures that are identical, look the same by the perceptual hash, or have nearly the same features.

    Args:
        neighbors: The nearest neighbors by features.
        digests: SHA-256 of each file.
        thumbnails: What `near_copies.thumbnail` returned for each picture.
    """
    links: dict[tuple[int, int], float] = {}

    def link(first: int, second: int, similarity: float) -> None:
        pair = (min(first, second), max(first, second))
        links[pair] = max(links.get(pair, 0.0), similarity)

    for alike in _equal(digests):
        for other in alike[1:]:
            link(alike[0], other, 1.0)
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, *_SHAPE)
    leaders = {index: thumbnails[index] for index in {digest: index for index, digest in enumerate(digests)}.values()}
    for first, *others in near_copies.group(leaders):
        for other in others:
            link(first, other, float(correlations(pixels, np.array([[first, other]]))[0]))
    for first, second, similarity in _by_features(neighbors, pixels):
        link(first, second, similarity)
    return _connected(links)


def correlations(pixels: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """How well thumbnails agree, one perhaps mirrored: correlation of each pair [m], from -1 to 1.

    Args:
        pixels: Thumbnails [n, rows, columns, 3].
        pairs: Two indices each [m, 2].
    """
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), 4096):
        first, second = (_standardized(pixels[pairs[start : start + 4096, side]]) for side in (0, 1))
        plain, mirrored = (first * second).sum((1, 2, 3)), (first * second[:, :, ::-1]).sum((1, 2, 3))
        found[start : start + 4096] = np.maximum(plain, mirrored)
    return found


def _standardized(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Thumbnails with the mean 0 and the length 1; a flat one is all zeros, and agrees with none."""
    centered = pixels.astype(np.float32)
    centered -= centered.mean((1, 2, 3), keepdims=True)
    length = np.sqrt((centered**2).sum((1, 2, 3), keepdims=True))
    flat = length < near_copies.MIN_DEVIATION * np.sqrt(centered[0].size)
    return np.where(flat, 0, centered / np.maximum(length, 1e-6)).astype(np.float32)


def _equal(digests: Sequence[str]) -> Iterable[list[int]]:
    same: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        same[digest].append(index)
    return (indices for indices in same.values() if len(indices) > 1)


def _by_features(neighbors: Neighbors, pixels: NDArray[np.uint8]) -> Iterable[tuple[int, int, float]]:
    """Pairs of pictures that are near by their features and agree in their thumbnails, with their similarity."""
    distances = 1 - neighbors.similarities
    usual = float(np.median(distances[:, 0]))
    rows, columns = np.nonzero(distances <= _FAR * usual)
    pairs = np.stack([rows, neighbors.indices[rows, columns]], axis=1)
    agreement = correlations(pixels, pairs)
    near = distances[rows, columns] <= _NEAR * usual
    for place in np.flatnonzero(agreement >= np.where(near, _NEAR_CORRELATION, _FAR_CORRELATION)):
        yield int(pairs[place, 0]), int(pairs[place, 1]), float(neighbors.similarities[rows[place], columns[place]])


def _connected(links: Mapping[tuple[int, int], float]) -> list[CopyGroup]:
    """The groups that links connect. The strongest links come first, so that a group has its strongest connections."""
    leader: dict[int, int] = {}
    weakest: dict[int, float] = {}

    def find(index: int) -> int:
        leader.setdefault(index, index)
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for (first, second), similarity in sorted(links.items(), key=lambda link: -link[1]):
        one, other = sorted((find(first), find(second)))
        if one != other:
            leader[other] = one
            weakest[one] = min(similarity, weakest.get(one, 1.0), weakest.pop(other, 1.0))
    members: dict[int, list[int]] = defaultdict(list)
    for index in sorted(leader):
        members[find(index)].append(index)
    return [CopyGroup(tuple(alike), min(1.0, max(0.0, weakest[first]))) for first, alike in members.items()]
