"""The plots of an evaluation as SVG without script: reliability diagram, and accuracy against coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dogbreed_sdk._util.formatting import percent
from dogbreed_sdk.endpoints.evaluation.statistics import CalibrationBin, CoveragePoint
from dogbreed_sdk.pages.document import asset
from dogbreed_sdk.pages.markup import Markup, element
from training_scripts._util.wilson import wilson

_WIDTH, _LEFT, _RIGHT, _TOP = 400, 46, 22, 14
_HEIGHT, _COUNTS_HEIGHT, _BELOW = 230, 46, 40
_INNER = _WIDTH - _LEFT - _RIGHT


def style() -> str:
    """The style sheet of the plots."""
    return asset("plots.css", package=__package__)


def reliability_diagram(bins: Sequence[CalibrationBin]) -> Markup:
    """Accuracy against confidence in bins, with the number of pictures in each bin below."""
    most = max((each.n for each in bins), default=0) or 1
    base = _TOP + _HEIGHT + 8 + _COUNTS_HEIGHT
    columns = [_column(each, most, base) for each in bins if each.n]
    return element(
        "svg",
        _grid(0.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        columns,
        element("line", x1=_x(0), y1=_y(0, 0), x2=_x(1), y2=_y(1, 0), class_="ideal"),
        element("line", x1=_x(0), x2=_x(1), y1=base, y2=base, class_="axis"),
        [
            element("text", percent(at), x=_x(at), y=base + 16, class_="tick middle")
            for at in (0.0, 0.25, 0.5, 0.75, 1.0)
        ],
        element("text", "probability of the predicted class", x=_x(0.5), y=base + 34, class_="title middle"),
        element("text", "n", x=_LEFT - 8, y=base - 2, class_="tick end"),
        element("text", f"{most:,}", x=_LEFT - 8, y=base - _COUNTS_HEIGHT + 10, class_="tick end"),
        viewbox=f"0 0 {_WIDTH} {base + _BELOW}",
        class_="reliability",
        role="img",
        aria_label="Accuracy against the probability of the predicted class; the table below has the numbers",
    )


def _column(each: CalibrationBin, most: int, base: float) -> Markup:
    accuracy, probability = each.accuracy or 0.0, each.probability or 0.0
    low, high = wilson(round(accuracy * each.n), each.n)
    left, width = _x(each.low), _INNER * (each.high - each.low) - 1.5
    tooltip = (
        f"{percent(each.low)} to {percent(each.high)}: {each.n:,} pictures, mean probability {percent(probability)}, "
        f"{percent(accuracy)} right ({percent(low)} to {percent(high)})"
    )
    middle, height = left + width / 2, max(1.0, _COUNTS_HEIGHT * each.n / most)
    return element(
        "g",
        element("title", tooltip),
        element("rect", x=_n(left), width=_n(width), y=_y(accuracy, 0), height=_n(_HEIGHT * accuracy), class_="bin"),
        element("line", x1=_n(middle), x2=_n(middle), y1=_y(low, 0), y2=_y(high, 0), class_="interval"),
        element("circle", cx=_n(middle), cy=_y(accuracy, 0), r=3.2, class_="point"),
        element("rect", x=_n(left), width=_n(width), y=_n(base - height), height=_n(height), class_="count"),
    )


def coverage_plot(curves: Sequence[tuple[str, Sequence[CoveragePoint]]]) -> Markup:
    """Accuracy against coverage, one line per score; the page's script moves a mark along the first line.

    Args:
        curves: The name of each score, and its points.
    """
    every = [point for _, points in curves for point in points]
    lowest = min((point.accuracy for point in every), default=0.0)
    low, steps = _scale(lowest)
    drawn = [
        element("path", element("title", name), d=_path(points, low), class_=f"curve look-{index}")
        for index, (name, points) in enumerate(curves)
    ]
    base = _TOP + _HEIGHT
    return element(
        "svg",
        _grid(low, steps),
        drawn,
        element("line", x1=_x(1), x2=_x(1), y1=_TOP, y2=base, class_="cursor", id="coverage-cursor"),
        element("circle", cx=_x(1), cy=_y(every[-1].accuracy if every else low, low), r=5, id="coverage-mark"),
        [
            element("text", percent(at), x=_x(at), y=base + 16, class_="tick middle")
            for at in (0.0, 0.25, 0.5, 0.75, 1.0)
        ],
        element("text", "share of the pictures that are answered", x=_x(0.5), y=base + 34, class_="title middle"),
        viewbox=f"0 0 {_WIDTH} {base + _BELOW}",
        class_="coverage",
        role="img",
        aria_label="Accuracy of the answers that are used, against their share of all pictures",
        # What the script needs to move the mark.
        data_left=_LEFT,
        data_width=_INNER,
        data_top=_TOP,
        data_height=_HEIGHT,
        data_low=low,
    )


def _scale(lowest: float) -> tuple[float, list[float]]:
    """Where an axis up to 100% begins, and its round steps."""
    step = next(step for step in (0.02, 0.05, 0.1, 0.25) if step == 0.25 or 1 - lowest <= 4 * step)
    count = max(1, min(round(1 / step), math.ceil((1 - lowest) / step - 1e-9)))
    return 1 - count * step, [1 - part * step for part in range(count + 1)]


def _grid(low: float, steps: Sequence[float]) -> Markup:
    return element(
        "g",
        [
            (
                element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_y(at, low), y2=_y(at, low), class_="grid"),
                element("text", percent(at), x=_LEFT - 8, y=_y(at, low) + 4, class_="tick end"),
            )
            for at in steps
        ],
    )


def _path(points: Sequence[CoveragePoint], low: float) -> str:
    placed = [f"{_x(point.coverage)} {_y(point.accuracy, low)}" for point in points]
    return f"M{' L'.join(placed)}" if placed else ""


def _x(share: float) -> float:
    return _n(_LEFT + _INNER * share)


def _y(share: float, low: float) -> float:
    return _n(_TOP + _HEIGHT * (1 - (share - low) / (1 - low)))


def _n(value: float) -> float:
    return round(value, 1)
