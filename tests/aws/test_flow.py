"""The whole life of a model with s3:// throughout: from a folder of pictures to a deleted endpoint, over real HTTP.

S3, STS, IAM and CloudWatch Logs are moto's; SageMaker is a real local SageMaker, whose jobs and endpoints are processes
that read and write S3. What neither of them can show: AWS's containers, permissions, quotas and capacity.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from dogbreed_sdk import BreedDataset, BreedTrainer, DebugReport, Session, TrainingJob, defaults, evaluate
from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.aws.transfers import TransferProgress
from dogbreed_sdk.resources.listing import list_resources
from tests.aws.server import ACCOUNT_ID, REGION, AwsServer

pytestmark = pytest.mark.extras

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@contextmanager
def trap() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that refuses everything, for all addresses but this machine's; and what was asked of it."""
    asked: list[bytes] = []

    def listen(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def asked_of_the_internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The requests of this process and all jobs that would have left this machine."""
    with trap() as (proxy, asked):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        yield asked


def deliver_logs(server: AwsServer, job: str) -> None:
    """What SageMaker does on AWS: brings a job's lines to CloudWatch Logs."""
    assert server.sagemaker is not None
    source: Any = boto3.client("logs", endpoint_url=server.sagemaker.endpoint_url)
    logs = server.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=TRAINING_LOG_GROUP)["logGroups"]:
        logs.create_log_group(logGroupName=TRAINING_LOG_GROUP)
    for stream in source.describe_log_streams(logGroupName=TRAINING_LOG_GROUP, logStreamNamePrefix=job)["logStreams"]:
        place = {"logGroupName": TRAINING_LOG_GROUP, "logStreamName": stream["logStreamName"]}
        found = source.get_log_events(**place, startFromHead=True)["events"]
        logs.create_log_stream(**place)
        logs.put_log_events(
            **place, logEvents=[{key: event[key] for key in ("timestamp", "message")} for event in found]
        )


def features_jobs(session: Session) -> list[str]:
    """The jobs that computed features."""
    found = session.client("sagemaker").list_training_jobs(NameContains="flow-features")["TrainingJobSummaries"]
    return [job["TrainingJobName"] for job in found]


def left_in(session: Session) -> list[str]:
    """Everything of SageMaker that costs money or stands in the way."""
    client = session.client("sagemaker")
    return [
        *(found["EndpointName"] for found in client.list_endpoints()["Endpoints"]),
        *(found["EndpointConfigName"] for found in client.list_endpoint_configs()["EndpointConfigs"]),
        *(found["ModelName"] for found in client.list_models()["Models"]),
    ]


def test_from_a_folder_to_a_deleted_endpoint(
    aws_server: AwsServer,
    asked_of_the_internet: list[bytes],
    shapes: BreedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(defaults, "AWS_POLL_SECONDS", defaults.LOCAL_POLL_SECONDS)
    session, steps, uploads = aws_server.session(), list[JobProgress](), list[TransferProgress]()
    assert shapes.check().ok
    uri = shapes.upload(session, transfer=uploads.append)
    assert (uploads[-1].files, uploads[-1].unchanged_files, uploads[-1].done) == (len(shapes), 0, True)
    assert len(session.storage.sizes(uri)) == len(shapes)
    dataset = BreedDataset.from_s3(uri, session=session)

    trainer = BreedTrainer(session, model=defaults.QUICK_BACKBONE, base_name="flow")
    tuning = trainer.tune(
        dataset, hyperparameters={"epochs": 3}, max_jobs=2, max_parallel_jobs=2, progress=steps.append
    ).wait(progress=steps.append)
    assert [trial.status for trial in tuning.trials()] == ["Completed"] * 2
    job = trainer.train(dataset, tuning.best.hyperparameters, progress=steps.append).wait(progress=steps.append)
    assert len(features_jobs(session)) == 1
    described = job.describe()
    for uri in (
        job.model_uri,
        job.checkpoint_uri,
        described["OutputDataConfig"]["S3OutputPath"],
        *(channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in described["InputDataConfig"]),
    ):
        assert uri.startswith(f"s3://sagemaker-{REGION}-{ACCOUNT_ID}/dogbreed/")
    deliver_logs(aws_server, job.name)
    assert any("epoch 3/" in line for line in job.logs())
    assert [epoch.epoch for epoch in job.metrics()] == [1, 2, 3]

    report = DebugReport.load(job)
    assert report.to_text().startswith(job.name) or report.headline()
    assert report.to_html(tmp_path / "report.html").stat().st_size > 10_000

    with job.deploy(progress=steps.append) as deployment:
        assert len(left_in(session)) == len(list_resources(session)) == 3
        picture = shapes.pictures("test")[0]
        assert deployment.classifier().classify(picture.path).class_folder in shapes.classes
        assert evaluate(deployment.classifier(), shapes).accuracy > 0.6
    assert left_in(session) == []
    assert list(list_resources(session)) == []
    assert job.download_model(tmp_path).stat().st_size > 1000

    tuning.delete()
    for name in (job.name, *features_jobs(session)):
        TrainingJob(name, session).delete()
    assert session.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    for folder in ("jobs", "checkpoints"):  # data and features are shared by other jobs
        assert session.storage.sizes(f"{session.base_uri}/{folder}") == {}
    session.storage.delete_folder(session.base_uri)
    s3, bucket = session.client("s3"), session.bucket_name
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert asked_of_the_internet == []
