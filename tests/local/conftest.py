"""A local SageMaker a test, reached over real HTTP by an unmodified boto3 whose answers are checked on arrival."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from dogbreed_sdk.local import LocalSageMaker, Store
from dogbreed_sdk.local.api.validation import operation_model, problems
from tests.passing_time import PassingTime
from tests.waiting import wait_for

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "local/image"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def local(root: Path) -> Iterator[LocalSageMaker]:
    with LocalSageMaker(root) as server:
        yield server


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    opened = Store(root)
    yield opened
    opened.close()


ClientMaker = Callable[..., Any]


@pytest.fixture(scope="session")
def boto3_session() -> boto3.Session:
    """A plain session; one for all tests, since reading SageMaker's model takes longer than most of them."""
    return boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")


@pytest.fixture
def client(local: LocalSageMaker, boto3_session: boto3.Session) -> ClientMaker:
    """Makes plain boto3 clients; each answer that arrives must have the form botocore's model says it has."""

    def make(service: str, region: str = "us-east-1", endpoint_url: str | None = None) -> Any:
        return checked_client(boto3_session, service, region, endpoint_url or local.endpoint_url)

    return make


def checked_client(session: boto3.Session, service: str, region: str, endpoint_url: str) -> Any:
    made = session.client(service, region_name=region, endpoint_url=endpoint_url)
    if service != "sagemaker-runtime":
        made.meta.events.register(f"after-call.{made.meta.service_model.service_id.hyphenize()}", check_answer)
    return made


@pytest.fixture(scope="session")
def empty_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSageMaker]:
    """A server that all tests share whose requests are refused, and that therefore stays empty."""
    with LocalSageMaker(tmp_path_factory.mktemp("empty")) as server:
        yield server


@pytest.fixture
def empty_sagemaker(empty_local: LocalSageMaker, boto3_session: boto3.Session) -> Any:
    return checked_client(boto3_session, "sagemaker", "us-east-1", empty_local.endpoint_url)


def check_answer(http_response: Any, model: Any, **_: Any) -> None:
    assert http_response.headers["x-amzn-requestid"]
    if http_response.status_code == 200 and model.output_shape is not None:
        service = model.service_model.service_name
        shape = operation_model(service, model.name).output_shape
        assert list(problems(shape, json.loads(http_response.content))) == []


@pytest.fixture
def sagemaker(client: ClientMaker) -> Any:
    return client("sagemaker")


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Packs a script; gives the hyperparameters that have a job run it."""

    def pack(text: str) -> dict[str, str]:
        (tmp_path / "train.py").write_text(text)
        archive = tmp_path / "sourcedir.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tmp_path / "train.py", "train.py")
        return {
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps(archive.as_uri()),
        }

    return pack


@pytest.fixture
def training_request(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A CreateTrainingJob request that is right, with members replaced or (None) taken away."""

    def make(name: str, hyperparameters: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        request = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": (tmp_path / "output").as_uri()},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 120},
            "HyperParameters": hyperparameters or {},
            **changes,
        }
        return {member: value for member, value in request.items() if value is not None}

    return make


@pytest.fixture
def ended(sagemaker: Any) -> Callable[[str], dict[str, Any]]:
    """Waits for a training job's end; gives its description."""

    def wait(name: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            answer: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
            return answer if answer["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

        return dict(wait_for(description))

    return wait


@pytest.fixture
def ended_search(sagemaker: Any) -> Callable[[str], dict[str, Any]]:
    """Waits for a tuning job's end; gives its description."""

    def wait(name: str) -> dict[str, Any]:
        def description() -> dict[str, Any] | None:
            answer: dict[str, Any] = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            return answer if answer["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping") else None

        return dict(wait_for(description))

    return wait


@pytest.fixture
def passing_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PassingTime:
    """The clocks of the processes that the test starts, so that limits expire without a wait."""
    clocks = PassingTime(tmp_path / "clocks")
    for name, value in clocks.environment.items():
        monkeypatch.setenv(name, value)
    return clocks


@pytest.fixture
def s3(local: LocalSageMaker, boto3_session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of local SageMaker's S3 with a bucket named `bucket`; the processes of the test find it as well."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", local.endpoint_url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    client = boto3_session.client("s3", endpoint_url=local.endpoint_url)
    client.create_bucket(Bucket="bucket")
    return client
