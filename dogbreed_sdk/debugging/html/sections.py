"""The report's text sections: verdict, insights, rules, problems, and the run's settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dogbreed_sdk._util.formatting import clipped, date, number, plain
from dogbreed_sdk.debugging.html.details import details
from dogbreed_sdk.debugging.rule_results import description
from dogbreed_sdk.debugging.verdict import STATUS_ORDER, STATUS_WORDS, first_steps, main_message
from dogbreed_sdk.jobs.managed_results import managed_rules
from dogbreed_sdk.pages.markup import Child, Markup, element, table
from dogbreed_sdk.pages.sections import empty, section
from training_scripts._util.number_text import counted, number_text
from training_scripts.rules.findings import ISSUES_FOUND, NOT_EVALUATED, RuleResult

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeTrainingJobResponseTypeDef

    from dogbreed_sdk.debugging.insights import Insight

NO_PROFILE = "No profile was recorded: train with profiler=on (the default of train_model)."
NO_TENSORS = "No tensors were recorded: train with recorder=builtin (the default)."
MAX_RULES = 120
MAX_FINDINGS = 12
MAX_INSIGHTS = 30
MAX_PROBLEMS = 50
MAX_PARAMETERS = 60
_STATUS_SIGNS = {"IssuesFound": "▲", "NoIssuesFound": "✓", "NotEvaluated": "—", "Error": "✕"}
_UNLISTED = frozenset({"hyperparameters", "valid_names", "format", "notes"})
_MOMENTS = frozenset({"started", "ended"})
_COUNTED = {
    "IssuesFound": "with an issue",
    "NoIssuesFound": "without issues",
    "NotEvaluated": "not evaluated",
    "Error": "failed to run",
}
_SEVERITY_SIGNS = {"problem": ("▲", "Problem"), "hint": ("◆", "Hint"), "info": ("●", "Good to know")}


def insights_section(insights: Sequence[Insight]) -> Markup:
    """The insights, as cards."""
    cards = [_card(insight) for insight in insights[:MAX_INSIGHTS]]
    content: Child = element("div", cards, class_="cards") if cards else empty("Nothing stands out in this recording.")
    lead = "What the curves mean, with evidence, confidence and what to try next." if cards else ""
    return section("insights", "Insights", content, lead=lead)


def _card(insight: Insight) -> Markup:
    sign, word = _SEVERITY_SIGNS.get(insight.severity, _SEVERITY_SIGNS["info"])
    settings = [
        element("code", clipped(f"{name}={plain(value)}", 200)) for name, value in insight.hyperparameters.items()
    ]
    return element(
        "article",
        element(
            "p",
            element("span", element("span", sign, class_="sign", aria_hidden="true"), word),
            element("span", f"{insight.confidence} confidence", class_=f"confidence {_slug(insight.confidence)}"),
            class_="kind",
        ),
        element("h3", clipped(insight.title, 300)),
        element("p", clipped(insight.explanation)),
        element("ul", [element("li", clipped(fact, 500)) for fact in insight.evidence[:12]], class_="evidence"),
        element(
            "p",
            element("b", "Next: "),
            clipped(insight.next_step, 600),
            [(" ", each) for each in settings],
            class_="advice",
        )
        if insight.next_step or settings
        else None,
        class_=f"card {_slug(insight.severity)}",
    )


def rules_section(results: Sequence[RuleResult], job: Mapping[str, Any]) -> Markup:
    """Every rule that was evaluated: status, steps, message, advice and all parameters.

    Args:
        results: The rules' results.
        job: DescribeTrainingJob's response; empty without a job.
    """
    shown = [result for result in results if result.status != NOT_EVALUATED][:MAX_RULES]
    shown.sort(key=lambda result: (STATUS_ORDER.index(result.status), result.kind == "profiling"))
    if not shown:
        reason = "No rule could be evaluated; see below what each of them lacks."
        return section("rules", "Rules", empty(reason), *filter(None, [managed_answers(job)]))
    counts = {status: sum(result.status == status for result in results) for status in STATUS_ORDER}
    lead = ", ".join(f"{counts[status]} {_COUNTED[status]}" for status in STATUS_ORDER if counts[status])
    lead = f"{lead}. Open a rule for its evidence and its parameters."
    listed = element("div", [_rule(result) for result in shown], class_="rules")
    return section("rules", "Rules", listed, *filter(None, [managed_answers(job)]), lead=lead)


def _rule(result: RuleResult) -> Markup:
    steps = first_steps(result)
    top = element(
        "summary",
        element("span", element("span", _STATUS_SIGNS[result.status], class_="sign", aria_hidden="true"),
                STATUS_WORDS[result.status], class_=f"status {result.status}"),
        element("span", clipped(result.name, 200), class_="name"),
        element("span", clipped(main_message(result), 400), class_="message"),
        element("span", clipped(steps, 120), class_="where"),
    )  # fmt: skip
    findings = [
        element("li", clipped(finding.message, 500), _numbers(finding.numbers))
        for finding in result.findings[:MAX_FINDINGS]
    ]
    left = len(result.findings) - len(findings)
    body = element(
        "div",
        element("p", description(result.name), class_="quiet"),
        element("p", clipped(result.message)) if len(main_message(result)) > 400 else None,
        element("p", element("b", "What to do: "), clipped(result.advice), class_="advice") if result.advice else None,
        element(
            "ul",
            findings,
            element("li", f"and {counted(left, 'more finding')}") if left > 0 else None,
            class_="evidence",
        )
        if findings
        else None,
        details(result.details),
        element("p", "Parameters", class_="caption") if result.parameters else None,
        _parameters(result.parameters),
        class_="body",
    )
    found = result.status == ISSUES_FOUND and bool(findings)
    return element("details", top, body, class_="rule found" if found else "rule", open=found)


def _numbers(numbers: Mapping[str, float]) -> Markup | None:
    said = ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in list(numbers.items())[:8])
    return element("span", f" ({clipped(said, 400)})", class_="quiet") if said else None


def _parameters(parameters: Mapping[str, Any]) -> Markup:
    shown = list(parameters.items())[:MAX_PARAMETERS]
    if not shown:
        return element("p", "This rule has no parameters.", class_="quiet")
    return element(
        "dl",
        [
            element("div", element("dt", clipped(name, 100)), element("dd", clipped(_value(value), 200)))
            for name, value in shown
        ],
        class_="parameters",
        aria_label="Parameters",
    )


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{number_text(value)}"
    return "not set" if value is None else str(plain(value))


def managed_answers(job: Mapping[str, Any]) -> Markup | None:
    """The results of SageMaker Debugger's own rules; None without any."""
    rows = [
        [clipped(rule.name, 400), clipped(rule.status, 400), clipped(rule.details, 400)]
        for rule in managed_rules(cast("DescribeTrainingJobResponseTypeDef", job))[:MAX_RULES]
    ]
    if not rows:
        return None
    return element(
        "div",
        element("p", "Results of SageMaker Debugger's own rules:", class_="caption"),
        table(["Rule", "Status", "Details"], rows, class_="plain"),
    )


