"""The page of an evaluation as one file of bounded size."""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed_sdk._util.formatting import clipped, percent
from dogbreed_sdk.endpoints.evaluation.content import EvaluationContent
from dogbreed_sdk.endpoints.evaluation.explaining import Explainer
from dogbreed_sdk.endpoints.evaluation.page.parts import left_out, parts
from dogbreed_sdk.pages.album import Album
from dogbreed_sdk.pages.document import filled_page
from dogbreed_sdk.pages.markup import Markup, element, inner
from dogbreed_sdk.pages.sections import head

# The largest page; thumbnails may take most of it, and the rest is text.
MAX_BYTES = 6_000_000
_PICTURE_BYTES = 4_200_000
_NOTES = 30


def document(
    content: EvaluationContent,
    *,
    subject: str,
    numbers: Sequence[tuple[str, str, str]],
    notes: Sequence[str],
    classifier: Explainer | None,
) -> bytes:
    """The HTML page, encoded as UTF-8.

    Args:
        content: Of the evaluation.
        subject: What was evaluated on what.
        numbers: Name, value and remark of further key numbers.
        notes: What could not be evaluated.
        classifier: Explains the worst mistakes, if it can.
    """
    album = Album(_PICTURE_BYTES)
    made = parts(content, album, classifier=classifier)
    headline = f"{percent(content.correct / content.n)} of {content.n:,} pictures are classified correctly"
    body = [
        element("p", element("b", clipped(subject, 300)), class_="about") if subject else None,
        _head(content, headline, numbers),
        *(each for _, _, each in made.sections),
        _notes(notes),
        left_out(album),
    ]
    return filled_page(
        brand="Evaluation",
        title=f"{headline} · {clipped(subject, 120)}" if subject else headline,
        sections=[(anchor, name) for anchor, name, _ in made.sections],
        body=inner(body),
        script=made.script,
        data=made.data,
        style=made.style,
    )


def _head(content: EvaluationContent, headline: str, numbers: Sequence[tuple[str, str, str]]) -> Markup:
    low, high = (percent(end) for end in content.accuracy_interval)
    spread = (
        f"With this many pictures, the accuracy on other pictures of this kind is between {low} and {high} "
        "(95% confidence)."
    )
    return head(f"{headline}.", element("p", spread), tiles=numbers)


def _notes(notes: Sequence[str]) -> Markup | None:
    if not notes:
        return None
    shown = [element("li", clipped(note, 400)) for note in notes[:_NOTES]]
    more = element("li", f"and {len(notes) - _NOTES:,} more") if len(notes) > _NOTES else None
    return element(
        "section",
        element("h2", "Not evaluated", id="not-evaluated-title"),
        element("ul", shown, more),
        id="not-evaluated",
        aria_labelledby="not-evaluated-title",
    )
