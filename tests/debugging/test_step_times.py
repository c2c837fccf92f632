"""Where the time of steps went: inside, between, outliers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dogbreed_sdk import DebugReport, RecordingError
from tests.debugging.insights_made_up import made_up_profile, on_two_nodes
from training_scripts.recording.profile.profile import EVAL_STEP, TRAIN_STEP, Profile, Spans


def profile_with_evaluations() -> Profile:
    """100 training steps of 0.1 s, 0.02 s apart, of which 20 make an epoch; an evaluation step of 0.5 s after each."""
    train, valid, now = [], [], 1000.0
    for step in range(100):
        train.append((step, now, 0.1))
        now += 0.12
        if step % 20 == 19:
            valid.append((step // 20, now, 0.5))
            now += 0.6
    spans = {
        name: Spans(*(np.array(column) for column in zip(*rows, strict=True)))
        for name, rows in ((TRAIN_STEP, train), (EVAL_STEP, valid))
    }
    return Profile(phases=spans, facts={"steps_per_epoch": 20}, nodes=("algo-1",))


def test_time_between_steps_leaves_out_evaluations_and_ends_of_epochs() -> None:
    training, evaluation = DebugReport("made up", profile=profile_with_evaluations()).step_times()
    assert (training.kind, training.count, training.outliers) == ("training", 100, 0)
    assert training.inside == pytest.approx(10.0)
    assert training.between == pytest.approx(95 * 0.02)
    assert (evaluation.kind, evaluation.count, evaluation.between) == ("evaluation", 5, 0.0)
    assert str(training) == (
        "100 training steps: 10 s inside (median 100 ms, slowest 100 ms), 1.9 s between them, no outliers"
    )


def test_the_time_between_steps_is_that_of_each_node() -> None:
    made = made_up_profile(step=0.1, gap=0.05)
    [alone] = DebugReport("made up", profile=made).step_times()
    [both] = DebugReport("made up", profile=on_two_nodes(made, made, apart=0.06)).step_times()
    assert both.between == pytest.approx(2 * alone.between)


def test_outliers_are_counted_with_what_they_took() -> None:
    [times] = DebugReport("made up", profile=made_up_profile(slow=(50, 200))).step_times()
    assert (times.outliers, times.slowest) == (2, pytest.approx(5.0))
    assert times.in_outliers == pytest.approx(10.0)
    assert str(times).endswith("2 outliers (10 s)")


def test_unknown_times_are_left_out_and_without_a_profile_there_are_none() -> None:
    profile = made_up_profile()
    spans = profile.phases[TRAIN_STEP]
    broken = replace(spans, seconds=np.where(spans.steps == 7, np.nan, spans.seconds))
    [times] = DebugReport("made up", profile=replace(profile, phases={TRAIN_STEP: broken})).step_times()
    assert times.count == len(spans) - 1
    assert DebugReport("nothing").step_times() == []


def test_the_plot_marks_the_outliers() -> None:
    pytest.importorskip("matplotlib")
    steps, slow = DebugReport("made up", profile=made_up_profile(slow=(50, 200))).plot_steps().lines
    assert len(np.asarray(steps.get_ydata())) == len(made_up_profile(slow=(50, 200)).phases[TRAIN_STEP])
    assert np.asarray(slow.get_ydata()).tolist() == pytest.approx([5000.0, 5000.0])
    with pytest.raises(RecordingError, match="no step times to plot"):
        DebugReport("nothing").plot_steps()
