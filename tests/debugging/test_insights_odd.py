"""That no recording, however odd, ends the insights: they check what they read, and one that fails is a sentence."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogbreed_sdk.debugging import insights as package
from dogbreed_sdk.debugging.insights import insights
from tests.debugging.insights_made_up import LOSS, made_up_profile, made_up_run
from training_scripts.recording.profile.profile import (
    CPU,
    DATA,
    EVAL_STEP,
    GPU,
    GPU_MEMORY,
    IO_WAIT,
    TRAIN_STEP,
    Metric,
    Operator,
    Profile,
    Spans,
    Timeline,
)
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial

ODD = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1.0, 0.0, 5e-324, 87.5, 0.5, 2.3])
NUMBERS = st.one_of(ODD, st.floats(), st.floats(0, 3))
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-9, 9),
        st.sampled_from([2**70, -(2**70), 1.5]),
        NUMBERS,
        st.text(max_size=4),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
FUZZ = settings(max_examples=60, suppress_health_check=list(HealthCheck))
WRITTEN = (
    "hyperparameters", "sizes", "batch_size", "epochs", "classes", "class_counts", "valid_names",
    "recorder",
)  # fmt: skip


@st.composite
def descriptions(draw: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        found = {
            "recorder": "builtin",
            "hyperparameters": {
                "lr": "0.1",
                "epochs": "6",
                "scheduler": draw(st.sampled_from(["cosine", "step", "none"])),
            },
            "sizes": {"train": draw(st.integers(0, 40)), "valid": draw(st.integers(0, 12))},
            "batch_size": draw(st.integers(0, 6)),
            "classes": ["a", "b", "\ud800"],
            "class_counts": draw(st.lists(st.integers(-1, 9), min_size=2, max_size=4)),
            "valid_names": ["x"] * draw(st.integers(0, 9)),
        }
    found |= draw(st.dictionaries(st.sampled_from(WRITTEN), ANYTHING, max_size=2))
    return found | {"steps_per_epoch": draw(st.sampled_from([None, 0, 1, 3, 10**6, -1, "many", math.nan, [1]]))}


@st.composite
def trials(draw: Any) -> MemoryTrial:
    trial = MemoryTrial(run=draw(descriptions()))
    epochs, per_epoch, pictures = draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.integers(1, 9))
    usual, now = draw(st.booleans()), 0
    one = st.floats(0, 3) if usual else NUMBERS
    of_label = st.integers(-1, 4) if draw(st.booleans()) else NUMBERS
    for epoch in range(epochs):
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            trial.add_step(step, TRAIN, global_step=now, time=draw(NUMBERS))
            trial.add(LOSS, step, TRAIN, draw(one), collection="losses")
            trial.add("accuracy", step, TRAIN, draw(one), collection="metrics")
            trial.add_reduction("w", "update_ratio", step, TRAIN, draw(one), collection="weights")
            now += 1
        if draw(st.integers(0, 4)):
            trial.add_step(epoch, EVAL, global_step=now)
            trial.add(LOSS, epoch, EVAL, draw(one), collection="losses")
            trial.add("accuracy", epoch, EVAL, draw(one), collection="metrics")
            for name, values in (("labels", of_label), ("predictions", of_label), ("valid_losses", one)):
                if draw(st.integers(0, 5)):
                    trial.add(
                        name, epoch, EVAL, draw(st.lists(values, min_size=pictures, max_size=pictures)), collection=name
                    )
            now += 1
    return trial


@st.composite
def profiles(draw: Any) -> Profile:
    times = 1000 + np.arange(draw(st.integers(0, 40))) * 0.5

    def metric() -> Metric:
        values = np.array(draw(st.lists(NUMBERS, min_size=len(times), max_size=len(times))), dtype=np.float64)
        return Metric(times, values, {f"d{number}": values for number in range(draw(st.integers(0, 2)))})

    def spans() -> Spans:
        count = draw(st.integers(0, 30))
        lengths = draw(st.lists(NUMBERS, min_size=count, max_size=count))
        return Spans(np.arange(count), 1000.0 + np.arange(count), np.array(lengths, dtype=np.float64))

    moment = st.one_of(st.none(), st.floats(900, 1100), NUMBERS)
    facts = ("cores", "gpus", "batch_size", "workers", "inputs", "instance_type", "steps", "steps_per_epoch", "device")
    names = draw(st.sets(st.sampled_from([CPU, GPU, GPU_MEMORY, IO_WAIT])))
    return Profile(
        source=draw(st.sampled_from(["profiler", "report"])),
        system={"algo-1": {name: metric() for name in sorted(names)}},
        phases={name: spans() for name in sorted(draw(st.sets(st.sampled_from([TRAIN_STEP, DATA, EVAL_STEP]))))},
        operators=tuple(Operator("aten::x", 1, draw(NUMBERS), draw(NUMBERS)) for _ in range(draw(st.integers(0, 3)))),
        timeline=Timeline(*(draw(moment) for _ in range(4))),
        facts=draw(st.dictionaries(st.sampled_from(facts), ANYTHING)),
        nodes=("algo-1",),
    )


def told(trial: MemoryTrial | None, profile: Profile | None) -> None:
    """Fails where an insight failed, or says something that JSON cannot hold."""
    problems: list[str] = []
    for insight in insights(trial, profile, [], problems=problems):
        json.dumps(insight.to_dict(), allow_nan=False)
        assert "nan" not in f"{insight.title} {insight.next_step}".lower().split()
    assert problems == []


@FUZZ
@given(trials())
def test_odd_recordings_fail_no_insight(trial: MemoryTrial) -> None:
    told(trial, None)


@FUZZ
@given(profiles())
def test_odd_profiles_fail_no_insight(profile: Profile) -> None:
    told(None, profile)


@pytest.mark.parametrize(
    "written",
    [
        {"class_counts": ["a"]}, {"class_counts": {"a": 1}}, {"class_counts": [2**70] * 10}, {"class_counts": [0] * 10},
        {"classes": []}, {"batch_size": 2**70}, {"sizes": {"train": math.nan, "valid": -3}}, {"valid_names": 3},
    ],
)  # fmt: skip
def test_odd_descriptions_fail_no_insight(written: dict[str, Any]) -> None:
    trial = made_up_run()
    trial.run |= written
    told(trial, None)


def test_a_recording_that_cannot_be_divided_into_epochs_is_at_most_a_sentence() -> None:
    trial, problems = made_up_run(), list[str]()
    trial.run["steps_per_epoch"] = 2**70
    insights(trial, made_up_profile(cpu=9.0), [], problems=problems)
    assert len(problems) <= 1


@pytest.mark.parametrize("valid", [[0.0, 0.5, 0.0, 0.5, 0.0, 0.5], [0.9, 0.5, 0.0, 0.3, 0.5, 0.7, 0.9], [0.0] * 6])
def test_losses_of_zero_fail_no_insight(valid: list[float]) -> None:
    told(made_up_run(valid, [0.9 / 2**epoch for epoch in range(len(valid))]), None)


@pytest.mark.parametrize("label", [-1, 10, 2**40, math.nan])
def test_a_label_without_a_class_is_left_out(label: float) -> None:
    trial = made_up_run()
    labels = np.arange(1000.0) % 10
    labels[3] = label
    for epoch in range(10):
        trial.add("labels", epoch, EVAL, labels)
    told(trial, None)


@pytest.mark.parametrize("facts", [{"steps_per_epoch": 2**70}, {"cores": math.inf}, {"steps": {"TRAIN": 2**70}}])
def test_odd_facts_fail_no_insight(facts: dict[str, Any]) -> None:
    told(None, made_up_profile(wait=0.06, gap=0.1, **facts))


def test_an_insight_that_fails_is_a_sentence_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: object) -> list[Any]:
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(package._FINDERS, "spikes", fails)
    problems: list[str] = []
    assert [one.topic for one in insights(made_up_run(), None, [], problems=problems)] == ["result"]
    assert problems == ["The insight on spikes failed: ZeroDivisionError: by zero."]
    insights(made_up_run(), None, [])
    assert "insight on spikes failed" in caplog.text
