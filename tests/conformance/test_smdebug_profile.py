"""smdebug's own analysis classes read a profile that we recorded: the same events, values and times."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training_scripts.recording.profiled_run import EVALUATIONS, STEPS_AN_EPOCH, profile
from training_scripts.recording.profile.profile import EVAL_STEP, TRAIN_STEP, Profile
from training_scripts.recording.profile.reader import read_profile

READING = Path(__file__).with_name("smdebug_profile_reading.py")
EPOCHS = 2


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of a job that was stopped after its first epoch and started again."""
    folder = tmp_path_factory.mktemp("profile") / "profiler-output"
    profile(folder, epochs=1, pause=0.005)
    profile(folder, epochs=EPOCHS, done=1, pause=0.005)
    return folder


@pytest.fixture(scope="module")
def ours(recorded: Path) -> Profile:
    return read_profile(recorded)


@pytest.fixture(scope="module")
def theirs(recorded: Path, smdebug_python: Path) -> Mapping[str, Any]:
    """What smdebug says of it."""
    answer = subprocess.run(
        [smdebug_python, "-W", "ignore", READING, recorded], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    content: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return content


def test_smdebug_reads_every_sample_as_it_was_written(recorded: Path, theirs: Mapping[str, Any]) -> None:
    keys = ("Type", "Name", "Dimension", "Value", "NodeId", "Timestamp")
    written = [
        [event[key] for key in keys]
        for path in sorted((recorded / "system").rglob("*.json"))
        for event in map(json.loads, path.read_text().splitlines())
    ]
    assert len(written) > 10
    assert sorted(theirs["system"], key=str) == sorted(written, key=str)


def test_smdebug_reads_every_step_and_part(ours: Profile, theirs: Mapping[str, Any]) -> None:
    events = theirs["framework"]
    assert Counter(event[0] for event in events) == {name: len(spans) for name, spans in ours.phases.items()}
    for name, spans in ours.phases.items():
        read = sorted((event for event in events if event[0] == name), key=lambda event: event[1])
        assert [int(event[3]) for event in read] == spans.steps.tolist()
        assert [event[1] / 1e6 for event in read] == pytest.approx(spans.begins.tolist(), abs=1e-9)
        assert [event[2] / 1e6 for event in read] == spans.seconds.tolist()


def test_smdebugs_times_are_those_of_the_run(theirs: Mapping[str, Any]) -> None:
    begins = [event[1] / 1e6 for event in theirs["framework"]]
    samples = [event[5] for event in theirs["system"]]
    assert time.time() - 600 < min(begins) < max(begins) < time.time()
    # A thread of its own takes the samples: the first may come after the first step has begun. Another clock or unit
    # would be off by more than a second.
    assert min(samples) - 1 < min(begins) < max(begins) < max(samples) + 1


def test_smdebugs_data_frames_have_all_rows(theirs: Mapping[str, Any]) -> None:
    assert theirs["rows"] == [len(theirs["system"]), len(theirs["framework"])]


def test_smdebugs_step_statistics_are_ours(ours: Profile, theirs: Mapping[str, Any]) -> None:
    found = {row["training_phase"]: row for row in theirs["steps"]}
    assert set(found) == {TRAIN_STEP, EVAL_STEP}
    assert len(ours.step_statistics) == 2
    for one in ours.step_statistics:
        row = found[one.what]
        numbers = (one.mean, one.minimum, one.maximum, one.p50, one.p95, one.p99)
        names = ("mean", "min", "max", "p50", "p95", "p99")
        assert [row[f"duration_{name}_us"] / 1e6 for name in names] == pytest.approx(list(numbers), rel=1e-9)


def test_smdebug_knows_the_resources_and_the_training_loop(ours: Profile, theirs: Mapping[str, Any]) -> None:
    assert {"cpu", "memory", "network"} <= set(theirs["resources"])
    events = [event[3] for event in theirs["system"] if event[0] == "cpu"]
    assert theirs["cpu_median"] == pytest.approx(float(np.median(events)))
    begin = ours.phases[TRAIN_STEP].begins[0]
    assert (
        theirs["training"] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begin)) + f":{round(begin % 1 * 1e6):06}"
    )


def test_smdebugs_data_loader_analysis_finds_every_fetch(theirs: Mapping[str, Any]) -> None:
    assert theirs["fetches"] == EPOCHS * (STEPS_AN_EPOCH + EVALUATIONS)
