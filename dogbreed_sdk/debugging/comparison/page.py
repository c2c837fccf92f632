"""A comparison as one HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dogbreed_sdk._util.formatting import clipped, joined, plain, seconds
from dogbreed_sdk.debugging.comparison import parameters, words
from dogbreed_sdk.debugging.comparison.axes import AXES, positions
from dogbreed_sdk.debugging.comparison.runs import ACCURACY, LOSS, VALIDATION, ComparedRun
from dogbreed_sdk.debugging.verdict import STATUS_WORDS, main_message, verdict
from dogbreed_sdk.pages import tables
from dogbreed_sdk.pages.document import asset, filled_page
from dogbreed_sdk.pages.markup import Child, Markup, breakable, element, inner, table
from dogbreed_sdk.pages.sections import empty, head, section
from dogbreed_sdk.pages.series import WIDE_RATIO, Line, chart, line
from dogbreed_sdk.pages.tables import Cell, Column, sortable_table
from training_scripts._util.number_text import counted
from training_scripts.recording.trial.trial import despite_damage
from training_scripts.rules.evidence.learning_curves import Curve
from training_scripts.rules.findings import ISSUES_FOUND, NO_ISSUES_FOUND

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.comparison.content import ComparisonContent
    from dogbreed_sdk.debugging.comparison.effects import Effect

MAX_BYTES = 2_000_000
# Points per page for all curves; the first that makes the file small enough is taken.
POINTS = (24_000, 8_000, 2_000)
MAX_RUNS = 60
MAX_EFFECTS = 40
LOOKS = 8
_SECTIONS = (
    ("curves", "Curves"),
    ("runs", "Runs"),
    ("changes", "Which change did what"),
    ("rules", "Rules"),
    ("shared", "In common"),
)
_SIGNS = {ISSUES_FOUND: "▲ issue", NO_ISSUES_FOUND: "✓", "Error": "✕ failed", "NotEvaluated": "—", "": "—"}


def document(content: ComparisonContent) -> bytes:
    """The HTML page, encoded as UTF-8."""
    page = b""
    for points in POINTS:
        page = despite_damage(partial(_page, content, points))
        if len(page) < MAX_BYTES:
            break
    return page


def _page(content: ComparisonContent, points: int) -> bytes:
    shown = content.runs[:MAX_RUNS]
    body = inner(
        [
            _head(content),
            _curves_section(content),
            _runs_section(content, shown),
            _changes_section(content),
            _rules_section(content, shown),
            _shared_section(content),
        ]
    )
    curves = {name: _chart(name, shown, max(40, points // len(shown))) for name in _measures(content)}
    sources = " ".join(shlex.quote(run.source) for run in content.given)
    again = element("code", clipped(f"dogbreed report {sources} --html comparison.html", 600))
    return filled_page(
        brand="Comparison",
        title=clipped(words.headline(content), 160),
        sections=_SECTIONS,
        body=body,
        footer=inner(["Regenerate: ", again]),
        charts={},
        script=tables.script() + asset("runs.js"),
        data={"runs": plain(curves), "axes": _axes(shown)},
        style=tables.style() + asset("runs.css"),
    )


def _measures(content: ComparisonContent) -> list[str]:
    return [name for name in (ACCURACY, LOSS) if any(name in run.curves for run in content.runs)]


def _head(content: ComparisonContent) -> Markup:
    best = next((effect for effect in content.effects if effect.is_single and effect.is_clear), None)
    said = None
    if best is not None:
        said = element("p", element("b", words.change(best)), ": ", words.outcome(best, content))
    notes = [element("p", note) for note in content.notes]
    about = [element("b", counted(len(content.runs), "run")), element("span", f"ranked by {words.ranked_by(content)}")]
    return inner(
        [
            element("p", about if content.measure else about[:1], class_="about"),
            head(words.headline(content), said, notes, look="well" if content.measure else "unknown"),
        ]
    )


# ---------------------------------------------------------------- curves


def _curves_section(content: ComparisonContent) -> Markup:
    measures = _measures(content)
    if not measures:
        return section("curves", "Learning curves", empty("No run has recorded a loss."))
    axes = _axes(content.runs[:MAX_RUNS])
    options = [element("option", f"{label}", value=name) for name, label in axes.items()]
    controls = element(
        "div",
        element("label", "Over ", element("select", options, id="axis", autocomplete="off")) if len(axes) > 1 else None,
        [
            element(
                "label",
                element("input", type="checkbox", checked=True, data_split=split, autocomplete="off"),
                f" {split}",
            )
            for split in ("validation", "training")
        ],
        class_="controls",
    )
    drawn = [_figure(name, name.capitalize()) for name in measures]
    lead = "Thick with dots: validation, by epoch. Thin: training, smoothed. A click on a curve or a run marks the run."
    return section("curves", "Learning curves", controls, element("div", drawn, class_="charts"), lead=lead)


def _figure(name: str, caption: str) -> Markup:
    return element(
        "figure",
        element("figcaption", caption),
        element("noscript", element("p", "The chart needs JavaScript; tables and text do not.", class_="empty")),
        data_runs=name,
        class_="chart",
    )


def _axes(runs: Sequence[ComparedRun]) -> dict[str, str]:
    """The axes that all runs have, else those that some have."""
    with_curves = [run for run in runs if run.curves]
    everywhere = {name: label for name, label in AXES.items() if all(name in run.progress for run in with_curves)}
    return everywhere or {name: label for name, label in AXES.items() if any(name in run.progress for run in runs)}


def _chart(measure: str, runs: Sequence[ComparedRun], points: int) -> dict[str, Any]:
    series = [
        each
        for place, run in enumerate(runs)
        if measure in run.curves
        for each in _lines(run, run.curves[measure], place % LOOKS, points)
    ]
    is_loss = measure == LOSS
    made = chart(
        cast("list[Line]", series),
        x="",
        y=measure,
        unit="number" if is_loss else "share",
        high=None if is_loss else 1.0,
        low=None if is_loss and any(value is not None and value < 0 for each in series for value in each["y"]) else 0.0,
        log=is_loss and _is_wide(series),
    )
    return dict(made)


def _is_wide(series: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the curves, of a diverged run too, are unreadable on a linear axis; the training curves are smoothed."""
    values = np.array([value for each in series for value in each["y"] if value is not None], dtype=np.float64)
    if not len(values) or values.min() <= 0:
        return False
    return float(values.max()) > WIDE_RATIO * float(np.percentile(values, 5))


