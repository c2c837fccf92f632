"""DeleteTrainingJob and DeleteHyperParameterTuningJob: what goes, what stays, what is refused."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.api import jobs
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB


def test_a_deleted_jobs_name_is_free_and_its_artifact_stays(
    sagemaker: Any,
    root: Path,
    tmp_path: Path,
    script: Callable[[str], dict[str, str]],
    training_request: Callable[..., dict[str, Any]],
    ended: Callable[[str], dict[str, Any]],
) -> None:
    text = "import os\nos.chmod('.', 0o500); print('line')"
    for _ in range(2):
        sagemaker.create_training_job(**training_request("dogs", script(text), Tags=[{"Key": "a", "Value": "b"}]))
        with pytest.raises(sagemaker.exceptions.ResourceInUse, match="is in status InProgress; stop it first"):
            sagemaker.delete_training_job(TrainingJobName="dogs")
        assert ended("dogs")["TrainingJobStatus"] == "Completed"
        sagemaker.delete_training_job(TrainingJobName="dogs")
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            sagemaker.describe_training_job(TrainingJobName="dogs")
        assert list((root / "jobs").iterdir()) == []
        assert (tmp_path / "output/dogs/output/model.tar.gz").exists()
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.delete_training_job(TrainingJobName="dogs")


def test_a_running_search_stays(sagemaker: Any, store: Store) -> None:
    store.create(TUNING_JOB, "search", {}, {"status": "Stopping", "process": None})
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="tuning job is in status Stopping"):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="nothing")


def test_a_job_whose_rules_are_evaluated_waits_for_them(
    sagemaker: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_SUPERVISOR_SECONDS", 0.3)
    folder = store.root / "jobs/dogs"
    folder.mkdir()
    (store.root / "jobs/.deleted-killed").mkdir()
    store.create(TRAINING_JOB, "dogs", {}, {"status": "Completed"})
    with (folder / "supervisor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(sagemaker.exceptions.ResourceInUse, match="rules are still being evaluated"):
            sagemaker.delete_training_job(TrainingJobName="dogs")
    sagemaker.delete_training_job(TrainingJobName="dogs")
    assert list((store.root / "jobs").iterdir()) == [], "also what a killed deletion has left"
