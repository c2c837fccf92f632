"""Training programs of others, recorded as their authors would: each report is right, also where a program is broken.

The programs are in `programs/`. Each runs in a process of its own; the distributed one in two.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.insights import insights

pytestmark = pytest.mark.extras

HERE = Path(__file__).parent
RUNNER, REPOSITORY = HERE / "run_programs.py", HERE.parents[1]
HEALTHY = {
    "plain": ["plain.py"],
    "amp": ["amp.py"],
    "accumulation": ["accumulation.py"],
    "ddp": ["ddp.py"],
    "lightning": ["lightning_module.py"],
    "transformers": ["transformers_trainer.py"],
    "timm": ["timm_loop.py"],
    "accelerate": ["accelerate_loop.py"],
}
BROKEN = {
    "plain, lr x 100": ["plain.py", "--lr", "5"],
    "lightning, lr x 100": ["lightning_module.py", "--lr", "5"],
    "accumulation, sorted": ["accumulation.py", "--no-shuffle"],
    # This row is in the twentieth batch of the second worker, counted from 0.
    "ddp, NaN": ["ddp.py", "--broken-row", "545"],
}
SMDEBUG = {"smdebug": ["smdebug_hook.py"]}
ALL = HEALTHY | BROKEN | SMDEBUG
WORKERS = {"ddp.py": 2}
LOSS = "loss_output_0"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The recordings of all programs, by name."""
    root = tmp_path_factory.mktemp("programs")
    runs = [
        {"program": program, "arguments": arguments, "workers": WORKERS.get(program, 1), "folder": str(root / name)}
        for name, (program, *arguments) in ALL.items()
    ]
    (root / "runs.json").write_text(json.dumps(runs))
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, RUNNER, root / "runs.json"], check=True, cwd=root, env=environ)
    for run in runs:
        for rank in range(int(str(run["workers"]))):
            status, out = (Path(f"{run['folder']}-{what}-{rank}").read_text() for what in ("status", "out"))
            assert status == "0", out
            assert "recording to" not in out, out  # the warning of a recorder that failed
    return {name: root / name for name in ALL}


@pytest.mark.parametrize("name", HEALTHY)
def test_of_a_healthy_program_all_is_well(folders: dict[str, Path], name: str) -> None:
    report = DebugReport.load(folders[name])
    # How well the machine is used depends on what else runs on it.
    found = [rule.name for rule in report.rules if rule.status == "IssuesFound" and rule.kind == "debugging"]
    assert found == []
    assert [each.title for each in insights(report.trial, None, report.rules) if each.severity == "problem"] == []
    assert list(report.problems) == []
    assert report.trial.ended
    accuracy = report.trial.tensor("accuracy").series("EVAL").values
    assert accuracy[-1] > 0.9
    assert report.trial.tensor(LOSS).series().values[-10:].mean() < 0.5
    assert report.trial.collections["gradients"]


@pytest.mark.parametrize(
    ("name", "cause", "words"),
    [
        ("plain, lr x 100", "learning-rate-too-high", "the steps were too large"),
        ("lightning, lr x 100", "learning-rate-too-high", "the steps were too large"),
        ("accumulation, sorted", "sorted-data", "not shuffled"),
        ("ddp, NaN", "nan-input", "The inputs of step 20 in worker 1 contain NaN"),
    ],
)
def test_what_is_wrong_with_a_broken_program_is_named(
    folders: dict[str, Path], name: str, cause: str, words: str
) -> None:
    report = DebugReport.load(folders[name])
    assert words in report.headline()
    assert cause in [insight.cause for insight in report.insights() if insight.severity == "problem"]


