"""The extraction as a job: a real process in SageMaker's folders, stopped, killed, started again."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import training_scripts
from training_scripts._util.locking import exclusive
from training_scripts.features import manifest
from training_scripts.features.files import COST_FILE
from training_scripts.features.store import FeatureStore
from training_scripts.recording.profile.profile import PASS_FORWARD, PASS_WAIT, PREDICT_STEP
from training_scripts.recording.profile.reader import read_profile

SCRIPT = Path(training_scripts.__file__).with_name("extract_features.py")

# More than one part, so that there is something to keep when the process ends early.
TRAIN_PICTURES = manifest.CHUNK + 72


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    dice = random.Random(0)
    for split, count in {"train": TRAIN_PICTURES // 2, "valid": 2, "test": 2}.items():
        for name in ("001.A", "002.B"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                Image.frombytes("RGB", (8, 8), dice.randbytes(192)).save(folder / split / name / f"{number}.png")
    return folder


INTERRUPTED = """
import os, runpy
from training_scripts.features import parts
write = parts.write
def interrupted(*arguments):
    record = write(*arguments)
    os.kill(os.getpid(), {number})
    return record
parts.write = interrupted
runpy.run_path({script!r}, run_name="__main__")
"""


class Job:
    """One training job's folders, and the processes that run in them."""

    def __init__(self, folder: Path, channels: dict[str, Path]) -> None:
        self.checkpoints, self.model, self.output = folder / "checkpoints", folder / "model", folder / "output"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SM_")},
            **{f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()},
            "SM_CHECKPOINT_DIR": str(self.checkpoints),
            "SM_MODEL_DIR": str(self.model),
            "SM_OUTPUT_DIR": str(self.output),
            "PYTHONPATH": str(SCRIPT.parents[1]),
        }

    def start(self, *arguments: str, program: Sequence[str] = (str(SCRIPT),)) -> subprocess.Popen[str]:
        model = [] if "--model" in arguments else ["--model", "efficientnet_lite0"]
        return subprocess.Popen(
            [sys.executable, *program, *model, "--views", "plain", *arguments],
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def interrupt(self, number: signal.Signals) -> tuple[int, str]:
        """Ends a run by a signal as soon as its first part is there: it sends the signal itself, never too late."""
        process = self.start(program=["-c", INTERRUPTED.format(number=int(number), script=str(SCRIPT))])
        try:
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
        return process.returncode, out

    def content(self) -> dict[str, bytes]:
        """The features; what was measured of the pass differs every time."""
        files = [path for path in self.checkpoints.glob("*.*") if path.name != COST_FILE]
        return {path.name: path.read_bytes() for path in files if path.is_file()}

    def cost(self) -> dict[str, Any]:
        found = FeatureStore.open(self.checkpoints).pass_facts()
        assert found is not None
        return found


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, str]:
    job = Job(tmp_path_factory.mktemp("job"), {"training": root})
    status, out, err = job.run("--profile-operators", "on")
    assert status == 0, err
    return job, out


def test_leaves_a_store_in_the_checkpoint_folder_and_a_description_as_the_model(unbroken: tuple[Job, str]) -> None:
    job, out = unbroken
    store = FeatureStore.open(job.checkpoints)
    assert store.sizes == {"train": TRAIN_PICTURES, "valid": 4, "test": 4}
    last = rf"features: {TRAIN_PICTURES + 8} pictures, 1 view, 1280 wide, [\d.]+ s, {job.checkpoints}"
    assert re.fullmatch(last, out.splitlines()[-1])
    assert [path.name for path in job.model.iterdir()] == ["features.json"]
    assert json.loads((job.model / "features.json").read_bytes())["key"]["backbone"] == "efficientnet_lite0"


