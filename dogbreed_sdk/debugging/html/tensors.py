"""The report's tensor statistics: gradients, weights and activations by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import clipped, counted_more, number, percent
from dogbreed_sdk.debugging.html.sections import NO_TENSORS
from dogbreed_sdk.pages.drawings import sparkline
from dogbreed_sdk.pages.markup import Markup, breakable, element, table
from dogbreed_sdk.pages.sections import empty, figure, section
from dogbreed_sdk.pages.series import Charts, chart, line
from training_scripts._util.number_text import counted
from training_scripts.recording.trial.layout import PER_RUN, SCALARS
from training_scripts.recording.trial.reductions import REDUCTIONS, reduce
from training_scripts.recording.trial.trial import EVAL, TRAIN, Trial
from training_scripts.rules.evidence import selection
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult

# A full tensor is read at up to this many steps, evenly spread.
MAX_READS = 80
# Number of curves that are distinguishable in one chart.
MAX_SHOWN = 6
_NO_STATISTICS = PER_RUN | {"losses", "metrics", "inputs", SCALARS}


@dataclass(frozen=True)
class Quantity:
    """A reduction of one kind of tensors.

    Attributes:
        key: Short name for the page.
        title: Title on the page.
        collections: Collections of the tensors.
        kind: The reduction.
        unit: number or share.
    """

    key: str
    title: str
    collections: tuple[str, ...]
    kind: str
    unit: str = "number"


_ACTIVATIONS = ("relu_output", "sigmoid_output", "tanh_output", "sigmoid_input", "tanh_input")
QUANTITIES = (
    Quantity("gradient", "Gradients: mean absolute value", ("gradients",), "abs_mean"),
    Quantity("gradient-std", "Gradients: spread (standard deviation)", ("gradients",), "std"),
    Quantity("update", "Weights: size of an update relative to the weights", ("weights",), "update_ratio"),
    Quantity("weight", "Weights: norm (L2)", ("weights",), "l2"),
    Quantity("weight-std", "Weights: spread (standard deviation)", ("weights",), "std"),
    Quantity("bias", "Biases: mean absolute value", ("biases",), "abs_mean"),
    Quantity("inactive", "ReLUs: share of inactive units", _ACTIVATIONS, "inactive_fraction", "share"),
    Quantity("saturated", "Sigmoid, tanh: share of saturated units", _ACTIVATIONS, "saturated_fraction", "share"),
    Quantity("zeros", "Weights: share of zeros", ("weights",), "zero_fraction", "share"),
    Quantity("broken", "Gradients: share not finite", ("gradients",), "nonfinite_fraction", "share"),
)
_OTHERS = Quantity("other", "Other tensors: mean", (), "mean")
# Shown only if some value is not zero.
_QUIET = ("zeros", "broken")

Row = tuple[str, NDArray[np.int64], NDArray[np.float64]]


def tensors_section(
    trial: Trial | None, results: Sequence[RuleResult], charts: Charts, *, points: int, layers: int
) -> Markup:
    """Tables of statistics, one per quantity; their charts are added to `charts`."""
    title = "Tensor statistics"
    if trial is None:
        return section("tensors", title, empty(NO_TENSORS))
    statistics = _Statistics(trial)
    fired = {finding.tensor for result in results if result.status == ISSUES_FOUND for finding in result.findings}
    groups = [
        (quantity, rows, left)
        for quantity in (*QUANTITIES, _OTHERS)
        for rows, left in [_rows(statistics, quantity, fired, layers)]
        if rows
    ]
    if not groups:
        reason = "Only losses were recorded; statistics need the collections weights and gradients."
        return section("tensors", title, empty(reason))
    options = [element("option", quantity.title, value=quantity.key) for quantity, _, _ in groups]
    choice = element(
        "p",
        element("label", "Show ", element("select", options, data_choice="tensors", autocomplete="off")),
        class_="choice",
    )
    drawn = [_group(quantity, rows, fired, charts, left=left, points=points) for quantity, rows, left in groups]
    lead = "One row per layer, from the first recorded step to the last. Checked rows are in the chart."
    return section("tensors", title, choice, element("div", drawn, class_="quantities"), lead=lead)


def _rows(statistics: _Statistics, quantity: Quantity, fired: set[str], layers: int) -> tuple[list[Row], int]:
    """The rows of a quantity, always including tensors with findings; and how many were left out."""
    names = statistics.names(quantity)
    kept = set(sorted(names, key=lambda name: name not in fired)[:layers])
    rows = [
        (name, *series)
        for name in names
        if name in kept
        for series in [statistics.series(name, quantity.kind)]
        if series is not None
    ]
    if quantity.key in _QUIET and not any(np.any(values != 0) for _, _, values in rows):
        return [], 0
    return rows, len(names) - len(kept) if rows else 0


def _group(quantity: Quantity, rows: list[Row], fired: set[str], charts: Charts, *, left: int, points: int) -> Markup:
    shown = set(_chosen([row[0] for row in rows], fired))
    name = f"tensors:{quantity.key}"
    charts[name] = chart(
        [
            line(clipped(row[0], 120), row[1], row[2], look=index % 8, points=points, off=row[0] not in shown)
            for index, row in enumerate(rows)
        ],
        x="training step",
        y=quantity.title.partition(": ")[2],
        unit=quantity.unit,
        low=0.0 if quantity.unit == "share" else None,
        high=1.0 if quantity.unit == "share" else None,
        link="training",
    )
    said = percent if quantity.unit == "share" else number
    body = [
        [
            _tick(index, row[0], fired, on=row[0] in shown),
            element("td", sparkline(row[2], label=f"{clipped(row[0], 120)}, {counted(len(row[2]), 'value')}")),
            *(said(value) for value in _numbers(row[2])),
        ]
        for index, row in enumerate(rows)
    ]
    more = element("p", f"{counted_more(left)} in the recording: report.trial has them.", class_="quiet")
    return element(
        "div",
        element("h3", quantity.title),
        figure(name, quantity.title),
        table(["Layer", "Over the run", "first", "last", "min", "max"], body, numeric=(2, 3, 4, 5), class_="layers"),
        more if left > 0 else None,
        class_="quantity",
        data_option=quantity.key,
    )


def _tick(index: int, name: str, fired: set[str], *, on: bool) -> Markup:
    """The row's name, with a checkbox for its curve in the chart."""
    sign = (
        element("span", " ▲", class_="sign problem", title="a rule has a finding for this tensor")
        if name in fired
        else None
    )
    box = element("input", type="checkbox", checked=on, data_series=index, autocomplete="off")
    return element("label", box, element("span", breakable(clipped(name, 120))), sign)