def test_lightning_and_a_plain_loop_record_the_same_training(folders: dict[str, Path]) -> None:
    plain, lightning = (DebugReport.load(folders[name]).trial for name in ("plain", "lightning"))
    assert (plain.run["framework"], lightning.run["framework"]) == ("torch", "lightning")
    assert lightning.run["parameters"] == {"lr": 0.05}
    for name in (LOSS, "accuracy", "step_size", "learning_rate"):
        for mode in plain.tensor(name).modes:
            expected, found = (trial.tensor(name).series(mode) for trial in (plain, lightning))
            np.testing.assert_array_equal(found.steps, expected.steps)
            np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    expected, found = (
        trial.tensor(f"gradient/{prefix}0.weight").reduction("l2")
        for trial, prefix in ((plain, "Sequential_"), (lightning, "Classifier_network."))
    )
    # Their lengths are not known alike, so tensors are saved at other steps.
    steps, there, here = np.intersect1d(expected.steps, found.steps, return_indices=True)
    assert steps.tolist() == [12, 24, 48, 96]
    np.testing.assert_allclose(found.values[here], expected.values[there], rtol=1e-4)


def test_the_losses_of_transformers_are_those_of_its_trainer(folders: dict[str, Path]) -> None:
    trial = DebugReport.load(folders["transformers"]).trial
    lines = _out(folders["transformers"]).splitlines()
    logged = [ast.literal_eval(line) for line in lines if line.startswith("{'eval_loss'")]
    losses, sizes = (trial.tensor(name).series("EVAL").values.reshape(len(logged), -1) for name in (LOSS, "step_size"))
    means = (losses * sizes).sum(axis=1) / sizes.sum(axis=1)
    np.testing.assert_allclose(means, [float(line["eval_loss"]) for line in logged], rtol=1e-3)
    assert trial.run["framework"] == "transformers"
    assert trial.run["classes"] == ["across", "down", "diagonal"]
    assert trial.run["accumulation"] == 2
    # Of accumulated micro-batches, the Trainer computes shares of a loss: the recorded ones are whole again.
    assert trial.tensor(LOSS).series().values[:4].mean() == pytest.approx(np.log(3), abs=0.2)
    assert trial.tensor("learning_rate").series().values[0] == pytest.approx(1e-3)


def test_both_workers_of_a_distributed_program_are_read(folders: dict[str, Path]) -> None:
    report = DebugReport.load(folders["ddp"])
    trial = report.trial
    assert list(trial.workers) == ["worker_0", "worker_1"]
    assert trial.run["workers"] == 2
    for mode, size in (("TRAIN", 32), ("EVAL", 64)):
        assert (trial.tensor("step_size").series(mode).values == size).all()
        first, second = (trial.tensor(LOSS).series(mode, worker=worker).values for worker in trial.workers)
        assert (first != second).any()
        np.testing.assert_allclose(trial.tensor(LOSS).series(mode).values, (first + second) / 2, rtol=1e-6)
    assert sum(len(labels) for _, labels in trial.tensor("labels").values("EVAL")) == 6 * 256
    assert trial.tensor("gradient/Sequential_0.weight").workers == ("worker_0",)
    assert _out(folders["ddp"], 1) == ""


def test_the_finding_names_the_worker_whose_data_is_broken(folders: dict[str, Path]) -> None:
    report = DebugReport.load(folders["ddp, NaN"])
    (exploding,) = [rule for rule in report.rules if rule.name == "ExplodingTensor"]
    assert exploding.findings[0].workers == ("worker 1",)
    assert exploding.findings[0].steps[0] == 20
    assert "All is well" not in _out(folders["ddp, NaN"])


def test_a_script_that_was_written_for_smdebug_runs_without_it(folders: dict[str, Path]) -> None:
    report = DebugReport.load(folders["smdebug"])
    assert [rule.name for rule in report.rules if rule.status == "IssuesFound"] == []
    losses = report.trial.tensor("CrossEntropyLoss_output_0")
    assert losses.steps("TRAIN") == list(range(0, 192, 8))
    assert losses.series("EVAL").values[-1] < 0.2
    assert report.trial.has("gradient/Sequential_0.weight")


def _out(folder: Path, rank: int = 0) -> str:
    return Path(f"{folder}-out-{rank}").read_text()
