"""What the library sends to AWS: every request valid by botocore's model, every file where the request says."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import (
    AccessError,
    BreedDataset,
    BreedTrainer,
    ConfigurationError,
    DatasetError,
    JobError,
    QuotaError,
    Serverless,
    Session,
    TrainingJob,
)
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.jobs import stored_features
from tests.aws.account import BUCKET, RecordedSageMaker, refusal

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]


def stored(uri: str) -> bytes:
    key = uri.removeprefix(f"s3://{BUCKET}/")
    return bytes(boto3.client("s3", region_name="us-east-1").get_object(Bucket=BUCKET, Key=key)["Body"].read())


def keys_below(uri: str) -> set[str]:
    prefix = uri.removeprefix(f"s3://{BUCKET}/") + "/"
    found = boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return {entry["Key"].removeprefix(prefix) for entry in found.get("Contents", [])}


def test_training_computes_features_in_a_job_of_their_own_and_trains_on_them(
    account: Account, shapes: BreedDataset
) -> None:
    session, aws = account
    job = BreedTrainer(session, model="resnet18").train(shapes, {"lr": 0.01, "batch_size": 8}, progress=no_progress)
    features, training = aws.sent("CreateTrainingJob")
    assert job.name == training["TrainingJobName"]
    [channel] = features["InputDataConfig"]
    pictures = keys_below(channel["DataSource"]["S3DataSource"]["S3Uri"])
    assert len(pictures) == len(shapes)
    assert "train/001.Red_disc/00.jpg" in pictures
    assert [entry["ChannelName"] for entry in training["InputDataConfig"]] == ["features"]
    [features_channel] = training["InputDataConfig"]
    assert features_channel["DataSource"]["S3DataSource"]["S3Uri"] == features["CheckpointConfig"]["S3Uri"]
    assert json.loads(training["HyperParameters"]["lr"]) in (0.01, "0.01")
    assert json.loads(training["HyperParameters"]["batch-size"]) in (8, "8")
    assert training["AlgorithmSpecification"]["TrainingImage"].endswith("pytorch-training:2.6-cpu-py312")


def test_a_feature_pass_that_is_running_already_is_waited_for(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    trainer = BreedTrainer(session)
    trainer.train(shapes, progress=no_progress)
    [features, _] = aws.sent("CreateTrainingJob")
    running = {"TrainingJobName": features["TrainingJobName"], "TrainingJobStatus": "InProgress"}
    aws.answers["ListTrainingJobs"] = {"TrainingJobSummaries": [running]}
    aws.answers["DescribeTrainingJob"] = {
        **aws._content("DescribeTrainingJob", running),
        "CheckpointConfig": features["CheckpointConfig"],
    }
    trainer.train(shapes, progress=no_progress)
    assert len(aws.sent("CreateTrainingJob")) == 3  # features, and training twice
    assert {"NameContains": "-features-", "StatusEquals": "InProgress"}.items() <= aws.sent("ListTrainingJobs")[
        -1
    ].items()


def test_other_peoples_jobs_that_cannot_be_read_do_not_matter(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    aws.answers["ListTrainingJobs"] = {
        "TrainingJobSummaries": [{"TrainingJobName": "their-features-1", "TrainingJobStatus": "InProgress"}]
    }
    aws.refusals["DescribeTrainingJob"] = refusal("AccessDeniedException", "not authorized")
    uri = f"s3://{BUCKET}/dogbreed/features/x"
    assert stored_features.computing_job(session, uri) is None


def test_the_packed_source_holds_entry_points_package_and_requirements(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session, features="in-job").train(shapes, progress=no_progress)
    [request] = aws.sent("CreateTrainingJob")
    source = json.loads(request["HyperParameters"]["sagemaker_submit_directory"])
    with tarfile.open(fileobj=io.BytesIO(stored(source))) as archive:
        names = set(archive.getnames())
    assert json.loads(request["HyperParameters"]["sagemaker_program"]) in names
    assert {
        "requirements.txt",
        "hpo.py",
        "training_scripts/__init__.py",
        "training_scripts/data/image_folder.py",
    } <= names
    assert not [name for name in names if "__pycache__" in name]


def test_pictures_are_uploaded_once(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    trainer = BreedTrainer(session, features="off")
    puts: list[str] = []
    session.boto3_session.events.register("before-call.s3.PutObject", lambda **_: puts.append("put"))
    trainer.train(shapes, progress=no_progress)
    assert len(puts) == len(shapes) + 1  # the pictures, and the source
    trainer.train(shapes, progress=no_progress)
    assert len(puts) == len(shapes) + 1
    assert len(aws.sent("CreateTrainingJob")) == 2


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        ({"lr": 0.1}, {}, "ContinuousParameter"),
        ({"lr": ContinuousParameter(1, 0)}, {}, "upper bound must be greater"),
        ({"dropout": ContinuousParameter(0, 5)}, {}, "dropout"),
        ({"optimizer": CategoricalParameter(["sgd", "adamx"])}, {}, "adamx"),
        ({"views": CategoricalParameter(["plain", "flip"])}, {}, "cannot be searched"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"hyperparameters": {"lr": 0.1}}, "either search it"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"strategy": "Guess"}, "Bayesian, Random, Grid, Hyperband"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"strategy": "bayes"}, "did you mean Bayesian"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"max_jobs": 0}, "at least 1"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"search_seed": -1}, "search_seed at least 0"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"objective": "f1"}, "valid:accuracy"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"objective": "average test loss"}, "did you mean test:loss"),
        ({"lr": ContinuousParameter(0.01, 0.1)}, {"strategy": "Grid"}, "lr has a range with bounds"),
        ({"lr": CategoricalParameter([1])}, {}, "Nothing to search: lr has a single value"),
        ({"batch-size": CategoricalParameter([32, "32.0"])}, {}, "'batch-size' lists '32.0' twice"),
        ({"learning_rate": ContinuousParameter(0.01, 0.1)}, {"hyperparameters": {"lr": 0.1}}, "either search it"),
        ({"lr": ContinuousParameter(0.01, 0.1), "LR": CategoricalParameter([1, 2])}, {}, "two search ranges"),
        ({"epochs": CategoricalParameter([1, 2, 3])}, {"strategy": "Grid", "max_jobs": 2}, "3 combinations but max_j"),
    ],
)
def test_a_wrong_search_is_found_before_features_are_computed(
    account: Account, shapes: BreedDataset, search: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        BreedTrainer(session).tune(shapes, search, progress=no_progress, **options)
    assert aws.requests == []


def test_a_search_over_what_is_unfrozen_reads_pictures(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session).tune(shapes, {"unfreeze": IntegerParameter(0, 2)}, progress=no_progress)
    [request] = aws.sent("CreateHyperParameterTuningJob")
    assert [channel["ChannelName"] for channel in request["TrainingJobDefinition"]["InputDataConfig"]] == ["training"]


def test_a_grid_says_for_itself_how_many_trials_it_has(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session, features="in-job").tune(
        shapes, {"epochs": CategoricalParameter([1, 2])}, strategy="Grid", progress=no_progress
    )
    [request] = aws.sent("CreateHyperParameterTuningJob")
    assert "MaxNumberOfTrainingJobs" not in request["HyperParameterTuningJobConfig"]["ResourceLimits"]


@pytest.mark.parametrize(
    ("search", "options", "limit", "said"),
    [
        ({"batch-size": CategoricalParameter([32, 64])}, {"max_jobs": 6}, 2, "2 trials, not 6"),
        ({"batch-size": CategoricalParameter([32, 64])}, {}, 2, "2 trials, not 6"),
        ({"epochs": IntegerParameter(2, 3), "optimizer": CategoricalParameter(["sgd", "adam"])}, {}, 4, "4 trials"),
        ({"batch-size": CategoricalParameter([32, 64])}, {"strategy": "Grid", "max_jobs": 6}, None, "2 trials, not 6"),
        ({"batch-size": CategoricalParameter([32, 64])}, {"strategy": "grid"}, None, ""),
        ({"batch-size": CategoricalParameter([32, 64]), "lr": ContinuousParameter(0.1, 1)}, {"max_jobs": 9}, 9, ""),
    ],
)
def test_no_search_has_more_trials_than_there_are_combinations(
    account: Account,
    shapes: BreedDataset,
    search: dict[str, Any],
    options: dict[str, Any],
    limit: int | None,
    said: str,
) -> None:
    session, aws = account
    steps: list[str] = []
    BreedTrainer(session, features="in-job").tune(
        shapes, search, progress=lambda step: steps.append(step.message), **options
    )
    [request] = aws.sent("CreateHyperParameterTuningJob")
    limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits.get("MaxNumberOfTrainingJobs") == limit
    assert [step for step in steps if "trials" in step] == [step for step in steps if said and said in step]
    assert any(said in step for step in steps) or not said


def test_an_objective_of_a_split_that_the_data_lacks_is_refused(
    account: Account, shapes: BreedDataset, tmp_path: Path
) -> None:
    session, aws = account
    for split in ("train", "valid"):
        shutil.copytree(shapes.root / split, tmp_path / split)
    with pytest.raises(DatasetError, match="no test split"):
        BreedTrainer(session).tune(tmp_path, objective="test loss", progress=no_progress)
    assert aws.requests == []


def test_a_folder_without_splits_is_refused_with_the_command_that_makes_them(
    account: Account, shapes: BreedDataset
) -> None:
    session, aws = account
    with pytest.raises(DatasetError, match="dogbreed data split"):
        BreedTrainer(session).train(shapes.root / "train", progress=no_progress)
    assert aws.requests == []


def test_what_a_job_would_refuse_is_refused_before_anything_is_sent(
    account: Account, shapes: BreedDataset, tmp_path: Path
) -> None:
    session, aws = account
    root = Path(shutil.copytree(shapes.root, tmp_path / "shapes"))
    (root / "train/001.Red_disc/gone.jpg").symlink_to("/gone.jpg")
    with pytest.raises(DatasetError) as raised:
        BreedTrainer(session).train(root, progress=no_progress)
    (error,) = BreedDataset.from_folder(root).check().errors
    assert str(raised.value) == f"{error.message} {error.remedy}"
    assert aws.requests == []


@pytest.mark.parametrize("start", ["train", "tune"])
def test_a_single_class_is_refused_before_anything_is_sent(
    account: Account, shapes: BreedDataset, tmp_path: Path, start: str
) -> None:
    session, aws = account
    for split in ("train", "valid"):
        shutil.copytree(shapes.root / split / "001.Red_disc", tmp_path / split / "001.Red_disc")
    with pytest.raises(DatasetError, match=r"single class, 001\.Red_disc: a classifier needs at least two"):
        getattr(BreedTrainer(session), start)(tmp_path, progress=no_progress)
    assert aws.requests == []


def test_a_search_names_ranges_objective_and_limits(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session, features="in-job").tune(
        shapes,
        {
            "lr": ContinuousParameter(1e-4, 1e-1, scaling_type="Logarithmic"),
            "Epochs": IntegerParameter(2, 5),
            "optimizer": CategoricalParameter(["adamw", "sgd"]),
        },
        max_jobs=3,
        max_parallel_jobs=5,
        objective="Validation_Accuracy",
        progress=no_progress,
    )
    [request] = aws.sent("CreateHyperParameterTuningJob")
    config = request["HyperParameterTuningJobConfig"]
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "valid:accuracy"}
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 3}
    ranges = config["ParameterRanges"]
    assert [entry["Name"] for entry in ranges["ContinuousParameterRanges"]] == ["lr"]
    assert ranges["CategoricalParameterRanges"] == [{"Name": "optimizer", "Values": ["adamw", "sgd"]}]
    static = request["TrainingJobDefinition"]["StaticHyperParameters"]
    assert not {"lr", "epochs", "optimizer"} & set(static)
    assert len(request["HyperParameterTuningJobName"]) <= 32
    assert config["RandomSeed"] == 1


@pytest.mark.parametrize("serverless", [None, Serverless()])
def test_a_deployment_is_made_and_deleted_whole(account: Account, serverless: Serverless | None) -> None:
    session, aws = account
    with deploy(
        f"s3://{BUCKET}/model.tar.gz", session=session, serverless=serverless, progress=no_progress
    ) as deployment:
        name = deployment.endpoint_name
    [model] = aws.sent("CreateModel")
    assert model["PrimaryContainer"]["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    [config] = aws.sent("CreateEndpointConfig")
    [variant] = config["ProductionVariants"]
    assert ("ServerlessConfig" in variant) == (serverless is not None)
    assert ("InstanceType" in variant) == (serverless is None)
    assert [body for operation, body in aws.requests if operation.startswith("Delete")] == [
        {"EndpointName": name},
        {"EndpointConfigName": name},
        {"ModelName": name},
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"framework_version": "2.8"}, r"no PyTorch 2\.8 inference image in us-east-1 .* framework_version='2\.6'"),
        ({"framework_version": "2.6", "image_uri": "mine"}, "image_uri and framework_version exclude each other"),
    ],
)
def test_a_version_that_aws_does_not_serve_creates_nothing(
    account: Account, options: dict[str, Any], message: str
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        deploy(f"s3://{BUCKET}/model.tar.gz", session=session, progress=no_progress, **options)
    assert [operation for operation, _ in aws.requests if operation.startswith("Create")] == []
    deploy(f"s3://{BUCKET}/model.tar.gz", session=session, progress=no_progress, framework_version="2.6.0", wait=False)
    [model] = aws.sent("CreateModel")
    assert model["PrimaryContainer"]["Image"].endswith("pytorch-inference:2.6.0-cpu-py312")


def test_a_job_is_deleted_with_its_objects(account: Account) -> None:
    session, aws = account
    s3 = boto3.client("s3", region_name="us-east-1")
    for key in ("dogs/output/model.tar.gz", "dogs/debug-output/events/0", "dogs-2/output/model.tar.gz"):
        s3.put_object(Bucket=BUCKET, Key=f"dogbreed/jobs/{key}", Body=b"x")
    job = TrainingJob("dogs", session)
    assert job.stored_sizes() == [1, 1]
    job.delete()
    assert aws.sent("DeleteTrainingJob") == [{"TrainingJobName": "dogs"}]
    assert keys_below(f"s3://{BUCKET}/dogbreed/jobs") == {"dogs-2/output/model.tar.gz"}


def test_a_trial_has_its_checkpoints_in_a_folder_of_its_name(account: Account) -> None:
    session, aws = account
    folder = f"s3://{BUCKET}/dogbreed/checkpoints/search"
    job = TrainingJob("search-001-a", session)
    aws.answers["DescribeTrainingJob"] = {
        "TrainingJobName": job.name,
        "TrainingJobStatus": "Completed",
        "HyperParameters": {"sagemaker_program": '"hpo.py"'},
        "CheckpointConfig": {"S3Uri": folder},
    }
    assert job.checkpoint_uri == f"{folder}/search-001-a"
    for name in ("search-001-a", "search-002-b"):
        boto3.client("s3", region_name="us-east-1").put_object(
            Bucket=BUCKET, Key=f"dogbreed/checkpoints/search/{name}/checkpoint.pth", Body=b"x"
        )
    job.delete()
    assert keys_below(folder) == {"search-002-b/checkpoint.pth"}


def test_a_job_that_aws_does_not_let_go_keeps_its_objects(account: Account) -> None:
    session, aws = account
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=BUCKET, Key="dogbreed/jobs/dogs/x", Body=b"x")
    aws.refusals["DeleteTrainingJob"] = refusal("AccessDeniedException", "not authorized")
    with pytest.raises(AccessError):
        TrainingJob("dogs", session).delete()
    assert keys_below(f"s3://{BUCKET}/dogbreed/jobs") == {"dogs/x"}


def test_a_refused_endpoint_leaves_nothing_behind(account: Account) -> None:
    session, aws = account
    limit = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances"
    aws.refusals["CreateEndpoint"] = refusal("ResourceLimitExceeded", limit)
    with pytest.raises(QuotaError, match="Service Quotas") as caught:
        deploy(f"s3://{BUCKET}/model.tar.gz", session=session, progress=no_progress)
    assert caught.value.request_id == "a-request-id"
    assert [operation for operation, _ in aws.requests if operation.startswith("Delete")] == [
        "DeleteEndpointConfig",
        "DeleteModel",
    ]


def test_refusals_become_errors_that_say_what_to_do(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    trainer = BreedTrainer(session, features="in-job")
    aws.refusals["CreateTrainingJob"] = refusal("AccessDeniedException", "not authorized to perform iam:PassRole")
    with pytest.raises(AccessError, match="iam:PassRole"):
        trainer.train(shapes, progress=no_progress)
    aws.refusals["CreateTrainingJob"] = refusal("ValidationException", "Could not assume role")
    with pytest.raises(JobError, match="Could not assume role"):
        trainer.train(shapes, progress=no_progress)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning-rat": 0.1}, "did you mean lr"),
        ({"lr": -1}, "lr"),
        ({"lr": 0.1, "learning_rate": 0.2}, "lr is given twice"),
        ({"optimizer": "adamx"}, "adamw"),
        ({"model": "resnet18"}, "pass model to BreedTrainer"),
    ],
)
def test_wrong_hyperparameters_are_found_before_anything_is_sent(
    account: Account, shapes: BreedDataset, given: dict[str, object], message: str
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        BreedTrainer(session).train(shapes, given, progress=no_progress)
    assert aws.requests == []


def test_a_backbone_in_another_spelling_is_the_same_job(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    for name in ("resnet18", "ResNet-18"):
        BreedTrainer(session, model=name).train(shapes, {"Model": name}, progress=no_progress)
    requests = aws.sent("CreateTrainingJob")
    assert {json.loads(request["HyperParameters"]["model"]) for request in requests} == {"resnet18"}
    passes = [request for request in requests if "extract_features" in request["HyperParameters"]["sagemaker_program"]]
    assert len({request["CheckpointConfig"]["S3Uri"] for request in passes}) == 1


def test_a_backbone_of_torchvision_needs_no_torchvision_here(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = account
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "regnet_y_400mf" in repr(BreedTrainer(session, model="regnet_y_400mf"))


def test_a_weights_file_travels_as_a_channel(account: Account, shapes: BreedDataset, tmp_path: Path) -> None:
    session, aws = account
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"weights")
    BreedTrainer(session, model="resnet18", weights=weights).train(shapes, progress=no_progress)
    features, _ = aws.sent("CreateTrainingJob")
    channels = {
        entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in features["InputDataConfig"]
    }
    assert keys_below(channels["weights"]) == {"mine.pth"}
    assert json.loads(features["HyperParameters"]["weights"]) == "mine.pth"


def test_a_weights_file_that_is_missing_is_found_before_anything_is_sent(
    account: Account, shapes: BreedDataset
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match="nowhere"):
        BreedTrainer(session, weights="nowhere.pth")
    with pytest.raises(ConfigurationError, match="resnet18"):
        BreedTrainer(session, model="resnet19")
    assert aws.requests == []
