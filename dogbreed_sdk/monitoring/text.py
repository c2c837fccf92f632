"""A monitor's report as text: the verdict, what was compared, and what moved."""

from __future__ import annotations

from dogbreed_sdk.monitoring.content import MonitorContent
from dogbreed_sdk.monitoring.page import WHY_LEFT_OUT, direction, headline
from training_scripts._util.number_text import percent_text

_SHOWN_CLASSES = 3


def describe(content: MonitorContent) -> str:
    """The report as lines of text."""
    left_out = {name: count for name, count in content.captured.left_out().items() if count}
    requests = content.answers + sum(left_out.values())
    before = len(content.baseline.answers)
    lines = [
        headline(content),
        f"{content.answers:,} of {requests:,} captured requests count, compared with {before:,} baseline pictures",
        *(f"  not counted: {count:,} ({WHY_LEFT_OUT[name]})" for name, count in left_out.items()),
    ]
    for test in content.tests:
        moved = direction(test)
        lines.append(
            f"{test.question}: moved by {percent_text(test.effect)}, by chance rarely more than "
            f"{percent_text(test.by_chance)} (p = {test.p_value:.2g})" + (f"; {moved}" if moved else "")
        )
    if content.verdict == "shift":
        lines += [
            f"{each.label}: {percent_text(each.before)} of the answers before, {percent_text(each.now)} now"
            for each in content.classes[:_SHOWN_CLASSES]
        ]
    return "\n".join(lines)
