"""Plots curves, tensors and the machine's use with matplotlib, for notebooks and papers (extra: plots)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.formatting import whole
from dogbreed_sdk.errors import RecordingError
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import Z95

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dogbreed_sdk.debugging.content import ReportContent

# Colors of Okabe and Ito, distinct without color vision; dashes make curves distinct without colors.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (3, 1)), (0, (1, 1)))
_RATES = ("Network", "Disk")


def losses(report: ReportContent) -> Axes:
    """Plots training loss by step and validation loss by epoch."""
    curve = report.curves.get("loss")
    if curve is None:
        raise RecordingError(f"{report.source} has no loss to plot: no loss was recorded.")
    axes: Axes = _axes()
    if len(curve.train):
        axes.plot(
            curve.train.steps,
            curve.train.values,
            color=_COLORS[0],
            alpha=0.35,
            linewidth=0.8,
            label="train, each step",
        )
        axes.plot(curve.train.steps, curve.smooth, color=_COLORS[0], label="train, smoothed")
    if len(curve.numbers):
        axes.errorbar(
            curve.positions,
            curve.valid,
            yerr=abs(curve.limits.T - curve.valid),
            color=_COLORS[1],
            linestyle=_DASHES[1],
            marker="s",
            markersize=4,
            label="validation, by epoch",
        )
    if curve.best is not None:
        label = f"best epoch: {curve.numbers[curve.best]}"
        axes.axvline(curve.positions[curve.best], color=_COLORS[2], linestyle=":", label=label)
    for step, names in _first_findings(report).items():
        axes.axvline(step, color=_COLORS[6], linestyle="--", linewidth=0.8)
        axes.annotate(
            _literal(", ".join(names)),
            (step, 1),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
        )
    axes.set(title=_literal(report.source), xlabel="training step", ylabel="loss")
    axes.locator_params(axis="x", integer=True)
    axes.legend()
    return axes


def fluctuations(report: ReportContent) -> Axes:
    """Plots the training loss by step within the band where random batches alone would put 95% of the steps."""
    from training_scripts.rules.evidence.batch_noise import batch_noise  # noqa: PLC0415 - needs NumPy
    from training_scripts.rules.evidence.run import Run  # noqa: PLC0415

    run = None if report.evidence is None else Run.of(report.evidence)
    noise = None if run is None else batch_noise(run)
    if noise is None:
        raise RecordingError(
            f"{report.source} does not show where the fluctuations of its loss come from: that takes a cross-entropy, "
            "40 training steps or more, and the losses of single pictures, which our training scripts record."
        )
    axes: Axes = _axes()
    width = Z95 * noise.expected
    inside = abs(noise.losses - noise.level) <= width
    axes.fill_between(
        noise.steps,
        noise.level - width,
        noise.level + width,
        color=_COLORS[0],
        alpha=0.15,
        linewidth=0,
        label=f"95% of steps, if only random batches of {noise.batch} mattered",
    )
    axes.plot(noise.steps, noise.level, color=_COLORS[0], label="training loss, smoothed")
    axes.plot(noise.steps, noise.losses, color=_COLORS[0], alpha=0.35, linewidth=0.8, label="training loss, each step")
    axes.plot(
        noise.steps[~inside],
        noise.losses[~inside],
        color=_COLORS[1],
        linestyle="",
        marker="o",
        markersize=3,
        label=f"outside: {(~inside).sum()} of {len(inside)} steps",
    )
    axes.set(
        title=f"Random batches explain {noise.share:.0%} of the fluctuation",
        xlabel="training step (without the first fifth, in which the loss falls most)",
        ylabel="cross-entropy",
    )
    axes.legend()
    return axes


def tensor(report: ReportContent, name: str, *, kind: str | None, mode: str | None) -> Axes:
    """Plots a reduction of a tensor over the steps, or its mean with its range."""
    if report.trial is None:
        raise RecordingError(f"{report.source} has no tensors to plot: no tensors were recorded.")
    recorded = report.trial.tensor(name)
    chosen = mode or recorded.modes[0]
    there = recorded.reductions(chosen)
    main = kind or next((each for each in ("mean", *there) if each in there), "mean")
    series = recorded.reduction(main, chosen)
    axes: Axes = _axes()
    axes.plot(
        series.steps, series.values, color=_COLORS[0], marker="o", markersize=3, label=_literal(main.replace("_", " "))
    )
    if kind is None and {"min", "max"} <= set(there):
        low, high = (recorded.reduction(end, chosen) for end in ("min", "max"))
        if len(low) == len(high) and (low.values != high.values).any():
            axes.fill_between(low.steps, low.values, high.values, color=_COLORS[0], alpha=0.15, label="min to max")
    axes.set(title=_literal(name), xlabel=f"{chosen} step", ylabel=_literal(main.replace("_", " ")))
    axes.legend()
    return axes


def steps(report: ReportContent) -> Axes:
    """Plots how long each step took, with a mark on each outlier."""
    from dogbreed_sdk.debugging.step_times import kind_of, outliers, step_spans  # noqa: PLC0415 - needs NumPy

    spans_by_name = {} if report.profile is None else step_spans(report.profile)
    if not spans_by_name:
        raise RecordingError(f"{report.source} has no step times to plot: the job was not profiled.")
    axes: Axes = _axes()
    begin = min(float(spans.begins[0]) for spans in spans_by_name.values())
    for number, (name, spans) in enumerate(spans_by_name.items()):
        look = number % len(_COLORS)
        axes.plot(
            spans.begins - begin,
            1000 * spans.seconds,
            color=_COLORS[look],
            linestyle="",
            marker=".",
            label=_literal(f"{kind_of(name)}: {counted(len(spans), 'step')}"),
        )
        slow = outliers(spans)
        if slow.any():
            axes.plot(
                spans.begins[slow] - begin,
                1000 * spans.seconds[slow],
                color=_COLORS[look],
                linestyle="",
                marker="o",
                markersize=9,
                fillstyle="none",
                label=_literal(f"{kind_of(name)}: {counted(int(slow.sum()), 'outlier')}"),
            )
    axes.set(
        title=_literal(report.source),
        xlabel="seconds since the first step",
        ylabel="milliseconds per step",
        yscale="log",
    )
    axes.legend()
    return axes


def utilization(report: ReportContent) -> Axes:
    """Plots the machine's use over time in percent, one curve per node and metric."""
    profile = report.profile
    curves = [
        (node, name, metric)
        for node, metrics in (profile.system.items() if profile is not None else ())
        for name, metric in metrics.items()
        if name not in _RATES and len(metric.times)
    ]
    if not curves:
        why = "AWS's report contains only statistics" if profile is not None else "the job was not profiled"
        raise RecordingError(f"{report.source} has no samples of the machine to plot: {why}.")
    axes: Axes = _axes()
    begin = min(float(metric.times[0]) for _, _, metric in curves)
    nodes = {node for node, _, _ in curves}
    for index, (node, name, metric) in enumerate(curves):
        look = index % len(_COLORS)
        label = _literal(f"{name}, {node}" if len(nodes) > 1 else name)
        axes.plot(
            metric.times - begin, metric.values, color=_COLORS[look], linestyle=_DASHES[look], linewidth=1, label=label
        )
    axes.set(title=_literal(report.source), xlabel="seconds since the first sample", ylabel="percent", ylim=(0, 105))
    axes.legend()
    return axes


def _literal(text: str) -> str:
    """Escapes dollar signs, between which matplotlib would parse formulas."""
    return whole(text).replace("$", r"\$")


def _axes() -> Any:
    pyplot = optional.load("matplotlib.pyplot", extra="plots", purpose="plot a report")
    return pyplot.subplots(figsize=(8, 4.5), layout="constrained")[1]


def _first_findings(report: ReportContent) -> dict[int, list[str]]:
    """The first training step of every rule that fired, with the names of the rules."""
    found: dict[int, list[str]] = {}
    for result in report.rules:
        steps = [min(finding.steps) for finding in result.findings if finding.steps and finding.mode in ("", "TRAIN")]
        if steps:
            found.setdefault(min(steps), []).append(result.name)
    return found
