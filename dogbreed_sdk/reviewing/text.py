"""The review of a data set as text: the numbers, and the first findings of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import joined, percent
from dogbreed_sdk._util.paths import shown_path
from training_scripts._util.number_text import counted
from training_scripts._util.safe_text import printable

if TYPE_CHECKING:
    from dogbreed_sdk.reviewing.contents import ReviewContents

SHOWN = 5


def describe(review: ReviewContents) -> str:
    """Describes a review."""
    return "\n".join(printable(line) for line in _lines(review))


def headline(review: ReviewContents) -> str:
    """The review in one sentence."""
    leaks = sum(group.leaks for group in review.near_copies)
    found = [
        counted(len(review.flagged), "probably wrong label") if review.flagged else "",
        f"{counted(leaks, 'group')} of near-copies in several splits" if leaks else "",
        counted(len(review.outliers), "outlier") if review.outliers else "",
        f"{counted(len(review.indistinct_classes), 'pair')} of classes that cannot be told apart"
        if review.indistinct_classes
        else "",
    ]
    named = [each for each in found if each]
    return f"Found {joined(named)}." if named else "Nothing suspicious was found."


def _lines(review: ReviewContents) -> Iterator[str]:
    counts = ", ".join(f"{split} {count}" for split, count in review.splits.items())
    yield f"{shown_path(review.root)}: {len(review.classes)} classes; pictures: {counts}"
    yield headline(review)
    yield ""
    expected = f"about {review.expected_wrong:.0f} expected" if review.expected_wrong >= 0.5 else "none expected"
    yield f"Labels: {len(review.flagged)} of {len(review.labels):,} are probably wrong ({expected})"
    yield from _some([f"{each.score:.3f}  {each.picture}: likely {each.likely}" for each in review.flagged])
    leaks = sum(group.leaks for group in review.near_copies)
    yield f"Near-copies: {counted(len(review.near_copies), 'group')}, {leaks} of them in several splits"
    yield from _some([f"{each.similarity:.3f}  {' = '.join(each.pictures)}" for each in review.near_copies])
    yield f"Outliers: {len(review.outliers)}"
    yield from _some([f"{each.score:.3f}  {each.picture}: {each.reason}" for each in review.outliers])
    if review.indistinct_classes:
        yield f"Classes that cannot be told apart: {counted(len(review.indistinct_classes), 'pair')}"
    yield from _some(
        [
            f"{' and '.join(each.classes)}: {percent(each.accuracy)} right of {each.pictures:,} pictures (chance: 50%)"
            for each in review.indistinct_classes
        ]
    )
    if review.not_judged:
        yield f"Not judged: the labels of {counted(review.not_judged, 'picture')}, whose classes have too few others"
    if review.skipped:
        yield f"Not reviewed: {counted(len(review.skipped), 'picture')} that cannot be read"


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"    {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN} more"
