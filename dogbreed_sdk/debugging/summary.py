"""The report as text for a terminal: the verdict, rules and insights, and how to see the full report."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import clipped, joined
from dogbreed_sdk._util.text import cut, hanging, one_line
from dogbreed_sdk.debugging.verdict import (
    STATUS_ORDER,
    STATUS_WORDS,
    ended_by,
    first_steps,
    main_message,
    verdict,
)
from training_scripts._util.number_text import counted
from training_scripts.rules.findings import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, RuleResult

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent
    from dogbreed_sdk.debugging.feature_pass import FeaturePassCost
    from dogbreed_sdk.debugging.insights import Insight
    from dogbreed_sdk.jobs.managed_results import ManagedRule
    from dogbreed_sdk.pages.verdict import Verdict

MIN_WIDTH = 40
MAX_INSIGHTS = 8
MAX_PROBLEMS = 5
# CreateTrainingJob takes 20 of each kind.
MAX_MANAGED_RULES = 40
MAX_NUMBERS = 4
_SIGNS = {"problem": "!", "slow": "!", "hint": "?", "well": "+", "unknown": "?"}


def summary(report: ReportContent, *, width: int) -> str:
    """The report in lines of at most `width` characters."""
    width = max(MIN_WIDTH, width)
    found = verdict(report)
    lines = [cut(_stated(*found.numbers[0]), width)] if found.numbers else []
    lines += hanging(f"{_SIGNS[found.level]} ", found.headline, width)
    failed = report.job.get("TrainingJobStatus") == "Failed"
    if found.level == "problem" and not failed and (advice := _first_advice(found)):
        lines += hanging("  -> ", clipped(advice, 400), width)
    running = "still running: " if report.is_running else ""
    recorded = f", recorded by {report.recorded_by}" if report.recorded_by else ""
    lines.append(cut(f"  {running}{report.source}{recorded}, rules with {report.parameters} parameters", width))
    if ended := ended_by(report):
        lines += hanging("  ", clipped(ended, 600), width)
    lines += ["", *_numbers(found.numbers[1:], width)]
    lines += _feature_pass(report.feature_pass, width)
    lines += _rules(report.rules, width)
    lines += _managed_rules(report.managed_rules, width)
    lines += _insights(report.insights(), width)
    if report.notes:
        lines += ["", "How it was recorded"]
        lines += [line for note in report.notes for line in hanging("  ", note, width)]
    problems = report.problems
    if problems:
        lines += ["", "Could not be read"]
        lines += [line for problem in problems[:MAX_PROBLEMS] for line in hanging("  ", problem, width)]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"  and {len(problems) - MAX_PROBLEMS} more")
    lines += [
        "",
        f"Curves, tensors, machine: dogbreed report {shlex.quote(one_line(report.source))} --html report.html",
    ]
    return "\n".join(lines)


def headline(report: ReportContent) -> str:
    """The verdict and the key numbers in one line."""
    found = verdict(report)
    numbers = ", ".join(f"{name.lower()} {value}" for name, value, _ in found.numbers[:MAX_NUMBERS])
    return one_line(f"{found.headline} {numbers}")


def _first_advice(found: Verdict) -> str:
    """The first advice of the verdict."""
    return next((point.advice for point in found.points if point.advice), "")


def _stated(name: str, value: str, remark: str) -> str:
    """A number as a line by itself."""
    return f"{name}: {value}" + (f" ({remark})" if remark else "")


def _numbers(numbers: tuple[tuple[str, str, str], ...], width: int) -> Iterator[str]:
    longest = max((len(name) for name, _, _ in numbers), default=0)
    for name, value, remark in numbers:
        yield cut(f"  {name:<{longest}}  {value}" + (f"  ({remark})" if remark else ""), width)


def _feature_pass(cost: FeaturePassCost | None, width: int) -> Iterator[str]:
    """The cost of computing the features, which is usually far more than that of training on them."""
    if cost is None:
        return
    yield ""
    yield "Feature pass"
    for line in cost.lines():
        yield from hanging("  ", line, width)
    if cost.advice:
        yield from hanging("  -> ", cost.advice, width)


def _rules(results: list[RuleResult], width: int) -> Iterator[str]:
    """Findings with their first steps and advice; other rules only by name."""
    yield ""
    yield "Rules"
    name_width = max((len(result.name) for result in results if result.status != NOT_EVALUATED), default=0)
    for status in STATUS_ORDER:
        group = [result for result in results if result.status == status]
        if status == NO_ISSUES_FOUND and group:
            names = joined([each.name for each in group], most=99)
            yield from hanging(f"  {STATUS_WORDS[status]:<14}", names, width)
        if status == NOT_EVALUATED:
            yield from _not_evaluated(group, width)
        if status in (NO_ISSUES_FOUND, NOT_EVALUATED):
            continue
        for result in group:
            steps = first_steps(result)
            where = f"[{steps}] " if steps else ""
            begin = f"  {STATUS_WORDS[status]:<14}{result.name:<{name_width}}  "
            yield from hanging(begin, f"{where}{clipped(main_message(result), 400)}", width, hang=16)
            if result.advice and status == ISSUES_FOUND:
                yield from hanging(" " * 16 + "-> ", clipped(result.advice, 400), width)


def _managed_rules(rules: list[ManagedRule], width: int) -> Iterator[str]:
    """The results of SageMaker Debugger's own rules."""
    if not rules:
        return
    yield ""
    yield "SageMaker Debugger's rules"
    longest = max(len(rule.name) for rule in rules)
    for rule in rules[:MAX_MANAGED_RULES]:
        yield from hanging(f"  {rule.status:<14}{rule.name:<{longest}}  ", clipped(rule.details, 400), width, hang=16)


def _not_evaluated(group: list[RuleResult], width: int) -> Iterator[str]:
    """One line with the number of rules that were not evaluated; the page and --json say why."""
    if group:
        names = ", ".join(result.name for result in group)
        said = f"{counted(len(group), 'rule')}, for the reasons in --html and --json: {names}"
        yield cut(f"  {STATUS_WORDS[NOT_EVALUATED]:<14}{said}", width)


def _insights(insights: list[Insight], width: int) -> Iterator[str]:
    if not insights:
        return
    yield ""
    yield "Insights"
    for insight in insights[:MAX_INSIGHTS]:
        yield from hanging("  * ", f"{clipped(insight.title, 300)} ({insight.confidence} confidence)", width)
        for fact in insight.evidence[:3]:
            yield from hanging("      ", clipped(fact, 300), width)
        if insight.next_step:
            yield from hanging("    -> ", clipped(insight.next_step, 400), width)
    if len(insights) > MAX_INSIGHTS:
        yield f"  and {len(insights) - MAX_INSIGHTS} more"
