"""Client and server are killed in the middle of work, with real processes: the work goes on and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dogbreed_sdk import BreedClassifier, BreedDataset, BreedTrainer, Session, TrainingJob, TuningJob, attach, defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import TRAINING_JOB
from tests.conftest import Workshop
from tests.model_servers import server_of
from tests.waiting import wait_for

pytestmark = pytest.mark.extras

QUICK = ("--model", defaults.QUICK_BACKBONE)


def dogbreed(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dogbreed_sdk.cli", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    if process.stderr is not None:
        process.stderr.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Starts ``dogbreed local up`` on the test's root, as often as it is called."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        process = dogbreed("local", "up", "--port", 0, "--root", tmp_path / "root")
        started.append(process)
        assert process.stderr is not None
        url = re.search(r"http://[^\s;]+", process.stderr.readline())
        assert url is not None
        return process, url.group()

    yield start
    for process in started:
        if process.poll() is None:
            kill(process)


@contextmanager
def paused_script(root: Path, job: str) -> Iterator[None]:
    """The script of a job can't end within the context."""
    store = Store(root)
    (script,) = store.get(TRAINING_JOB, job).state["scripts"]
    store.close()
    os.kill(script["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(script["pid"], signal.SIGCONT)


def test_a_killed_client_loses_no_training_job(shapes: BreedDataset, tmp_path: Path) -> None:
    root = tmp_path / "root"
    client = dogbreed("train", shapes.root, *QUICK, "--name", "survivor", "--epochs", 600, "--root", root)
    with Session.local(root) as session:
        job = wait_for(lambda: find(session, "survivor"))
        wait_for(lambda: any(line.startswith("epoch 2/") for line in job.logs()))
        with paused_script(root, "survivor"):
            kill(client)
            assert job.status == "InProgress"
        assert isinstance(job, TrainingJob)
        job.wait(progress=no_progress, timeout=280)
        assert len(job.metrics()) == 600
        assert session.storage.exists(job.model_uri)


def test_a_killed_server_loses_no_search_and_no_endpoint(
    shapes: BreedDataset, tmp_path: Path, server: Callable[[], tuple[subprocess.Popen[str], str]]
) -> None:
    root = tmp_path / "root"
    process, url = server()
    with Session.local(root, endpoint_url=url) as session:
        tuning = BreedTrainer(session, model=defaults.QUICK_BACKBONE).tune(
            shapes, hyperparameters={"epochs": 100}, max_jobs=3, name="search", progress=no_progress
        )
        wait_for(tuning.trials)
    kill(process)
    process, url = server()
    with Session.local(root, endpoint_url=url) as session:
        tuning = attach("search", session=session)
        assert isinstance(tuning, TuningJob)
        tuning.wait(progress=no_progress, timeout=280)
        assert [trial.status for trial in tuning.trials()] == ["Completed"] * 3
        deployment = tuning.best.job.deploy(progress=no_progress)
    kill(process)
    with Session.local(root) as session:
        picture = shapes.pictures("test")[0]
        assert BreedClassifier(deployment.endpoint_name, session=session).classify(picture.path).model_id
        type(deployment)(deployment.endpoint_name, session).delete()


def test_an_endpoint_whose_server_was_killed_answers_the_next_request(workshop: Workshop) -> None:
    picture = workshop.dataset.pictures("test")[0].path
    with workshop.job.deploy(progress=no_progress) as deployment:
        before = deployment.classifier().classify(picture)
        kill_model_server(workshop.root, deployment.endpoint_name)
        after = deployment.classifier().classify(picture)
    assert after.scores == before.scores


def test_two_clients_on_one_folder_see_the_same(workshop: Workshop) -> None:
    with Session.local(workshop.root) as second:
        job = workshop.trainer.train(workshop.dataset, {"epochs": 1})
        seen = attach(job.name, session=second)
        job.wait(progress=no_progress)
        assert seen.status == "Completed"


def find(session: Session, name: str) -> TrainingJob | None:
    summaries = session.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    return TrainingJob(name, session) if name in [entry["TrainingJobName"] for entry in summaries] else None


def kill_model_server(root: Path, endpoint: str) -> None:
    store = Store(root)
    server = psutil.Process(int(server_of(store, endpoint)["pid"]))
    store.close()
    server.kill()
    server.wait(60)  # a request that meets a dying process is an error; this is about the next one


def test_a_server_that_is_interrupted_says_goodbye(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = dogbreed("local", "up", "--port", 0, "--root", tmp_path / "root")
        assert process.stderr is not None
        assert "http://127.0.0.1:" in process.stderr.readline()
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
        assert "stopped; jobs and endpoints keep running" in rest
        assert "error" not in rest
        assert process.returncode == 0


def test_an_interrupted_command_names_what_goes_on_and_how_to_stop_it(shapes: BreedDataset, tmp_path: Path) -> None:
    root = tmp_path / "root"
    client = dogbreed("train", shapes.root, *QUICK, "--name", "forever", "--epochs", 100_000, "--root", root)
    with Session.local(root) as session:
        job = wait_for(lambda: find(session, "forever"))
        wait_for(lambda: any(line.startswith("epoch 2/") for line in job.logs()))
        client.send_signal(signal.SIGINT)
        shown = client.communicate(timeout=60)[1]
        assert client.returncode == 130
        assert "dogbreed stop forever" in shown
        assert "Traceback" not in shown
        job.stop()
        wait_for(lambda: job.status == "Stopped")


def test_a_stopped_job_is_continued_and_ends_like_an_unbroken_one(workshop: Workshop) -> None:
    settings = {"epochs": 4000, "lr": 1e-5}
    first = workshop.trainer.train(workshop.dataset, settings)
    wait_for(lambda: any(line.startswith("epoch 20/") for line in first.logs()))
    first.stop()
    wait_for(lambda: first.status == "Stopped")
    second = workshop.trainer.train(workshop.dataset, {"epochs": 4000}, resume=first.name)
    continued = wait_for(lambda: [line for line in second.logs() if "continuing after epoch" in line])
    second.stop()
    assert int(re.findall(r"\d+", continued[0])[0]) >= 19
    wait_for(lambda: second.status == "Stopped")
