"""The report on a search as one HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util.formatting import clipped, counted_more, number, plain, seconds
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report import next_search
from dogbreed_sdk.jobs.tuning_report.facts import category_of, place
from dogbreed_sdk.jobs.tuning_report.ranking import best_so_far, by_end, has_objective
from dogbreed_sdk.jobs.tuning_report.text import headline, label, range_text, state, value
from dogbreed_sdk.local.tuning.search_space import Range
from dogbreed_sdk.pages import tables
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.document import asset, filled_page
from dogbreed_sdk.pages.markup import Child, Markup, element, inner, table
from dogbreed_sdk.pages.sections import empty, head, section
from dogbreed_sdk.pages.tables import Cell, Column, sortable_table
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.jobs.tuning_report.content import TuningContent

# A search has up to 750 trials (AWS quotas); all are in the table, and each chart stays readable.
MAX_TRIALS = 1_000
SHADES = 5
# Categories are spread a little, so that trials with the same value do not hide each other; share of the axis.
_SPREAD = 0.05
_SECTIONS = (
    ("trials", "Trials"),
    ("progress", "Over time"),
    ("values", "Values"),
    ("mattered", "What mattered"),
    ("next", "Next search"),
)


def document(report: TuningContent) -> bytes:
    """The HTML page, encoded as UTF-8."""
    shown = report.ranked[:MAX_TRIALS]
    shades = _shades(shown)
    body = inner(
        [
            _head(report),
            _trials_section(report, shown),
            _progress_section(report),
            _values_section(report),
            _mattered_section(report),
            _next_section(report),
        ]
    )
    points: dict[str, Any] = {"parallel": _parallel(report, shown, shades), "progress": _over_time(report, shades)}
    for entry in report.facts.ranges:
        points[f"value:{entry.name}"] = _scatter(report, entry, shown, shades)
    return filled_page(
        brand="Tuning report",
        title=f"{clipped(headline(report), 120)} · {clipped(report.source, 120)}",
        sections=_SECTIONS,
        body=body,
        footer=inner(["Regenerate: ", element("code", _again(report))]),
        charts={},
        script=tables.script() + asset("points.js"),
        data={"points": plain(points)},
        style=tables.style() + asset("points.css"),
    )


def _again(report: TuningContent) -> str:
    return f"dogbreed report {shlex.quote(report.source)} --html report.html"


def _head(report: TuningContent) -> Markup:
    best, facts = report.best, report.facts
    look = "well" if best else "unknown" if report.is_running else "problem"
    tiles = [("Trials", str(len(report.trials)), ", ".join(f"{n} {status}" for status, n in report.counts.items()))]
    if best is not None:
        tiles.insert(0, (facts.metric, number(best.objective), f"{'highest' if facts.maximize else 'lowest'} of all"))
        tiles += [(name, value(each), "of the best trial") for name, each in best.hyperparameters.items()]
    if facts.seconds is not None:
        tiles.append(("Duration", seconds(facts.seconds), ""))
    failure = element("p", clipped(facts.failure, 600)) if facts.failure else None
    return inner(
        [
            element("p", element("b", report.source), element("span", state(report)), class_="about"),
            head(headline(report), failure, look=look, tiles=tiles),
        ]
    )


def _trials_section(report: TuningContent, shown: Sequence[Trial]) -> Markup:
    title = "Trials, best first"
    if not shown:
        return section("trials", title, empty("No trial has started."))
    names = sorted({name for trial in shown for name in trial.hyperparameters})
    several = len({trial.definition for trial in shown}) > 1
    columns = [
        Column("Trial"),
        Column(report.facts.metric, is_number=True, high_first=report.facts.maximize),
        *(Column(name, is_number=_is_number(report, name)) for name in names),
        *([Column("Definition")] if several else []),
        Column("Status"),
        Column("Time", is_number=True),
        Column("Reason", look="reason"),
    ]
    rows = [
        [
            Cell(label(report, trial), trial.name),
            Cell(number(trial.objective), trial.objective if has_objective(trial) else None, trial is report.best),
            *(_value_cell(trial.hyperparameters.get(name, "")) for name in names),
            *([Cell(trial.definition, trial.definition)] if several else []),
            Cell(trial.status, trial.status),
            Cell(seconds(trial.seconds), trial.seconds),
            Cell(clipped(trial.reason, 300), trial.reason or None),
        ]
        for trial in shown
    ]
    left = len(report.ranked) - len(shown)
    more = element("p", f"{counted_more(left)} not shown.", class_="quiet") if left else None
    lead = "A click on a trial, here or in a chart, marks it everywhere; a click on a heading sorts."
    made = sortable_table(columns, rows, label="Trials", marks=[trial.name for trial in shown])
    return section("trials", title, made, *filter(None, [more]), lead=lead)


def _progress_section(report: TuningContent) -> Markup:
    found = report.improvements()
    if not found:
        return section("progress", "Over time", empty("No trial has reported the objective yet."))
    since = len(by_end(report.trials)) - found[-1][0]
    lead = f"The best trial was number {found[-1][0]} to end"
    lead += (
        f"; the {counted(since, 'trial') if since > 1 else 'trial'} after it brought no better one."
        if since
        else ", the last one so far."
    )
    drawn = _figure("progress", "Objective of each trial, and the best so far")
    return section("progress", "Over time", drawn, lead=lead)


def _values_section(report: TuningContent) -> Markup:
    title = "Values and objective"
    if not report.facts.ranges or report.best is None:
        return section("values", title, empty("Nothing to show yet."))
    shades = [element("i", class_=f"graded shade-{shade}") for shade in reversed(range(SHADES))]
    scale = element("span", shades, class_="scale", aria_hidden="true")
    key = element("p", "worst", scale, "best", class_="quiet")
    each = [_figure(f"value:{entry.name}", entry.name) for entry in report.facts.ranges]
    parallel = _figure("parallel", "All hyperparameters of each trial", look="parallel")
    marked = any(entry.change in (next_search.NARROWED, next_search.EXTENDED) for entry in report.next_search.ranges)
    lead = "Each line and each point is a trial: diamonds were stopped, dashes and crosses have no objective."
    lead += " Green: where to search next." if marked else ""
    return section("values", title, key, parallel, element("div", each, class_="pair"), lead=lead)


def _figure(name: str, caption: str, *, look: str = "") -> Markup:
    return element(
        "figure",
        element("figcaption", caption),
        element("noscript", element("p", "The chart needs JavaScript; tables and text do not.", class_="empty")),
        data_points=name,
        class_=f"chart {look}".rstrip(),
    )


def _mattered_section(report: TuningContent) -> Markup:
    found, title = report.importance, "What mattered"
    together = [element("li", each.description) for each in report.interactions]
    listed = element("ul", together, class_="evidence") if together else None
    if not found.shares:
        return section("mattered", title, *filter(None, [empty(found.reason or "Nothing to compare yet."), listed]))
    rows = [
        [
            name,
            element("td", bar(share, label=f"{name}: {100 * share:.0f}%")),
            f"{100 * share:.0f}%",
            "" if found.is_certain(name) else "may be chance",
        ]
        for name, share in found.shares.items()
    ]
    lead = f"What the best quarter of {found.trials} trials has in common (Optuna, PED-ANOVA)."
    drawn = table(["Hyperparameter", "Importance", "share", ""], rows, numeric=(2,), label="Importances")
    return section("mattered", title, drawn, *filter(None, [listed]), lead=lead)


def _next_section(report: TuningContent) -> Markup:
    proposal, title = report.next_search, "What to search next"
    if proposal.reason:
        return section("next", title, empty(proposal.reason))
    now = {entry.name: next_search.NextRange(entry.name, "", entry, None, "") for entry in report.facts.ranges}
    rows = [
        [
            entry.name,
            range_text(now[entry.name]),
            element("b", f"→ {range_text(entry)}"),
            element("td", entry.change, class_="change"),
            entry.reason,
        ]
        for entry in proposal.ranges
    ]
    content: list[Child] = [
        table(["Hyperparameter", "This search", "Next search", "", "Why"], rows, label="Next search", class_="plain")
    ]
    command = next_search.command(report.facts, proposal.ranges)
    if command is not None:
        content += [element("h3", "As a command"), _copied(command)]
    content += [element("h3", "In Python"), _copied(next_search.python(proposal.ranges))]
    lead = (
        "Ranges change only where the objective depends on a hyperparameter by more than chance."
        if proposal.has_changes
        else "No range should change: the trials do not show where better values lie. More trials may."
    )
    return section("next", title, *content, lead=lead)


def _copied(text: str) -> Markup:
    return element("pre", element("code", text), class_="copied", tabindex="0")


# ---------------------------------------------------------------- what the page's script draws


def _shades(ranked: Sequence[Trial]) -> dict[str, int]:
    """Trial -> 0 for the best fifth to 4 for the worst."""
    with_value = [trial.name for trial in ranked if has_objective(trial)]
    return {name: index * SHADES // len(with_value) for index, name in enumerate(with_value)}


def _point(report: TuningContent, trial: Trial, shades: Mapping[str, int]) -> dict[str, Any]:
    chosen = [f"{name} {value(each)}" for name, each in trial.hyperparameters.items()]
    outcome = f"{report.facts.metric} {number(trial.objective)}" if has_objective(trial) else clipped(trial.reason, 160)
    return {
        "id": trial.name,
        "y": trial.objective if has_objective(trial) else None,
        "shade": shades.get(trial.name, SHADES - 1),
        "kind": "diamond" if trial.status == "Stopped" else "circle",
        "text": [label(report, trial), outcome or trial.status, *chosen, *([trial.status] if trial.reason else [])],
    }


def _axis(entry: Range) -> dict[str, Any]:
    if entry.kind == "categorical":
        return {"name": entry.name, "values": list(entry.values)}
    low, high = next_search.bounds(entry)
    log = entry.logarithmic and not entry.reverse
    return {"name": entry.name, "low": low, "high": high, "log": log, "whole": entry.kind == "integer"}


def _objective_axis(report: TuningContent) -> dict[str, Any]:
    values = [trial.objective for trial in report.trials if has_objective(trial) and trial.objective is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.05 * (high - low or abs(high) or 1.0)
    return {"name": report.facts.metric, "low": low - room, "high": high + room}


def _on_axis(entry: Range, trial: Trial) -> object:
    """A trial's value as its axis has it; None if it has none there."""
    given = trial.hyperparameters.get(entry.name)
    if place(entry, given) is None:
        return None
    return category_of(entry, given) if entry.kind == "categorical" else float(str(given))


