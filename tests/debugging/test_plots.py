"""Plots are matplotlib axes with what the report knows; without matplotlib the extra is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from dogbreed_sdk import ConfigurationError, DebugReport
from dogbreed_sdk.errors import RecordingError
from tests.debugging import made_up
from training_scripts.recording.profile.profile import Profile
from training_scripts.recording.trial.trial import TRAIN, MemoryTrial
from training_scripts.recording.trial.trial import RecordingError as NotRecorded
from training_scripts.rules.findings import Finding, RuleResult


@pytest.fixture
def report() -> DebugReport:
    return DebugReport("job", trial=made_up.trial(epochs=4), profile=made_up.profile(seconds=60, steps=40))


@pytest.fixture(autouse=True)
def _no_window(request: pytest.FixtureRequest) -> Iterator[None]:
    if "without" in request.node.name:
        yield
        return
    matplotlib = pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    matplotlib.use("agg")
    yield
    from matplotlib import pyplot  # noqa: PLC0415

    pyplot.close("all")


def labels(axes: object) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[attr-defined]


def test_losses(report: DebugReport) -> None:
    axes = report.plot_losses()
    assert labels(axes)[:2] == ["train, each step", "train, smoothed"]
    assert any(label.startswith("best epoch") for label in labels(axes))
    assert len(axes.lines[0].get_xdata()) == 100
    axes.figure.canvas.draw()


def test_rules_that_fire_at_one_step_share_a_label(report: DebugReport) -> None:
    found = {"Overfit": (30, 40), "Overtraining": (30,), "LossNotDecreasing": (70,)}
    report.__dict__["rules"] = [
        RuleResult(name, "IssuesFound", "", findings=(Finding("", mode=TRAIN, steps=steps),))
        for name, steps in found.items()
    ]
    axes = report.plot_losses()
    assert {text.get_text(): text.xy[0] for text in axes.texts} == {
        "Overfit, Overtraining": 30,
        "LossNotDecreasing": 70,
    }


def test_a_tensor_of_which_all_was_recorded_has_its_range() -> None:
    trial = MemoryTrial()
    for step in range(3):
        trial.add_step(step, TRAIN, global_step=step)
        trial.add("weight", step, TRAIN, np.array([-1.0, 0.0, 4.0]) * step)
    axes = DebugReport("job", trial=trial).plot_tensor("weight")
    assert labels(axes) == ["mean", "min to max"]
    assert axes.lines[0].get_ydata().tolist() == [0.0, 1.0, 2.0]


def test_a_tensor_by_its_reductions(report: DebugReport) -> None:
    assert labels(report.plot_tensor("gradient/Sequential_0.weight")) == ["abs mean"]
    assert labels(report.plot_tensor("Sequential_0.weight", kind="l2", mode=TRAIN)) == ["l2"]
    with pytest.raises(NotRecorded, match="did you mean"):
        report.plot_tensor("gradient/Sequential_O.weight")


def test_utilization(report: DebugReport) -> None:
    axes = report.plot_utilization()
    assert labels(axes) == ["CPU", "CPU memory", "GPU", "GPU memory", "I/O"]
    axes.figure.canvas.draw()


@pytest.mark.parametrize("plot", ["plot_losses", "plot_utilization"])
def test_what_was_not_recorded(plot: str) -> None:
    with pytest.raises(RecordingError, match="nothing has no"):
        getattr(DebugReport("nothing", trial=MemoryTrial(), profile=Profile()), plot)()
    with pytest.raises(RecordingError, match="no tensors to plot"):
        DebugReport("nothing").plot_tensor("weight")


def test_without_matplotlib_the_extra_is_named(report: DebugReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ConfigurationError, match=r"\[plots\]"):
        report.plot_losses()


def test_dollar_signs_are_no_formulas() -> None:
    trial = made_up.trial(epochs=1)
    trial.add_reduction("a$\\foo$b", "mean", 0, TRAIN, 1.0, collection="weights")
    report = DebugReport("m$\\foo$", trial=trial)
    for axes in (report.plot_losses(), report.plot_tensor("a$\\foo$b")):
        axes.figure.canvas.draw()
