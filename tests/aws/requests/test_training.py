"""The requests of training jobs, as BreedTrainer sends them, and the settings that it refuses before that."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import (
    BreedDataset,
    BreedTrainer,
    ConfigurationError,
    Debugger,
    JobOptions,
    Session,
    Spot,
    Vpc,
)
from dogbreed_sdk._util.progress import JobProgress, no_progress
from tests.aws.account import BUCKET, RecordedSageMaker
from tests.aws.requests.golden import check_golden

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def trained(account: Account, dogs: BreedDataset, **options: Any) -> dict[str, Any]:
    """The request of a training job that reads pictures."""
    session, aws = account
    BreedTrainer(session, features="in-job", **options).train(dogs, name="a-training-job", progress=no_progress)
    request: dict[str, Any] = aws.sent("CreateTrainingJob")[-1]
    return request


def in_network(account: Account) -> Account:
    """The same account with a session that has a key and a VPC."""
    session, aws = account
    vpc = Vpc(subnets=["subnet-0a1b2c3d", "subnet-4e5f6a7b"], security_groups=["sg-0a1b2c3d"])
    private = Session.aws(
        boto3_session=session.boto3_session, role=session.role_arn, bucket=BUCKET, kms_key=KEY, vpc=vpc
    )
    return private, aws


def test_features_and_training(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session).train(dogs, name="a-training-job", progress=no_progress)
    features, training = aws.sent("CreateTrainingJob")
    check_golden("features", "CreateTrainingJob", features)
    check_golden("training", "CreateTrainingJob", training)


def test_managed_debugger(account: Account, dogs: BreedDataset) -> None:
    request = trained(account, dogs, debugger=Debugger.managed())
    check_golden("training-managed-debugger", "CreateTrainingJob", request)


def test_spot_on_several_instances_with_a_key_and_a_network(account: Account, dogs: BreedDataset) -> None:
    request = trained(
        in_network(account),
        dogs,
        instance_type="ml.m5.2xlarge",
        instance_count=4,
        volume_size_gb=100,
        max_runtime="1h",
        spot=Spot(max_wait="6h"),
        environment={"OMP_NUM_THREADS": "4"},
        tags={"team": "dogs"},
        options=JobOptions(input_mode="FastFile", retries=3, network_isolation=True, encrypt_traffic=True),
    )
    check_golden("training-all-options", "CreateTrainingJob", request)


@pytest.mark.parametrize(("hidden", "sent"), [((), ""), (512, "512"), ((512, 256), "512,256"), ("512,256", "512,256")])
def test_the_heads_hidden_layers_are_said_as_the_script_reads_them(
    account: Account, dogs: BreedDataset, hidden: str | int | tuple[int, ...], sent: str
) -> None:
    assert trained(account, dogs, hidden=hidden)["HyperParameters"]["hidden"] == json.dumps(sent)


def test_a_warm_pool_of_gpus(account: Account, dogs: BreedDataset) -> None:
    request = trained(
        in_network(account),
        dogs,
        instance_type="ml.g5.xlarge",
        keep_alive="10min",
        framework_version="2.8",
        options=JobOptions(max_pending="1h"),
    )
    check_golden("training-warm-pool", "CreateTrainingJob", request)


def test_disks_of_an_instance_take_no_key(account: Account, dogs: BreedDataset) -> None:
    private = in_network(account)
    assert "VolumeKmsKeyId" not in trained(private, dogs, instance_type="ml.g5.xlarge")["ResourceConfig"]
    assert trained(private, dogs, instance_type="ml.m5.xlarge")["ResourceConfig"]["VolumeKmsKeyId"] == KEY


@pytest.mark.parametrize(("spot", "wait"), [(True, 7200), (Spot(), 7200), (Spot(max_wait=timedelta(hours=1)), 3600)])
def test_spot_waits_twice_as_long_as_a_job_may_run_unless_told_otherwise(
    account: Account, dogs: BreedDataset, spot: bool | Spot, wait: int
) -> None:
    request = trained(account, dogs, spot=spot, max_runtime=3600)
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": wait}
    assert request["CheckpointConfig"]["S3Uri"].endswith("/checkpoints/a-training-job")


def test_several_instances_share_the_feature_pass_and_a_head_trains_on_one(
    account: Account, dogs: BreedDataset
) -> None:
    session, aws = account
    steps: list[JobProgress] = []
    BreedTrainer(session, instance_count=3).train(dogs, progress=steps.append)
    features, training = aws.sent("CreateTrainingJob")
    assert [request["ResourceConfig"]["InstanceCount"] for request in (features, training)] == [3, 1]
    assert features["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
    assert json.loads(features["HyperParameters"]["sagemaker_instance_type"]) == "ml.m5.xlarge"
    assert "sagemaker_torch_distributed_enabled" not in training["HyperParameters"]
    assert [step.message for step in steps if "1 instance, not 3" in step.message]


def test_several_instances_fine_tune_together(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session, instance_count=2).train(dogs, {"unfreeze": 1}, progress=no_progress)
    [request] = aws.sent("CreateTrainingJob")
    assert request["ResourceConfig"]["InstanceCount"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instance_count": 0}, "instance_count is 0; it must be at least 1"),
        ({"max_runtime": 0}, "max_runtime is 0 s; it must be 1 s to 28 d"),
        ({"max_runtime": 3_000_000}, "it must be 1 s to 28 d"),
        (
            {"spot": Spot(max_wait="30min"), "max_runtime": 3600},
            "max_wait is 30 min, and a job may run for 1 h",
        ),
        ({"spot": Spot(max_wait="soon")}, "max_wait is 'soon'"),
        ({"spot": True, "keep_alive": "10min"}, "spot and keep_alive exclude each other"),
        ({"spot": True, "options": JobOptions(max_pending="1h")}, "max_pending is for on-demand capacity"),
        ({"keep_alive": "2h"}, "keep_alive is 2 h; it must be 0 s to 1 h"),
        ({"keep_alive": -1}, "keep_alive is -1 s"),
        ({"volume_size_gb": 0}, "volume_size_gb is 0"),
        ({"volume_size_gb": 100, "instance_type": "ml.g5.xlarge"}, "ml.g5.xlarge has built-in disks"),
        ({"image_uri": "mine", "framework_version": "2.6"}, "image_uri and framework_version exclude each other"),
        ({"environment": {"a-b": "1"}}, "the variable 'a-b'"),
        ({"environment": {"A": "x" * 513}}, "the variable 'A'"),
        ({"environment": {f"A{number}": "" for number in range(101)}}, "101 variables; SageMaker accepts 100"),
        (
            {"model": "resnet18", "options": JobOptions(network_isolation=True)},
            "cannot download the pretrained weights of resnet18",
        ),
    ],
)
def test_what_aws_would_refuse_is_refused_by_the_constructor(
    account: Account, options: dict[str, Any], message: str
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        BreedTrainer(session, **options)
    assert aws.requests == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_mode": "Pipe"}, "use 'File' or 'FastFile'"),
        ({"retries": 31}, "retries is 31; SageMaker accepts 0 to 30"),
        ({"retries": -1}, "0 to 30"),
        ({"max_pending": "10min"}, "max_pending is 10 min; it must be 30 min to 28 d"),
    ],
)
def test_job_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        JobOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instance_type": "ml.m5.xlrge"}, "did you mean ml.m5.xlarge"),
        ({"instance_type": "m5.xlarge"}, "did you mean ml.m5.xlarge"),
        ({"framework_version": "2.5"}, r"no PyTorch 2\.5 training image in us-east-1.*'2\.6' or '2\.7'"),
        ({"framework_version": "9.9"}, r"no PyTorch 9\.9 training image"),
    ],
)
def test_instances_and_images_that_do_not_exist_are_found_before_anything_is_stored(
    account: Account, dogs: BreedDataset, options: dict[str, Any], message: str
) -> None:
    session, aws = account
    stored: list[str] = []
    session.boto3_session.events.register("before-call.s3.PutObject", lambda **_: stored.append("put"))
    with pytest.raises(ConfigurationError, match=message):
        BreedTrainer(session, **options).train(dogs, progress=no_progress)
    assert (aws.requests, stored) == ([], [])


def test_a_job_without_a_network_takes_weights_from_a_file_or_none(
    account: Account, dogs: BreedDataset, tmp_path: Path
) -> None:
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"weights")
    for given in ("none", weights):
        options = JobOptions(network_isolation=True)
        request = trained(account, dogs, model="resnet18", weights=given, options=options)
        assert request["EnableNetworkIsolation"] is True
