"""A rule's details as box plots, histograms and lists of numbers: ours and those of AWS's report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from dogbreed_sdk._util.formatting import clipped, number, seconds
from dogbreed_sdk.pages.drawings import box_plot, histogram
from dogbreed_sdk.pages.markup import Child, Markup, element
from training_scripts._util.number_text import counted

_MAX_NUMBERS = 40
_MAX_DRAWINGS = 16
_MAX_DEPTH = 5
# Names in AWS's report and in ours.
_COUNTS, _EDGES = ("probs", "histogram", "counts"), ("binedges", "edges", "bin_edges")
_BOX = ("p25", "p50", "p75", "p95")


def details(values: Mapping[str, Any]) -> Markup | None:
    """Everything in a rule's details that can be drawn or listed; None without any."""
    drawings = list(islice(_drawings(values, "", 0), _MAX_DRAWINGS))
    numbers = list(islice(_numbers(values, "", 0), _MAX_NUMBERS))
    if not drawings and not numbers:
        return None
    said = [element("div", element("dt", clipped(name, 120)), element("dd", value)) for name, value in numbers]
    return element(
        "div",
        element("div", drawings, class_="drawings") if drawings else None,
        element("p", "Details", class_="caption") if said else None,
        element("dl", said, class_="parameters", aria_label="Details") if said else None,
    )


def _drawings(values: Mapping[str, Any], name: str, depth: int) -> Iterator[Child]:
    if depth > _MAX_DEPTH:
        return
    counts, edges = _first(values, _COUNTS), _first(values, _EDGES)
    if _is_numbers(counts) and _is_numbers(edges) and len(edges) == len(counts) + 1:
        label = _label(str(values.get("phase", "")) or name or "distribution")
        unit = seconds if "time" in label or label.startswith("Step") else number
        yield _captioned(label, histogram(counts, edges, label=f"Histogram: {label}", unit=unit))
    elif all(isinstance(values.get(key), (int, float)) for key in _BOX):
        yield _captioned(_label(name), _box(values, _label(name)))
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _drawings(value, _joined(name, key), depth + 1)
        elif _is_numbers(value) and (key == "workloads" or name.endswith("workloads")):
            # AWS: the number of a GPU's samples at each utilization, in equal steps up to 100%.
            edges = [100 * index / len(value) for index in range(len(value) + 1)]
            yield _captioned(
                f"{key}: utilization", histogram(value, edges, label=f"Utilization of {key}", unit=_percent)
            )


def _box(values: Mapping[str, Any], label: str) -> Markup:
    p5 = next((values[key] for key in ("p05", "p5", "gpu_5", "lower") if isinstance(values.get(key), (int, float))), 0)
    low, high = min(0.0, float(values.get("lower", p5))), max(100.0, float(values.get("upper", values["p95"])))
    drawn = box_plot(p5, *(float(values[key]) for key in _BOX), low=low, high=high, label=f"Box plot: {label}")
    ends = [element("span", text) for text in (number(low), f"median {number(values['p50'])}", number(high))]
    return element("figure", drawn, element("div", ends, class_="ends"), class_="small")


def _numbers(values: Mapping[str, Any], name: str, depth: int) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        full = _joined(name, key)
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            if _is_long_list(value):
                yield _label(full), counted(len(value), "time")
            else:
                yield from _numbers(value, full, depth + 1)
        elif "timestamp" in key:
            continue
        elif isinstance(value, (bool, int, float)):
            yield _label(full), number(value)
        elif isinstance(value, str) and value:
            yield _label(full), clipped(value, 200)
        elif _is_numbers(value) and key not in (*_COUNTS, *_EDGES) and not name.endswith("workloads"):
            shown = ", ".join(number(entry) for entry in value[:8])
            yield _label(full), shown + (f", … ({len(value)} in all)" if len(value) > 8 else "")


def _is_long_list(value: Mapping[str, Any]) -> bool:
    """Whether it is a long list, or one that AWS keys by time: its length is shown instead of its entries."""
    return len(value) > _MAX_NUMBERS or all(key.replace(".", "").isdigit() and len(key) > 9 for key in map(str, value))


def _percent(value: float) -> str:
    return f"{number(value)}%"


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if name in values), None)


def _is_numbers(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(entry, (int, float)) and not isinstance(entry, bool) for entry in value)
    )


def _joined(name: str, key: object) -> str:
    return f"{name} / {key}" if name else str(key)


def _label(name: str) -> str:
    return clipped(name.replace("_", " "), 120)


def _captioned(caption: str, drawing: Markup) -> Markup:
    return element("div", element("p", caption, class_="caption"), drawing)
