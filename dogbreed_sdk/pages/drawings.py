"""Small SVG drawings of numbers without script: sparklines, histograms and box plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogbreed_sdk._util.formatting import number
from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.series import thinned

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 26
_HISTOGRAM_WIDTH, _HISTOGRAM_HEIGHT = 240, 60
_MAX_BARS = 100


def sparkline(values: ArrayLike, *, label: str, points: int = 60) -> Markup:
    """A word-sized curve, from its lowest to its highest value; logarithmic if it spans three decades."""
    given = np.asarray(values, dtype=np.float64)
    x, y = thinned(np.arange(len(given)), given, points)
    finite = y[np.isfinite(y)]
    if not len(finite):
        return element("span", "no finite values", class_="quiet")
    if finite.min() > 0 and finite.max() > 1e3 * finite.min():
        y, finite = np.log10(np.where(y > 0, y, np.nan)), np.log10(finite)
    low, span = float(finite.min()), float(np.ptp(finite)) or 1.0
    pad = 3
    across = pad + (_SPARK_WIDTH - 2 * pad) * x / max(1.0, float(x[-1]))
    down = _SPARK_HEIGHT - pad - (_SPARK_HEIGHT - 2 * pad) * ((y - low) / span if np.ptp(finite) else 0 * y + 0.5)
    return element(
        "svg",
        element("path", d=_path(across, down), class_="spark"),
        _last_point(across, down),
        viewbox=f"0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}",
        class_="sparkline",
        role="img",
        aria_label=label,
    )


def histogram(
    counts: Sequence[float], edges: Sequence[float], *, label: str, unit: Callable[[float], str] = number
) -> Markup:
    """A histogram with one bar per bin; a tooltip shows the bin and its count."""
    heights, borders = _merged(counts, edges)
    top = max(heights, default=0) or 1
    width = _HISTOGRAM_WIDTH / max(1, len(heights))
    bars = [
        element(
            "rect",
            element("title", f"{unit(borders[index])} to {unit(borders[index + 1])}: {number(count)}"),
            x=round(index * width, 2),
            y=round(_HISTOGRAM_HEIGHT * (1 - count / top), 2),
            width=round(max(0.4, width - 0.6), 2),
            height=round(_HISTOGRAM_HEIGHT * count / top, 2),
        )
        for index, count in enumerate(heights)
    ]
    drawn = element(
        "svg", bars, viewbox=f"0 0 {_HISTOGRAM_WIDTH} {_HISTOGRAM_HEIGHT}", preserveaspectratio="none",
        class_="histogram", role="img", aria_label=label,
    )  # fmt: skip
    ends = [element("span", unit(border)) for border in (borders[0], borders[-1])]
    return element("figure", drawn, element("div", ends, class_="ends"), class_="small")


def box_plot(
    p5: float, p25: float, p50: float, p75: float, p95: float, *, low: float, high: float, label: str
) -> Markup:
    """A box plot: quartiles and median, with whiskers to the 5th and 95th percentiles."""
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(4 + 232 * min(1.0, max(0.0, (value - low) / span)), 2)

    return element(
        "svg",
        element("line", x1=at(p5), x2=at(p95), y1=14, y2=14, class_="whisker"),
        [element("line", x1=at(end), x2=at(end), y1=8, y2=20, class_="whisker") for end in (p5, p95)],
        element("rect", x=at(p25), y=5, width=max(1.0, round(at(p75) - at(p25), 2)), height=18, class_="box"),
        element("line", x1=at(p50), x2=at(p50), y1=3, y2=25, class_="median"),
        viewbox="0 0 240 28",
        class_="boxplot",
        role="img",
        aria_label=label,
    )


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    parts, pen = [], "M"
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if np.isfinite(down):
            parts.append(f"{pen}{across:.1f} {down:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def _last_point(x: NDArray[np.float64], y: NDArray[np.float64]) -> Markup:
    index = int(np.flatnonzero(np.isfinite(y))[-1])
    return element("circle", cx=f"{x[index]:.1f}", cy=f"{y[index]:.1f}", r=2)


def _merged(counts: Sequence[float], edges: Sequence[float]) -> tuple[list[float], list[float]]:
    """Merges neighboring bins to at most a hundred bars."""
    bins = min(len(counts), len(edges) - 1)
    step = max(1, -(-bins // _MAX_BARS))
    heights = [float(np.nansum(counts[begin : min(begin + step, bins)])) for begin in range(0, bins, step)]
    return heights, [float(edges[min(begin, bins)]) for begin in range(0, bins + step, step)][: len(heights) + 1]
