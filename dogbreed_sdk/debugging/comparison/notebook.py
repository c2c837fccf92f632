"""A comparison in a notebook's cell: results against parameters, and what changed what, without script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk.debugging.comparison import words
from dogbreed_sdk.debugging.comparison.parameters import value_of
from dogbreed_sdk.pages.markup import element, table

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.comparison.content import ComparisonContent

MAX_RUNS = 12
MAX_EFFECTS = 6


def fragment(content: ComparisonContent) -> str:
    """The HTML for a cell's output."""
    measures = [name for name in ("accuracy", "loss") if any(name in run.results for run in content.runs)]
    rows = [
        [
            run.name,
            *(words.value(name, run.results[name].value) if name in run.results else "—" for name in measures),
            *(value_of(run, name) for name in content.differing),
            words.length(run),
        ]
        for run in content.runs[:MAX_RUNS]
    ]
    said = [
        element("li", element("b", words.change(effect)), ": ", words.outcome(effect, content))
        for effect in content.effects[:MAX_EFFECTS]
    ]
    written = element("code", "comparison.to_html('comparison.html')")
    more = element("p", written, " has the curves.", style="opacity:.75")
    return str(
        element(
            "div",
            element("p", element("b", words.headline(content))),
            table(["Run", *measures, *content.differing, "Length"], rows, label="Runs"),
            element("ul", said) if said else None,
            element("p", words.noise(content), style="opacity:.75"),
            more,
            style="max-width:60rem",
        )
    )
