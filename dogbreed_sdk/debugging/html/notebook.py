"""The report in a notebook: verdict, findings, loss curve and insights, in a few kilobytes without script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import clipped, number
from dogbreed_sdk.debugging.verdict import ended_by, verdict
from dogbreed_sdk.pages.markup import Markup, element, inner
from dogbreed_sdk.pages.series import thinned
from training_scripts.rules.evidence.learning_curves import Curve

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 200, 48, 24
_POINTS = 400
MAX_POINTS = 4
MAX_INSIGHTS = 4
# Notebooks may be light or dark; these colors are visible on both.
_SIGNS = {
    "problem": ("▲", "#c24e00"),
    "slow": ("◆", "#a07000"),
    "hint": ("◆", "#a07000"),
    "well": ("✓", "#007a57"),
    "unknown": ("?", "#777777"),
}


def fragment(report: ReportContent) -> str:
    """The HTML for a cell's output."""
    judged = verdict(report)
    sign, color = _SIGNS[judged.level]
    loss = report.curves.get("loss")
    points = [
        element(
            "li",
            element("b", " ".join(filter(None, (point.title, point.where))), ": ") if point.title else None,
            clipped(point.message, 400),
            element("div", "→ ", clipped(point.advice, 400)) if point.advice else None,
        )
        for point in (judged.points[:MAX_POINTS] if judged.level in ("problem", "slow") else ())
    ]
    cards = [
        element(
            "li",
            element("b", clipped(insight.title, 300)),
            f" ({insight.confidence} confidence)",
            element("div", "→ ", clipped(insight.next_step, 400)) if insight.next_step else None,
        )
        for insight in report.insights()[:MAX_INSIGHTS]
    ]
    ended = ended_by(report)
    recorded = f", recorded by {report.recorded_by}" if report.recorded_by else ""
    numbers = " · ".join(f"{name} {value}" for name, value, _ in judged.numbers)
    return str(
        element(
            "div",
            element(
                "p",
                element("span", sign, style=f"color:{color}"),
                " ",
                element("b", judged.headline, style="font-size:1.25em"),
                element("br"),
                element("span", f"{clipped(report.source, 300)}{recorded}: {numbers}", style="opacity:.75"),
            ),
            element("p", clipped(ended, 600)) if ended else None,
            element("ul", points) if points else None,
            _drawing(loss) if loss is not None else None,
            inner([element("p", element("b", "Insights")), element("ul", cards)]) if cards else None,
            element("p", element("code", "report.to_html('report.html')"), " writes it all.", style="opacity:.75"),
            style="max-width:46rem",
        )
    )


def _drawing(curve: Curve) -> Markup | None:
    """Training loss, smoothed, and validation loss by epoch."""
    lines = [(curve.train.steps.astype(float), curve.smooth), (curve.positions, curve.valid)]
    finite = np.concatenate([values[np.isfinite(values)] for _, values in lines])
    ends = np.concatenate([steps[np.isfinite(steps)] for steps, _ in lines])
    if not len(finite) or not len(ends):
        return None
    frame = _Frame(float(ends.min()), float(ends.max()), float(finite.min()), float(finite.max()))
    looks = (("#2f8fd0", None, "train, smoothed"), ("#e0702a", "6 4", "validation, by epoch"))
    drawn = [
        element(
            "path",
            element("title", name),
            d=frame.path(*line),
            fill="none",
            stroke=color,
            stroke_width=2,
            stroke_dasharray=dash,
        )
        for line, (color, dash, name) in zip(lines, looks, strict=True)
    ]
    return element(
        "svg", drawn, frame.labels(), viewbox=f"0 0 {_WIDTH} {_HEIGHT}", width="100%", role="img",
        aria_label="Training and validation loss over the steps",
    )  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """The range of the drawing: from the first to the last step, from the lowest to the highest value."""

    first: float
    last: float
    low: float
    high: float

    def path(self, steps: NDArray[np.float64], values: NDArray[np.float64]) -> str:
        """A curve as an SVG path, without values that are not finite."""
        x, y = thinned(steps, values, _POINTS)
        across = _LEFT + (_WIDTH - _LEFT - 4) * _share(x - self.first, self.last - self.first)
        down = 6 + (_HEIGHT - _BOTTOM - 6) * _share(self.high - y, self.high - self.low)
        points = [
            f"{a:.1f} {b:.1f}" for a, b in zip(across.tolist(), down.tolist(), strict=True) if np.isfinite([a, b]).all()
        ]
        return "M" + "L".join(points) if points else ""

    def labels(self) -> list[Markup]:
        """Labels of the axes' ends, and the legend."""
        below = _HEIGHT - 6
        places: tuple[tuple[str, float, float, str | None], ...] = (
            (number(self.high), 2, 14, None),
            (number(self.low), 2, _HEIGHT - _BOTTOM, None),
            (f"step {number(self.first)}", _LEFT, below, None),
            (f"step {number(self.last)}", _WIDTH - 4, below, "end"),
            ("loss: train ━   validation ╍", _WIDTH / 2, below, "middle"),
        )
        look = {"fill": "currentColor", "font_size": 11, "opacity": 0.75}
        return [element("text", said, x=x, y=y, text_anchor=anchor, **look) for said, x, y, anchor in places]


def _share(distance: NDArray[np.float64], whole: float) -> NDArray[np.float64]:
    """Distances as shares of the whole, which may be zero or overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        shares: NDArray[np.float64] = distance / (whole or 1.0)
    return shares
