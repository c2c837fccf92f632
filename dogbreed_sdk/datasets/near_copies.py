"""Finds pictures that look the same in different files: resized, re-encoded, slightly brightened copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from operator import mul
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image

Name = TypeVar("Name", bound=Hashable)

# A thumbnail of 17 x 16 pixels gives 16 x 16 signs of horizontal differences: the difference hash ("dHash", N. Krawetz,
# 2013) with 256 bits. Over 8.8 million pairs of 4,200 different photographs of dogs the closest differ in 56 bits;
# copies re-encoded at quality 30 differ in 19 at most, and those reduced to 64 pixels in 28, in 19 at the 95th
# percentile. These are of thumbnails with a reducing gap of 3. With 2, which takes half of the time, 900 photographs
# gave the same: 99.4, 99.7 and 99.2% of three kinds of copies are within 24 bits (99.4, 99.7 and 99.3% with 3).
_WIDTH, _HEIGHT = 17, 16
# A picture decoded at a smaller scale keeps at least this shorter side. 600 photographs and 8 kinds of copies of each
# gave the same within 0.2%, and fewer different bits; at half of it, copies of 120 x 90 pixels were not found.
LEAST_SIDE = 34
THUMBNAIL_BYTES = 3 * _WIDTH * _HEIGHT
MAX_DIFFERENT_BITS = 24
# Drawings and digits share outlines and therefore hashes, so the thumbnails must also agree, in all three colors.
MIN_CORRELATION = 0.99
# Plain surfaces always agree with each other: pictures below this standard deviation are not compared.
MIN_DEVIATION = 4.0
# More pictures than this with the same two rows of the hash share a plain background, not a subject.
_LARGEST_BUCKET = 32


def thumbnail(image: Image) -> bytes:
    """Reduces a picture for comparisons.

    Returns:
        17 x 16 pixels of RGB, 816 bytes.
    """
    from PIL import Image as Pillow  # noqa: PLC0415 - imports Pillow, which callers have loaded

    rgb = image if image.mode == "RGB" else image.convert("RGB")
    small = rgb.resize((_WIDTH, _HEIGHT), Pillow.Resampling.BICUBIC, reducing_gap=2.0)
    return small.tobytes()


def group(thumbnails: Mapping[Name, bytes]) -> list[tuple[Name, ...]]:
    """Groups pictures that look the same.

    Two pictures are near-copies if their difference hashes differ in at most 24 of 256 bits and their thumbnails
    correlate by at least 0.99. Mirrored pictures and cut-outs are not found.

    Args:
        thumbnails: Name of a picture -> what `thumbnail` returned for it.

    Returns:
        The groups of two and more, each in the order of `thumbnails`.
    """
    names = list(thumbnails)
    return [tuple(names[row] for row in rows) for rows in group_rows(list(thumbnails.values()))]


def group_rows(thumbnails: Sequence[bytes]) -> list[tuple[int, ...]]:
    """As `group`, of thumbnails in a sequence: the groups have their places."""
    leader = list(range(len(thumbnails)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for first, second in _agreeing(thumbnails):
        one, other = find(first), find(second)
        leader[max(one, other)] = min(one, other)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(thumbnails)):
        if leader[index] != index:
            members[find(index)].append(index)
    return [(index, *members[index]) for index in sorted(members)]


def _agreeing(thumbnails: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """The pairs of near-copies; with NumPy, where it is installed, in a tenth of the time."""
    try:
        from dogbreed_sdk.datasets import near_copies_arrays as arrays  # noqa: PLC0415 - loads NumPy
    except ModuleNotFoundError:
        hashes = [_difference_hash(thumbnail) for thumbnail in thumbnails]
        yield from (pair for pair in _candidates(hashes) if _agree(thumbnails[pair[0]], thumbnails[pair[1]]))
        return
    rows = arrays.hashes(thumbnails, width=_WIDTH, height=_HEIGHT)
    pairs = arrays.candidates(rows, largest_bucket=_LARGEST_BUCKET, max_different=MAX_DIFFERENT_BITS)
    yield from arrays.agreeing(thumbnails, pairs, min_deviation=MIN_DEVIATION, min_correlation=MIN_CORRELATION)


def _difference_hash(pixels: bytes) -> int:
    """One bit for each of 16 x 16 neighbors: whether the right one is brighter."""
    # Luma of ITU-R BT.601, as Pillow converts to gray, in integers.
    gray = [299 * red + 587 * green + 114 * blue for red, green, blue in zip(*[iter(pixels)] * 3, strict=True)]
    bits = 0
    for start in range(0, _WIDTH * _HEIGHT, _WIDTH):
        for left in range(start, start + _WIDTH - 1):
            bits = bits << 1 | (gray[left] < gray[left + 1])
    return bits


def _candidates(hashes: list[int]) -> Iterator[tuple[int, int]]:
    """Pairs of near hashes, without comparing all with all: near ones are equal in at least two of their 16 rows.

    That is certain up to 14 different bits, and likely above.
    """
    rows = [tuple(bits >> shift & 0xFFFF for shift in range(0, 256, 16)) for bits in hashes]
    seen: set[tuple[int, int]] = set()
    for one, other in combinations(range(_HEIGHT), 2):
        buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            buckets[row[one], row[other]].append(index)
        for bucket in buckets.values():
            if 1 < len(bucket) <= _LARGEST_BUCKET:
                for pair in combinations(bucket, 2):
                    if pair not in seen and (hashes[pair[0]] ^ hashes[pair[1]]).bit_count() <= MAX_DIFFERENT_BITS:
                        seen.add(pair)
                        yield pair


def _agree(first: bytes, second: bytes) -> bool:
    """Whether two thumbnails show the same: brightness and contrast may differ, the picture may not."""
    count = len(first)
    mean_first, mean_second = sum(first) / count, sum(second) / count
    variance_first = sum(map(mul, first, first)) / count - mean_first**2
    variance_second = sum(map(mul, second, second)) / count - mean_second**2
    if min(variance_first, variance_second) < MIN_DEVIATION**2:
        return False
    covariance = sum(map(mul, first, second)) / count - mean_first * mean_second
    return bool(covariance >= MIN_CORRELATION * (variance_first * variance_second) ** 0.5)
