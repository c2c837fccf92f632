"""The report as one HTML file: no network, no library, less than 2 MB, one template for every source."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dogbreed_sdk._util.formatting import clipped
from dogbreed_sdk.debugging.html.curves import curves_section, downloads
from dogbreed_sdk.debugging.html.feature_pass import feature_pass_section
from dogbreed_sdk.debugging.html.machine import timeline_section, usage_section
from dogbreed_sdk.debugging.html.sections import (
    insights_section,
    not_evaluated_section,
    problems_section,
    rules_section,
    run_section,
)
from dogbreed_sdk.debugging.html.steps import operators_section, steps_section
from dogbreed_sdk.debugging.html.tensors import tensors_section
from dogbreed_sdk.debugging.html.validation import validation_parts
from dogbreed_sdk.debugging.verdict import ended_by, verdict
from dogbreed_sdk.endpoints.evaluation.page.parts import Parts
from dogbreed_sdk.pages.document import filled_page
from dogbreed_sdk.pages.markup import EmptySection, Markup, element, inner
from dogbreed_sdk.pages.series import Charts
from dogbreed_sdk.pages.verdict import Verdict, verdict_section
from training_scripts.recording.trial.trial import despite_damage

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent

MAX_BYTES = 2_000_000


class Detail(NamedTuple):
    """How much of a long recording the page contains.

    Attributes:
        points: Points per curve.
        layer_points: Points per layer's curve.
        layers: Layers per table.
    """

    points: int
    layer_points: int
    layers: int


# Tried in this order until the file is small enough.
DETAILS = (Detail(3_000, 120, 120), Detail(1_500, 60, 80), Detail(800, 40, 48), Detail(400, 24, 24), Detail(200, 12, 8))
# Short names of the sections in the navigation.
_NAMES = {
    "curves": "Curves",
    "insights": "Insights",
    "rules": "Rules",
    "tensors": "Tensors",
    "timeline": "Time",
    "usage": "System",
    "steps": "Steps",
    "operators": "Operators",
    "features": "Features",
    "run": "Run",
    "problems": "Gaps",
    "not-evaluated": "Not evaluated",
}


def document(report: ReportContent, *, version: str | None = None) -> bytes:
    """The HTML page, encoded as UTF-8.

    Args:
        report: What it shows.
        version: Of a page that is kept up to date by `debugging.live`; None for a file.
    """
    judged = verdict(report)
    shown = validation_parts(report, with_pictures=version is None)
    page = b""
    for detail in DETAILS:
        page = despite_damage(partial(_page, report, judged, detail, shown, version))
        if len(page) < MAX_BYTES:
            break
    return page


def waiting_page(source: str, version: str) -> bytes:
    """The page of a run of which nothing has been recorded yet."""
    subject = clipped(source, 120)
    waiting = element(
        "section",
        element("h1", "Nothing has been recorded yet", id="verdict-title"),
        element("p", f"This page shows {subject} as soon as its first steps are recorded."),
        class_="verdict",
        aria_labelledby="verdict-title",
    )
    return filled_page(brand="Debug report", title=subject, sections=(), body=waiting, version=version)


def _page(report: ReportContent, judged: Verdict, detail: Detail, shown: Parts | None, version: str | None) -> bytes:
    charts: Charts = {}
    sections = _sections(report, charts, detail, shown, live=version is not None)
    names = _NAMES | ({} if shown is None else {anchor: name for anchor, name, _ in shown.sections})
    return filled_page(
        brand="Debug report",
        title=f"{clipped(judged.headline, 120)} · {clipped(report.source, 120)}",
        sections=[(anchor, names[anchor]) for anchor, each in sections.items() if not isinstance(each, EmptySection)],
        body=inner(
            [
                element("p", _about(report), class_="about"),
                verdict_section(judged, ended_by(report), rest="listed under Rules"),
                *sections.values(),
            ]
        ),
        footer=[
            "Regenerate: ",
            element("code", _again(report, "--html", "report.html")),
            ". All numbers: ",
            element("code", _again(report, "--numbers", "numbers.csv")),
        ],
        charts=charts,
        script="" if shown is None else shown.script,
        data=None if shown is None else shown.data,
        style="" if shown is None else shown.style,
        version=version,
    )


def _sections(
    report: ReportContent, charts: Charts, detail: Detail, shown: Parts | None, *, live: bool
) -> dict[str, Markup]:
    """The sections below the verdict by anchor, in the page's order; their charts are added to `charts`."""
    trial, profile, results = report.evidence, report.profile, report.rules
    return {
        "curves": curves_section(
            trial,
            report.curves,
            results,
            charts,
            points=detail.points,
            downloads=downloads(clipped(report.source, 60), live=live),
        ),
        "insights": insights_section(report.insights()),
        **({} if shown is None else {anchor: markup for anchor, _, markup in shown.sections}),
        "rules": rules_section(results, report.job),
        "tensors": tensors_section(trial, results, charts, points=detail.layer_points, layers=detail.layers),
        "timeline": timeline_section(profile),
        "usage": usage_section(profile, charts, points=detail.points // 2),
        "steps": steps_section(profile, charts, points=detail.points),
        "operators": operators_section(profile),
        "features": feature_pass_section(report.feature_pass),
        "run": run_section(trial.run if trial is not None else {}, report.notes),
        "problems": problems_section(report.problems),
        "not-evaluated": not_evaluated_section(results),
    }


def _about(report: ReportContent) -> Markup:
    """The report's subject in one line."""
    ended = report.trial is None or report.trial.ended
    state = "" if ended else "still being recorded" if report.is_running else "the recording has no end"
    status = report.job.get("TrainingJobStatus") or state
    parts = [element("b", clipped(report.source, 300))]
    if report.recorded_by:
        parts.append(element("span", f"recorded by {clipped(report.recorded_by, 120)}"))
    if status:
        parts.append(element("span", status))
    parts.append(element("span", f"rules: {report.parameters} parameters"))
    return inner(parts)


def _again(report: ReportContent, *arguments: str) -> str:
    return shlex.join(["dogbreed", "report", clipped(report.source, 300), *arguments])
