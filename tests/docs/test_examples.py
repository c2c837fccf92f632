"""The examples run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from dogbreed_sdk import DebugReport, Session, TrainingJob, TuningJob
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE, lease
from dogbreed_sdk.local.python.scripts_python import scripts_executable
from tests.conftest import Workshop
from tests.leftovers import left
from training_scripts import rules

PROJECT = Path(__file__).parents[2]

# They start local SageMaker, which the client alone does not have.
pytestmark = pytest.mark.extras


def run(name: str, *arguments: object, root: Path) -> str:
    command = [sys.executable, str(PROJECT / "examples" / name), *map(str, arguments)]
    # All examples share the process that has imported PyTorch for their jobs.
    server = lease.SERVERS.descriptor(scripts_executable(), {})
    shared = () if server is None else (server,)
    environment = {**os.environ, "DOGBREED_ROOT": str(root), FORK_SERVER_VARIABLE: "".join(map(str, shared))}
    before = left(root)
    done = subprocess.run(
        command, env=environment, pass_fds=shared, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert left(root) == before
    assert "GET /" not in done.stderr
    return done.stdout


def test_train_and_classify(workshop: Workshop) -> None:
    output = run("train_and_classify.py", workshop.dataset.root, root=workshop.root)
    assert output.count("%") == 3


def test_plain_boto3(workshop: Workshop) -> None:
    picture = workshop.dataset.pictures("test")[0]
    url = workshop.session.client("sagemaker").meta.endpoint_url
    with workshop.job.deploy(progress=no_progress) as made:
        output = run("plain_boto3.py", made.endpoint_name, picture.path, url, root=workshop.root)
    assert output.split()[0] == str(picture.index)


def test_record_your_loop(tmp_path: Path) -> None:
    output = run("record_your_loop.py", tmp_path / "run", root=tmp_path)
    assert output.startswith("All is well")
    report = DebugReport.load(tmp_path / "run")
    assert report.trial is not None
    assert report.trial.run["steps_per_epoch"] == 19
    assert report.trial.run["parameters"] == {"lr": 0.003, "hidden": 32}


def test_densenet161_head(tmp_path: Path) -> None:
    output = run("densenet161_head.py", "--small", "--output", tmp_path / "results", root=tmp_path / "root")
    assert re.findall(r"^(\w+): \w+\. ", output, re.MULTILINE) == [
        "VanishingGradient",
        "Overfit",
        "Overtraining",
        "PoorWeightInitialization",
    ]
    shares = [int(share) for share in re.findall(r"^  aten::\S+ \(.*\): (\d+)% of the time$", output, re.MULTILINE)]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 3
    assert "aten::mkldnn_convolution (convolution)" in output
    # Both endpoints, and both content types, give one class for a picture.
    answers = re.findall(r"  (\S+): class (\d), predicted (\d) from JSON, (\d) from npy", output)
    assert len(answers) == 10
    assert answers[:5] == answers[5:]
    assert all(by_json == by_npy for _, _, by_json, by_npy in answers)
    assert sum(actual == predicted for _, actual, predicted, _ in answers[:5]) >= 1
    assert {"report.html", "densenet161_head_losses.png", "model.tar.gz"} <= {
        path.name for path in (tmp_path / "results").iterdir()
    }


def test_resnet50_search(workshop: Workshop, tmp_path: Path) -> None:
    output = run("resnet50_search.py", "--small", "--output", tmp_path, root=workshop.root)
    assert re.search(r"through (efficientnet_lite0|resnet50) in", output)
    tuning = workshop.session.client("sagemaker").list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    [found] = [
        TuningJob(job["HyperParameterTuningJobName"], workshop.session)
        for job in tuning
        if job["HyperParameterTuningJobName"] in output
    ]
    trials = found.dataframe()
    assert len(trials) == 4
    assert trials["batch-size"].isin([128, 256, 512]).all() and trials["lr"].between(0.001, 0.1).all()
    assert f"Least average test loss: {trials['objective'].min():.4f}" in output
    assert output.count(" training steps: ") == 1 and output.count(" feature-pass step") == 1
    assert len(re.findall(r"^\S+/\S+\.jpg: .+ \(\d+%", output, re.MULTILINE)) == 5
    for name in ("search.html", "report.html", "resnet50_search_losses.png", "resnet50_search_steps.png"):
        assert (tmp_path / name).stat().st_size > 10_000, name


def test_adamw_search(workshop: Workshop, tmp_path: Path) -> None:
    output = run("adamw_search.py", "--small", "--output", tmp_path, root=workshop.root)
    trials = pandas.read_csv(tmp_path / "trials.csv")
    assert len(trials) == 2 and trials["objective"].is_monotonic_increasing
    assert trials["weight-decay"].between(0.001, 1).all() and trials["batch-size"].isin([32, 64, 128]).all()
    [job] = re.findall(r"^(dogbreed-\S+): .*training steps", output, re.MULTILINE)
    hyperparameters = TrainingJob(job, workshop.session).hyperparameters
    assert hyperparameters["optimizer"] == "adamw"
    assert hyperparameters["weight-decay"] == pytest.approx(trials["weight-decay"][0])
    points = [int(found) for found in re.findall(r"Network_head\S+ at (\d+) steps", output)]
    assert len(points) == 3 and min(points) > 1
    answers = re.findall(r"^expected (\d), predicted (\d), probabilities \[([\d. ]+)\]", output, re.MULTILINE)
    assert len(answers) == 5 and len({expected for expected, _, _ in answers}) > 1
    for _, predicted, listed in answers:
        probabilities = [float(each) for each in listed.split()]
        assert len(probabilities) == 4 and sum(probabilities) == pytest.approx(1, abs=0.003)
        assert probabilities[int(predicted)] == max(probabilities)


def test_bytes_and_urls(fixtures_folder: Path, tmp_path: Path) -> None:
    report = fixtures_folder / "aws-profiler-report"
    options = ("--small", "--output", tmp_path / "results", *(("--aws-report", report) if report.is_dir() else ()))
    output = run("bytes_and_urls.py", *options, root=tmp_path / "root")
    assert "Its bytes and its URL get the same scores: True" in output
    assert "credentials is refused: 169.254.169.254 is refused: it is not a public address" in output
    assert ("The GPU waits for the CPU: 378 CPU bottlenecks in 901 samples" in output) == report.is_dir()
    made = {path.name for path in (tmp_path / "results").iterdir()}
    assert {f"bytes_and_urls_{when}.{kind}" for when in ("before", "after") for kind in ("png", "html")} <= made
    with Session.existing(tmp_path / "root") as session:
        client = session.client("sagemaker")
        names = [job["TrainingJobName"] for job in client.list_training_jobs()["TrainingJobSummaries"]]
        jobs = [TrainingJob(name, session).hyperparameters for name in names]
    assert {job["resize-mode"] for job in jobs} == {"squash"}
    assert [job["drop-last"] for job in jobs if "lr" in job].count(True) == 3  # two trials, and the best again


def test_your_own_dataset(tmp_path: Path) -> None:
    output = run("your_own_dataset.py", "--small", "--output", tmp_path / "results", root=tmp_path / "root")
    assert "{'train': 80, 'valid': 20, 'test': 20} pictures of arrow, bar, circle, diamond, hexagon" in output
    assert len(re.findall(r"^  validation loss \d\.\d{4} with ", output, re.MULTILINE)) == 6
    assert re.findall(r"^  \w+ +(\w+): ", output, re.MULTILINE) == list(rules.names())
    right = re.search(r"^(\d+) of 20 test pictures", output, re.MULTILINE)
    assert right is not None
    assert int(right[1]) >= 10  # guessing gets 2
    assert "The PNG of one arrow, sent as image/jpeg: " in output
    assert "Sent as image/png, it gets the same scores: True" in output
    assert {"report.html", "your_own_dataset_losses.png", "pictures"} <= {
        path.name for path in (tmp_path / "results").iterdir()
    }
