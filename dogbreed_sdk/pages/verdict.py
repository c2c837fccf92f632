"""A verdict as the head of a page: how good the news is, what is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from dogbreed_sdk._util.formatting import clipped, counted_more
from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.sections import head

MAX_POINTS = 6
_VERDICT_SIGNS = {"problem": "▲", "slow": "◆", "hint": "◆", "well": "✓", "unknown": "?"}
_VERDICT_KINDS = {
    "problem": "Problem",
    "slow": "Slow",
    "hint": "Look closer",
    "well": "No problem found",
    "unknown": "No verdict",
}
_DO = {level: "Worth a try: " if level == "well" else "What to do: " for level in _VERDICT_KINDS}


@dataclass(frozen=True)
class Point:
    """One thing that is wrong.

    Attributes:
        title: The name of the rule, or the statement of an insight.
        message: The answer in a sentence or two.
        advice: What to do.
        where: The first steps, in words; empty if it concerns the whole run.
    """

    title: str
    message: str
    advice: str
    where: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a reader needs to know first.

    Attributes:
        level: problem (with training), slow (only the machine is used badly), hint, well or unknown.
        headline: The verdict in a sentence.
        points: What is wrong, most important first; if nothing is wrong, what is worth a try.
        numbers: Name, value and remark of each important number, the most important first.
        cause: The id of the cause of what is wrong, as in the documentation's table of causes; empty if nothing is
            wrong with training, or if the recording does not show the cause.
        alternatives: Ids of other causes that leave the same trace; the first point's advice says how to
            distinguish them.
    """

    level: str
    headline: str
    points: tuple[Point, ...]
    numbers: tuple[tuple[str, str, str], ...]
    cause: str = ""
    alternatives: tuple[str, ...] = ()


def verdict_section(verdict: Verdict, stopped: str = "", *, rest: str = "not shown") -> Markup:
    """The head of a page with a verdict.

    Args:
        verdict: What it says.
        stopped: What ended a run early; empty for everything else.
        rest: Where points are that do not fit.
    """
    sign = element("span", _VERDICT_SIGNS[verdict.level], class_="sign", aria_hidden="true")
    kind = element("p", sign, _VERDICT_KINDS[verdict.level], class_="kind")
    points = [
        element(
            "li",
            element("h2", point.title, element("span", point.where, class_="where") if point.where else None)
            if point.title
            else None,
            element("p", clipped(point.message, 600)) if point.message else None,
            element("p", element("b", _DO[verdict.level]), clipped(point.advice, 600), class_="advice")
            if point.advice
            else None,
        )
        for point in verdict.points[:MAX_POINTS]
    ]
    more = len(verdict.points) - len(points)
    return head(
        verdict.headline,
        element("p", clipped(stopped, 600), class_="stopped") if stopped else None,
        element("ol", points, class_="points") if points else None,
        element("p", f"{counted_more(more)} {rest}.", class_="quiet") if more > 0 else None,
        look=verdict.level,
        kind=kind,
        tiles=verdict.numbers,
    )
