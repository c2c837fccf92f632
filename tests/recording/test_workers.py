"""Several workers record into one folder: each refuses, replaces and continues its own part alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dogbreed_sdk import ConfigurationError, Recorder
from training_scripts.recording.trial.file_trial import FileTrial

pytestmark = pytest.mark.extras


class Workers:
    """Makes this process each of two workers in turn."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch

    def recorder(self, rank: int, **arguments: Any) -> Recorder:
        self._monkeypatch.setenv("RANK", str(rank))
        self._monkeypatch.setenv("WORLD_SIZE", "2")
        return Recorder(self.folder, rules=False, profile=False, **arguments)

    def run(self, rank: int, *losses: float, **arguments: Any) -> None:
        with self.recorder(rank, **arguments) as run:
            for loss in losses:
                run.step(loss, labels=torch.zeros(4), size=4)

    def losses(self, rank: int | None = None) -> list[float]:
        trial = FileTrial(self.folder / "debug-output")
        assert list(trial.problems) == []
        return [float(value) for value in trial.tensor("loss_output_0").series(worker=rank).values]


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    return Workers(tmp_path / "run", monkeypatch)


def test_a_worker_is_not_refused_because_another_one_has_begun(workers: Workers) -> None:
    workers.run(1, 3.0, 5.0)
    workers.run(0, 1.0, 2.0)
    assert (workers.losses(), workers.losses(0), workers.losses(1)) == ([2.0, 3.5], [1.0, 2.0], [3.0, 5.0])
    trial = FileTrial(workers.folder / "debug-output")
    assert (trial.ended, trial.run["workers"]) == (True, 2)
    for rank in (0, 1):
        with pytest.raises(ConfigurationError, match="already contains a recording"):
            workers.recorder(rank)


def test_each_worker_replaces_its_own_part(workers: Workers) -> None:
    for rank in (1, 0):
        workers.run(rank, 1.0, 1.0, 1.0)
    workers.run(1, 9.0, overwrite=True)
    assert FileTrial(workers.folder / "debug-output").tensor("loss_output_0").steps(worker=0) == [0, 1, 2]
    workers.run(0, 7.0, overwrite=True)
    assert workers.losses() == [8.0]


def test_each_worker_continues_its_own_part(workers: Workers) -> None:
    for rank in (1, 0):
        workers.run(rank, *(10.0 * rank + step for step in range(3)))
    for rank in (1, 0):
        workers.run(rank, 10.0 * rank + 5, resume=2)
    assert (workers.losses(0), workers.losses(1)) == ([0.0, 1.0, 5.0], [10.0, 11.0, 15.0])


def test_one_process_after_several_replaces_all_of_them(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (1, 0):
        workers.run(rank, 1.0)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    with Recorder(workers.folder, rules=False, profile=False, overwrite=True) as run:
        run.step(4.0)
    assert (workers.losses(), list(FileTrial(workers.folder / "debug-output").workers)) == ([4.0], ["worker_0"])
