"""The requests of endpoints of every kind, as deploy sends them, and those to an asynchronous endpoint."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from PIL import Image

from dogbreed_sdk import (
    Asynchronous,
    BreedDataset,
    DataCapture,
    DatasetError,
    EndpointError,
    Serverless,
    Session,
    Vpc,
    deploy,
    transform,
)
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.client.transports import asynchronous
from tests.aws.account import BUCKET, RecordedSageMaker, refusal, response
from tests.aws.requests.golden import check_golden

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]
MODEL = f"s3://{BUCKET}/dogbreed/jobs/dogs/output/model.tar.gz"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = "arn:aws:sns:us-east-1:123456789012:dogs"


@pytest.fixture
def guarded(account: Account) -> Account:
    """An account whose session has a key and a network."""
    session, aws = account
    vpc = Vpc(subnets=["subnet-0a1b2c3d", "subnet-4e5f6a7b"], security_groups=["sg-0a1b2c3d"])
    return with_settings(session, kms_key=KEY, vpc=vpc), aws


def with_settings(session: Session, **settings: Any) -> Session:
    """The same account through a session with further settings."""
    return Session.aws(boto3_session=session.boto3_session, role=session.role_arn, bucket=BUCKET, **settings)


def deployed(account: Account, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The requests that create a model, a configuration and an endpoint."""
    session, aws = account
    deploy(MODEL, session=session, progress=no_progress, **options)
    [model], [config] = aws.sent("CreateModel"), aws.sent("CreateEndpointConfig")
    [endpoint] = aws.sent("CreateEndpoint")
    return model, config, endpoint


def test_real_time(account: Account) -> None:
    model, config, endpoint = deployed(account)
    check_golden("model", "CreateModel", model)
    check_golden("endpoint-config", "CreateEndpointConfig", config)
    check_golden("endpoint", "CreateEndpoint", endpoint)


def test_everything_that_instances_can_have(guarded: Account) -> None:
    model, config, endpoint = deployed(
        guarded,
        endpoint_name="dogs",
        instance_type="ml.c5.xlarge",
        instance_count=2,
        image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/dogs:1",
        environment={"DOGBREED_WORKERS": "2"},
        network_isolation=True,
        volume_size_gb=64,
        download_timeout=600,
        startup_timeout=900,
        data_capture=DataCapture(25, uri="s3://elsewhere/captured"),
        tags={"team": "dogs"},
    )
    check_golden("model-guarded", "CreateModel", model)
    check_golden("endpoint-config-guarded", "CreateEndpointConfig", config)
    check_golden("endpoint-tagged", "CreateEndpoint", endpoint)


def test_disks_inside_the_host_have_no_key_of_ours(guarded: Account) -> None:
    _, config, _ = deployed(guarded, instance_type="ml.g5.xlarge", data_capture=DataCapture())
    assert "KmsKeyId" not in config
    assert config["DataCaptureConfig"]["KmsKeyId"] == KEY


def test_serverless(account: Account) -> None:
    session, aws = account
    model, config, _ = deployed(
        (with_settings(session, kms_key=KEY), aws),
        serverless=Serverless(4096, max_concurrency=20, provisioned_concurrency=2),
        endpoint_name="dogs",
    )
    check_golden("model-serverless", "CreateModel", model)
    check_golden("endpoint-config-serverless", "CreateEndpointConfig", config)


def test_asynchronous(guarded: Account) -> None:
    options = Asynchronous(
        max_concurrent_invocations=8, success_topic=TOPIC, error_topic=TOPIC, response_in=["error", "success"]
    )
    _, config, _ = deployed(guarded, asynchronous=options, endpoint_name="dogs")
    check_golden("endpoint-config-asynchronous", "CreateEndpointConfig", config)


def test_a_transform_job(guarded: Account, dogs: BreedDataset) -> None:
    session, aws = guarded
    job = transform(MODEL, dogs, session=session, split="test", instance_count=2, tags={"team": "dogs"})
    assert job.name == "dogbreed-transform-1"
    [model], [request] = aws.sent("CreateModel"), aws.sent("CreateTransformJob")
    check_golden("model-transform", "CreateModel", model)
    check_golden("transform-job", "CreateTransformJob", request)


def test_a_transform_job_of_pictures_on_s3(account: Account) -> None:
    session, aws = account
    session.client("s3").put_object(Bucket=BUCKET, Key="new/rex.jpg", Body=bytes(3 << 20))
    output = f"s3://{BUCKET}/results"
    transform(MODEL, f"s3://{BUCKET}/new", session=session, output_uri=output, instance_type="ml.g5.xlarge")
    [request] = aws.sent("CreateTransformJob")
    check_golden("transform-job-s3", "CreateTransformJob", request)


def test_a_data_set_on_s3_is_transformed_where_it_is(account: Account) -> None:
    session, aws = account
    for name in ("train/a/1.jpg", "Validation/a/1.jpg"):
        session.client("s3").put_object(Bucket=BUCKET, Key=f"dogs/{name}", Body=b"x")
    dataset = BreedDataset.from_s3(f"s3://{BUCKET}/dogs", session=session)
    transform(MODEL, dataset, session=session, name="whole")
    transform(MODEL, dataset, session=session, name="part", split="valid")
    sources = [each["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] for each in aws.sent("CreateTransformJob")]
    assert sources == [f"s3://{BUCKET}/dogs/", f"s3://{BUCKET}/dogs/Validation/"]
    with pytest.raises(DatasetError, match="has no test split; existing splits: train, valid"):
        transform(MODEL, dataset, session=session, split="test")


def test_an_asynchronous_invocation(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = account
    made = deploy(MODEL, session=session, asynchronous=Asynchronous(), endpoint_name="dogs", progress=no_progress)
    fixed = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
    monkeypatch.setattr(asynchronous.uuid, "uuid4", lambda: fixed)
    sent: list[dict[str, Any]] = []
    events = session.boto3_session.events
    events.register("before-parameter-build.sagemaker-runtime", lambda params, **_: sent.append(dict(params)))
    events.register("before-call.sagemaker-runtime", lambda **_: (response(400), refusal("ValidationError", "enough")))
    with pytest.raises(EndpointError, match="enough"):
        made.classifier().classify(Image.new("RGB", (4, 4)))
    check_golden("invoke-endpoint-async", "InvokeEndpointAsync", sent[0], service="sagemaker-runtime")
