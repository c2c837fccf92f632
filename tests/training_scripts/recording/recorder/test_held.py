"""Numbers that stay the same are written where they change, and read at every step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_scripts.recording.recorder.step_buffer import StepBuffer
from training_scripts.recording.trial import event_files
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial

RATES = [0.1] * 6 + [0.05] + [0.025] * 5 + [0.1] * 2
SIZES = [32] * 6 + [7] + [32] * 6 + [0]


def record(folder: Path, *, flush_every: int) -> MemoryTrial:
    memory = MemoryTrial()
    buffer = StepBuffer(folder, memory, {"recorder": "loop"}, {TRAIN: 1, EVAL: 1}, report=pytest.fail)
    buffer.describe()
    for step, (rate, size) in enumerate(zip(RATES, SIZES, strict=True)):
        buffer.keep(TRAIN, step, 1.0, 1, size, others={"learning_rate": rate, "learning_rate/1": rate / 2})
        buffer.keep(EVAL, step, 1.0, 1, 5)
        if (step + 1) % flush_every == 0:
            buffer.flush()
    buffer.flush()
    buffer.end(10.0)
    return memory


def written(folder: Path, name: str, mode: str) -> list[int]:
    """The steps at which a number is in the event files."""
    found: list[int] = []
    for path, worker, status in event_files.listed(folder):
        for one in event_files.EventFile(path, worker).read(status):
            if (one.record.name, one.record.mode) == (name, mode):
                found.append(one.record.mode_step)
    return sorted(found)


@pytest.mark.parametrize("flush_every", [1, 4, 100])
def test_every_step_has_its_value(tmp_path: Path, flush_every: int) -> None:
    memory = record(tmp_path, flush_every=flush_every)
    trial = FileTrial(tmp_path)
    assert not trial.problems
    for name, mode, expected in (
        ("learning_rate", TRAIN, RATES),
        ("learning_rate/1", TRAIN, [rate / 2 for rate in RATES]),
        ("step_size", TRAIN, SIZES),
        ("step_size", EVAL, [5] * len(SIZES)),
    ):
        series = trial.tensor(name).series(mode)
        assert series.steps.tolist() == list(range(len(RATES)))
        assert series.values == pytest.approx(expected)
        assert memory.tensor(name).series(mode).values == pytest.approx(expected)
        assert float(trial.tensor(name).value(3, mode)) == pytest.approx(expected[3])


def test_equal_values_are_written_once_at_each_end(tmp_path: Path) -> None:
    record(tmp_path, flush_every=100)
    assert written(tmp_path, "learning_rate", TRAIN) == [0, 5, 6, 7, 11, 12, 13]
    assert written(tmp_path, "step_size", TRAIN) == [0, 5, 6, 7, 12, 13]
    assert written(tmp_path, "step_size", EVAL) == [0, 13]
    assert len(written(tmp_path, "CrossEntropyLoss_output_0", TRAIN)) == len(RATES) - 1


def test_steps_between_different_values_stay_unknown(tmp_path: Path) -> None:
    buffer = StepBuffer(tmp_path, None, {"recorder": "loop"}, {TRAIN: 1}, report=pytest.fail)
    buffer.describe()
    for step in range(6):
        others = {"learning_rate": 0.5 if step < 2 else 0.25} if step not in (2, 3) else {}
        buffer.keep(TRAIN, step, 1.0, None, 4, others=others)
    buffer.flush()
    buffer.end(10.0)
    assert np.array_equal(FileTrial(tmp_path).tensor("learning_rate").series(TRAIN).steps, [0, 1, 4, 5])