def test_what_the_pass_cost_is_left_beside_the_features(unbroken: tuple[Job, str]) -> None:
    job, _ = unbroken
    cost = job.cost()
    assert (cost["pictures"], cost["views"], cost["computed_earlier"]) == (TRAIN_PICTURES + 8, TRAIN_PICTURES + 8, 0)
    assert (cost["backbone"], cost["batch_size"], cost["device"]) == ("efficientnet_lite0", 64, "cpu")
    assert cost["workers"] in (1, 2)
    assert cost["seconds"] == pytest.approx(cost["waiting"] + cost["forward"], rel=0.05)
    assert cost["decoding"] > 0
    assert "aten::mkldnn_convolution" in {operator["name"] for operator in cost["operators"]}


def test_the_pass_is_profiled_as_a_training_job_is(unbroken: tuple[Job, str]) -> None:
    profile = read_profile(unbroken[0].checkpoints)
    # Chunks of 128 and 72 training pictures, then 4 and 4: batches of 64.
    assert len(profile.phases[PREDICT_STEP]) == 2 + 2 + 1 + 1
    assert len(profile.phases[PASS_FORWARD]) == len(profile.phases[PASS_WAIT]) == 6
    assert profile.facts["steps"]["PREDICT"] == 6
    assert profile.facts["inputs"] == "pictures"
    assert "aten::mkldnn_convolution" in {operator.name for operator in profile.operators}
    line = profile.timeline
    assert line.begin < line.training < line.trained <= line.end  # type: ignore[operator]
    assert list(profile.problems) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_job_resumes_and_ends_with_the_same_bytes(
    unbroken: tuple[Job, str], root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    job = Job(tmp_path, {"training": root})
    status, out = job.interrupt(number)
    assert status == (143 if number == signal.SIGTERM else -9)
    assert ("the same job resumes there" in out) == (number == signal.SIGTERM)
    assert not (job.checkpoints / "features.json").exists()
    status, out, err = job.run()
    assert status == 0, err
    assert re.search(r"features: \d+ pictures, views plain, \d+ of them already there", out)
    assert job.content() == unbroken[0].content()
    cost = job.cost()
    assert cost["computed_earlier"] % manifest.CHUNK == 0
    assert cost["computed_earlier"] > 0
    assert cost["pictures"] == TRAIN_PICTURES + 8 - cost["computed_earlier"]


def test_a_job_that_waits_for_another_process_stops_when_asked(root: Path, tmp_path: Path) -> None:
    job = Job(tmp_path, {"training": root})
    with exclusive(job.checkpoints, report=print):
        process = job.start()
        try:
            assert process.stdout is not None
            assert any("waiting: another process" in line for line in process.stdout)
            process.terminate()
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 143
    assert "the same job resumes there" in out


def test_a_channel_for_each_split_gives_the_same(unbroken: tuple[Job, str], root: Path, tmp_path: Path) -> None:
    job = Job(tmp_path, {split: root / split for split in ("train", "valid", "test")})
    assert job.run()[0] == 0
    assert job.content() == unbroken[0].content()


@pytest.mark.parametrize(
    ("channels", "arguments", "message"),
    [
        ({"training": "."}, ["--modle", "x"], "modle: unknown hyperparameter; did you mean model?"),
        ({"training": "."}, ["--views", "plain,zoom"], "plain, flip"),
        ({"training": "."}, ["--model", "resnet8"], "unknown backbone 'resnet8'"),
        ({"training": "train"}, [], "has no folder named train"),
        ({}, [], "no training pictures: the job has no channel"),
    ],
)
def test_a_mistake_is_named_without_a_traceback(
    root: Path, tmp_path: Path, channels: dict[str, str], arguments: list[str], message: str
) -> None:
    job = Job(tmp_path, {name: root / path for name, path in channels.items()})
    status, _, err = job.run(*arguments)
    assert status == 1
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert message in (job.output / "failure").read_text()


def test_help_lists_what_is_accepted() -> None:
    ended = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True)
    assert "--views" in ended.stdout
    assert "--epochs" not in ended.stdout
