"""A plan as lines for people: a table, what it means, and what makes it cheaper."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.planning.content import PlanContent
from dogbreed_sdk.planning.steps import SPOT_LARGEST_DISCOUNT, Step, named
from training_scripts._util.number_text import counted

_HEADS = ("step", "instances", "hours each", "USD/hour", "USD", "")
# From here on an endpoint is worth a remark.
_DOMINANT_SHARE = 0.5
_LONG_HOURS = 24


def lines(plan: PlanContent, *, width: int) -> list[str]:
    """The plan as lines of text; the sentences are wrapped, the table is not."""
    return [
        f"Plan for Amazon SageMaker in {plan.region}. Nothing has been created.",
        _dataset(plan),
        "",
        *_table(plan.steps),
        "",
        *_wrapped(_comparisons(plan), width),
        "",
        *_wrapped(_remarks(plan), width),
    ]


def _wrapped(sentences: Iterable[str], width: int) -> Iterator[str]:
    for sentence in sentences:
        yield from textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False)


def _dataset(plan: PlanContent) -> str:
    size = plan.dataset
    splits = ", ".join(f"{count:,} {split}" for split, count in size.splits.items())
    return f"{counted(size.pictures, 'picture')} ({splits}), {size.classes:,} classes, {amount(size.bytes)}"


def _table(steps: Sequence[Step]) -> Iterator[str]:
    prices = [step.usd for step in steps]
    priced = zip(steps, rounded(prices), strict=True)
    rows = [_HEADS, *(_row(step, price) for step, price in priced), ("total", "", "", "", usd(sum(prices)), "")]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    for row in rows:
        cells = [
            text.ljust(width) if column in (0, len(_HEADS) - 1) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _row(step: Step, price: float) -> tuple[str, ...]:
    what = f"{step.instance_type}, {step.what}" if step.instance_type else step.what
    charged = step.instances > 0
    return (
        step.name,
        str(step.instances) if charged else "",
        f"{step.hours:.2f}" if charged else "",
        f"{step.usd_per_hour:.4g}" if step.usd_per_hour is not None else "",
        "<0.01" if price == 0 < step.usd else usd(price),
        what,
    )


def usd(amount: float) -> str:
    """US dollars with cents; a price below one cent is not shown as none.

    >>> usd(83.954), usd(0.0031), usd(0)
    ('83.95', '<0.01', '0.00')
    """
    return "<0.01" if 0 < amount < 0.005 else f"{amount:,.2f}"


def rounded(prices: Sequence[float]) -> list[float]:
    """Prices in whole cents that add up to the rounded total: those with the largest remainders are rounded up.

    >>> rounded([0.0083, 0.0384, 0.0064, 83.95, 2.8073])  # each for itself, they add up to 86.82
    [0.01, 0.04, 0.0, 83.95, 2.81]
    """
    cents = [math.floor(100 * price) for price in prices]
    left = round(100 * round(sum(prices), 2)) - sum(cents)
    for index in sorted(range(len(prices)), key=lambda index: cents[index] - 100 * prices[index])[:left]:
        cents[index] += 1
    return [each / 100 for each in cents]


def _comparisons(plan: PlanContent) -> Iterator[str]:
    least, most = plan.usd_range
    yield f"Likely between {usd(least)} and {usd(most)} USD: the backbone's speed is from {plan.speed}."
    others = " ".join(_without(plan))
    if others:
        yield others
    discount = plan.usd - plan.usd_with_spot_at_best
    if discount > 0:
        yield (
            f"With managed spot training from {usd(plan.usd_with_spot_at_best)} USD: AWS names up to "
            f"{SPOT_LARGEST_DISCOUNT:.0%} off the jobs, and guarantees nothing. An endpoint has no spot price."
        )
    yield (
        f"The jobs take about {_minutes(plan.run_seconds)} and wait about {_minutes(plan.wait_seconds)} for instances, "
        "which is not charged."
    )


def _without(plan: PlanContent) -> Iterator[str]:
    """What other ways to compute the features would cost, where they cost anything else."""
    if usd(plan.usd_without_shared_features) != usd(plan.usd):
        without = plan.usd_without_shared_features - plan.usd
        yield (
            f"Without shared features {usd(plan.usd_without_shared_features)} USD, {usd(abs(without))} "
            f"{'more' if without > 0 else 'less'}: each job would compute them itself."
        )
    if usd(plan.usd_without_features) != usd(plan.usd):
        yield f"With the backbone in every epoch {usd(plan.usd_without_features)} USD."


def _remarks(plan: PlanContent) -> Iterator[str]:
    endpoint = named(plan.steps, "endpoint")
    is_large = endpoint is not None and endpoint.usd > plan.usd * _DOMINANT_SHARE and endpoint.hours > _LONG_HOURS
    if endpoint is not None and is_large and endpoint.usd_per_hour is not None:
        yield (
            f"The endpoint is {endpoint.usd / plan.usd:.0%} of the total. It costs {endpoint.usd_per_hour:.4g} USD per "
            "hour and instance until it is deleted, used or not. Let it expire (ttl), or delete it when you have "
            "finished. A serverless endpoint costs nothing while idle, and batch transform needs no endpoint."
        )
    yield from plan.notes
    yield (
        f"On-demand prices as of {_days(plan)} ({', '.join(plan.price_sources)}). Not considered: "
        "quotas, the free tier, savings plans, taxes, logs, S3 requests and data transfer."
    )


def _days(plan: PlanContent) -> str:
    """The days on which the prices were read."""
    first, last = plan.prices_as_of.isoformat(), plan.newest_price.isoformat()
    return first if first == last else f"{first} to {last}"


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if minutes >= 120:
        return f"{seconds / 3600:.1f} hours"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
