"""A review in a notebook: its counts, and the most suspicious labels with their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import clipped
from dogbreed_sdk.pages import cards
from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.thumbnails import thumbnail
from dogbreed_sdk.reviewing import text
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.reviewing.contents import ReviewContents
    from dogbreed_sdk.reviewing.findings import ReviewedLabel

_LABELS = 6


def review_card(review: ReviewContents) -> str:
    """The card of a review."""
    figures = [_figure(review, label) for label in review.flagged[:_LABELS]]
    leaks = sum(group.leaks for group in review.near_copies)
    counts = [
        ("Labels probably wrong", f"{len(review.flagged):,} of {len(review.labels):,}"),
        ("Near-copies", f"{counted(len(review.near_copies), 'group')}, {leaks:,} in several splits"),
        ("Outliers", f"{len(review.outliers):,}"),
    ]
    if review.indistinct_classes:
        counts.append(("Classes that cannot be told apart", counted(len(review.indistinct_classes), "pair")))
    return cards.card(
        text.headline(review),
        cards.facts(counts),
        element("div", figures, style="display:flex;flex-wrap:wrap;gap:.8em;margin:.4em 0") if figures else None,
        element("div", element("code", "review.to_html('review.html')")),
        color=cards.ORANGE if review.flagged or leaks else cards.GREEN,
        note=f"{clipped(review.root.name, 120)}: {counted(sum(review.splits.values()), 'picture')} of "
        f"{len(review.classes):,} classes"
        + ("; the most suspicious labels are shown" if len(review.flagged) > _LABELS else ""),
    )


def _figure(review: ReviewContents, label: ReviewedLabel) -> Markup:
    given, likely = display_name(label.given), display_name(label.likely)
    said = f"labeled {given} (score {label.score:.2f})"
    return element(
        "figure",
        element(
            "img", src=thumbnail(review.root / label.picture, size=120), alt="", style="height:96px;border-radius:4px"
        ),
        element("figcaption", element("b", f"{likely}?"), element("br"), said, style="font-size:.85em"),
        style="margin:0;max-width:11em",
        title=label.picture,
    )
