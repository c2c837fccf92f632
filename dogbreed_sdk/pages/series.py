"""Shortens series for drawing without losing their peaks; describes charts as plain values for the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Above this ratio of high to low values a curve is unreadable on a linear axis.
WIDE_RATIO = 300.0

Mark: TypeAlias = dict[str, object]
"""A mark on a chart's horizontal axis, made by `mark`."""
Chart: TypeAlias = dict[str, object]
"""A chart or a heat map as the page's script reads it."""
Charts: TypeAlias = dict[str, Chart]
"""The page's charts by name."""


class _Thinned(TypedDict, total=False):
    e: list[list[float | int | None]]


class Line(_Thinned):
    """A curve of a chart as the page's script reads it, made by `line`; `e` are the ends of intervals."""

    name: str
    look: int
    kind: str
    off: bool
    x: list[float | int | None]
    y: list[float | int | None]


def thinned(x: ArrayLike, y: ArrayLike, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Thins out a curve: keeps the lowest and highest point of each of many equal stretches.

    Args:
        x: Ascending positions [n].
        y: Values [n]; a value that is not finite is kept only if its stretch has no others.
        points: Approximate number of points to keep.
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
    limits: NDArray[np.float64] | None = None,
) -> Line:
    """One curve of a chart.

    Args:
        name: Name in the legend.
        x: Positions [n].
        y: Values [n].
        look: Index of its color, dashes and shape: 0 to 7.
        points: Approximate number of points to keep.
        kind: line, faint (a thin line behind the others), dots, or both (line and dots).
        off: Whether it is hidden at first.
        limits: Both ends of the 95% intervals [n, 2], which are drawn; left out if the curve is thinned out.
    """
    positions, values = thinned(x, y, points)
    made: Line = {
        "name": name,
        "look": look,
        "kind": kind,
        "off": off,
        "x": [_short(value) for value in positions.tolist()],
        "y": [_short(value) for value in values.tolist()],
    }
    if limits is not None and len(limits) == len(values):
        made["e"] = [[_short(low), _short(high)] for low, high in limits.tolist()]
    return made


def chart(
    series: Sequence[Line],
    *,
    x: str,
    y: str,
    unit: str = "number",
    time: bool = False,
    marks: Iterable[Mark] = (),
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
    link: str | None = None,
    log: bool | None = None,
) -> Chart:
    """A chart for the page.

    Args:
        series: Results of `line`.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        unit: Unit of the values: number, share (0 to 1, shown in percent), percent, seconds or bytes.
        time: Whether x is seconds, not steps.
        marks: Results of `mark`.
        low: Lower limit of the vertical axis.
        high: Upper limit of the vertical axis.
        whole: Whether the vertical axis always shows all from `low` to `high`.
        link: Charts of the same name zoom together.
        log: Whether the vertical axis is logarithmic initially; None lets the values decide.
    """
    # Noise may come close to zero; the other curves decide.
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


def mark(kind: str, x: float, label: str, *, to: float | None = None) -> Mark:
    """A mark on the horizontal axis.

    Args:
        kind: finding, best, epoch, phase or broken (values that are not finite).
        x: Its position or begin.
        label: Its label.
        to: Its end, for a stretch.
    """
    return {"kind": kind, "x": _short(x), "label": label, "to": None if to is None else _short(to)}


def broken_stretches(x: ArrayLike, y: ArrayLike) -> list[tuple[float, float, int]]:
    """The stretches where a curve is not finite: begin, end and number of values."""
    positions, bad = np.asarray(x, dtype=np.float64), ~np.isfinite(np.asarray(y, dtype=np.float64))
    borders = np.flatnonzero(np.diff(np.concatenate(([False], bad, [False])).astype(int)))
    return [
        (float(positions[begin]), float(positions[end - 1]), int(end - begin))
        for begin, end in zip(borders[::2].tolist(), borders[1::2].tolist(), strict=True)
    ]


def _short(value: float) -> float | int | None:
    """Rounds to six digits, more than a screen shows."""
    if not np.isfinite(value):
        return None
    if value == int(value) and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.6g}") if abs(value) < 1e6 else round(value, 1)
