"""The speed of an earlier feature job, from the cost that the job recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from dogbreed_sdk import BreedTrainer, DatasetSize, Session
from dogbreed_sdk.container import path_to_uri
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import TRAINING_JOB
from dogbreed_sdk.planning.earlier_pass import earlier_pass

pytestmark = pytest.mark.extras

# 100 pictures in 180 views: on this machine's two cores the network took 1.8 s, the threads decoded for 0.5 s.
COST = {"pictures": 100, "views": 180, "cores": 2, "decoding": 0.5, "forward": 1.8, "device": "cpu"}
HYPERPARAMETERS = {"sagemaker_program": '"extract_features.py"', "model": '"efficientnet_lite0"'}


def add_job(root: Path, name: str, cost: object, **hyperparameters: str) -> None:
    folder = root / "bucket" / "features" / name
    folder.mkdir(parents=True)
    (folder / "feature_pass.json").write_text(json.dumps(cost), encoding="utf-8")
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": path_to_uri(root / "bucket" / "jobs")},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "CheckpointConfig": {"S3Uri": path_to_uri(folder)},
        "HyperParameters": {**HYPERPARAMETERS, **hyperparameters},
    }
    transition = {"status": "Completed", "start": time.time(), "end": None, "message": "done"}
    state = {"status": "Completed", "secondary": "Completed", "transitions": [transition]}
    store = Store(root)
    store.create(TRAINING_JOB, name, request, state)
    store.close()


def test_the_newest_job_with_the_backbone_gives_the_speed_of_one_core(tmp_path: Path) -> None:
    add_job(tmp_path, "dogbreed-features-1", {**COST, "forward": 99})
    add_job(tmp_path, "dogbreed-features-2", COST)
    add_job(tmp_path, "dogbreed-features-3", COST, model='"resnet50"')
    add_job(tmp_path, "dogbreed-features-4", {**COST, "views": 0})
    add_job(tmp_path, "dogbreed-features-6", {**COST, "precision": "bf16"})
    add_job(tmp_path, "dogbreed-features-5", [])
    with Session.existing(tmp_path) as session:
        speed = earlier_pass(session, model="efficientnet_lite0")
        assert earlier_pass(session, model="resnet18") is None
        plan = BreedTrainer(session, model="efficientnet_lite0").plan(
            DatasetSize.of(pictures=8351, classes=133), region="us-east-1", earlier_jobs=True
        )
    assert speed is not None
    assert speed.forward_seconds == pytest.approx(1.8 / 180 * 2)
    assert speed.decode_seconds == pytest.approx(0.005)
    assert speed.source == "the job dogbreed-features-2, which took 100 pictures on this machine"
    # ml.m5.xlarge has two cores: 8,351 pictures at 5 ms and 15,031 views at 20 ms.
    assert plan.steps[0].hours * 3600 == pytest.approx(90 + 22.5477 + 25 + (8351 * 0.005 + 15031 * 0.02) / 2, abs=0.01)
    assert "the job dogbreed-features-2" in str(plan).replace("\n", " ")


def test_without_an_earlier_job_the_table_is_used_and_a_note_says_so(tmp_path: Path) -> None:
    add_job(tmp_path, "dogbreed-features-1", COST)
    size = DatasetSize.of(pictures=8351, classes=133)
    with Session.existing(tmp_path) as session:
        plan = BreedTrainer(session, model="resnet18").plan(size, region="us-east-1", earlier_jobs=True)
    assert "There is no earlier feature job with resnet18." in plan.notes
    with Session.existing(tmp_path / "none") as session:
        plan = BreedTrainer(session, model="efficientnet_lite0").plan(size, region="us-east-1", earlier_jobs=True)
    assert any("Earlier jobs could not be looked up." in note for note in plan.notes)


@pytest.fixture
def on_aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, Any]], Session]:
    """A session on AWS whose account has one feature job on some instance type, with its recorded cost."""

    def make(instance_type: str, cost: dict[str, Any]) -> Session:
        made = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")

        def answer(model: Any, **_: object) -> tuple[Any, dict[str, Any]]:
            content: dict[str, Any] = {"TrainingJobSummaries": [{"TrainingJobName": "dogbreed-features-1"}]}
            if model.name == "DescribeTrainingJob":
                content = {
                    "TrainingJobName": "dogbreed-features-1",
                    "HyperParameters": HYPERPARAMETERS,
                    "ResourceConfig": {"InstanceType": instance_type},
                    "CheckpointConfig": {"S3Uri": "s3://my-bucket/features/1"},
                }
            return type("Received", (), {"status_code": 200})(), content

        made.events.register("before-call.sagemaker", answer)  # type: ignore[arg-type]
        session = Session.aws(boto3_session=made)
        stored = {"s3://my-bucket/features/1/feature_pass.json": json.dumps(cost).encode()}
        monkeypatch.setattr(session.storage, "read_bytes", stored.get)
        return session

    return make


def test_on_aws_the_instances_cores_count(on_aws: Callable[[str, dict[str, Any]], Session]) -> None:
    speed = earlier_pass(on_aws("ml.c5.2xlarge", {**COST, "cores": 8}), model="efficientnet_lite0")
    assert speed is not None
    # 8 vCPUs are 4 cores, each a tenth faster than m5's.
    assert speed.forward_seconds == pytest.approx(1.8 / 180 * 4.4)
    assert speed.source.endswith("on ml.c5.2xlarge")


def test_a_gpu_says_something_about_other_gpus(on_aws: Callable[[str, dict[str, Any]], Session]) -> None:
    speed = earlier_pass(on_aws("ml.g4dn.xlarge", {**COST, "device": "cuda"}), model="efficientnet_lite0")
    assert speed is not None
    assert speed.gpu_giga_flop == pytest.approx(1.8 / 180 * 8.1e3)
    assert speed.forward_seconds == pytest.approx(0.0148)