def _parallel(report: TuningContent, shown: Sequence[Trial], shades: Mapping[str, int]) -> dict[str, Any]:
    ranges = report.facts.ranges
    points = []
    for trial in shown:
        at = [_on_axis(entry, trial) for entry in ranges]
        point = _point(report, trial, shades)
        points.append({**point, "at": [*at, point["y"]]})
    return {"axes": [*map(_axis, ranges), _objective_axis(report)], "points": points}


def _scatter(report: TuningContent, entry: Range, shown: Sequence[Trial], shades: Mapping[str, int]) -> dict[str, Any]:
    points = []
    for number_, trial in enumerate(shown):
        at = _on_axis(entry, trial)
        if at is not None:
            shift = _SPREAD * ((number_ * 0.618) % 1 - 0.5) if entry.kind == "categorical" else 0
            points.append({**_point(report, trial, shades), "x": at, "shift": round(shift, 3)})
    proposed = next((each for each in report.next_search.ranges if each.name == entry.name), None)
    band = None
    if proposed is not None and proposed.change in (next_search.NARROWED, next_search.EXTENDED):
        chosen = proposed.range
        if chosen is not None and chosen.kind != "categorical":
            band = [place(entry, bound) for bound in next_search.bounds(chosen)]
    return {"x": _axis(entry), "y": _objective_axis(report), "points": points, "band": band}


def _over_time(report: TuningContent, shades: Mapping[str, int]) -> dict[str, Any]:
    ended = [trial for trial in by_end(report.trials) if trial.name in shades or not has_objective(trial)]
    best = best_so_far(ended, maximize=report.facts.maximize)
    return {
        "x": {"name": "trials in the order of their ends", "low": 1, "high": max(2, len(ended)), "whole": True},
        "y": _objective_axis(report),
        "points": [{**_point(report, trial, shades), "x": index} for index, trial in enumerate(ended, 1)],
        "steps": [[index, each] for index, each in enumerate(best, 1) if each is not None],
    }


def _is_number(report: TuningContent, name: str) -> bool:
    entry = report.facts.range(name)
    return entry is not None and entry.kind != "categorical"


def _value_cell(given: object) -> Cell:
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    return Cell(value(given), float(str(given)) if is_number else str(given) or None)
