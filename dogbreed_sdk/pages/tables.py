"""Tables that readers sort by any column, with rows that they mark in all charts of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dogbreed_sdk.pages.document import asset
from dogbreed_sdk.pages.markup import Child, Markup, element


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: Its heading.
        is_number: Whether its values stand at the right.
        high_first: Whether the first click sorts the highest values to the top.
        look: A CSS class of its cells.
    """

    title: str
    is_number: bool = False
    high_first: bool = False
    look: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        content: What it shows.
        value: What it is sorted by; None for a cell without a value, which stays at the end.
        is_best: Whether it is marked as the best of its column.
    """

    content: Child
    value: str | float | None = None
    is_best: bool = False


def sortable_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, label: str, marks: Sequence[str] | None = None
) -> Markup:
    """A table that is sorted by a click on a heading; the page needs `script` and `style`.

    Args:
        columns: The columns; the first one names the row.
        rows: The cells.
        label: What the table shows, for screen readers: unique on the page.
        marks: What each row marks elsewhere on the page, by the attribute `data-mark`; None if nothing is marked.
    """
    head = [
        element(
            "th",
            column.title,
            scope="col",
            class_="number" if column.is_number else None,
            data_first="descending" if column.high_first else None,
        )
        for column in columns
    ]
    named: Sequence[str | None] = marks if marks is not None else [None] * len(rows)
    body = [_row(columns, row, mark) for row, mark in zip(rows, named, strict=True)]
    made = element("table", element("thead", element("tr", head)), element("tbody", body), data_sortable=True)
    return element("div", made, class_="scroller", tabindex="0", role="group", aria_label=label)


def script() -> str:
    """The JavaScript of sortable tables."""
    return asset("tables.js")


def style() -> str:
    """The style sheet of sortable tables."""
    return asset("tables.css")


def _row(columns: Sequence[Column], row: Sequence[Cell], mark: str | None) -> Markup:
    cells = [_cell(column, cell) for column, cell in zip(columns[1:], row[1:], strict=True)]
    return element("tr", _name(columns[0], row[0], mark), cells, data_mark=mark)


def _name(column: Column, cell: Cell, mark: str | None) -> Markup:
    """The heading of a row; with a button where it marks something."""
    content = cell.content
    if mark is not None:
        content = element("button", content, type="button", data_pick=mark, aria_pressed="false")
    return element("th", content, scope="row", class_=column.look or None, data_value=_sorted_by(cell))


def _cell(column: Column, cell: Cell) -> Markup:
    look = " ".join(filter(None, ("number" if column.is_number else "", "best" if cell.is_best else "", column.look)))
    best = element("span", "best: ", class_="unseen") if cell.is_best else None
    return element("td", best, cell.content, class_=look or None, data_value=_sorted_by(cell))


def _sorted_by(cell: Cell) -> str:
    """What the script sorts by; empty for a cell without a value."""
    unknown = cell.value is None or (isinstance(cell.value, float) and not math.isfinite(cell.value))
    return "" if unknown else str(cell.value)
