"""What a monitor's report contains, without the ways to show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from dogbreed_sdk.monitoring.answers import Answer, Baseline, Captured, Seen

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
class MonitorContent:
    """What a monitor found; `MonitorReport` describes the attributes."""

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
        before, now = rejections_of(self.baseline.answers), rejections_of(answers_of(self.captured))
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


def answers_of(captured: Captured) -> tuple[Answer, ...]:
    """The answers that count."""
    return tuple(seen.answer for seen in captured.seen)


def rejections_of(answers: Sequence[Answer]) -> tuple[int, int] | None:
    """How many of how many answers were rejections; None if the model does not reject."""
    known = [answer.rejected for answer in answers if answer.rejected is not None]
    return (sum(known), len(known)) if known else None
