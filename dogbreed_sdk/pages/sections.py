"""Parts of a page: its head, sections, the reason why one is empty, and the place of a chart."""

from __future__ import annotations

from collections.abc import Iterable

from dogbreed_sdk.pages.markup import Child, EmptySection, Markup, Reason, element


def section(anchor: str, title: str, *content: Child, lead: str = "") -> Markup:
    """A section with a heading and an introductory sentence."""
    bare = len(content) == 1 and isinstance(content[0], Reason)
    heading = element("h2", title, id=f"{anchor}-title")
    said = element("p", lead, class_="lead") if lead else None
    look = "bare" if bare else None
    drawn = element("section", heading, said, *content, id=anchor, class_=look, aria_labelledby=f"{anchor}-title")
    return EmptySection(drawn) if bare else drawn


def head(
    headline: str, *content: Child, look: str = "", kind: Child = None, tiles: Iterable[tuple[str, str, str]] = ()
) -> Markup:
    """The head of a page: what its reader must know first.

    Args:
        headline: The page's heading, a sentence.
        content: What follows it.
        look: How good the news is: problem, slow, hint, well or unknown; empty if that is not judged.
        kind: What precedes the heading.
        tiles: Name, value and remark of each important number, shown last.
    """
    shown = [
        element("div", element("dt", name), element("dd", value, element("small", remark) if remark else None))
        for name, value, remark in tiles
    ]
    return element(
        "section",
        kind,
        element("h1", headline, id="verdict-title"),
        *content,
        element("dl", shown, class_="tiles") if shown else None,
        id="verdict",
        class_=f"verdict {look}".rstrip(),
        aria_labelledby="verdict-title",
    )


def empty(reason: str) -> Reason:
    """The reason why a section is empty."""
    return Reason(element("p", reason, class_="empty"))


def figure(name: str, caption: str, *, note: str = "") -> Markup:
    """The place where the page's script draws a chart.

    Args:
        name: The chart's name among those that `filled_page` receives.
        caption: What the chart shows.
        note: A quiet remark after the caption.
    """
    return element(
        "figure",
        element("figcaption", caption, element("span", note, class_="quiet") if note else None),
        element("noscript", element("p", "The chart needs JavaScript; tables and text do not.", class_="empty")),
        data_chart=name,
        class_="chart",
    )
