"""The monitor's report as one HTML page, in the style of the debug report: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dogbreed_sdk._util.formatting import clipped, joined, percent, points
from dogbreed_sdk.monitoring.content import MonitorContent, Question, ShiftTest
from dogbreed_sdk.monitoring.statistics import LEAST_ANSWERS
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.document import filled_page
from dogbreed_sdk.pages.drawings import histogram
from dogbreed_sdk.pages.markup import Child, Markup, element, inner, table
from dogbreed_sdk.pages.sections import empty, section
from dogbreed_sdk.pages.thumbnails import small_picture
from dogbreed_sdk.pages.verdict import Point, Verdict, verdict_section
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted, probability_text

if TYPE_CHECKING:
    from dogbreed_sdk.monitoring.answers import Answer, Seen

_SECTIONS = (("mix", "Answers"), ("confidence", "Confidence"), ("unusual", "Unusual"), ("counted", "Counted"))
_TITLES: dict[Question, str] = {
    "mix": "The mix of answers",
    "confidence": "The confidence",
    "rejections": "The rejection rate",
}
_EFFECTS: dict[Question, str] = {
    "mix": "of the answers moved to other classes",
    "confidence": "is the largest difference of the cumulative distributions",
    "rejections": "is the difference of the rates",
}
# Why captured requests do not count.
WHY_LEFT_OUT = {
    "repeated": "the same picture again: it counts once",
    "validation": "pictures of the validation split itself",
    "other_models": "answers before an update, or of a canary",
    "unreadable": "no response was captured, or it is not a prediction",
}
_MAX_CLASSES = 60
_BINS = 20
_PICTURE_PIXELS = 240
_STYLE = """
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: 1.5rem; }
.shares td:nth-child(n+5) { width: 9rem; }
"""


def document(report: MonitorContent) -> bytes:
    """The HTML page, encoded as UTF-8."""
    verdict = _verdict(report)
    body = inner(
        [
            element("p", _about(report), class_="about"),
            verdict_section(verdict),
            _mix_section(report),
            _confidence_section(report),
            _unusual_section(report),
            _counted_section(report),
        ]
    )
    return filled_page(
        brand="Monitor",
        title=f"{verdict.headline} · {report.endpoint_name}",
        sections=_SECTIONS,
        body=body,
        style=_STYLE,
    )


def _about(report: MonitorContent) -> Markup:
    return inner(
        [
            element("b", f"endpoint {report.endpoint_name}"),
            element("span", f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"),
            element("span", f"at most {percent(report.alpha)} false alarms"),
        ]
    )


def headline(report: MonitorContent) -> str:
    """The verdict in one sentence."""
    if report.verdict.startswith("too few"):
        return f"Too few to tell a shift from chance: {_too_few(report)}, and {LEAST_ANSWERS} are needed."
    moved = [_TITLES[test.question] for test in report.tests if test.is_shift]
    if not moved:
        return "The answers have not moved by more than chance."
    words = joined([moved[0], *(each[0].lower() + each[1:] for each in moved[1:])])
    return f"{words} {'has' if len(moved) == 1 else 'have'} moved by more than chance."


def _too_few(report: MonitorContent) -> str:
    """The numbers that are too small."""
    baseline = len(report.baseline.answers)
    numbers = {"captured answers count": report.answers, "pictures are in the baseline": baseline}
    return " and ".join(f"{number} {what}" for what, number in numbers.items() if number < LEAST_ANSWERS)


def direction(test: ShiftTest) -> str:
    """Where the answers have moved, such as "the average confidence fell by 12.0 points"; empty for the mix."""
    names: dict[Question, str] = {"confidence": "the average confidence", "rejections": "the rejection rate"}
    if not test.change:
        return ""
    return f"{names[test.question]} {'rose' if test.change > 0 else 'fell'} by {100 * abs(test.change):.1f} points"


def _advice(report: MonitorContent) -> str:
    """What to do after a shift."""
    if any(seen.picture is not None for seen in report.unusual):
        return "Look at the unusual pictures below: they show what has changed."
    return (
        'The pictures were not captured: capture requests, too (DataCapture(captured=["input", "output"])), '
        "to see what has changed."
    )


def _verdict(report: MonitorContent) -> Verdict:
    first = next((test for test in report.tests if test.is_shift), None)
    levels = {"shift": "hint", "no shift": "well"}
    numbers = [
        ("answers", f"{report.answers:,}", "captured, and counted"),
        ("baseline", f"{len(report.baseline.answers):,}", "on the validation split"),
    ]
    rates = report.rejection_rates()
    if rates is not None:
        numbers.append(("rejected", percent(rates[1]), f"{percent(rates[0])} on the validation split"))
    return Verdict(
        level=levels.get(report.verdict, "unknown"),
        headline=headline(report),
        points=tuple(_point(test, _advice(report) if test is first else "") for test in report.tests),
        numbers=tuple(numbers),
    )


def _point(test: ShiftTest, advice: str) -> Point:
    shown = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return Point(
        title=f"{_TITLES[test.question]} {'has moved' if test.is_shift else 'has not moved by more than chance'}",
        where=shown,
        message=f"{_sentence_of(test)}{percent(test.effect)} {_EFFECTS[test.question]}; with this many answers, "
        f"chance alone rarely exceeds {percent(test.by_chance)}.",
        advice=advice,
    )


def _sentence_of(test: ShiftTest) -> str:
    """The direction as a sentence in front of others."""
    moved = direction(test)
    return f"{moved[0].upper()}{moved[1:]}. " if moved else ""


def _mix_section(report: MonitorContent) -> Markup:
    shown = report.classes[:_MAX_CLASSES]
    if not report.answers:
        return section("mix", "Answers", empty("No captured answers count."))
    rows: list[list[Child]] = [
        [
            each.label,
            percent(each.before),
            percent(each.now),
            ("+" if each.change > 0 else "") + points(each.change),
            bar(each.before, label=f"before: {percent(each.before)}"),
            bar(each.now, label=f"now: {percent(each.now)}", look=1),
        ]
        for each in shown
    ]
    head = ("Class", "Before", "Now", "Change", "Validation split", "Captured")
    more = len(report.classes) - len(shown)
    return section(
        "mix",
        "Answers",
        table(head, rows, numeric=(1, 2, 3), class_="shares"),
        element("p", f"Classes that changed less are not shown: {more}.", class_="quiet") if more else None,
        lead="How often each class was the answer; the largest changes first. A full bar is 100% of the answers.",
    )


def _confidence_section(report: MonitorContent) -> Markup:
    now = [seen.answer for seen in report.captured.seen]
    if not now:
        return section("confidence", "Confidence", empty("No captured answers count."))
    pair = [_histogram("Validation split", report.baseline.answers), _histogram("Captured", now)]
    lead = "The probability of the class that was the answer."
    return section("confidence", "Confidence", element("div", pair, class_="pair"), lead=lead)


def _histogram(title: str, answers: Sequence[Answer]) -> Markup:
    values, edges = np.histogram([each.probability for each in answers], bins=_BINS, range=(0.0, 1.0))
    drawn = histogram(values.tolist(), edges.tolist(), label=f"{title}: confidence", unit=percent)
    return element("div", element("p", f"{title}, {counted(len(answers), 'answer')}", class_="caption"), drawn)


def _unusual_section(report: MonitorContent) -> Markup:
    if not report.unusual:
        return section("unusual", "Unusual", empty("No captured answers count."))
    lead = "The captured pictures that resemble the classes least, or of which the model is least sure."
    pictures = element("div", [_figure(seen) for seen in report.unusual], class_="pictures")
    return section("unusual", "Unusual", pictures, lead=lead)


def _figure(seen: Seen) -> Markup:
    answer = seen.answer
    source = None if seen.picture is None else small_picture(seen.picture, size=_PICTURE_PIXELS)
    shown = (
        element("div", "not captured" if seen.picture is None else "cannot be shown", class_="none")
        if source is None
        else element("img", src=source, alt=f"classified as {display_name(answer.class_folder)}")
    )
    rejected = ", rejected" if answer.rejected else ""
    return element(
        "figure",
        shown,
        element(
            "figcaption",
            f"{clipped(display_name(answer.class_folder), 80)} ({probability_text(answer.probability)}{rejected})",
            element("small", f"{seen.time:%Y-%m-%d %H:%M} UTC, {clipped(seen.variant, 63)}"),
        ),
    )


def _counted_section(report: MonitorContent) -> Markup:
    left_out: list[list[Child]] = [
        [name.replace("_", " "), f"{count:,}", WHY_LEFT_OUT[name]] for name, count in report.captured.left_out().items()
    ]
    rows: list[list[Child]] = [
        ["counted", f"{report.answers:,}", "answers of the baseline's model to different pictures"],
        *left_out,
    ]
    lead = "Which captured requests were compared. The tests assume that pictures do not depend on each other."
    return section(
        "counted", "Counted", table(("Requests", "Number", ""), rows, numeric=(1,), class_="plain"), lead=lead
    )