def not_evaluated_section(results: Iterable[RuleResult]) -> Markup:
    """The rules that were not evaluated, and why."""
    rows = [
        (clipped(result.name, 200), clipped(result.message, 400))
        for result in results
        if result.status == NOT_EVALUATED
    ][:MAX_RULES]
    content = table(["Rule", "Reason"], rows, class_="plain") if rows else empty("Every rule was evaluated.")
    return section("not-evaluated", "Not evaluated", content)


def problems_section(problems: Sequence[str]) -> Markup:
    """What could not be read."""
    if not problems:
        return section("problems", "Gaps in the recording", empty("None: all files could be read."))
    listed = [element("li", clipped(problem, 500)) for problem in problems[:MAX_PROBLEMS]]
    left = len(problems) - len(listed)
    return section(
        "problems",
        "Gaps in the recording",
        element("ul", listed, element("li", f"and {left} more") if left > 0 else None),
        lead="These parts could not be read; the report covers the rest:",
    )


def run_section(run: Mapping[str, Any], notes: Sequence[str] = ()) -> Markup:
    """The run's settings, and notes on how it was recorded."""
    if not run:
        return section(
            "run",
            "The run",
            empty("This recording does not contain the run's settings; recordings of dogbreed-sdk do."),
        )
    settings = run.get("hyperparameters")
    facts = {name: value for name, value in run.items() if name not in _UNLISTED and value is not None}
    for name in facts.keys() & _MOMENTS:
        facts[name] = date(facts[name]) or facts[name]
    lists = [
        _parameters({str(name): _short(value) for name, value in (each if isinstance(each, Mapping) else {}).items()})
        for each in (settings, facts)
        if each
    ]
    titles = ["Hyperparameters", "Facts"] if settings else ["Facts"]
    content = [(element("h3", title), each) for title, each in zip(titles, lists, strict=False)]
    said = [element("p", clipped(note, 500)) for note in notes]
    return section("run", "The run", *said, content)


def _short(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {entry}" for key, entry in list(value.items())[:20])
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value[:8])) + (f", … ({len(value)} in all)" if len(value) > 8 else "")
    return value


def _slug(text: str) -> str:
    """A CSS class name from an arbitrary word."""
    return "".join(letter for letter in text.lower() if letter.isalnum() and letter.isascii())[:20]
