"""Programs for Amazon SageMaker as their authors wrote them, run through `dogbreed local`, unchanged.

The scripts in `programs` have the habits of public notebooks: a Debugger hook that is registered by half, loggers
without handlers, /opt/ml spelled out, requirements.txt, argparse with type=bool, a local lib folder, an inference.py
that has only model_fn.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import DebugReport
from tests.conftest import draw_shape
from tests.waiting import wait_for

PROGRAMS = Path(__file__).with_name("programs")
DOGBREED = [sys.executable, "-m", "dogbreed_sdk.cli"]
PROGRAM_SECONDS = 280


@dataclass(frozen=True)
class Place:
    """A local SageMaker that is up, and a working folder for programs."""

    root: Path
    folder: Path

    def dogbreed(self, *arguments: object) -> list[str]:
        """The command line of `dogbreed local ...` on this root."""
        action, *rest = map(str, arguments)
        return [*DOGBREED, "local", action, "--root", str(self.root), *rest]

    def run(self, *arguments: object) -> str:
        """What `dogbreed local run` prints; the test fails with it if the program does."""
        return self.shell(shlex.join(self.dogbreed("run", *arguments)))

    def shell(self, line: str) -> str:
        """What a shell prints; the test fails with it if the shell does."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=newcomer_environment(self.folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=PROGRAM_SECONDS,
        )
        assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
        return done.stdout


def newcomer_environment(home: Path) -> dict[str, str]:
    """An environment without any setting for AWS, as a newcomer has it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_", "SM_"))}
    return {**kept, "HOME": str(home), "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "root", tmp_path / "work")
    made.folder.mkdir()
    output = tmp_path / "up.log"
    with output.open("w") as log:
        command, environment = made.dogbreed("up"), newcomer_environment(made.folder)
        server = subprocess.Popen(command, env=environment, stderr=log)
    try:
        wait_for(lambda: "listening" in output.read_text() or None, state=output.read_text)
        yield made
        made.shell(shlex.join(made.dogbreed("stop")))
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()


def facts_of(output: str) -> dict[str, Any]:
    """The JSON document in a program's last line."""
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def draw_pictures(folder: Path) -> None:
    """Two classes, far enough from each other for a small network."""
    generator = random.Random(0)
    for split, count in (("train", 8), ("valid", 2), ("test", 4)):
        for name in ("disc", "square"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                draw_shape(name, generator).save(folder / split / name / f"{number}.jpg")


def test_boto3(place: Place) -> None:
    program = shlex.join([sys.executable, str(PROGRAMS / "lifecycle_boto3.py"), str(PROGRAMS / "boto3_source")])
    found = facts_of(place.shell(f'eval "$({shlex.join(place.dogbreed("env"))})" && {program}'))
    assert found["training"] == ["Completed", None]
    assert found["metric"] == "train:error"
    assert found["log"] == ["rows=30"]  # three of four files, as the manifest says
    assert json.loads(found["checkpoint"]) == pytest.approx([1, 2, -1], abs=1e-3)
    assert found["json"] == pytest.approx([2, -1], abs=1e-3)
    assert float(found["csv"]) == pytest.approx(2, abs=1e-3)
    assert found["unknown"] == "ModelError"
    assert json.loads(found["async good"]) == pytest.approx([2], abs=1e-3)
    assert "could not convert" in found["async bad"]
    assert found["transform"] == ["Completed", None]
    assert [float(line) for line in found["batch"]] == pytest.approx([2, -1, 2], abs=1e-3)
    assert found["left"] == []


def test_model_trainer_on_two_instances(place: Place, trainer_python: Path) -> None:
    program = PROGRAMS / "model_trainer_v3.py"
    output = place.run("--python", trainer_python, program, PROGRAMS / "trainer_source")
    found = facts_of(output)
    assert found["status"] == "Completed"
    assert found["artifacts"] == f"s3://{found['bucket']}/output/{found['job']}/output/model.tar.gz"
    assert found["jobs"] == [found["job"]]
    assert 'algo-1 resources ["algo-1", "algo-2"]' in output
    losses = [float(line.split("train_loss=")[1].rstrip(";")) for line in output.splitlines() if "train_loss=" in line]
    assert len(losses) == 20
    assert losses[-1] < 0.1 * losses[0]


def test_the_usual_notebook(place: Place, notebook_python: Path) -> None:
    draw_pictures(place.folder / "dogImages")
    for name in ("tuning_source", "training_source", "inference_source"):
        (place.folder / name).symlink_to(PROGRAMS / name)
    (place.folder / "dog_breeds.ipynb").write_bytes((PROGRAMS / "dog_breeds_v2.ipynb").read_bytes())
    place.run("--python", notebook_python, "--output", "executed.ipynb", "dog_breeds.ipynb")
    notebook = json.loads((place.folder / "executed.ipynb").read_text("utf-8"))
    text = "".join(printed(notebook))
    assert "CrossEntropyLoss_output_0" in text
    assert "\n6 training steps" in text  # every second of three epochs' twelve
    assert "\n2 evaluation steps" in text  # one test at the end
    rules = ("VanishingGradient", "LossNotDecreasing", "LowGPUUtilization", "ProfilerReport")
    statuses = dict(line.split() for line in text.splitlines() if line.startswith(rules) and ":" not in line)
    assert sorted(statuses) == sorted(rules)
    # There is no GPU to look at, and there are six losses where that rule compares twenty.
    assert statuses.pop("LowGPUUtilization") == statuses.pop("LossNotDecreasing") == "Stopped"
    assert set(statuses.values()) <= {"NoIssuesFound", "IssuesFound"}
    answers = [line.split(" -> ") for line in text.splitlines() if " -> " in line]
    assert [name for name, _ in answers] == ["disc", "square"]
    assert {index for _, index in answers} <= {"0", "1"}
    assert text.count("attached True\n") == 2
    for line in ("npy (2, 2) float64", "json True", "batch True", "left []"):
        assert f"\n{line}\n" in text
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook)), "the plot"
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs(notebook)]
    assert any("Debug report" in page for page in pages), "the report of the rule ProfilerReport"
    assert_recorded(place.root)


def assert_recorded(root: Path) -> None:
    """Our report reads what the script recorded, by the hook that registered the model only."""
    (folder,) = (root / "s3").glob("*/dog-pytorch-2*/debug-output")
    trial = DebugReport.load(folder).trial
    assert len(trial.tensor("CrossEntropyLoss_output_0").steps("TRAIN")) == 6
    assert "gradient/Sequential_6.weight" in trial.tensor_names()


def outputs(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The outputs of a notebook's cells."""
    for cell in notebook["cells"]:
        yield from cell.get("outputs", ())


def printed(notebook: dict[str, Any]) -> Iterator[str]:
    """What a notebook printed, and its results as text."""
    for output in outputs(notebook):
        yield from output.get("text", ())
        yield from output.get("data", {}).get("text/plain", ())
        yield "\n"
