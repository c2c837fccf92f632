"""Plots a search with matplotlib, for notebooks and papers (extra: plots)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk._util import optional
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.tuning_report.content import TuningContent
from dogbreed_sdk.jobs.tuning_report.ranking import has_objective
from dogbreed_sdk.local.tuning.search_space import Range
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dogbreed_sdk.jobs.trial import Trial

# Colors of Okabe and Ito, distinct without color vision.
_TRIALS, _BEST = "#0072B2", "#D55E00"
_INCHES_WIDE, _INCHES_HIGH = 3.2, 3.6


def trials(content: TuningContent) -> Figure:
    """Plots the objective of each trial over each hyperparameter, side by side, and marks the best trial."""
    measured = [trial for trial in content.compared if has_objective(trial)]
    searched = [each for each in content.facts.ranges if any(each.name in trial.hyperparameters for trial in measured)]
    if not searched:
        raise ConfigurationError(
            f"{content.source} has no trial to plot: none has reported {content.facts.metric} yet."
        )
    pyplot = optional.load("matplotlib.pyplot", extra="plots", purpose="plot a search")
    size = (_INCHES_WIDE * max(2, len(searched)), _INCHES_HIGH)
    figure: Figure
    figure, grid = pyplot.subplots(1, len(searched), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, each in zip(grid[0], searched, strict=True):
        _plot(axes, each, [trial for trial in measured if each.name in trial.hyperparameters], content.best)
    grid[0][0].set_ylabel(content.facts.metric)
    grid[0][-1].legend()
    figure.suptitle(f"{content.source}: {counted(len(measured), 'trial')}")
    return figure


def _plot(axes: Axes, searched: Range, measured: list[Trial], best: Trial | None) -> None:
    """One hyperparameter; categories are evenly spaced, in the order of the range."""
    values = [trial.hyperparameters[searched.name] for trial in measured]
    if searched.kind == "categorical":
        places = [float(searched.values.index(str(value))) for value in values]
        axes.set_xticks(range(len(searched.values)), searched.values)
        axes.set_xlim(-0.5, len(searched.values) - 0.5)
    else:
        places = [float(str(value)) for value in values]
        if searched.logarithmic:
            axes.set_xscale("log")
    objectives = [trial.objective for trial in measured if trial.objective is not None]
    axes.plot(places, objectives, "o", color=_TRIALS, label="trial")
    if best in measured:
        at = measured.index(best)
        axes.plot(places[at], objectives[at], "*", color=_BEST, markersize=14, label=f"best: {objectives[at]:.4g}")
    axes.set_xlabel(searched.name)
