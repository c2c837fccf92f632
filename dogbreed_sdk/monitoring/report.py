"""Compares what a deployed model answers with what it answered on the validation split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util.durations import Duration, beginning
from dogbreed_sdk.client.argument_checks import check_number
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.monitoring.answers import Answer, Baseline, Captured, counts, sort_captured
from dogbreed_sdk.monitoring.content import (
    SHOWN_PICTURES,
    ClassShare,
    MonitorContent,
    Question,
    ShiftTest,
    Verdict,
    answers_of,
    rejections_of,
)
from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.endpoints.deployment import Deployment
    from dogbreed_sdk.monitoring.statistics import Comparison

ALPHA = 0.01


@dataclass(frozen=True)
class MonitorReport(MonitorContent):
    """How the answers of an endpoint have moved against the validation split.

    Attributes:
        endpoint_name: Name of the endpoint.
        since: Beginning of the captured time, in UTC.
        until: Its end.
        alpha: The share of checks without any shift that may report one.
        verdict: "shift" or "no shift"; "too few answers" if fewer than 30 captured answers count, else "too few
            baseline pictures" if the baseline has fewer than 30.
        baseline: The answers on the validation split.
        captured: The captured requests, sorted.
        tests: One per question; none with too few of either, no "rejections" if the model has no rejection rule.
        classes: The shares of the classes, the largest change first.

    Examples:
        >>> report = monitor(deployment, Baseline.classify(classifier, dataset))
        >>> report.verdict, [share.label for share in report.classes]
        ('too few answers', [...])
        >>> report.to_html("monitor.html").name
        'monitor.html'
        >>> print(report)
        Too few to tell a shift from chance: ...
        ...
    """

    def to_text(self) -> str:
        """The report as text: the verdict, what was compared, and what moved by how much."""
        from dogbreed_sdk.monitoring.text import describe  # noqa: PLC0415 - needs numpy

        return describe(self)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes one HTML page that needs no network, with pictures of the most unusual requests if they were captured.

        Args:
            path: The file, or a folder for ``monitor.html``.

        Returns:
            The path of the file written.
        """
        from dogbreed_sdk.monitoring.page import document  # noqa: PLC0415 - needs numpy
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415

        return write_page(document(self), path, name="monitor.html")

    def __str__(self) -> str:
        return self.to_text()


def monitor(
    deployment: Deployment,
    baseline: Baseline,
    *,
    since: datetime | Duration = "7d",
    until: datetime | None = None,
    alpha: float = ALPHA,
) -> MonitorReport:
    """Compares captured answers with those on the validation split.

    Captured answers count if the baseline's model gave them; a picture that comes repeatedly counts once, and pictures
    of the validation split do not count.

    Args:
        deployment: An endpoint with data capture.
        baseline: The model's answers on the validation split: `Baseline.classify` or `Baseline.load`.
        since: Beginning: a time (without a time zone it is local), or a duration such as "7d" before the end.
        until: End. Default: now.
        alpha: The share of checks without any shift that may report one.

    Raises:
        EndpointError: The endpoint does not capture data.
        ConfigurationError: A value is out of range, or only requests are captured.

    Examples:
        >>> report = monitor(deployment, Baseline.classify(classifier, dataset), since="1h")
        >>> report.verdict  # at least 30 answers are needed
        'too few answers'
    """
    check_number("alpha", alpha, above=True)
    if alpha >= 1:
        raise ConfigurationError(f"alpha must be below 1, got {alpha}.")
    end = (until or datetime.now(timezone.utc)).astimezone(timezone.utc)
    start = beginning(since, end=end)
    requests = deployment.captured(since=start, until=end)
    captured = sort_captured(requests, baseline, kept_pictures=SHOWN_PICTURES)
    if captured.unreadable and not captured.seen and not captured.other_models:
        raise ConfigurationError(
            f"None of {counted(captured.unreadable, 'captured answer')} of endpoint {deployment.endpoint_name} can be "
            'read: does it capture responses? Deploy with DataCapture(captured=["input", "output"]).'
        )
    return judge(deployment.endpoint_name, baseline, captured, since=start, until=end, alpha=alpha)


def judge(
    endpoint_name: str, baseline: Baseline, captured: Captured, *, since: datetime, until: datetime, alpha: float
) -> MonitorReport:
    """The report on captured answers; nothing is read."""
    from dogbreed_sdk.monitoring.statistics import LEAST_ANSWERS  # noqa: PLC0415 - needs numpy

    answers = answers_of(captured)
    verdict: Verdict
    tests: tuple[ShiftTest, ...] = ()
    if len(answers) < LEAST_ANSWERS:
        verdict = "too few answers"
    elif len(baseline.answers) < LEAST_ANSWERS:
        verdict = "too few baseline pictures"
    else:
        tests = _tests(baseline.answers, answers, baseline.classes, alpha)
        verdict = "shift" if any(each.is_shift for each in tests) else "no shift"
    return MonitorReport(
        endpoint_name,
        since,
        until,
        alpha,
        verdict,
        baseline,
        captured,
        tests,
        _shares(baseline, answers),
    )


def _tests(
    before: Sequence[Answer], now: Sequence[Answer], classes: Sequence[str], alpha: float
) -> tuple[ShiftTest, ...]:
    from dogbreed_sdk.monitoring.statistics import (  # noqa: PLC0415 - needs numpy
        compare_mix,
        compare_rates,
        compare_values,
        holm,
    )

    found: dict[Question, Comparison] = {
        "mix": compare_mix(counts(before, classes), counts(now, classes), alpha=alpha),
        "confidence": compare_values([a.probability for a in before], [a.probability for a in now], alpha=alpha),
    }
    changes = {"confidence": _confidence(now) - _confidence(before)}
    rejections = rejections_of(before), rejections_of(now)
    if rejections[0] is not None and rejections[1] is not None:
        found["rejections"] = compare_rates(rejections[0], rejections[1], alpha=alpha)
        changes["rejections"] = rejections[1][0] / rejections[1][1] - rejections[0][0] / rejections[0][1]
    corrected = holm([each.p_value for each in found.values()])
    return tuple(
        ShiftTest(question, p_value, each.effect, each.by_chance, p_value < alpha, changes.get(question))
        for (question, each), p_value in zip(found.items(), corrected, strict=True)
    )


def _confidence(answers: Sequence[Answer]) -> float:
    """The average confidence of at least one answer."""
    return sum(answer.probability for answer in answers) / len(answers)


def _shares(baseline: Baseline, answers: Sequence[Answer]) -> tuple[ClassShare, ...]:
    before, now = counts(baseline.answers, baseline.classes), counts(answers, baseline.classes)
    shares = [
        ClassShare(name, display_name(name), first / max(1, sum(before)), second / max(1, sum(now)), second)
        for name, first, second in zip(baseline.classes, before, now, strict=True)
    ]
    return tuple(sorted(shares, key=lambda each: -abs(each.change)))
