"""Parts of a page: sections, the reason why one is empty, and the place of a chart."""

from __future__ import annotations

from dogbreed_sdk.pages.markup import Child, Markup, Reason, element


def section(anchor: str, title: str, *content: Child, lead: str = "") -> Markup:
    """A section with a heading and an introductory sentence."""
    bare = len(content) == 1 and isinstance(content[0], Reason)
    heading = element("h2", title, id=f"{anchor}-title")
    said = element("p", lead, class_="lead") if lead else None
    look = "bare" if bare else None
    return element("section", heading, said, *content, id=anchor, class_=look, aria_labelledby=f"{anchor}-title")


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
