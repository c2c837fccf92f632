"""The verdict on a run: what is wrong, since when, and what to do about it, with the most important numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dogbreed_sdk._util.formatting import joined, number, percent, seconds, step_list
from dogbreed_sdk.pages.verdict import Point, Verdict
from training_scripts._util.number_text import counted
from training_scripts.recording.profile.summary import seconds_of
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.rules.causes.catalog import CATALOG, EXCEPTION
from training_scripts.rules.causes.find import of_rule
from training_scripts.rules.evidence.epochs import epochs
from training_scripts.rules.evidence.learning_curves import Curve
from training_scripts.rules.findings import ERROR, ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED, RuleResult

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent
    from dogbreed_sdk.debugging.insights import Insight

STATUS_WORDS = {
    ISSUES_FOUND: "Issue found",
    NO_ISSUES_FOUND: "No issue",
    NOT_EVALUATED: "Not evaluated",
    ERROR: "Rule failed",
}
STATUS_ORDER = (ISSUES_FOUND, ERROR, NO_ISSUES_FOUND, NOT_EVALUATED)


# Hints shown for a run in which nothing is wrong; the insights have more.
MAX_HINTS = 2
# Topics of insights that state what rules show as a cause.
_SAME_AS_RULES = {
    "weak-classes": ("class-imbalance", "confused-classes"),
    "labels": ("confused-classes",),
    "generalization-gap": ("overfitting",),
}
_STOPPED = "The loop was stopped by"


def verdict(report: ReportContent) -> Verdict:
    """The verdict on a report's run."""
    issues = [result for result in report.rules if result.status == ISSUES_FOUND]
    serious = [insight for insight in report.insights() if insight.severity == "problem"]
    hints = [insight for insight in report.insights() if insight.severity == "hint"]
    shown_by_rules = of_rule([result for result in report.diagnostic if result.status == ISSUES_FOUND])
    lead = _leading(serious, shown_by_rules)
    level, headline = _headline(report, issues, serious, hints, lead)
    ordered = sorted(serious, key=lambda insight: insight is not lead)
    explained = [
        Point("" if each.title == headline else each.title, each.explanation, each.next_step) for each in ordered
    ]
    of_rules = [_point(result, serious) for result in sorted(issues, key=lambda result: result.kind == "profiling")]
    points = [*of_rules, *explained] if lead is None else [*explained, *of_rules]
    points = points or [Point(each.title, "", each.next_step) for each in hints if each.next_step][:MAX_HINTS]
    remarks = list(_remarks(report))
    level = "hint" if remarks and level == "well" else level
    cause, alternatives = _named_cause(serious, hints, shown_by_rules)
    failed = _failure(report)
    if failed.startswith(_STOPPED):
        level, headline = "hint" if level == "well" else level, f"{failed} Until then: {headline}"
    elif failed:
        found = f" Before that: {headline}" if level in ("problem", "slow") else ""
        level, headline, cause = "problem", f"{failed}{found}", cause or EXCEPTION
        points.insert(0, Point("", failed, CATALOG[EXCEPTION].advice))
    return Verdict(level, " ".join([headline, *remarks]), tuple(points), tuple(_numbers(report)), cause, alternatives)


def _leading(serious: Sequence[Insight], rule: str) -> Insight | None:
    """The insight that the headline states; None if rules show another cause than the insights do, or without any.

    Headline and cause must not contradict each other, so an insight without a cause never hides one.
    """
    caused = [insight for insight in serious if insight.cause]
    candidates = caused or [
        insight for insight in serious if rule in ("", insight.topic, *_SAME_AS_RULES.get(insight.topic, ()))
    ]
    return candidates[0] if candidates else None


def _named_cause(serious: Sequence[Insight], hints: Sequence[Insight], rule: str) -> tuple[str, tuple[str, ...]]:
    """The id of the cause and those of other possible causes: a problem's, else that of a rule, else a hint's."""
    named = [insight for insight in serious if insight.cause]
    named = named or [insight for insight in hints if insight.cause and not rule]
    return (named[0].cause, named[0].alternatives) if named else (rule, ())


