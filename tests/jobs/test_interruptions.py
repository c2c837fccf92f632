"""Our scripts on spot instances that are taken away at any moment: the result is that of an undisturbed job."""

from __future__ import annotations

import json
import os
import random
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sagemaker.core.parameter import CategoricalParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, Session, TrainingJob
from dogbreed_sdk._util.log_file import LogFollower
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import runner
from dogbreed_sdk.local.jobs.script_processes import GRACE_VARIABLE
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB
from tests.waiting import wait_for
from training_scripts.data import image_folder, preprocessing
from training_scripts.features import extraction
from training_scripts.features.manifest import CHUNK
from training_scripts.features.store import FeatureStore
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.training.metrics import EpochMetrics, parse

pytestmark = [pytest.mark.extras, pytest.mark.slow]

MODEL = "mobilenet_v3_small"
# An epoch takes a quarter of a second on a fast machine: enough of them that a job is interrupted before its last.
FINE_TUNING = {"unfreeze": 1, "epochs": 8, "batch_size": 16, "lr": 0.01, "profiler": "off"}
EPOCHS = FINE_TUNING["epochs"]


class Cloud:
    """A local SageMaker whose spot instances are taken away."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root)

    def lines(self, job: str) -> list[str]:
        return list(LogFollower(JobFolder.of(self.root, job).log).read())

    def curve(self, job: str) -> dict[int, dict[str, float]]:
        """The metrics of each epoch; an epoch that is reported twice must have the same ones."""
        found: dict[int, dict[str, float]] = {}
        for line in self.lines(job):
            epoch = parse(line)
            if isinstance(epoch, EpochMetrics) and not epoch.best:
                assert found.setdefault(epoch.epoch, dict(epoch.values)) == epoch.values, line
        return found

    def interrupt(self, job: str, seen: Callable[[list[str]], bool], within: float, *, kills: bool = False) -> None:
        """Takes a job's instance away at a random moment after its log shows something, and waits until it is gone.

        A script that is killed is stopped first: it must not end before its supervisor has noticed.
        """
        wait_for(lambda: seen(self.lines(job)), 120, state=lambda: self.lines(job))
        time.sleep(random.uniform(0, within))
        if kills:
            os.kill(self.store.get(TRAINING_JOB, job).state["scripts"][0]["pid"], signal.SIGSTOP)
        runner.interrupt(self.store, job)
        wait_for(lambda: self.store.get(TRAINING_JOB, job).state.get("interruptions"), 60)

    def running(self) -> list[str]:
        return [record.name for record in self.store.list(TRAINING_JOB) if record.state["status"] == "InProgress"]


def model_of(uri: str) -> str:
    """The digest of a model's weights."""
    with tarfile.open(uri_to_path(uri)) as bundle:
        return str(json.loads(bundle.extractfile("model.json").read())["model_id"])  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Session.local(tmp_path_factory.mktemp("root")) as opened:
        yield opened


@pytest.fixture
def cloud(session: Session) -> Cloud:
    return Cloud(session.root)


def trainer(session: Session, **settings: object) -> BreedTrainer:
    common = {"model": MODEL, "weights": "none", "spot": True}
    return BreedTrainer(session, **common, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(session: Session, shapes: BreedDataset) -> TrainingJob:
    """A job that nothing interrupts."""
    return trainer(session, features="off").train(shapes, FINE_TUNING, name="undisturbed").wait()


def some_epochs_passed() -> Callable[[list[str]], bool]:
    """Whether the log shows an epoch of the first half, a random one."""
    epoch = f"epoch {random.randint(1, EPOCHS // 2)}/{EPOCHS} "
    return lambda lines: any(line.startswith(epoch) for line in lines)


def test_a_training_job_that_is_asked_to_end_resumes_by_itself(
    session: Session, cloud: Cloud, undisturbed: TrainingJob, shapes: BreedDataset
) -> None:
    job = trainer(session, features="off").train(shapes, FINE_TUNING, name="asked")
    cloud.interrupt("asked", some_epochs_passed(), within=0.2)
    job.wait()
    assert any(line.startswith("continuing after epoch ") for line in cloud.lines("asked"))
    assert cloud.curve("asked") == cloud.curve("undisturbed")
    assert model_of(job.model_uri) == model_of(undisturbed.model_uri)
    described = job.describe()
    assert "Interrupted" in [seen["Status"] for seen in described["SecondaryStatusTransitions"]]
    assert described["BillableTimeInSeconds"] < described["TrainingTimeInSeconds"]
    losses = []
    for one in (undisturbed, job):
        trial = FileTrial(uri_to_path(one.describe()["CheckpointConfig"]["S3Uri"]) / "debug-output")
        loss = trial.tensor("CrossEntropyLoss_output_0")
        losses.append([(step, loss.value(step, mode="TRAIN")) for step in loss.steps("TRAIN")])
        assert not trial.run.get("problems")
    assert losses[0] == losses[1]


def test_a_trial_that_is_killed_resumes_by_itself(
    session: Session, cloud: Cloud, undisturbed: TrainingJob, shapes: BreedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, "0")
    settings = {name: value for name, value in FINE_TUNING.items() if name != "profiler"}
    search = {"momentum": CategoricalParameter([0.8, 0.9])}  # which AdamW does not have
    tuning = trainer(session, features="off").tune(
        shapes, search, hyperparameters=settings, max_jobs=1, max_parallel_jobs=1, name="searched"
    )
    (name,) = wait_for(lambda: cloud.store.get(TUNING_JOB, "searched").state.get("trials"))
    cloud.interrupt(name, some_epochs_passed(), within=0.2, kills=True)
    tuning.wait()
    assert cloud.curve(name) == cloud.curve("undisturbed")
    assert model_of(tuning.best.job.model_uri) == model_of(undisturbed.model_uri)


def test_a_feature_job_that_is_killed_resumes_by_itself(
    session: Session, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, "0")
    dice = random.Random(0)
    for split, count in {"train": CHUNK // 2 + 4, "valid": 2, "test": 2}.items():
        for name in ("001.A", "002.B"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                Image.frombytes("RGB", (8, 8), dice.randbytes(192)).save(tmp_path / split / name / f"{number}.png")
    dataset = BreedDataset.from_folder(tmp_path)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(trainer(session, views="plain").extract_features(dataset)))
    thread.start()
    name = wait_for(lambda: [one for one in cloud.running() if "features" in one])[0]
    # On an idle machine the whole pass takes less than two seconds.
    cloud.interrupt(name, lambda lines: any(line.startswith("features: ") for line in lines), within=0.2, kills=True)
    thread.join()
    assert sum(line.startswith("features: 144 pictures, views plain") for line in cloud.lines(name)) == 2
    stored = FeatureStore.open(uri_to_path(found[0]))
    alone = extraction.extract(
        image_folder.read_dataset(image_folder.find_splits(tmp_path)),
        backbone_name=MODEL,
        weights="none",
        views=preprocessing.parse_views("plain"),
        folder=tmp_path / "alone",
        report=lambda _: None,
    )
    assert stored.key == alone.key
    for split in alone.sizes:
        assert stored.split(split).names == alone.split(split).names
        assert np.allclose(stored.split(split).features, alone.split(split).features, rtol=1e-4, atol=1e-5)
