"""Pulling the plug: a client, or local SageMaker's own process, is killed, and the search goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dogbreed_sdk import BreedDataset, BreedTrainer, Session, TuningJob, attach, defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.local.store import TUNING_JOB, Store
from tests.conftest import Workshop
from tests.waiting import wait_for

pytestmark = [pytest.mark.extras, pytest.mark.slow]

TUNE = """
import sys
from dogbreed_sdk import BreedTrainer, Session, defaults
trainer = BreedTrainer(Session.local(sys.argv[1]), model=defaults.QUICK_BACKBONE, base_name="plug")
job = trainer.tune(sys.argv[2], hyperparameters={"epochs": 3}, max_jobs=2, max_parallel_jobs=1, progress=lambda _: None)
print(job.name, flush=True)
job.wait()
"""


def client(root: Path, dataset: BreedDataset) -> subprocess.Popen[str]:
    """A program that starts a search and waits for it."""
    command = [sys.executable, "-c", TUNE, str(root), str(dataset.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_a_search_outlives_its_client_and_the_process_that_runs_it(workshop: Workshop) -> None:
    with client(workshop.root, workshop.dataset) as program:
        assert program.stdout is not None
        name = program.stdout.readline().strip()
        program.kill()
    store = Store(workshop.root)
    wait_for(lambda: store.get(TUNING_JOB, name).state.get("trials"))
    supervisor = store.get(TUNING_JOB, name).state["process"]
    assert supervisor is not None
    os.kill(supervisor["pid"], signal.SIGKILL)
    with Session.local(workshop.root) as session:
        search = attach(name, session=session)
        assert isinstance(search, TuningJob)
        assert search.status == "InProgress"
        search.wait(progress=no_progress)
        assert [trial.status for trial in search.trials()] == ["Completed"] * 2
        assert search.best.objective == min(trial.objective or 0.0 for trial in search.trials())


def test_a_feature_pass_outlives_its_client_and_is_not_begun_again(tmp_path: Path, shapes: BreedDataset) -> None:
    def passes(session: Session) -> list[str]:
        jobs = session.client("sagemaker").list_training_jobs(NameContains="-features-")["TrainingJobSummaries"]
        return [job["TrainingJobName"] for job in jobs]

    root = tmp_path / "root"
    with Session.local(root) as session, client(root, shapes) as program:
        wait_for(lambda: passes(session))
        program.kill()
        uri = BreedTrainer(session, model=defaults.QUICK_BACKBONE).extract_features(shapes, progress=no_progress)
        assert session.storage.exists(f"{uri}/features.json")
        assert len(passes(session)) == 1
