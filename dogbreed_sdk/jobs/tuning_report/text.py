"""The report on a search as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import clipped, joined, number, seconds
from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk._util.text import columns, cut, hanging
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report import next_search
from dogbreed_sdk.jobs.tuning_report.next_search import NextRange
from dogbreed_sdk.jobs.tuning_report.ranking import has_objective
from training_scripts._util.number_text import counted, number_text

if TYPE_CHECKING:
    from dogbreed_sdk.jobs.tuning_report.content import TuningContent

MIN_WIDTH = 40
MAX_TRIALS = 20
MAX_REASONS = 8
MAX_IMPROVEMENTS = 6
MAX_NAME = 24


def summary(report: TuningContent, *, width: int) -> str:
    """The report in lines of at most `width` characters."""
    width = max(MIN_WIDTH, width)
    lines = hanging("+ " if report.best else "! ", headline(report), width)
    lines += hanging("  ", f"{report.source}: {state(report)}", width)
    if report.facts.failure:
        lines += hanging("  ", clipped(report.facts.failure, 400), width)
    for part in (_trials, _reasons, _progress, _mattered, _together, _next):
        lines += part(report, width)
    return "\n".join(lines)


def headline(report: TuningContent) -> str:
    """The best trial in a sentence."""
    best, facts = report.best, report.facts
    if best is None:
        return f"No trial has reported {facts.metric}{' yet' if report.is_running else ''}."
    chosen = ", ".join(f"{name} {value(each)}" for name, each in best.hyperparameters.items())
    return f"The best {facts.metric} is {number(best.objective)}, with {chosen}."


def state(report: TuningContent) -> str:
    """How far the search is, in a sentence."""
    facts = report.facts
    ended = sum(trial.status in FINAL_STATUSES for trial in report.trials)
    trials = f"{ended} of {counted(facts.limit, 'trial')}" if facts.limit else counted(ended, "trial")
    spent = f" in {seconds(facts.seconds)}" if facts.seconds is not None else ""
    counts = joined([f"{count} {status}" for status, count in report.counts.items()])
    return f"{facts.status}, {facts.strategy} search, {trials} ended{spent} ({counts or 'no trials'})."


def value(each: object) -> str:
    """A hyperparameter's value: numbers with three significant digits.

    >>> value(0.00259123), value("adamw"), value(64)
    ('0.00259', 'adamw', '64')
    """
    return str(number_text(each, 3) if isinstance(each, float) else each)


def label(report: TuningContent, trial: Trial) -> str:
    """A trial's name without the search's, which all of them begin with."""
    name = trial.name.removeprefix(f"{report.source}-")
    return name if len(name) <= MAX_NAME else "…" + name[len(name) - MAX_NAME + 1 :]


def _trials(report: TuningContent, width: int) -> Iterator[str]:
    if not report.trials:
        return
    names = sorted({name for trial in report.trials for name in trial.hyperparameters})
    head = ["", "trial", report.facts.metric, *names, "status", "time"]
    rows = [
        [
            "*" if trial is report.best else str(rank) if has_objective(trial) else "-",
            label(report, trial),
            number(trial.objective),
            *(value(trial.hyperparameters.get(name, "—")) for name in names),
            trial.status,
            seconds(trial.seconds),
        ]
        for rank, trial in enumerate(report.ranked[:MAX_TRIALS], 1)
    ]
    yield ""
    yield "Trials, best first (* best)"
    numeric = {0, 2, *(index + 3 for index, name in enumerate(names) if _is_number(report, name)), len(head) - 1}
    yield from (f"  {line}" for line in columns(head, rows, width=width - 2, numeric=numeric))
    if len(report.ranked) > MAX_TRIALS:
        yield f"  and {len(report.ranked) - MAX_TRIALS} more"


def _is_number(report: TuningContent, name: str) -> bool:
    entry = report.facts.range(name)
    return entry is not None and entry.kind != "categorical"


def _reasons(report: TuningContent, width: int) -> Iterator[str]:
    """Why trials failed, were stopped or have no objective; those with the same reason in one line."""
    found: dict[str, list[Trial]] = {}
    for trial in report.ranked:
        if trial.reason:
            found.setdefault(trial.reason, []).append(trial)
    for reason, trials in list(found.items())[:MAX_REASONS]:
        names = joined([label(report, trial) for trial in trials], most=2)
        yield from hanging("  ", f"{names}: {clipped(reason, 300)}", width, hang=4)


def _progress(report: TuningContent, width: int) -> Iterator[str]:
    found = report.improvements()
    if not found:
        return
    shown = found if len(found) <= MAX_IMPROVEMENTS else [found[0], *found[1 - MAX_IMPROVEMENTS :]]
    steps = joined([f"{number(trial.objective)} ({label(report, trial)})" for _, trial in shown], most=MAX_IMPROVEMENTS)
    since = sum(trial.ended is not None for trial in report.trials) - found[-1][0]
    after = f"; no better one in the {counted(since, 'trial') if since > 1 else 'trial'} since" if since else ""
    yield ""
    yield "Best so far, as the trials ended"
    yield from hanging("  ", f"{steps}{after}.", width)


def _mattered(report: TuningContent, width: int) -> Iterator[str]:
    found = report.importance
    if not report.trials:
        return
    yield ""
    yield "What mattered"
    if not found.shares:
        yield from hanging("  ", found.reason, width)
        return
    longest = max(map(len, found.shares))
    for name, share in found.shares.items():
        doubt = "" if found.is_certain(name) else "  (may be chance)"
        yield cut(f"  {name:<{longest}}  {100 * share:3.0f}%{doubt}", width)


def _together(report: TuningContent, width: int) -> Iterator[str]:
    for each in report.interactions[:3]:
        yield from hanging("  * ", each.description, width)


def _next(report: TuningContent, width: int) -> Iterator[str]:
    if not report.trials:
        return
    proposal = report.next_search
    yield ""
    yield "What to search next"
    if proposal.reason:
        yield from hanging("  ", proposal.reason, width)
        return
    longest = max(len(entry.name) for entry in proposal.ranges)
    wide = max(len(range_text(entry)) for entry in proposal.ranges)
    for entry in proposal.ranges:
        begin = f"  {entry.name:<{longest}}  {range_text(entry):<{wide}}  "
        yield from hanging(begin, f"{entry.change}: {entry.reason}", width)
    command = next_search.command(report.facts, proposal.ranges) if proposal.has_changes else None
    if command is not None:
        yield from ("", f"  {command}")


def range_text(entry: NextRange) -> str:
    """A range in words: `0.001 to 0.1 (log)`, `32, 64`, or the value that all trials get."""
    chosen = entry.range
    if chosen is None:
        return str(entry.value)
    if chosen.kind == "categorical":
        return ", ".join(chosen.values)
    low, high = (number_text(bound, 3) for bound in next_search.bounds(chosen))
    return f"{low} to {high}{' (log)' if chosen.logarithmic else ''}"
