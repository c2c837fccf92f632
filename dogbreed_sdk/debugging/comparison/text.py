"""A comparison as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import clipped, joined
from dogbreed_sdk._util.text import columns, cut, hanging
from dogbreed_sdk.debugging.comparison import words
from dogbreed_sdk.debugging.comparison.parameters import value_of
from dogbreed_sdk.debugging.verdict import STATUS_WORDS, verdict
from training_scripts.rules.findings import ISSUES_FOUND, NO_ISSUES_FOUND

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.comparison.content import ComparisonContent

MIN_WIDTH = 40
MAX_RUNS = 30
MAX_NAME, MAX_VALUE = 24, 16
MAX_EFFECTS = 8
# In the matrix of rules.
_SHORT = {ISSUES_FOUND: "issue", NO_ISSUES_FOUND: "-", "NotEvaluated": ".", "Error": "error", "": "."}


def summary(content: ComparisonContent, *, width: int) -> str:
    """The comparison in lines of at most `width` characters."""
    width = max(MIN_WIDTH, width)
    lines = hanging("+ " if content.measure else "? ", words.headline(content), width)
    for note in content.notes:
        lines += hanging("  ", note, width)
    for part in (_runs, _effects, _rules, _problems):
        lines += part(content, width)
    return "\n".join(lines)


def _runs(content: ComparisonContent, width: int) -> Iterator[str]:
    measures = [name for name in ("accuracy", "loss") if any(name in run.results for run in content.runs)]
    names = [name for name in content.differing if name != "run"]
    head = ["", "run", *measures, *(clipped(name, MAX_VALUE) for name in names), "length", "verdict"]
    rows = []
    for number, run in enumerate(content.runs[:MAX_RUNS], 1):
        found = [run.results.get(name) for name in measures]
        rows.append(
            [
                "*" if number == 1 and content.measure else str(number),
                _end(run.name),
                *(words.result(name, each) for name, each in zip(measures, found, strict=True)),
                *(clipped(value_of(run, name), MAX_VALUE) for name in names),
                words.length(run),
                verdict(run.report).level,
            ]
        )
    yield ""
    title = f"Runs, best first by {words.ranked_by(content)} (* best)" if content.measure else "Runs"
    yield cut(title, width)
    numeric = {0, *range(2, 2 + len(measures) + len(names))}
    yield from (f"  {line}" for line in columns(head, rows, width=width - 2, numeric=numeric))
    if len(content.runs) > MAX_RUNS:
        yield f"  and {len(content.runs) - MAX_RUNS} more"


def _end(name: str) -> str:
    return name if len(name) <= MAX_NAME else "…" + name[len(name) - MAX_NAME + 1 :]


def _effects(content: ComparisonContent, width: int) -> Iterator[str]:
    if content.measure is None:
        return
    yield ""
    yield "Which change did what"
    if not content.effects:
        yield from hanging("  ", "The runs differ in nothing but chance.", width)
    for effect in content.effects[:MAX_EFFECTS]:
        begin = f"  {words.change(effect)} ({words.names(effect.before)} → {words.names(effect.after)}): "
        yield from hanging("  ", begin.strip() + " " + words.outcome(effect, content), width, hang=4)
    if len(content.effects) > MAX_EFFECTS:
        yield f"  and {len(content.effects) - MAX_EFFECTS} more"
    yield from hanging("  ", words.noise(content), width)


def _rules(content: ComparisonContent, width: int) -> Iterator[str]:
    """A matrix of the rules that found something in a run; the others in one line."""
    rules = content.rules
    if not rules:
        return
    yield ""
    yield "Rules side by side"
    found = {name: row for name, row in rules.items() if ISSUES_FOUND in row or "Error" in row}
    if found:
        head = ["", *(str(number) for number in range(1, len(content.runs) + 1))]
        rows = [[name, *(_SHORT.get(status, status) for status in row)] for name, row in found.items()]
        yield from (f"  {line}" for line in columns(head, rows, width=width - 2))
    quiet = [name for name in rules if name not in found]
    if quiet:
        yield from hanging(f"  {STATUS_WORDS[NO_ISSUES_FOUND]} in any run  ", joined(quiet, most=99), width, hang=4)


def _problems(content: ComparisonContent, width: int) -> Iterator[str]:
    for run in content.runs:
        for problem in run.report.problems[:2]:
            yield from ("", cut(f"  {run.name}: {problem}", width))
