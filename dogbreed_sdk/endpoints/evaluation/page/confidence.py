"""How far the probabilities can be trusted: calibration, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dogbreed_sdk._util.formatting import percent, points
from dogbreed_sdk.endpoints.evaluation.content import EvaluationContent
from dogbreed_sdk.endpoints.evaluation.page.plots import coverage_plot, reliability_diagram
from dogbreed_sdk.endpoints.evaluation.statistics import CoveragePoint, error_of
from dogbreed_sdk.pages.markup import Child, Markup, element, table
from dogbreed_sdk.pages.sections import empty, section

# Confidence and accuracy that differ by less are the same to a reader.
_SAME = 0.02
_SLIDER = """
<p><label for="threshold">Use an answer only if it is at least this sure:</label></p>
<input type="range" id="threshold" class="slider">
<output id="traded" for="threshold"></output>
"""


def confidence_section(content: EvaluationContent, *, note: str = "") -> Markup:
    """The reliability diagram and the trade of coverage for accuracy; the reason where probabilities are unknown.

    Args:
        content: Of the evaluation.
        note: What a reader must know of these probabilities.
    """
    if not content.calibration:
        return section("confidence", "Confidence", empty("The probabilities of these answers are not known."))
    both = element("div", _calibration(content), _coverage(content), class_="pair")
    return section(
        "confidence",
        "Confidence",
        both,
        element("details", element("summary", "The numbers behind the plots"), _tables(content), class_="more"),
        lead=note,
    )


def coverage_data(content: EvaluationContent) -> list[list[float]]:
    """What the slider needs: [threshold, coverage, accuracy] of each point, most pictures first."""
    return [
        [round(each.threshold, 4), round(each.coverage, 4), round(each.accuracy, 4)]
        for each in reversed(content.coverage)
    ]


def _calibration(content: EvaluationContent) -> Markup:
    error = error_of(content.calibration)
    sure = sum((each.probability or 0.0) * each.n for each in content.calibration) / max(1, content.n)
    difference = sure - content.correct / max(1, content.n)
    summary = f"{_tendency(difference)} (calibration error {error:.3f})."
    return element(
        "figure",
        element("figcaption", "Calibration"),
        element("p", summary, class_="quiet"),
        reliability_diagram(content.calibration),
        element(
            "p",
            "On the dashed line, 80% of the answers that are 80% sure are right. Whiskers are 95% intervals.",
            class_="caption",
        ),
        class_="chart",
    )


def _tendency(difference: float) -> str:
    """How the mean probability of the answers compares with the share of right ones."""
    if abs(difference) < _SAME:
        return "On average, the model's confidence matches its accuracy"
    return (
        f"On average, the model's confidence is {points(abs(difference))} {'above' if difference > 0 else 'below'} "
        "its accuracy"
    )


def _coverage(content: EvaluationContent) -> Markup:
    curves: list[tuple[str, Sequence[CoveragePoint]]] = [("by probability", content.coverage)]
    if content.rejection_coverage:
        curves.append(("by the rejection score", content.rejection_coverage))
    names = [
        element("li", element("svg", element("path", d="M0 6H26", class_="curve"), class_=f"swatch-line look-{index}",
                              viewbox="0 0 26 12", aria_hidden="true"), f" {name}")
        for index, (name, _) in enumerate(curves)
    ]  # fmt: skip
    return element(
        "figure",
        element("figcaption", "Accuracy against coverage"),
        element("p", "What is gained if unsure answers are not used.", class_="quiet"),
        coverage_plot(curves),
        element("ul", names, class_="names") if len(curves) > 1 else None,
        Markup(_SLIDER),
        class_="chart",
    )


def _tables(content: EvaluationContent) -> Markup:
    bins: list[list[Child]] = [
        [
            f"{percent(each.low)} to {percent(each.high)}",
            f"{each.n:,}",
            percent(each.probability),
            percent(each.accuracy),
        ]
        for each in content.calibration
        if each.n
    ]
    return table(("Probability", "Pictures", "Mean probability", "Right"), bins, numeric=(1, 2, 3), label="Calibration")


def rejection_text(content: EvaluationContent) -> str:
    """What the model's own rejection rule does; empty if it has none."""
    if content.rejected is None:
        return ""
    wrong = sum(not each.is_correct for each in content.rejected)
    kept, right = content.n - len(content.rejected), content.correct - (len(content.rejected) - wrong)
    if not content.rejected:
        return "The model's rejection rule rejects none of these pictures."
    accuracy = f", and {percent(right / kept)} of these answers are right" if kept else ""
    return (
        f"The model's rejection rule rejects {len(content.rejected):,} of {content.n:,} pictures as none of its "
        f"classes; {wrong or 'none'} of them would have been wrong. It answers {percent(kept / content.n)}{accuracy}."
    )


def values(content: EvaluationContent) -> dict[str, Any]:
    """The section's part of the page's data."""
    return {"coverage": coverage_data(content)}
