"""smdebug reads what we record, and we read what smdebug records, value for value."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.ports import free_port
from tests.training_scripts.conftest import feature_folder, picture_folder  # noqa: F401 - fixtures
from tests.training_scripts.recording.loops import train
from tests.training_scripts.small_datasets import command, environment
from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.layout import is_held
from training_scripts.recording.trial.trial import Trial

READING = Path(__file__).with_name("smdebug_reading.py")


def read_by_smdebug(python: Path, trial: Path, output: Path) -> dict[str, Any]:
    return read_all_by_smdebug(python, {trial: output})[trial]


def read_all_by_smdebug(python: Path, outputs: Mapping[Path, Path]) -> dict[Path, dict[str, Any]]:
    """What smdebug reads of trials, by way of files; in one process, as importing it takes seconds."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["TRAINING_END_DELAY_REFRESH"] = "0"
    pairs = [path for pair in outputs.items() for path in pair]
    done = subprocess.run(
        [python, READING, *pairs], env=environ, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return {trial: json.loads(output.read_text()) for trial, output in outputs.items()}


def assert_same(ours: FileTrial, theirs: dict[str, Any]) -> int:
    """All that either has, the other has too; how many values were compared."""
    assert ours.problems == []
    assert ours.tensor_names() == sorted(theirs["tensors"])
    assert {name: sorted(members) for name, members in ours.collections.items()} == theirs["collections"]
    for mode, steps in theirs["steps"].items():
        assert ours.steps(mode).steps.tolist() == steps
    assert list(ours.workers) == list(theirs["workers"])
    return sum(assert_same_tensors(ours.of_worker(worker), tensors) for worker, tensors in theirs["workers"].items())


def assert_same_tensors(ours: Trial, theirs: dict[str, Any]) -> int:
    """One worker's tensors have the same steps, values and reductions; how many were compared."""
    compared = 0
    assert ours.tensor_names() == sorted(theirs)
    for name, by_mode in theirs.items():
        tensor = ours.tensor(name)
        assert set(tensor.modes) == set(by_mode)
        for mode, by_step in by_mode.items():
            written = [int(step) for step in by_step]
            # We read the steps between two equal values of such a number, which are not written; smdebug does not.
            assert (set(tensor.steps(mode)) >= set(written)) if is_held(name) else (tensor.steps(mode) == written)
            for step, found in by_step.items():
                if "value" in found:
                    value = tensor.value(int(step), mode)
                    assert str(value.dtype) == found["dtype"]
                    np.testing.assert_array_equal(value, np.array(found["value"], dtype=value.dtype))
                    compared += 1
                for kind, number in found["reductions"].items():
                    series = tensor.reduction(kind, mode)
                    np.testing.assert_equal(series.values[series.steps == int(step)], [number])
                    compared += 1
    return compared


@pytest.mark.parametrize("fixture", ["healthy", "healthy_reductions", "vanishing"])
def test_we_read_smdebugs_own_recordings_as_smdebug_does(
    smdebug_python: Path, fixtures_folder: Path, tmp_path: Path, fixture: str
) -> None:
    folder = fixtures_folder / "smdebug-trials" / fixture
    assert assert_same(FileTrial(folder), read_by_smdebug(smdebug_python, folder, tmp_path / "read.json")) > 100


@pytest.mark.parametrize("full_tensors", [False, True])
def test_smdebug_reads_our_recording_as_we_do(smdebug_python: Path, tmp_path: Path, full_tensors: bool) -> None:
    folder = tmp_path / "debug-output"
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        network[4].bias[0] = float("nan")
        network[4].bias[1] = float("inf")
    train(
        network,
        Recorder(folder, train_interval=4, full_tensors=full_tensors),
        epochs=3,
        hyperparameters={"epochs": 100},
    )
    theirs = read_by_smdebug(smdebug_python, folder, tmp_path / "read.json")
    assert assert_same(FileTrial(folder), theirs) > 300
    weight = theirs["tensors"]["Sequential_0.weight"]["TRAIN"]
    assert list(weight) == ["0", "4", "8", "12", "16", "20"]
    assert {
        "min",
        "max",
        "mean",
        "std",
        "l2",
        "abs_mean",
        "zero_fraction",
        "nonfinite_fraction",
        "update_ratio",
    } == set(weight["0"]["reductions"])
    assert ("value" in weight["0"]) == full_tensors
    assert theirs["collections"]["losses"] == ["CrossEntropyLoss_output_0"]
    assert theirs["collections"]["relu_output"] == ["1_relu_output_0"]
    assert theirs["steps"]["TRAIN"] == list(range(24))


def test_we_read_every_worker_of_smdebugs_recording(smdebug_python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    command = [smdebug_python, Path(__file__).with_name("smdebug_two_workers.py"), folder, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    trial = FileTrial(folder)
    assert trial.workers == ("worker_0", "worker_1")
    assert assert_same(trial, read_by_smdebug(smdebug_python, folder, tmp_path / "read.json")) > 40
    losses = trial.tensor("CrossEntropyLoss_output_0")
    first, second = (losses.series(worker=worker).values for worker in (0, 1))
    assert (first != second).all()
    np.testing.assert_allclose(losses.series().values, (first + second) / 2)


def test_smdebug_reads_every_worker_of_our_recording(smdebug_python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "debug-output"
    for worker in (1, 0):
        torch.manual_seed(worker)
        network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
        train(network, Recorder(folder, train_interval=4), epochs=2, worker=worker, workers=2)
    trial = FileTrial(folder)
    assert assert_same(trial, read_by_smdebug(smdebug_python, folder, tmp_path / "read.json")) > 300
    assert trial.tensor("Sequential_0.weight").workers == ("worker_0",)
    assert trial.tensor("CrossEntropyLoss_output_0").workers == trial.workers == ("worker_0", "worker_1")


def test_a_job_that_asks_for_smdebug_leaves_a_recording_that_we_read(
    smdebug_python: Path,
    feature_folder: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    arguments = ["--epochs", "3", "--batch-size", "8", "--recorder", "smdebug", "--train.save_interval", "4"]
    script = command(*arguments)[1:]
    environ = environment(tmp_path, features=feature_folder)
    done = subprocess.run(
        [smdebug_python, *script], env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "checkpoints" / "debug-output"
    trial = FileTrial(folder)
    assert trial.tensor("CrossEntropyLoss_output_0").steps("TRAIN") == list(range(9))
    assert trial.tensor("CrossEntropyLoss_output_0").steps("EVAL") == [0, 1, 2]
    assert trial.steps("PREDICT").steps.size == 0
    # Nine steps are a short run: each is saved.
    assert trial.tensor("gradient/Network_head.0.weight").steps("TRAIN") == list(range(9))
    assert {"min", "max", "mean", "std", "l2", "abs_mean"} <= set(trial.tensor("Network_head.0.weight").reductions())
    assert trial.ended
    assert_same(trial, read_by_smdebug(smdebug_python, folder, tmp_path / "read.json"))
    # The job's own rules have looked at it all the same.
    assert (tmp_path / "checkpoints" / "rule-output" / "rules.json").is_file()


def test_smdebugs_hook_is_off_the_network_when_the_run_has_ended(smdebug_python: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from torch import nn;"
        "from training_scripts.recording.recorder.smdebug_hook import SmdebugRecorder, _hooks;"
        "network = nn.Sequential(nn.Linear(8, 3), nn.ReLU());"
        "network[1].register_forward_hook(print);"
        "recorder = SmdebugRecorder(Path(sys.argv[1]));"
        "recorder.run_begins(network, {});"
        "print(sum(len(keys) for _, keys in _hooks(network)));"
        "recorder.run_ends();"
        "print(sum(len(keys) for _, keys in _hooks(network)))"
    )
    done = subprocess.run(
        [smdebug_python, "-c", code, str(tmp_path / "trial")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    while_hooked, after = map(int, done.stdout.split()[-2:])
    assert (while_hooked > 5, after) == (True, 1)
