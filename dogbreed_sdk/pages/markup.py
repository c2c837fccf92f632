"""Builds HTML and SVG elements from Python values; everything but elements is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from dogbreed_sdk._util.formatting import whole

_VOID = frozenset({"br", "hr", "img", "input", "meta", "link"})

# A child: an element, a text, a number, nothing, or several of these.
Child = object


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


class Reason(Markup):
    """The reason why there is nothing to show; a section with nothing else is drawn small."""

    __slots__ = ()


class EmptySection(Markup):
    """A section that only says why it is empty; the navigation leaves it out."""

    __slots__ = ()


def element(tag: str, *children: Child, **attributes: object) -> Markup:
    """Builds an element.

    Args:
        tag: Its name.
        children: Elements stay as they are, other values are escaped, None is left out, iterables are unfolded.
        attributes: By name; underscores become hyphens, one at the end is dropped (``class_``). True is written
            without a value, None and False not at all.

    >>> element("p", "1 < 2", class_="note", hidden=True)
    '<p class="note" hidden>1 &lt; 2</p>'
    """
    opened = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{opened}>")
    return Markup(f"<{opened}>{inner(children)}</{tag}>")


def inner(children: Iterable[Child]) -> Markup:
    """Concatenates children."""
    parts = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, Iterable) and not isinstance(child, str):
            parts.append(str(inner(child)))
        elif child is not None:
            parts.append(html.escape(whole(str(child))))
    return Markup("".join(parts))


def table(
    head: Iterable[Child],
    rows: Iterable[Iterable[Child]],
    *,
    numeric: Iterable[int] = (),
    label: str = "table",
    **attributes: object,
) -> Markup:
    """Builds a table in a box that scrolls if it is too wide.

    Args:
        head: The columns' headings; the first column names the row.
        rows: Cells, or whole ``td`` elements.
        numeric: Columns of numbers, from 0.
        label: What it shows, for screen readers.
        attributes: Attributes of the table.
    """
    right = set(numeric)

    def cell(index: int, value: Child) -> Markup:
        look = "number" if index in right else None
        if isinstance(value, Markup) and value.startswith("<td"):
            return value
        if index == 0:
            return element("th", value, scope="row", class_=look)
        return element("td", value, class_=look)

    headings = [
        element("th", value, scope="col", class_="number" if index in right else None)
        for index, value in enumerate(head)
    ]
    body = [element("tr", [cell(index, value) for index, value in enumerate(row)]) for row in rows]
    made = element("table", element("thead", element("tr", headings)), element("tbody", body), **attributes)
    return element("div", made, class_="scroller", tabindex="0", role="group", aria_label=label)


def breakable(name: str) -> Markup:
    """A name with line break opportunities between its parts."""
    return Markup(re.sub(r"([/._:]+)(?=\w)", r"\1<wbr>", html.escape(whole(name))))


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    # The SVG attributes with capital letters.
    written = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}.get(written, written)
    return f" {written}" if value is True else f' {written}="{html.escape(whole(str(value)))}"'
