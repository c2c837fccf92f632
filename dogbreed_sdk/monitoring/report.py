"""Compares what a deployed model answers with what it answered on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk._util.durations import Duration, beginning
from dogbreed_sdk._util.formatting import plural
from dogbreed_sdk.client.argument_checks import check_number
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.monitoring.answers import Answer, Baseline, Captured, Seen, counts, sort_captured
from training_scripts._util.class_names import display_name

if TYPE_CHECKING:
    from dogbreed_sdk.endpoints.deployment import Deployment
    from dogbreed_sdk.monitoring.statistics import Comparison

ALPHA = 0.01
SHOWN_PICTURES = 12

Verdict = Literal["shift", "no shift", "too few answers", "too few baseline pictures"]
Question = Literal["mix", "confidence", "rejections"]


@dataclass(frozen=True)
class ShiftTest:
    """The answer to one question: has this moved by more than chance?

    Attributes:
        question: "mix" of the classes, "confidence" or "rejections".
        p_value: Probability of such a difference without any shift, corrected for all questions of the report.
        effect: Its size, 0 to 1: the share of answers that moved to other classes; the largest difference of the
            cumulative distributions of confidence; the difference of the rejection rates.
        by_chance: The size that chance alone rarely exceeds: smaller shifts stay unseen with this many answers.
        is_shift: Whether p_value is below the report's alpha.
        change: How much the average confidence or the rejection rate rose; negative if it fell; None for the mix, whose
            changes are those of its classes.
    """

    question: Question
    p_value: float
    effect: float
    by_chance: float
    is_shift: bool
    change: float | None = None


@dataclass(frozen=True)
class ClassShare:
    """How often one class was the answer.

    Attributes:
        class_folder: The class.
        label: Its display name.
        before: Its share of the answers on the validation split.
        now: Its share of the captured answers.
        answers: Number of captured answers.
    """

    class_folder: str
    label: str
    before: float
    now: float
    answers: int

    @property
    def change(self) -> float:
        """The difference of the shares."""
        return self.now - self.before


@dataclass(frozen=True)
class MonitorReport:
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
    """

    endpoint_name: str
    since: datetime
    until: datetime
    alpha: float
    verdict: Verdict
    baseline: Baseline = field(repr=False)
    captured: Captured = field(repr=False)
    tests: tuple[ShiftTest, ...]
    classes: tuple[ClassShare, ...] = field(repr=False)

    @property
    def answers(self) -> int:
        """Number of captured answers that count."""
        return len(self.captured.seen)

    @property
    def unusual(self) -> tuple[Seen, ...]:
        """The captured requests whose answers are the strangest, the strangest first."""
        return tuple(sorted(self.captured.seen, key=lambda seen: -seen.answer.strangeness)[:SHOWN_PICTURES])

    def rejection_rates(self) -> tuple[float, float] | None:
        """The shares of rejected pictures, before and now; None if the model has no rejection rule."""
        before, now = _rejections(self.baseline.answers), _rejections(_answers(self.captured))
        return None if before is None or now is None else (before[0] / before[1], now[0] / now[1])

    def to_dict(self) -> dict[str, object]:
        """The report as values for JSON; the keys are stable, times are ISO 8601 in UTC."""
        rates = self.rejection_rates()
        return {
            "endpoint": self.endpoint_name,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "verdict": self.verdict,
            "shift": self.verdict == "shift",
            "alpha": self.alpha,
            "model_id": self.baseline.model_id,
            "baseline_answers": len(self.baseline.answers),
            "answers": self.answers,
            "left_out": self.captured.left_out(),
            "tests": [asdict(each) for each in self.tests],
            "rejection_rates": None if rates is None else {"before": rates[0], "now": rates[1]},
            "classes": [{**asdict(each), "change": each.change} for each in self.classes],
            "unusual": [
                {
                    "time": seen.time.isoformat(),
                    "variant": seen.variant,
                    **asdict(seen.answer),
                    "capture_uri": seen.uri,
                    "event_id": seen.event_id,
                }
                for seen in self.unusual
            ],
        }


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
            f"None of {plural(captured.unreadable, 'captured answer')} of endpoint {deployment.endpoint_name} can be "
            'read: does it capture responses? Deploy with DataCapture(captured=["input", "output"]).'
        )
    return judge(deployment.endpoint_name, baseline, captured, since=start, until=end, alpha=alpha)


def judge(
    endpoint_name: str, baseline: Baseline, captured: Captured, *, since: datetime, until: datetime, alpha: float
) -> MonitorReport:
    """The report on captured answers; nothing is read."""
    from dogbreed_sdk.monitoring.statistics import LEAST_ANSWERS  # noqa: PLC0415 - needs numpy

    answers = _answers(captured)
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


def _answers(captured: Captured) -> tuple[Answer, ...]:
    return tuple(seen.answer for seen in captured.seen)


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
    rejections = _rejections(before), _rejections(now)
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


def _rejections(answers: Sequence[Answer]) -> tuple[int, int] | None:
    """How many of how many answers were rejections; None if the model does not reject."""
    known = [answer.rejected for answer in answers if answer.rejected is not None]
    return (sum(known), len(known)) if known else None


def _shares(baseline: Baseline, answers: Sequence[Answer]) -> tuple[ClassShare, ...]:
    before, now = counts(baseline.answers, baseline.classes), counts(answers, baseline.classes)
    shares = [
        ClassShare(name, display_name(name), first / max(1, sum(before)), second / max(1, sum(now)), second)
        for name, first, second in zip(baseline.classes, before, now, strict=True)
    ]
    return tuple(sorted(shares, key=lambda each: -abs(each.change)))
