"""Bars as SVG without script: a share of a whole, and the phases of a job. They need no NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dogbreed_sdk._util.formatting import percent
from dogbreed_sdk.pages.markup import Markup, element


def bar(share: float, *, label: str, look: int = 0) -> Markup:
    """A horizontal bar, with a share from 0 to 1."""
    width = round(100 * min(1.0, max(0.0, share)), 2) if math.isfinite(share) else 0
    return element(
        "svg",
        element("rect", x=0, y=0, width=100, height=10, class_="track"),
        element("rect", x=0, y=0, width=width, height=10, class_=f"fill-{look}"),
        viewbox="0 0 100 10",
        preserveaspectratio="none",
        class_="bar",
        role="img",
        aria_label=label,
    )


def phases(parts: Sequence[tuple[str, float]]) -> Markup:
    """A bar of consecutive phases, with widths in proportion to their durations.

    Args:
        parts: Name and seconds of each phase.
    """
    total = sum(length for _, length in parts) or 1.0
    drawn, x = [], 0.0
    for index, (name, length) in enumerate(parts):
        width = 1000 * length / total
        drawn.append(
            element(
                "rect",
                element("title", f"{name}: {percent(length / total)}"),
                x=round(x, 2),
                y=0,
                width=round(max(1.0, width - 2), 2),
                height=26,
                class_=f"fill-{index}",
            )
        )
        x += width
    label = ", ".join(f"{name} {percent(length / total)}" for name, length in parts)
    return element(
        "svg", drawn, viewbox="0 0 1000 26", preserveaspectratio="none", class_="phases", role="img", aria_label=label
    )
