"""Training in several processes: the run of a single one, whatever their number, and an end for all if one ends."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training_scripts.small_datasets import REPOSITORY
from training_scripts import rules
from training_scripts.data import image_folder, inputs
from training_scripts.data.sharing import Division
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.metrics import EpochMetrics, parse
from training_scripts.training.processes import Place, Processes, ProcessGroup, place
from training_scripts.training.stop_signal import StopFlag, Stopped

RANKS = Path(__file__).with_name("ranks.py")
# Batches of 5, 5 and 2 pictures: of the last one, one of three processes gets nothing.
FINE_TUNING = [
    "--model",
    "efficientnet_lite0",
    "--unfreeze",
    "1",
    "--epochs",
    "2",
    "--batch-size",
    "5",
    "--lr",
    "0.01",
    "--backbone-lr",
    "0.001",
]
BROKEN = "002.Green_dog/1.png"
HEAD = ["--epochs", "2", "--batch-size", "7", "--lr", "0.01", "--profiler", "off"]
# Blocks of two rows, of which six are mixed; of 24 rows to train on.
BLOCK = 2 * 2 * 1280 * 4
SMALL_MEMORY = {"features.shuffling._BLOCK_BYTES": BLOCK, "features.shuffling.BUFFER_BYTES": 6 * BLOCK}
IN_MEMORY = "data.batches.IN_MEMORY_BYTES"
# What a process keeps in memory: nothing, or the train split alone.
ROOM = {"streamed": 0, "loaded": 13 * BLOCK}


@dataclass(frozen=True)
class Run:
    """What the processes of a run have left."""

    folder: Path
    count: int

    @property
    def statuses(self) -> list[int]:
        return [int((self.folder / f"status-{rank}").read_text()) for rank in range(self.count)]

    def out(self, rank: int = 0) -> str:
        return (self.folder / f"out-{rank}").read_text()

    def curve(self, rank: int = 0) -> list[tuple[int, dict[str, float]]]:
        parsed = [parse(line) for line in self.out(rank).splitlines()]
        return [(seen.epoch, dict(seen.values)) for seen in parsed if isinstance(seen, EpochMetrics)]

    def weights(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = torch.load(self.folder / "model/model.pth", weights_only=True)
        return found


def planned(folder: Path, pictures: Path, count: int, **more: object) -> dict[str, object]:
    folder.mkdir(parents=True, exist_ok=True)
    environ = {
        "SM_CHANNEL_TRAINING": str(pictures),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DIR": str(folder / "output"),
        "SM_CHECKPOINT_DIR": str(folder / "checkpoints"),
        "OMP_NUM_THREADS": "1",
    }
    run = {"script": "train_model", "arguments": FINE_TUNING, "count": count, "folder": str(folder)}
    return {**run, "environ": environ, **more}


def execute(folder: Path, runs: list[dict[str, object]]) -> None:
    file = folder / "runs.json"
    file.write_text(json.dumps(runs))
    subprocess.run([sys.executable, str(RANKS), str(file)], check=True, cwd=REPOSITORY, env=_environment())


def _environ_of(plan: dict[str, object]) -> dict[str, str]:
    """The channels' variables of a plan, without the one for pictures."""
    environ = plan["environ"]
    assert isinstance(environ, dict)
    return {name: value for name, value in environ.items() if name != "SM_CHANNEL_TRAINING"}


