"""`near_copies` with NumPy: the same hashes, candidates and decisions, for many pictures at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

_Bits = npt.NDArray[np.uint16]

# Thumbnails, and pairs of them, that are in memory as numbers at a time.
_BLOCK = 4096


def hashes(thumbnails: Sequence[bytes], *, width: int, height: int) -> _Bits:
    """The difference hashes, uint16 [n, height]: one bit for each of 16 neighbors in a row."""
    found = np.empty((len(thumbnails), height), np.uint16)
    weights = np.array([299, 587, 114], np.int32)
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK]
        pixels = np.frombuffer(b"".join(block), np.uint8).reshape(len(block), height, width, 3)
        gray = pixels.astype(np.int32) @ weights
        bits = np.packbits(gray[:, :, :-1] < gray[:, :, 1:], axis=-1)
        found[start : start + len(block)] = bits[:, :, 0].astype(np.uint16) << 8 | bits[:, :, 1]
    return found


def candidates(rows: _Bits, *, largest_bucket: int, max_different: int) -> npt.NDArray[np.uint32]:
    """Pairs of near hashes, uint32 [m, 2]: equal in at least two rows, as `near_copies` defines them."""
    count, height = rows.shape
    found: list[npt.NDArray[np.uint64]] = []
    place = np.arange(count, dtype=np.uint64)
    for one, other in combinations(range(height), 2):
        keys = (rows[:, one].astype(np.uint64) << np.uint64(48)) | (rows[:, other].astype(np.uint64) << np.uint64(32))
        keys |= place
        keys.sort()
        for pairs in _equal_neighbors(keys, largest_bucket):
            near = _different_bits(rows, pairs) <= max_different
            found.append(pairs[near, 0].astype(np.uint64) << np.uint64(32) | pairs[near, 1])
    unique = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
    return np.stack([unique >> np.uint64(32), unique & np.uint64(0xFFFFFFFF)], axis=1).astype(np.uint32)


def _equal_neighbors(keys: npt.NDArray[np.uint64], largest_bucket: int) -> Iterator[npt.NDArray[np.uint32]]:
    """Pairs of places whose sorted keys are equal, unless too many share them."""
    values = keys >> np.uint64(32)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.empty(0, int)
    lengths = np.diff(np.append(starts, len(values)))
    wanted = (lengths > 1) & (lengths <= largest_bucket)
    starts, lengths = starts[wanted], lengths[wanted]
    places = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    for length in np.unique(lengths).tolist():
        first = starts[lengths == length]
        for left, right in combinations(range(length), 2):
            for begin in range(0, len(first), 16 * _BLOCK):
                part = first[begin : begin + 16 * _BLOCK]
                yield np.stack([places[part + left], places[part + right]], axis=1)


_ONES = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


def _different_bits(rows: _Bits, pairs: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
    different = rows[pairs[:, 0]] ^ rows[pairs[:, 1]]
    count: npt.NDArray[np.int32] = _ONES[different].sum(axis=1, dtype=np.int32)
    return count


def agreeing(
    thumbnails: Sequence[bytes], pairs: npt.NDArray[np.uint32], *, min_deviation: float, min_correlation: float
) -> Iterator[tuple[int, int]]:
    """The pairs whose thumbnails show the same."""
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        first, second = (
            np.frombuffer(b"".join(thumbnails[place] for place in block[:, side].tolist()), np.uint8)
            .reshape(len(block), -1)
            .astype(np.int64)
            for side in (0, 1)
        )
        count = first.shape[1]
        means = first.sum(1) / count, second.sum(1) / count
        variances = (first**2).sum(1) / count - means[0] ** 2, (second**2).sum(1) / count - means[1] ** 2
        covariances = (first * second).sum(1) / count - means[0] * means[1]
        same = (np.minimum(*variances) >= min_deviation**2) & (
            covariances >= min_correlation * np.sqrt(np.maximum(variances[0] * variances[1], 0))
        )
        yield from ((int(one), int(other)) for one, other in block[same])
