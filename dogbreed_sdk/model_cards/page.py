"""A model card as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed_sdk._util.formatting import clipped, counted_more, percent
from dogbreed_sdk.endpoints.evaluation.page import plots
from dogbreed_sdk.endpoints.evaluation.statistics import CalibrationBin
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.document import asset, filled_page
from dogbreed_sdk.pages.markup import Child, Markup, element, inner, table
from dogbreed_sdk.pages.sections import head, section
from training_scripts._util.wilson import wilson
from training_scripts.models.card_content import Card, CardSection, Code, Points, Table, evaluated_on
from training_scripts.models.record import EvaluationRecord

# Nobody reads more rows on a page; the Markdown has all of them.
MAX_ROWS = 500
_TEXT = 2_000
# Longer lists of names and values are folded.
_FOLDED = 15
_SHORT = {
    "use": "Use and limits",
    "weights": "Backbone",
    "rejection": "Rejection",
    "usage": "How to use it",
    "classes": "Classes",
}


def document(content: Card) -> bytes:
    """The page, encoded as UTF-8."""
    body = [_head(content), *(_section(each, content) for each in content.sections)]
    return filled_page(
        brand="Model card",
        title=clipped(content.title, 120),
        sections=[(each.anchor, _SHORT.get(each.anchor, each.title)) for each in content.sections],
        body=inner(body),
        style=plots.style() + asset("card.css", package=__package__),
    )


def _head(content: Card) -> Markup:
    evaluation = content.evaluation
    tiles = [("classes", f"{len(content.description.classes):,}", "")]
    if evaluation:
        low, high = wilson(sum(evaluation.correct), evaluation.n)
        tiles[:0] = [
            ("accuracy", percent(evaluation.accuracy), f"{percent(low)} to {percent(high)} (95%)"),
            ("macro F1", f"{evaluation.macro_f1:.3f}", evaluated_on(evaluation, content.facts)),
        ]
        if evaluation.calibration_error is not None:
            tiles.insert(2, ("calibration error", f"{evaluation.calibration_error:.3f}", "0 is perfect"))
    return head(clipped(content.title, 200), element("p", clipped(content.summary, _TEXT)), tiles=tiles)


def _section(each: CardSection, content: Card) -> Markup:
    blocks: list[Child] = [_block(block) for block in each.blocks]
    if each.anchor == "calibration" and content.evaluation and content.evaluation.calibration_error is not None:
        blocks.insert(-1, element("figure", plots.reliability_diagram(_bins(content.evaluation)), class_="chart"))
    return section(each.anchor, each.title, *blocks)


def _block(block: str | Table | Points | Code) -> Markup:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Points):
        return element("ul", [element("li", clipped(item, _TEXT)) for item in block.items])
    if isinstance(block, Code):
        code = element("code", block.text)
        return element("pre", code, class_="code", tabindex="0", role="group", aria_label=f"{block.language} example")
    return element("p", clipped(block.replace("`", ""), _TEXT))


def _table(block: Table) -> Markup:
    rows = [_row(row, block.share) for row in block.rows[:MAX_ROWS]]
    columns = block.head if block.share is None else (*block.head, "")
    drawn = table(
        columns, rows, numeric=block.numeric, label=block.label, class_="facts" if len(columns) == 2 else None
    )
    if len(block.rows) > _FOLDED and len(block.head) == 2:
        drawn = element("details", element("summary", f"{len(block.rows)} {block.label.lower()}"), drawn, class_="more")
    left_out = len(block.rows) - len(rows)
    more = f"{counted_more(left_out)} not shown; the card in Markdown has them."
    return inner([drawn, element("p", more, class_="quiet") if left_out else None])


def _row(row: Sequence[str], share: int | None) -> list[Child]:
    cells: list[Child] = [clipped(cell, _TEXT) for cell in row]
    if share is not None:
        known = row[share].replace(".", "").isdigit()
        cells.append(bar(float(row[share]), label=f"F1 {row[share]}", look=1) if known else "")
    return cells


def _bins(evaluation: EvaluationRecord) -> Sequence[CalibrationBin]:
    count = len(evaluation.reliability)
    return [
        CalibrationBin(
            low=at / count,
            high=(at + 1) / count,
            n=each.pictures,
            probability=each.probability if each.pictures else None,
            accuracy=each.accuracy if each.pictures else None,
        )
        for at, each in enumerate(evaluation.reliability)
    ]
