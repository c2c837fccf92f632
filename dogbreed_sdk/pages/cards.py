"""What a notebook shows of a value: a card with styles on its elements, which light and dark notebooks both show.

Notebooks drop style sheets and scripts of an output, or let them leak into the whole page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dogbreed_sdk.pages.markup import Child, Markup, element

BLUE, ORANGE, GREEN, GRAY = "#2f8fd0", "#c24e00", "#00855f", "#8a8f98"
"""Visible on white and on black."""
_CELL = "padding:.15em .9em .15em 0;text-align:left;background:none;border:0;vertical-align:top"
_NUMBER = _CELL.replace("left", "right") + ";font-variant-numeric:tabular-nums"
_QUIET = "opacity:.75"


class Bar(NamedTuple):
    """One line of `bars`: its name, a share from 0 to 1, the share as text."""

    name: str
    share: float
    text: str


def card(title: Child, *content: Child, color: str = "", note: str = "") -> str:
    """A card: its title, a quiet line, its content.

    Args:
        title: What it is, in a few words.
        content: Elements, or None.
        color: Of the mark before the title, one of this module's; empty for no mark.
        note: The quiet line.
    """
    mark = element("span", "● ", style=f"color:{color}", aria_hidden="true") if color else None
    return element(
        "div",
        element("div", mark, element("b", title, style="font-size:1.1em")),
        element("div", note, style=_QUIET) if note else None,
        *content,
        style="max-width:46rem;line-height:1.5",
    )


def beside(picture: str | None, content: Child) -> Child:
    """Content beside a picture, given as a data: URL; the content alone without one."""
    if picture is None:
        return content
    drawn = element("img", src=picture, alt="", style="max-height:160px;border-radius:6px")
    return element(
        "div", drawn, element("div", content), style="display:flex;flex-wrap:wrap;gap:1em;align-items:center"
    )


def bars(lines: Iterable[Bar], *, color: str = BLUE) -> Markup:
    """Horizontal bars, one below the other; the first one is emphasized."""
    rows = []
    for index, (name, share, text) in enumerate(lines):
        width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
        filled = f"width:{width};height:.7em;border-radius:2px;background:{color};opacity:{1 if index == 0 else 0.55}"
        track = element("div", element("div", style=filled), style="width:11em;background:#8883;border-radius:2px")
        label = element("b", name) if index == 0 else name
        cells = (element("td", label, style=_CELL), element("td", track, style=f"{_CELL};vertical-align:middle"))
        rows.append(element("tr", *cells, element("td", text, style=_NUMBER), style="background:none"))
    return element("table", element("tbody", rows), style="border:0;margin:.3em 0")


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], *, numeric: Iterable[int] = ()) -> Markup:
    """A table; columns in `numeric`, from 0, are aligned as numbers."""
    right = set(numeric)

    def cell(tag: str, index: int, value: Child) -> Markup:
        return element(tag, value, style=_NUMBER if index in right else _CELL)

    headings = [cell("th", index, name) for index, name in enumerate(head)]
    body = [
        element("tr", [cell("td", index, value) for index, value in enumerate(row)], style="background:none")
        for row in rows
    ]
    return element(
        "table", element("thead", element("tr", headings)), element("tbody", body), style="border:0;margin:.3em 0"
    )


def facts(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Names and values, one pair per line."""
    lines = [
        element("tr", element("td", name, style=f"{_CELL};{_QUIET}"), element("td", value, style=_CELL),
                style="background:none")
        for name, value in rows
    ]  # fmt: skip
    return element("table", element("tbody", lines), style="border:0;margin:.3em 0")


def status_color(status: str) -> str:
    """The color of a job's or endpoint's status."""
    if status in ("Completed", "InService"):
        return GREEN
    return ORANGE if status in ("Failed", "Stopped", "OutOfService") else BLUE
