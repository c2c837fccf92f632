"""The recording of a distributed run: every worker's files are read, merged, and named where they are damaged."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from training_scripts.recording.trial import layout
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.records import Array, Step
from training_scripts.recording.trial.trial import MemoryTrial, RecordingError
from training_scripts.recording.trial.writer import TrialWriter
from training_scripts.rules.evidence.evidence import Evidence

LABELS = {"worker_0": [0, 1, 2], "worker_1": [3]}


def write(
    folder: Path,
    rank: int,
    losses: Sequence[float],
    *,
    workers: int = 2,
    size: float | None = None,
    arrays: Sequence[tuple[str, Array]] = (),
    first: int = 0,
) -> TrialWriter:
    writer = TrialWriter(folder, worker=layout.worker_name(rank), workers=workers)
    writer.describe({"recorder": "loop", "workers": workers}, {"losses": ["loss"]}, {})
    steps = [Step("TRAIN", step, step, 1000.0 + step, [("loss", loss)]) for step, loss in enumerate(losses, first)]
    for step in steps:
        if size is not None:
            step.numbers.append((layout.STEP_SIZE, size))
        step.arrays.extend(arrays)
    writer.write(steps, seconds=0.0)
    writer.end()
    return writer


def test_the_loss_is_the_mean_of_the_workers_weighted_by_the_sizes_of_their_steps(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0, 2.0], size=3)
    write(tmp_path, 1, [5.0, 6.0], size=1)
    trial = FileTrial(tmp_path)
    assert (trial.workers, list(trial.problems)) == (("worker_0", "worker_1"), [])
    loss = trial.tensor("loss")
    assert loss.series().values.tolist() == [2.0, 3.0]
    assert [loss.value(step).tolist() for step in loss.steps()] == [2.0, 3.0]
    assert trial.tensor(layout.STEP_SIZE).series().values.tolist() == [4.0, 4.0]
    assert trial.collections == {"losses": ["loss"]}


def test_without_sizes_all_workers_count_alike_and_a_step_that_one_lacks_is_the_others(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0, 2.0, 3.0])
    write(tmp_path, 1, [5.0, 4.0])
    loss = FileTrial(tmp_path).tensor("loss")
    assert loss.series().values.tolist() == [3.0, 3.0, 3.0]
    assert loss.value(2) == 3.0


def test_what_one_worker_recorded_is_found_by_its_name_and_by_its_number(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0, 2.0], size=3)
    write(tmp_path, 1, [5.0, float("nan")], size=1)
    trial = FileTrial(tmp_path)
    loss = trial.tensor("loss")
    assert loss.workers == ("worker_0", "worker_1")
    assert loss.value(0, worker="worker_1") == loss.value(0, worker=1) == 5.0
    assert [value.item() for _, value in loss.values(worker=0)] == [1.0, 2.0]
    np.testing.assert_equal(loss.series(worker=1).values, [5.0, np.nan])
    assert loss.steps(worker=1) == [0, 1]
    np.testing.assert_equal(loss.series().values, [2.0, np.nan])
    np.testing.assert_equal(Evidence(trial).tensor("loss").series(worker=1).values, [5.0, np.nan])
    with pytest.raises(RecordingError, match=r"has no tensors of 'worker_2'\. Workers: worker_0, worker_1"):
        loss.value(0, worker=2)


def test_a_trial_in_memory_has_one_worker() -> None:
    trial = MemoryTrial()
    trial.add("loss", 0, "TRAIN", 1.5)
    assert trial.tensor("loss").workers == ("worker_0",)
    assert trial.tensor("loss").value(0, worker=0) == 1.5


def test_rows_of_samples_are_joined_and_a_weight_is_the_first_workers(tmp_path: Path) -> None:
    for rank, labels in enumerate(LABELS.values()):
        weight = ("weight", np.full((2, 2), rank, dtype=np.float32))
        write(tmp_path, rank, [0.0], arrays=[("labels", np.array(labels)), weight])
    trial = FileTrial(tmp_path)
    assert trial.tensor("labels").value(0).tolist() == [0, 1, 2, 3]
    assert trial.tensor("labels").value(0, worker=1).tolist() == [3]
    assert trial.tensor("weight").value(0).tolist() == [[0, 0], [0, 0]]
    assert trial.tensor("weight").value(0, worker=1).tolist() == [[1, 1], [1, 1]]


def test_reductions_of_all_workers_cover_the_values_of_all(tmp_path: Path) -> None:
    for rank, (low, high, mean) in enumerate([(-1.0, 2.0, 0.5), (-3.0, 1.0, 1.5)]):
        numbers = [(layout.reduction_name(kind, "gradient"), value) for kind, value in
                   (("min", low), ("max", high), ("mean", mean))]  # fmt: skip
        TrialWriter(tmp_path, worker=layout.worker_name(rank)).write([Step("TRAIN", 0, 0, 0.0, numbers)], seconds=0.0)
    gradient = FileTrial(tmp_path).tensor("gradient")
    assert [gradient.reduction(kind).values.tolist() for kind in ("min", "max", "mean")] == [[-3.0], [2.0], [1.0]]
    assert gradient.reduction("max", worker=1).values.tolist() == [1.0]


def test_workers_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for rank in range(11):
        write(tmp_path, rank, [float(rank)], workers=11)
    trial = FileTrial(tmp_path)
    assert trial.workers[1:3] == ("worker_1", "worker_2")
    assert trial.workers[-1] == "worker_10"
    assert trial.tensor("loss").value(0) == 5.0


def test_a_worker_whose_files_are_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0], workers=3)
    write(tmp_path, 2, [2.0], workers=3)
    trial = FileTrial(tmp_path)
    assert list(trial.problems) == [
        "2 of 3 workers have event files; those of worker 1 are missing, so the curves are without them"
    ]
    assert trial.tensor("loss").value(0) == 1.5


def test_a_worker_that_recorded_less_is_named(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0, 2.0, 3.0])
    write(tmp_path, 1, [1.0])
    assert list(FileTrial(tmp_path).problems) == [
        "the recording of worker 1 ends with TRAIN step 0; that of others with step 2"
    ]


def test_a_run_of_several_workers_that_has_only_begun_has_no_problems(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0])
    (tmp_path / layout.END_FILE).unlink()
    assert list(FileTrial(tmp_path).problems) == []


def test_damage_in_one_workers_file_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0, 2.0])
    write(tmp_path, 1, [3.0, 4.0])
    path = tmp_path / layout.event_path(0, "worker_1")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 + 20] ^= 0xFF  # in the second step
    path.write_bytes(content)
    trial = FileTrial(tmp_path)
    assert trial.tensor("loss").series().values.tolist() == [2.0, 2.0]
    assert any("000000000000_worker_1.tfevents" in problem for problem in trial.problems)
    assert "the event files of step 1 of worker 1 are missing or damaged: their tensors are lost" in trial.problems


def test_each_worker_clears_its_own_files_and_the_first_one_those_of_nobody(tmp_path: Path) -> None:
    for rank in range(3):
        write(tmp_path, rank, [1.0], workers=3)
    TrialWriter(tmp_path, worker="worker_1", workers=2).clear()
    assert FileTrial(tmp_path).workers == ("worker_0", "worker_2")
    write(tmp_path, 1, [7.0])
    TrialWriter(tmp_path, workers=2).clear()
    trial = FileTrial(tmp_path)
    assert (trial.workers, trial.ended, dict(trial.run)) == (("worker_1",), False, {})
    assert trial.tensor("loss").value(0) == 7.0
    assert list(tmp_path.rglob("*_collections.json")) == []


def test_a_restarted_worker_takes_back_its_own_steps_alone(tmp_path: Path) -> None:
    writers = [write(tmp_path, rank, [1.0, 2.0, 3.0]) for rank in (0, 1)]
    writers[1].drop_from(2)
    assert len(FileTrial(tmp_path).tensor("loss").series(worker=0)) == 3
    assert FileTrial(tmp_path).tensor("loss").steps(worker=1) == [0, 1]
    writers[1].drop_from(0)
    writers[0].drop_from(1)
    trial = FileTrial(tmp_path)
    assert (trial.workers, trial.tensor("loss").steps(), trial.ended) == (("worker_0",), [0], False)


def test_a_worker_reads_its_own_files_while_others_write_theirs(tmp_path: Path) -> None:
    write(tmp_path, 0, [1.0])
    write(tmp_path, 1, [3.0])
    shutil.rmtree(tmp_path / "index" / "000000000")
    trial = FileTrial(tmp_path, worker="worker_1")
    assert (trial.workers, trial.tensor("loss").value(0)) == (("worker_1",), 3.0)
    assert trial.collections == {"losses": ["loss"]}
