"""A trainer with several instances: they share the feature pass, and the features are those of a single one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dogbreed_sdk import BreedTrainer, Session, defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.container import uri_to_path
from tests.conftest import Workshop

pytestmark = [pytest.mark.extras, pytest.mark.slow]


def test_two_instances_compute_the_features_of_one(workshop: Workshop, tmp_path: Path) -> None:
    with Session.local(tmp_path / "root") as session:
        trainer = BreedTrainer(session, model=defaults.QUICK_BACKBONE, instance_count=2)
        uri = trainer.extract_features(workshop.dataset, progress=no_progress)
        [job] = session.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
        described = session.client("sagemaker").describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert described["ResourceConfig"]["InstanceCount"] == 2
    shared = uri_to_path(uri)
    alone = uri_to_path(workshop.trainer.extract_features(workshop.dataset, progress=no_progress))
    arrays = sorted(path.relative_to(alone) for path in alone.rglob("*.npy"))
    assert arrays
    for path in arrays:
        np.testing.assert_allclose(np.load(shared / path), np.load(alone / path), atol=1e-4)