def _chosen(names: Sequence[str], fired: set[str]) -> list[str]:
    """The curves that a chart shows initially: tensors with findings, then layers from the first to the last."""
    named = [name for name in names if name in fired]
    spread = np.unique(np.linspace(0, len(names) - 1, min(MAX_SHOWN - 2, len(names))).round().astype(int))
    return list(dict.fromkeys([*named, *(names[index] for index in spread.tolist())]))[:MAX_SHOWN]


def _numbers(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (float("nan"), float("nan"))
    return float(values[0]), float(values[-1]), low, high


class _Statistics:
    """A trial's statistics by tensor and kind; a full tensor is read once for all kinds."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._computed: dict[str, tuple[NDArray[np.int64], Mapping[str, NDArray[np.float64]]]] = {}

    def names(self, quantity: Quantity) -> list[str]:
        """The tensors that may have a quantity, in the network's order as far as their names show it."""
        members = self._trial.collections
        if quantity is _OTHERS:
            known = {name for entry in QUANTITIES for key in entry.collections for name in members.get(key, ())}
            known |= {name for key in _NO_STATISTICS for name in members.get(key, ())}
            return [
                name for name in self._trial.tensor_names() if name not in known and not name.startswith("gradient/")
            ]
        found = [name for key in quantity.collections for name in members.get(key, ()) if self._trial.has(name)]
        if quantity.collections == ("gradients",) and not found:
            found = self._trial.tensor_names(regex="^gradient/")
        ordered: list[str] = selection.natural(set(found))
        return ordered

    def series(self, name: str, kind: str) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """Steps and values in TRAIN, or without any in EVAL."""
        tensor = self._trial.tensor(name)
        for mode in (TRAIN, EVAL):
            recorded = self._trial.recorded_reductions(name, mode).get(kind)
            if recorded is not None and len(recorded):
                return recorded.steps, recorded.values
        if kind not in REDUCTIONS:
            return None
        if name not in self._computed:
            full = [mode for mode in (TRAIN, EVAL) if len(self._trial.steps_in_full(name, mode))]
            if not full:
                return None
            mode = full[0]
            steps = self._trial.steps_in_full(name, mode)
            steps = steps[np.unique(np.linspace(0, len(steps) - 1, min(MAX_READS, len(steps))).round().astype(int))]
            table = np.array([_reduced(tensor.value(step, mode)) for step in steps.tolist()], dtype=np.float64)
            self._computed[name] = steps, dict(zip(REDUCTIONS, table.T, strict=True))
        steps, kinds = self._computed[name]
        return steps, kinds[kind]


def _reduced(value: NDArray[Any]) -> list[float]:
    return [reduce(kind, value) for kind in REDUCTIONS]