def _lines(run: ComparedRun, curve: Curve, look: int, points: int) -> list[dict[str, Any]]:
    """A run's validation and training curve, with their positions on every axis."""
    found = []
    if len(curve.train):
        made = line(run.name, curve.train.steps, curve.smooth, look=look, points=points, kind="faint")
        found.append(_on_axes(run, made, "training"))
    if len(curve.numbers):
        where = np.where(np.isfinite(curve.positions), curve.positions, curve.numbers)
        made = line(run.name, where, curve.valid, look=look, points=points, kind="both", limits=curve.limits)
        found.append(_on_axes(run, made, "validation"))
    return found


def _on_axes(run: ComparedRun, made: Line, split: str) -> dict[str, Any]:
    steps = np.array([np.nan if value is None else value for value in made["x"]], dtype=np.float64)
    places = {
        axis: [_short(value) for value in positions(known, steps).tolist()] for axis, known in run.progress.items()
    }
    return {**made, "run": run.name, "split": split, "places": places}


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


# ---------------------------------------------------------------- tables


def _runs_section(content: ComparisonContent, shown: Sequence[ComparedRun]) -> Markup:
    measures = _measures(content)
    columns = [Column("Run")]
    columns += [Column(name.capitalize(), is_number=True, high_first=name == ACCURACY) for name in measures]
    # Before the parameters: where there are many, the table scrolls, and what a run is worth stays in sight.
    columns += [Column("Verdict", look="reason")]
    columns += [Column(name, is_number=_is_numeric(shown, name)) for name in content.differing]
    columns += [Column("Length", is_number=True), Column("Time", is_number=True)]
    # The width is for what differs.
    has_status = len({run.report.status for run in content.runs}) > 1
    columns += [Column("Status")] if has_status else []
    best = {name: _best(content.runs, name) for name in measures}
    rows = []
    for run in shown:
        judged = verdict(run.report)
        cells = [Cell(breakable(run.name), run.name)]
        cells += [_result_cell(run, name, best[name]) for name in measures]
        cells += [Cell(clipped(judged.headline, 160), judged.level)]
        cells += [_parameter_cell(run, name) for name in content.differing]
        cells += [
            Cell(words.length(run), run.amount("step")),
            Cell(seconds(run.seconds), run.seconds),
            *([Cell(run.report.status, run.report.status)] if has_status else []),
        ]
        rows.append(cells)
    left = len(content.runs) - len(shown)
    more = element("p", f"{counted(left, 'more run')} not shown.", class_="quiet") if left else None
    lead = "The parameters that differ against the results: the best validation value, or the last of training."
    made = sortable_table(columns, rows, label="Runs and their results", marks=[run.name for run in shown])
    return section("runs", "Runs, best first", made, *filter(None, [more]), lead=lead)


