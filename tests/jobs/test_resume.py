"""A job that continues another: from its checkpoint where that makes sense, and refused by name where it does not."""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import pytest

from dogbreed_sdk import (
    BreedDataset,
    BreedTrainer,
    ConfigurationError,
    DebugReport,
    JobError,
    Session,
    TrainingJob,
)
from dogbreed_sdk._util.progress import JobProgress, no_progress
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE
from dogbreed_sdk.local.forking.lease import is_possible
from tests.conftest import Workshop

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def first(workshop: Workshop) -> TrainingJob:
    """A job of two epochs that has ended; tests before the last one only look at it."""
    return workshop.trainer.train(workshop.dataset, {"epochs": 2}, progress=no_progress).wait(progress=no_progress)


@pytest.mark.skipif(not is_possible({}), reason="fork servers need Linux")
def test_a_job_in_a_new_process_makes_the_same_model_as_one_in_a_fork(
    workshop: Workshop, first: TrainingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORK_SERVER_VARIABLE, "off")
    started = workshop.trainer.train(workshop.dataset, {"epochs": 2}, progress=no_progress)
    monkeypatch.undo()
    started.wait(progress=no_progress)
    assert weights(started, tmp_path / "new") == weights(first, tmp_path / "forked")


def weights(job: TrainingJob, dest: Path) -> bytes:
    """The bytes of a job's model.pth."""
    with tarfile.open(job.download_model(dest)) as archive:
        member = archive.extractfile("model.pth")
        assert member is not None
        return member.read()


def jobs(session: Session) -> int:
    return len(session.client("sagemaker").list_training_jobs(MaxResults=100)["TrainingJobSummaries"])


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        ({"model": "resnet18"}, {}, "model is resnet18 (was efficientnet_lite0)"),
        ({"hidden": 32}, {}, "hidden is 32 (was none)"),
        ({"weights": "none"}, {}, "weights is none (was pretrained)"),
        ({"views": "plain"}, {}, "views is plain (was plain,flip)"),
        ({}, {"optimizer": "SGD"}, "optimizer is sgd (was adamw)"),
        ({}, {"epochs": 1}, "has already trained 2 epochs, and epochs is 1"),
        ({}, {"lr": 0.5}, "has already trained 2 epochs, and epochs is 2"),
    ],
)
def test_what_cannot_be_continued_is_refused_before_anything_is_sent(
    workshop: Workshop, first: TrainingJob, settings: dict[str, object], given: dict[str, object], said: str
) -> None:
    before = jobs(workshop.session)
    trainer = BreedTrainer(workshop.session, **{"model": "efficientnet_lite0", **settings})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        trainer.train(workshop.dataset, given, resume=first.name, progress=no_progress)
    assert first.name in str(caught.value)
    assert jobs(workshop.session) == before


def test_other_pictures_and_classes_are_named(workshop: Workshop, first: TrainingJob, tmp_path: Path) -> None:
    shutil.copytree(workshop.dataset.root, tmp_path / "data")
    (tmp_path / "data" / "train" / "001.Red_disc" / "00.jpg").unlink()
    with pytest.raises(ConfigurationError, match="the pictures differ: the data set's fingerprint begins with"):
        workshop.trainer.train(tmp_path / "data", {"epochs": 4}, resume=first.name, progress=no_progress)
    for split in ("train", "valid", "test"):
        shutil.rmtree(tmp_path / "data" / split / "002.Blue_square")
    with pytest.raises(ConfigurationError, match=r"the classes differ: without 002\.Blue_square"):
        workshop.trainer.train(tmp_path / "data", {"epochs": 4}, resume=first.name, progress=no_progress)


@pytest.mark.parametrize("content", [b"\xff", b"[]", b"{}"])
def test_a_damaged_description_is_named(workshop: Workshop, first: TrainingJob, content: bytes) -> None:
    path = uri_to_path(first.checkpoint_uri) / "checkpoint.json"
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(JobError, match=r"checkpoint\.json does not describe a checkpoint"):
            workshop.trainer.train(workshop.dataset, resume=first.name, progress=no_progress)
    finally:
        path.write_bytes(whole)


def test_an_unknown_job_is_named_with_the_place_and_how_to_list_them(session: Session, shapes: BreedDataset) -> None:
    with pytest.raises(JobError, match=r"The training job nope does not exist in Session.local\(.*'dogbreed jobs'"):
        BreedTrainer(session).train(shapes, resume="nope", progress=no_progress)


def test_more_epochs_continue_where_the_job_was_and_say_what_changed(workshop: Workshop, first: TrainingJob) -> None:
    steps: list[JobProgress] = []
    given = {"epochs": 4, "learning_rate": 0.001}
    job = workshop.trainer.train(workshop.dataset, given, resume=first.name, progress=steps.append)
    job.wait(progress=steps.append)
    assert [epoch.epoch for epoch in job.metrics()] == [3, 4]
    shown = [step.message for step in steps if step.job == job.name]
    changes = "lr 0.001 (was 0.002), epochs 4 (was 2)"
    assert shown[0] == f"continues {first.name} after epoch 2, with {changes}"
    [noted] = [message for message in shown if message.startswith("continuing after epoch 2")]
    assert noted.endswith(
        f"with {changes}; the cosine schedule now spans 4 epochs, and the learning rate continues at 0.0005"
    )
    assert job.hyperparameters["lr"] == 0.001
    assert DebugReport.load(job).to_text()
    with pytest.raises(JobError, match=f"{job.name} has since resumed the checkpoint of {first.name}, with lr 0.001"):
        workshop.trainer.train(workshop.dataset, {"epochs": 3}, resume=first.name, progress=no_progress)


def test_a_job_that_computed_features_is_not_continued(workshop: Workshop, first: TrainingJob) -> None:
    listed = workshop.session.client("sagemaker").list_training_jobs(NameContains="-features-")
    name = listed["TrainingJobSummaries"][0]["TrainingJobName"]
    before = jobs(workshop.session)
    with pytest.raises(JobError, match=f"{name} computed features, .* it trained no model that could be resumed"):
        workshop.trainer.train(workshop.dataset, {"epochs": 2}, resume=name, progress=no_progress)
    assert jobs(workshop.session) == before


def test_a_running_job_is_not_continued(workshop: Workshop) -> None:
    running = workshop.trainer.train(workshop.dataset, {"epochs": 100_000}, progress=no_progress)
    try:
        with pytest.raises(JobError, match="is InProgress; wait until it ends, or stop it"):
            workshop.trainer.train(workshop.dataset, resume=running.name, progress=no_progress)
    finally:
        running.stop()
