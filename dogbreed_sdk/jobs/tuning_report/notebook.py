"""The report on a search in a notebook's cell: the best trials and what to search next, without script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import number, seconds
from dogbreed_sdk.jobs.tuning_report import next_search
from dogbreed_sdk.jobs.tuning_report.ranking import has_objective
from dogbreed_sdk.jobs.tuning_report.text import headline, label, range_text, state, value
from dogbreed_sdk.pages.markup import element, table

if TYPE_CHECKING:
    from dogbreed_sdk.jobs.tuning_report.content import TuningContent

MAX_TRIALS = 10


def fragment(report: TuningContent) -> str:
    """The HTML for a cell's output."""
    names = sorted({name for trial in report.trials for name in trial.hyperparameters})
    shown = report.ranked[:MAX_TRIALS]
    rows = [
        [
            label(report, trial),
            element("b", number(trial.objective)) if has_objective(trial) else trial.reason or "—",
            *(value(trial.hyperparameters.get(name, "—")) for name in names),
            trial.status,
            seconds(trial.seconds),
        ]
        for trial in shown
    ]
    proposal = report.next_search
    changed = [entry for entry in proposal.ranges if entry.change != next_search.KEPT]
    parts = [element("li", element("b", entry.name), f" {range_text(entry)}: {entry.reason}") for entry in changed]
    left = len(report.ranked) - len(shown)
    return str(
        element(
            "div",
            element("p", element("b", headline(report)), element("br"), state(report)),
            table(["Trial", report.facts.metric, *names, "Status", "Time"], rows) if rows else None,
            element("p", f"{left} more", style="opacity:.75") if left else None,
            element("p", element("b", "What to search next")) if rows else None,
            element("ul", parts) if parts else element("p", proposal.reason or "The same ranges.") if rows else None,
            element("p", element("code", "report.to_html('report.html')"), " writes it all.", style="opacity:.75"),
            style="max-width:60rem",
        )
    )