def _failure(report: ReportContent) -> str:
    """The exception that ended the loop, in a sentence; empty if none did."""
    if report.trial is None or not (failure := str(report.trial.run.get("failure") or "")):
        return ""
    kind, _, message = failure.partition(": ")
    steps = int(report.trial.steps(TRAIN).steps.max(initial=-1)) + 1
    if kind in ("KeyboardInterrupt", "SystemExit"):
        return f"{_STOPPED} {kind} after {counted(steps, 'step')}."
    said = " ".join(message.split())
    ends = "" if said.endswith((".", "!", "?")) else "."
    return f"The loop ended with {kind} after {counted(steps, 'step')}{f': {said}' if said else ''}{ends}"


def first_steps(result: RuleResult) -> str:
    """The first steps of a rule's findings, in words, for each mode, since each mode counts its own steps."""
    by_mode: dict[str, set[int]] = {}
    for finding in result.findings:
        by_mode.setdefault(finding.mode, set()).update(finding.steps)
    parts = [
        f"{mode.lower() + ' ' if mode not in ('', TRAIN) else ''}step{'s' if len(steps) > 1 else ''} "
        f"{step_list(sorted(steps))}"
        for mode, steps in by_mode.items()
        if steps
    ]
    return "; ".join(parts)


def main_message(result: RuleResult) -> str:
    """The first finding of a rule, and how many more there are."""
    if not result.findings:
        return str(result.message)
    left = len(result.findings) - 1
    more = f" And {counted(left, 'more finding')}." if left else ""
    return f"{result.findings[0].message}{more}"


def ended_by(report: ReportContent) -> str:
    """Why a rule ended the job early, or why the job failed; empty otherwise."""
    stopped = report.stored.get("stopped")
    if isinstance(stopped, dict):
        return (
            f"A rule ended the job after epoch {stopped.get('epoch')}: {stopped.get('rule')}. {stopped.get('reason')}"
        )
    reason = str(report.job.get("FailureReason") or "")
    return f"SageMaker says: {_cause(reason)} The log has more: dogbreed logs {report.source}." if reason else ""


def _cause(reason: str) -> str:
    """The cause in a FailureReason, without the command and the end of the log."""
    before, _, quoted = reason.partition("ExecuteUserScriptError:")
    said = re.sub(r"^(AlgorithmError|ClientError|InternalServerError):\s*", "", before.strip())
    if not said and (message := re.search(r'ErrorMessage "(.*?)"\s*(?:Command|$)', quoted, re.DOTALL)):
        said = message[1].strip().rpartition("\n")[2]
    said = " ".join((said or reason).split())
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _point(result: RuleResult, explained: Sequence[Insight]) -> Point:
    """A rule's result. Its advice is omitted if an insight already sets a hyperparameter that the advice mentions."""
    folded = any(insight.cause and insight.cause == result.cause for insight in explained)
    if folded and any(insight.next_step == result.advice for insight in explained):
        return Point(result.name, main_message(result), "", first_steps(result))
    set_there = {name for insight in explained if insight.next_step for name in insight.hyperparameters}
    settled = any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", result.advice) for name in set_there)
    return Point(result.name, main_message(result), "" if settled else result.advice, first_steps(result))


def _headline(
    report: ReportContent,
    issues: list[RuleResult],
    serious: Sequence[Insight],
    hints: Sequence[Insight],
    lead: Insight | None,
) -> tuple[str, str]:
    evaluated = sum(result.status in (ISSUES_FOUND, NO_ISSUES_FOUND) for result in report.rules)
    cost = report.feature_pass if report.trial is None else None
    training = [result.name for result in issues if result.kind != "profiling"]
    machine = [result.name for result in issues if result.kind == "profiling"]
    if report.job.get("TrainingJobStatus") == "Failed":
        found = f" {joined(training)} found a problem before that." if training else ""
        return "problem", f"The job failed.{found}"
    if cost is not None:  # a job that only computes features trains nothing
        worth = f" The machine is not used well: {joined(machine)}." if machine else ""
        return "slow" if machine else "well", f"The features were computed: {cost.headline()}{worth}"
    if lead is not None and (training or lead.cause):
        return "problem", lead.title
    if training:
        whose = " by AWS's definitions" if report.parameters == "aws" else ""
        return "problem", f"{_count(len(issues))}{whose}: {joined(training + machine, most=3)}."
    if machine:
        fine = (
            "Training looks sound; the machine is not used well"
            if "loss" in report.curves
            else "The machine is not used well"
        )
        return "slow", f"{fine}: {joined(machine)}."
    if serious:
        return "hint", "No rule found a problem, but the curves show one."
    if evaluated and "loss" not in report.curves:
        return "unknown", (
            "Training could not be evaluated: no loss was recorded. "
            f"No rule found a problem in the rest ({evaluated} evaluated)."
        )
    if evaluated:
        far = " so far" if report.is_running else ""
        if hints or any(_remarks(report)):
            worth = f"; worth a look: {counted(len(hints), 'hint')}" if hints else ""
            return "well", f"No rule found a problem{far} ({evaluated} evaluated){worth}."
        return "well", f"All is well{far}: no rule found a problem ({evaluated} evaluated)."
    return "unknown", "Nothing could be evaluated: too little was recorded."


