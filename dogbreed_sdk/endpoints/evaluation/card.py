"""An evaluation in a notebook: the accuracy, the weakest classes, and the worst mistakes with their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dogbreed_sdk._util.formatting import clipped, percent
from dogbreed_sdk.endpoints.evaluation.content import ClassResult, EvaluationContent, Mistake
from dogbreed_sdk.pages import cards
from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.thumbnails import thumbnail
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted, probability_text

_MISTAKES, _CLASSES = 6, 5


def evaluation_card(content: EvaluationContent, notes: Sequence[str]) -> str:
    """The card of an evaluation.

    Args:
        content: What was found.
        notes: One sentence for each thing that was not evaluated.
    """
    low, high = content.accuracy_interval
    weakest = [result for result in _weakest(content.per_class) if result.correct < result.n][:_CLASSES]
    figures = [_figure(mistake) for mistake in content.mistakes[:_MISTAKES]]
    return cards.card(
        f"{percent(content.correct / content.n)} of {content.n:,} pictures right",
        cards.bars([_bar(result) for result in weakest]) if weakest else None,
        element("div", figures, style="display:flex;flex-wrap:wrap;gap:.8em;margin:.4em 0") if figures else None,
        [element("div", clipped(note, 300)) for note in notes[:3]],
        element("div", element("code", "evaluation.to_html('mistakes.html')")),
        note=f"95% interval {percent(low)} to {percent(high)}; {counted(len(content.mistakes), 'mistake')}"
        + (", the worst are shown" if len(content.mistakes) > _MISTAKES else "")
        + ("; classes with the lowest accuracy first" if weakest else ""),
    )


def _weakest(results: Iterable[ClassResult]) -> list[ClassResult]:
    return sorted((result for result in results if result.n), key=lambda result: (result.correct / result.n, -result.n))


def _bar(result: ClassResult) -> cards.Bar:
    share = result.correct / result.n
    return cards.Bar(result.label, share, f"{percent(share)} of {result.n:,}")


def _figure(mistake: Mistake) -> Markup:
    actual, predicted = display_name(mistake.actual), display_name(mistake.predicted)
    sure = "" if mistake.probability is None else f" ({probability_text(mistake.probability)})"
    return element(
        "figure",
        element("img", src=thumbnail(mistake.path, size=120), alt="", style="height:96px;border-radius:4px"),
        element("figcaption", element("b", actual), element("br"), f"said {predicted}{sure}", style="font-size:.85em"),
        style="margin:0;max-width:11em",
        title=str(mistake.path),
    )
