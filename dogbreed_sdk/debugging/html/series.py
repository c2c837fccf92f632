"""Long series made short enough to be drawn, without losing their peaks; charts as plain values for the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Beyond this ratio of its highest to its low values a curve is a wall on a linear axis.
WIDE_RATIO = 300.0


def thinned(x: ArrayLike, y: ArrayLike, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most about so many points of a curve: of each stretch of equal length its lowest and its highest.

    Args:
        x: Ascending positions [n].
        y: Values [n]; what is not finite stays where it is if it is all there is in its stretch.
        points: How many to keep.
    """
    positions, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(values) <= points:
        return positions, values
    edges = np.linspace(0, len(values), max(1, points // 2) + 1).astype(int)
    low, high = np.where(np.isfinite(values), values, np.inf), np.where(np.isfinite(values), values, -np.inf)
    kept = {0, len(values) - 1}
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        kept |= {begin + int(low[begin:end].argmin()), begin + int(high[begin:end].argmax())}
    indices = sorted(kept)
    return positions[indices], values[indices]


def line(
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    look: int,
    points: int,
    kind: str = "line",
    off: bool = False,
    error: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """One curve of a chart.

    Args:
        name: What the legend calls it.
        x: Positions [n].
        y: Values [n].
        look: Its colour, dashes and shape: 0 to 7.
        points: How many points to keep.
        kind: line, faint (a thin line behind the others), dots, or both (line and dots).
        off: Whether it is hidden at first.
        error: Standard errors [n], drawn as 95 % intervals; left out where the curve is too long for its points.
    """
    positions, values = thinned(x, y, points)
    spread = (
        {} if error is None or len(error) != len(values) else {"e": [_short(2 * value) for value in error.tolist()]}
    )
    return {
        **spread,
        "name": name,
        "look": look,
        "kind": kind,
        "off": off,
        "x": [_short(value) for value in positions.tolist()],
        "y": [_short(value) for value in values.tolist()],
    }


def chart(
    series: Sequence[dict[str, Any]],
    *,
    x: str,
    y: str,
    unit: str = "number",
    time: bool = False,
    marks: Iterable[dict[str, Any]] = (),
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
    link: str | None = None,
    log: bool | None = None,
) -> dict[str, Any]:
    """A chart for the page.

    Args:
        series: Of `line`.
        x: What the horizontal axis shows.
        y: What the vertical axis shows.
        unit: Of the values: number, share (0 to 1, shown in percent), percent, seconds or bytes.
        time: Whether x is seconds, not steps.
        marks: Of `mark`.
        low: No value is below: the vertical axis never goes further.
        high: No value is above, likewise.
        whole: Whether the vertical axis always shows all from `low` to `high`.
        link: Charts of the same name zoom together.
        log: Whether the vertical axis is logarithmic at first; None where the values may decide.
    """
    # Noise may come near zero; it is the curves before it that are to be read.
    read = [each for each in series if each["kind"] != "faint"] or series
    values = np.array([value for each in read for value in each["y"] if value is not None], dtype=np.float64)
    positive = values[values > 0]
    wide = len(positive) > 0 and float(positive.max()) > WIDE_RATIO * float(np.percentile(positive, 5))
    return {
        "x": x,
        "y": y,
        "unit": unit,
        "time": time,
        "low": low,
        "high": high,
        "whole": whole,
        "link": link,
        "log": bool(wide and len(positive) == len(values)) if log is None else log,
        "loggable": bool(len(positive)) and unit in ("number", "seconds"),
        "series": list(series),
        "marks": list(marks),
    }


def mark(kind: str, x: float, label: str, *, to: float | None = None) -> dict[str, Any]:
    """Something worth a mark on the horizontal axis.

    Args:
        kind: finding, best, epoch, phase or broken (values that are no numbers).
        x: Where it is or begins.
        label: What it is.
        to: Where it ends, for a stretch.
    """
    return {"kind": kind, "x": _short(x), "label": label, "to": None if to is None else _short(to)}


def broken_stretches(x: ArrayLike, y: ArrayLike) -> list[tuple[float, float, int]]:
    """Where a curve is not finite: begin, end and number of values of each stretch."""
    positions, bad = np.asarray(x, dtype=np.float64), ~np.isfinite(np.asarray(y, dtype=np.float64))
    borders = np.flatnonzero(np.diff(np.concatenate(([False], bad, [False])).astype(int)))
    return [
        (float(positions[begin]), float(positions[end - 1]), int(end - begin))
        for begin, end in zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True)
    ]


def _short(value: float) -> float | int | None:
    """Six digits: no screen shows more."""
    if not np.isfinite(value):
        return None
    if value == int(value) and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.6g}") if abs(value) < 1e6 else round(value, 1)