def _remarks(report: ReportContent) -> Iterator[str]:
    """Reasons not to call a run well although no rule found anything."""
    if report.has_no_end:
        yield "The recording has no end: the run was killed or stopped, so this covers only its beginning."
    ours = {result.name for result in report.rules if result.status == ISSUES_FOUND}
    theirs = [rule.name for rule in report.managed_rules if rule.status == ISSUES_FOUND and rule.name not in ours]
    if theirs:
        yield f"SageMaker Debugger's own rules found issues: {joined(theirs)}."
    failed = [result.name for result in report.rules if result.status == ERROR]
    if failed:
        yield f"{counted(len(failed), 'rule')} failed and reported nothing: {joined(failed, most=3)}."


def _count(problems: int) -> str:
    return "One problem" if problems == 1 else f"{problems} problems"


def _numbers(report: ReportContent) -> list[tuple[str, str, str]]:
    trial, found = report.evidence, []
    if trial is not None:
        loss, accuracy = report.curves.get("loss"), report.curves.get("accuracy")
        if accuracy is not None and accuracy.best is not None:
            best = accuracy.best
            found.append(
                ("Highest validation accuracy", percent(float(accuracy.valid[best])), f"epoch {accuracy.numbers[best]}")
            )
        if loss is not None:
            found += _of_loss(loss)
        steps = trial.steps(TRAIN)
        if len(steps.steps):
            is_validated = loss is not None and len(loss.numbers) > 0  # otherwise epochs may be unknown
            length = (
                counted(sum(len(epoch.train_steps) > 0 for epoch in epochs(trial)), "epoch")
                if is_validated
                else counted(len(trial.steps(EVAL).steps), "eval step")
            )
            found.append(("Training steps", number(int(steps.steps[-1]) + 1), length))
    return [*found, *_of_machine(report)]


def _of_loss(loss: Curve) -> list[tuple[str, str, str]]:
    found = []
    if loss.best is not None:
        last = float(loss.valid[-1])
        found.append(
            (
                "Lowest validation loss",
                number(float(loss.valid[loss.best])),
                f"epoch {loss.numbers[loss.best]}; last {number(last)}",
            )
        )
    finite = loss.smooth[np.isfinite(loss.smooth)]
    broken = len(loss.train.values) - int(np.isfinite(loss.train.values).sum())
    if len(finite):
        step, begin = loss.begin or (0, float("nan"))
        remark = (
            f"{counted(broken, 'step')} not finite" if broken else f"smoothed; {number(begin)} at step {number(step)}"
        )
        found.append(("Training loss", number(float(finite[-1])), remark))
    return found


def _of_machine(report: ReportContent) -> list[tuple[str, str, str]]:
    profile = report.profile
    if profile is None:
        return []
    found = []
    spent = seconds_of(profile.timeline)
    whole, training = spent["job_seconds"], spent["training_seconds"]
    if whole is not None:
        doing = "training" if report.trial is not None or report.feature_pass is None else "computing features"
        remark = f"{percent(training / whole)} of it {doing}" if whole and training else ""
        found.append(("Duration", seconds(whole), remark))
    for entry in profile.usage:
        if entry.what in ("CPU", "GPU"):
            found.append((f"{entry.what}, median", f"{number(entry.p50, digits=3)}%", f"p95 {number(entry.p95)}%"))
    return found[:4]
