"""A prediction in a notebook: the picture, the ranked classes as bars, and whether the model rejects it."""

from __future__ import annotations

from collections.abc import Iterable

from dogbreed_sdk.pages.cards import BLUE, GRAY, Bar, bars, beside, card
from dogbreed_sdk.pages.markup import inner
from dogbreed_sdk.pages.thumbnails import small_picture
from training_scripts._util.number_text import probability_text


def prediction_card(
    title: str,
    scores: Iterable[tuple[str, float]],
    *,
    rejected: bool,
    latency_ms: float | None,
    picture: str | None,
) -> str:
    """The card of a prediction.

    Args:
        title: The most probable class.
        scores: Name and probability of each class that is shown, most probable first.
        rejected: Whether the picture looks like none of the classes.
        latency_ms: Milliseconds that the call took; None if nothing was sent.
        picture: Path of the picture, if it is a file.
    """
    drawn = bars(
        [Bar(label, share, probability_text(share)) for label, share in scores], color=GRAY if rejected else BLUE
    )
    notes = ["the picture looks like none of the classes"] if rejected else []
    if latency_ms is not None:
        notes.append(f"{latency_ms:.0f} ms")
    small = None if picture is None else small_picture(picture)
    return card(title, beside(small, inner([drawn])), note=", ".join(notes))