def _without_times(log: str) -> list[str]:
    """The lines of a log without what no two runs have in common."""
    return [re.sub(r" seconds=[\d.]+", "", line) for line in log.splitlines() if not line.startswith("model ")]


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module")
def pictures(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures to train on, of which one cannot be read, and six to validate."""
    root = tmp_path_factory.mktemp("few")
    for split, count in (("train", 4), ("valid", 2)):
        for source in sorted((picture_folder / split).glob("*/*.png")):
            if int(source.stem) < count:
                target = root / split / source.parent.name / source.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    (root / "train" / BROKEN).write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def runs(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """One process; two of which one is asked to stop, and three that continue their run; two of which one fails."""
    root = tmp_path_factory.mktemp("processes")
    plans = [
        planned(root / "one", pictures, 1),
        planned(root / "stopped", pictures, 2, fault="stop"),
        planned(root / "stopped", pictures, 3) | {"folder": str(root / "continued")},
        planned(root / "failed", pictures, 2, fault="fail"),
        planned(root / "nan", pictures, 2, fault="nan"),
    ]
    (root / "continued").mkdir()
    execute(root, plans)
    return {Path(str(plan["folder"])).name: Run(Path(str(plan["folder"])), int(str(plan["count"]))) for plan in plans}


def test_a_run_in_several_processes_follows_the_curve_of_a_single_one(runs: dict[str, Run]) -> None:
    one, stopped, continued = runs["one"], runs["stopped"], runs["continued"]
    assert (one.statuses, stopped.statuses, continued.statuses) == ([0], [0, 0], [0, 0, 0])
    *epochs, best = one.curve()
    assert epochs[1][1]["train:loss"] < 0.8 * epochs[0][1]["train:loss"]
    assert stopped.curve()[:-1] == epochs[:1]
    assert continued.curve() == [*epochs[1:], best]
    alone, together = one.weights(), Run(stopped.folder, 3).weights()
    for name, tensor in alone.items():
        assert torch.allclose(tensor, together[name], rtol=1e-3, atol=1e-5), name


def test_the_first_process_reports_for_all(runs: dict[str, Run]) -> None:
    skipped = f"skipped train/{BROKEN}: "
    assert [line for line in runs["one"].out().splitlines() if line.startswith(skipped)]
    lines = runs["continued"].out().splitlines()
    assert "3 processes train together and share each batch of 5 pictures" in lines
    assert len([line for line in lines if line.startswith(skipped)]) == 1
    assert [runs["continued"].out(rank) for rank in (1, 2)] == ["", ""]
    assert "asked to stop in epoch 2: keeping epoch 1" in runs["stopped"].out()
    assert runs["stopped"].out(1) == ""


@pytest.fixture(scope="module")
def heads(feature_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Run]:
    """Heads on stored features that do not fit into memory, by how they are read and the number of processes."""
    root = tmp_path_factory.mktemp("heads")
    plans, runs = [], {}
    for (kind, room), count in itertools.product(ROOM.items(), (1, 3)):
        folder = root / f"{kind}-{count}"
        plan = planned(folder, feature_folder, count, arguments=HEAD, constants={**SMALL_MEMORY, IN_MEMORY: room})
        plan["environ"] = {**_environ_of(plan), "SM_CHANNEL_FEATURES": str(feature_folder)}
        plans.append(plan)
        runs[kind, count] = Run(folder, count)
    execute(root, plans)
    return runs


@pytest.mark.parametrize("kind", ROOM)
def test_a_head_on_features_larger_than_memory_follows_the_curve_of_one_process(
    heads: dict[tuple[str, int], Run], kind: str
) -> None:
    alone, together = heads[kind, 1], heads[kind, 3]
    assert (alone.statuses, together.statuses) == ([0], [0, 0, 0]), together.out()
    # Calibration, rejection and test metrics included.
    shared = "3 processes train together and share each batch of 7 pictures"
    assert shared in together.out().splitlines()
    assert _without_times(together.out().replace(f"{shared}\n", "")) == _without_times(alone.out())
    assert [together.out(rank) for rank in (1, 2)] == ["", ""]
    epochs = alone.curve()
    assert epochs[1][1]["train:loss"] < epochs[0][1]["train:loss"] - 0.001  # learns, though the backbone is random
    several = together.weights()
    for name, tensor in alone.weights().items():
        assert torch.allclose(tensor, several[name], rtol=1e-3, atol=1e-5), name


def recording(run: Run) -> FileTrial:
    return FileTrial(run.folder / "checkpoints/debug-output")


def test_every_process_records_its_part_and_together_they_are_the_run_of_one(runs: dict[str, Run]) -> None:
    alone = recording(runs["one"])
    together = FileTrial(runs["stopped"].folder / "checkpoints/debug-output")  # three processes continued it
    assert (alone.workers, together.workers) == (("worker_0",), ("worker_0", "worker_1", "worker_2"))
    assert (together.ended, list(together.problems)) == (True, [])
    for name in ("CrossEntropyLoss_output_0", "accuracy", "step_size"):
        one, several = (trial.tensor(name).series("TRAIN") for trial in (alone, together))
        assert one.steps.tolist() == several.steps.tolist() == [0, 1, 2, 3, 4, 5]
        assert np.allclose(one.values, several.values, rtol=1e-3), name
    # The pictures of a split are not batched alike.
    evaluated = [trial.tensor(name) for trial in (alone, together) for name in ("step_size", "accuracy")]
    sizes_alone, right_alone, sizes_together, right_together = (tensor.series("EVAL").values for tensor in evaluated)
    assert sizes_alone.tolist() == [5, 1, 5, 1]
    assert sizes_together.tolist() == [6, 6]
    assert sum(sizes_alone * right_alone) == pytest.approx(sum(sizes_together * right_together))
    # The third process took part in the second epoch, and got nothing of its last batch.
    sizes = together.tensor("step_size").series(worker=2)
    assert (sizes.steps.tolist(), sizes.values[-1]) == ([3, 4, 5], 0)
    assert together.tensor("CrossEntropyLoss_output_0").steps(worker=2) == sizes.steps[sizes.values > 0].tolist()
    assert together.tensor("Network_head.0.weight").workers == ("worker_0",)
    assert together.tensor("input_image").workers == together.workers
    labels = [trial.tensor("labels").values("EVAL")[-1][1].tolist() for trial in (alone, together)]
    assert labels[0] == labels[1]
    assert len(labels[0]) == 6


def test_a_nan_of_one_process_is_named_with_it(runs: dict[str, Run]) -> None:
    trial = recording(runs["nan"])
    (result,) = rules.evaluate(trial=trial, only=["ExplodingTensor"])
    assert result.findings[0].workers == ("worker 1",)
    assert "in worker 1" in result.message
    assert np.isnan(trial.tensor("CrossEntropyLoss_output_0").value(3, worker=1))
    assert np.isfinite(trial.tensor("CrossEntropyLoss_output_0").value(3, worker=0))


def test_a_process_that_fails_ends_all_and_its_reason_is_the_jobs(runs: dict[str, Run]) -> None:
    failed = runs["failed"]
    assert failed.statuses == [1, 1]
    first, second = failed.out(), failed.out(1)
    assert "ZeroDivisionError: this process fails alone" in second
    assert "Traceback" not in first
    assert "error: process 1 of 2 lost the others: one of them ended before its work was done" in first
    assert "ZeroDivisionError" in (failed.folder / "output/failure").read_text()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_row_has_one_process_and_all_have_as_many_batches(count: int) -> None:
    groups = [ProcessGroup(Place(rank, count), StopFlag()) for rank in range(count)]
    rows = list(range(13))
    for parts in ([group.train_parts(rows, 6) for group in groups], [group.plain_parts(rows, 6) for group in groups]):
        assert len({len(mine) for mine in parts}) == 1
        assert sorted(row for mine in parts for part in mine for row in part) == rows
    in_order = [row for group in groups for part in group.plain_parts(rows, 6) for row in part]
    assert in_order == rows
    steps = zip(*(group.train_parts(rows, 6) for group in groups), strict=True)
    assert [sorted(row for part in step for row in part) for step in steps] == [rows[:6], rows[6:12], rows[12:]]


def test_a_process_finds_its_place() -> None:
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    hosts = {"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2"}
    assert place(torchrun | hosts) == Place(3, 4, 1, 2)
    assert place(hosts) == Place(1, 2, master="algo-1:7777")
    assert place(hosts | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "7790"}).master == "10.0.0.1:7790"
    assert place({"SM_HOSTS": '["algo-1"]', "SM_CURRENT_HOST": "algo-1"}) == place({}) == Place()


class Other(Processes):
    """The first of two processes; what the second one gathers is given."""

    place = Place(0, 2)

    def __init__(self, theirs: object) -> None:
        self._theirs = theirs

    def gather(self, value: Any) -> list[Any]:
        return [value, self._theirs]


@pytest.mark.parametrize(
    ("theirs", "batch_size", "message"),
    [
        (frozenset({("train", "001.A/1.png")}), 64, "the S3DataDistributionType FullyReplicated"),
        (frozenset(), 1, "batch-size is 1, and 2 processes share each batch: set batch-size to at least 2"),
    ],
)
def test_training_needs_all_pictures_everywhere_and_one_of_each_batch(
    pictures: Path, theirs: object, batch_size: int, message: str
) -> None:
    dataset = image_folder.read_dataset(image_folder.find_splits(pictures))
    processes = Other(theirs)
    with pytest.raises(image_folder.DataError, match=message):
        inputs.check_shared(Division(dataset, processes), Hyperparameters(batch_size=batch_size), processes)


def test_each_process_draws_its_own_dropout() -> None:
    masks = []
    for rank in range(2):
        torch.manual_seed(3)
        ProcessGroup(Place(rank, 2), StopFlag()).seed(3)
        masks.append(torch.nn.functional.dropout(torch.ones(64)))
    assert not torch.equal(*masks)


def test_a_request_to_stop_that_comes_during_an_exchange_counts_in_the_next_step() -> None:
    stop = StopFlag()

    class Interrupted(ProcessGroup):
        def sum(self, values: torch.Tensor) -> torch.Tensor:
            stop.request()
            return values + torch.tensor([2, 0])

    group = Interrupted(Place(0, 2), stop)
    assert group.size(3, stop) == 5
    with pytest.raises(Stopped):
        group.size(3, stop)
