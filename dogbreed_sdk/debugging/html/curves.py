"""The report's learning curves: loss and accuracy, with marks of epochs and findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dogbreed_sdk._util.formatting import clipped, number, percent
from dogbreed_sdk.debugging.html.sections import NO_TENSORS
from dogbreed_sdk.pages.markup import Child, Markup, element
from dogbreed_sdk.pages.sections import empty, figure, section
from dogbreed_sdk.pages.series import Chart, Charts, Line, Mark, broken_stretches, chart, line, mark
from training_scripts._util.number_text import counted
from training_scripts.recording.trial.layout import LEARNING_RATE
from training_scripts.recording.trial.trial import TRAIN, Trial
from training_scripts.rules.evidence.learning_curves import Curve, train_position
from training_scripts.rules.findings import RuleResult

MAX_MARKS = 40
MAX_EPOCH_MARKS = 400
# Number of curves that are distinguishable in one chart.
LOOKS = 8


def curves_section(
    trial: Trial | None,
    curves: Mapping[str, Curve],
    results: Sequence[RuleResult],
    charts: Charts,
    *,
    points: int,
    downloads: Markup,
) -> Markup:
    """Loss, accuracy and learning rate; their charts are added to `charts`."""
    title = "Learning curves"
    if trial is None:
        return section("curves", title, empty(NO_TENSORS))
    found: list[Child] = []
    leads = []
    for curve in curves.values():
        charts[curve.name] = _chart(trial, curve, results, points)
        note = "vertical bars: 95% intervals" if np.isfinite(curve.limits).any() else ""
        found.append(figure(curve.name, curve.name.capitalize(), note=note))
        leads.append(_lead(curve))
    rates = _learning_rates(trial, points)
    constant = _constant(rates)
    if constant is not None:
        leads.append(f"The learning rate was {number(constant)} at every step.")
    elif rates:
        charts["learning rate"] = chart(rates, x="training step", y="learning rate", low=0.0, link="training")
        found.append(figure("learning rate", "Learning rate"))
    if not found:
        reason = "Neither a loss nor an accuracy was recorded; they belong to the collections losses and metrics."
        return section("curves", title, empty(reason))
    return section("curves", title, element("div", found, class_="pair"), downloads, lead=" ".join(leads))


def downloads(name: str, *, live: bool) -> Markup:
    """Ways to save the numbers: all recorded ones from the server of a live page, else those of the page's charts.

    Args:
        name: Of the files.
        live: Whether a server keeps the page up to date.
    """
    said = "All numbers:" if live else "Numbers of all charts:"
    forms = ("csv", "json")
    if live:
        ways = [
            element("a", form.upper(), href=f"numbers.{form}", download=f"{name}.{form}", class_="action")
            for form in forms
        ]
    else:
        ways = [
            element(
                "button", form.upper(), type="button", class_="action", data_download=form, data_name=name, hidden=True
            )
            for form in forms
        ]
    return element("p", said, *ways, class_="downloads")


def _learning_rates(trial: Trial, points: int) -> list[Line]:
    """The learning rate of each step, by parameter group; empty if it was not recorded."""
    series: list[Line] = []
    for name in trial.tensor_names(regex=rf"^{re.escape(LEARNING_RATE)}(/\d+)?$"):
        rates = trial.tensor(name).series(TRAIN)
        group = name.partition("/")[2] or "0"
        look, off = len(series) % LOOKS, len(series) >= LOOKS
        series.append(line(f"group {group}", rates.steps, rates.values, look=look, points=points, off=off))
    return series


def _constant(rates: Sequence[Line]) -> float | None:
    """The learning rate of a run that never changed it and has one parameter group; else None."""
    if len(rates) != 1:
        return None
    values = set(rates[0]["y"])
    return values.pop() if len(values) == 1 else None


def _chart(trial: Trial, curve: Curve, results: Sequence[RuleResult], points: int) -> Chart:
    train, is_loss = curve.train, curve.name == "loss"
    series = []
    if len(train):
        series.append(line("train, each step", train.steps, train.values, look=0, points=points, kind="faint"))
        series.append(line("train, smoothed", train.steps, curve.smooth, look=0, points=points))
    if len(curve.numbers):
        where = np.where(np.isfinite(curve.positions), curve.positions, curve.numbers)
        series.append(
            line("validation, by epoch", where, curve.valid, look=1, points=points, kind="both", limits=curve.limits)
        )
    return chart(
        series,
        x="training step",
        y="loss" if is_loss else "accuracy",
        unit="number" if is_loss else "share",
        marks=[*_epoch_marks(curve), *_best(curve), *_broken(curve), *_findings(trial, results)],
        low=0.0,
        high=None if is_loss else 1.0,
        link="training",
        log=None if is_loss else False,
    )


def _lead(curve: Curve) -> str:
    finite = curve.smooth[np.isfinite(curve.smooth)]
    said = number if curve.name == "loss" else percent
    parts = []
    if len(finite) and curve.begin is not None:
        step, value = curve.begin
        parts.append(f"Training {curve.name} went from {said(value)} at step {step} to {said(float(finite[-1]))}")
    if curve.best is not None:
        best, last = float(curve.valid[curve.best]), float(curve.valid[-1])
        turned = f", {said(last)} at the end" if curve.best < len(curve.numbers) - 1 else ""
        which = "" if turned or len(curve.numbers) == 1 else ", the last one"
        subject = "validation" if parts else "Validation"
        parts.append(f"{subject} was best in epoch {curve.numbers[curve.best]}{which} ({said(best)}{turned})")
    return "; ".join(parts) + "." if parts else ""


def _epoch_marks(curve: Curve) -> Iterator[Mark]:
    if len(curve.numbers) <= MAX_EPOCH_MARKS:
        for epoch, position in zip(curve.numbers.tolist(), curve.positions.tolist(), strict=True):
            if np.isfinite(position):
                yield mark("epoch", position, f"end of epoch {epoch}")


def _best(curve: Curve) -> Iterator[Mark]:
    if curve.best is not None and np.isfinite(curve.positions[curve.best]):
        yield mark("best", float(curve.positions[curve.best]), f"best epoch: {curve.numbers[curve.best]}")


def _broken(curve: Curve) -> Iterator[Mark]:
    for begin, end, count in broken_stretches(curve.train.steps, curve.train.values)[:MAX_MARKS]:
        yield mark("broken", begin, f"{counted(count, 'step')} not finite", to=end)


def _findings(trial: Trial, results: Sequence[RuleResult]) -> Iterator[Mark]:
    """Marks of the first step of every finding's rule, per mode."""
    seen: set[tuple[str, str]] = set()
    for result in results:
        for finding in result.findings:
            if not finding.steps or (result.name, finding.mode) in seen or len(seen) >= MAX_MARKS:
                continue
            seen.add((result.name, finding.mode))
            [x] = train_position(trial, finding.mode, np.array([min(finding.steps)], dtype=np.int64)).tolist()
            if np.isfinite(x):
                yield mark("finding", x, clipped(result.name, 100))