def _is_numeric(runs: Sequence[ComparedRun], name: str) -> bool:
    return all(_number(parameters.value_of(run, name)) is not None for run in runs if name in run.parameters)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _best(runs: Sequence[ComparedRun], measure: str) -> float | None:
    """The best validation value; training values are not marked."""
    found = [run.results[measure] for run in runs if measure in run.results]
    values = [result.value for result in found if result.split == VALIDATION]
    choose = max if measure == ACCURACY else min
    return choose(values, default=None)


def _result_cell(run: ComparedRun, measure: str, best: float | None) -> Cell:
    result = run.results.get(measure)
    if result is None:
        return Cell("—")
    where = f"epoch {result.epoch}" if result.epoch is not None else "training"
    said = inner([words.value(measure, result.value), element("small", where, class_="quiet at")])
    return Cell(said, result.value, result.split == VALIDATION and result.value == best)


def _parameter_cell(run: ComparedRun, name: str) -> Cell:
    text = parameters.value_of(run, name)
    value = _number(text)
    return Cell(clipped(text, 60), (value if value is not None else text) if name in run.parameters else None)


def _changes_section(content: ComparisonContent) -> Markup:
    title = "Which change did what"
    if content.measure is None:
        return section("changes", title, empty("The runs have no common result."))
    if not content.effects:
        said = element("p", words.noise(content))
        return section("changes", title, empty("The runs differ in nothing but chance."), said)
    rows = [
        [
            words.change(effect),
            f"{words.names(effect.before)} → {words.names(effect.after)}",
            element("td", words.difference(effect, content.measure), class_="number change"),
            _judged(effect, content),
            words.outcome(effect, content),
        ]
        for effect in content.effects[:MAX_EFFECTS]
    ]
    head = ["Change", "From, to", f"Better {content.measure}", "", "Meaning"]
    lead = "From the worse to the better run, with 95% intervals. " + words.noise(content)
    return section("changes", title, table(head, rows, label="Effects of changes", class_="plain"), lead=lead)


def _judged(effect: Effect, content: ComparisonContent) -> Markup:
    if effect.causes:
        return element("td", "cause differs", class_="change")
    if effect.unknown:
        return element("td", "not recorded", class_="change")
    if not effect.is_single:
        return element("td", "several changes", class_="change")
    if not effect.is_clear and content.by_loss(effect) is not None:
        return element("td", "clear by loss", class_="change clear")
    is_clear = effect.is_clear
    return element("td", "clear" if is_clear else "within chance", class_="change clear" if is_clear else "change")


def _rules_section(content: ComparisonContent, shown: Sequence[ComparedRun]) -> Markup:
    title = "Rules side by side"
    rules = content.rules
    if not rules:
        return section("rules", title, empty("No rule could be evaluated in any run."))
    found = {name: row for name, row in rules.items() if ISSUES_FOUND in row or "Error" in row}
    quiet = [name for name in rules if name not in found]
    if not found:
        evaluated = joined(quiet, most=len(quiet))
        return section("rules", title, element("p", f"No rule found an issue in any run. Evaluated: {evaluated}."))
    said = element("p", "No issue in any run: ", ", ".join(quiet), ".", class_="quiet") if quiet else None
    rows = [[name, *(_status(status) for status in row[: len(shown)])] for name, row in found.items()]
    messages = _messages(shown, found)
    head: list[Child] = ["Rule", *(run.name for run in shown)]
    return section("rules", title, table(head, rows, label="Rules by run"), messages, said)


def _status(status: str) -> Markup:
    word = element("span", STATUS_WORDS.get(status, "Not evaluated"), class_="unseen")
    sign = element("span", _SIGNS.get(status, status), aria_hidden="true")
    return element("td", sign, word, class_=f"status {status}")


def _messages(shown: Sequence[ComparedRun], found: Mapping[str, Sequence[str]]) -> Markup:
    listed = [
        element("li", element("b", f"{run.name}, {result.name}: "), clipped(main_message(result), 400))
        for run in shown
        for result in run.report.rules
        if result.status == ISSUES_FOUND and result.name in found
    ]
    return element("ul", listed, class_="evidence")


def _shared_section(content: ComparisonContent) -> Markup:
    found = parameters.shared(content.given)
    if not found:
        return section("shared", "In common", empty("The runs have no parameter in common."))
    listed = [
        element("div", element("dt", clipped(name, 100)), element("dd", clipped(value, 200)))
        for name, value in found.items()
    ]
    return section("shared", "In common", element("dl", listed, class_="parameters", aria_label="Shared parameters"))
