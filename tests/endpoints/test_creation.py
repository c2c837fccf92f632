"""What deploy accepts, and refuses before anything is sent."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from dogbreed_sdk import (
    Asynchronous,
    ConfigurationError,
    DataCapture,
    EndpointError,
    JobError,
    Serverless,
    Session,
    TrainingJob,
)
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.aws.vpc import Vpc
from dogbreed_sdk.endpoints import creation, status
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.jobs.batch_transform import transform
from tests.aws.account import BUCKET, RecordedSageMaker, refusal
from tests.passing_time import set_time

Account = tuple[Session, RecordedSageMaker]
MODEL = f"s3://{BUCKET}/model.tar.gz"
TOPIC = "arn:aws:sns:us-east-1:123456789012:dogs"

pytestmark = pytest.mark.extras


def test_everything_that_deploys_takes_the_same_arguments() -> None:
    parameters = inspect.signature(deploy).parameters.keys() - {"model_uri", "session"}
    assert set(creation.DeployOptions.__annotations__) == parameters


def test_a_job_passes_its_options_on(account: Account) -> None:
    session, aws = account
    made = TrainingJob("job", session).deploy(serverless=Serverless(1024), tags={"team": "dogs"}, progress=no_progress)
    [model], [config] = aws.sent("CreateModel"), aws.sent("CreateEndpointConfig")
    assert model["PrimaryContainer"]["ModelDataUrl"].endswith("/jobs/job/output/model.tar.gz")
    assert {"Key": "team", "Value": "dogs"} in config["Tags"]
    assert config["ProductionVariants"][0]["ServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    assert made.endpoint_name.startswith("dogbreed-")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Serverless(2000), "must be 1024, 2048, 3072, 4096, 5120 or 6144 MB, got 2000"),
        (lambda: Serverless(max_concurrency=201), "max_concurrency must be at most 200, got 201"),
        (lambda: Serverless(max_concurrency=2, provisioned_concurrency=3), "provisioned_concurrency must be at most 2"),
        (lambda: Asynchronous(max_concurrent_invocations=0), "max_concurrent_invocations must be a whole number of 1"),
        (lambda: Asynchronous(success_topic="dogs"), "success_topic must be the ARN of an SNS topic"),
        (lambda: Asynchronous(response_in=["error"]), "error_topic must name the SNS topic"),
        (lambda: Asynchronous(response_in="error", error_topic=TOPIC), "must be a list of 'success' and 'error'"),
        (lambda: DataCapture(0), "percentage must be a whole number of 1 or more, got 0"),
        (lambda: DataCapture(101), "percentage must be at most 100"),
        (lambda: DataCapture(captured=["everything"]), "must be a list of 'input' and 'output'"),
        (lambda: DataCapture(captured=[]), "must contain"),
    ],
)
def test_a_value_that_is_out_of_range_is_refused_where_it_is_given(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


SERVERLESS = Serverless()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"serverless": SERVERLESS, "data_capture": DataCapture()},
            "excludes data_capture=…: omit it, or",
        ),
        ({"serverless": SERVERLESS, "instance_type": "ml.g5.xlarge"}, "serverless=… excludes instance_type=…"),
        (
            {"serverless": SERVERLESS, "network_isolation": True, "asynchronous": Asynchronous()},
            "asynchronous=… and network_isolation=…: omit them",
        ),
        ({"instance_type": "m5.large"}, "did you mean ml.m5.large"),
        ({"instance_type": "ml.m5.larg"}, "did you mean ml.m5.large"),
        ({"instance_type": "ml.m5.tiny"}, "sizes of ml.m5: large, xlarge"),
        ({"instance_count": 0}, "instance_count must be a whole number of 1 or more"),
        ({"volume_size_gb": 513}, "volume_size_gb must be between 1 and 512"),
        ({"volume_size_gb": 30, "instance_type": "ml.g5.xlarge"}, "ml.g5.xlarge stores on its own disks"),
        ({"download_timeout": 59}, "download_timeout must be"),
        ({"startup_timeout": 3601}, "startup_timeout must be between 60 and 3600"),
        (
            {"asynchronous": Asynchronous(output_uri="file:///tmp/out")},
            r"Asynchronous\(output_uri=…\) must be an s3://",
        ),
        ({"data_capture": DataCapture(uri="https://bucket/x")}, r"DataCapture\(uri=…\) must be an s3:// URI"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_before_anything_is_sent(
    account: Account, options: dict[str, Any], message: str
) -> None:
    session, aws = account
    with pytest.raises(ConfigurationError, match=message):
        deploy(MODEL, session=session, progress=no_progress, **options)
    assert aws.requests == []


def test_a_serverless_endpoint_is_not_moved_out_of_the_sessions_network(account: Account) -> None:
    session, aws = account
    vpc = Vpc(subnets=["subnet-0a1b2c3d"], security_groups=["sg-0a1b2c3d"])
    session = Session.aws(boto3_session=session.boto3_session, role=session.role_arn, bucket=BUCKET, vpc=vpc)
    with pytest.raises(ConfigurationError, match="cannot run in a VPC"):
        deploy(MODEL, session=session, serverless=SERVERLESS, progress=no_progress)
    assert aws.requests == []


def test_what_is_not_visible_to_sagemaker_yet_is_asked_for_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, aws = account
    monkeypatch.setattr(status, "_VISIBLE_PAUSE_SECONDS", 0.0)
    aws.refusals["CreateEndpoint"] = refusal("ValidationException", 'Could not find endpoint configuration "dogs".')
    set_time(monkeypatch, status, sleep=lambda _: aws.refusals.clear())
    deploy(MODEL, session=session, endpoint_name="dogs", progress=no_progress)
    assert len(aws.sent("CreateEndpoint")) == 2
    assert aws.sent("DeleteModel") == []


@pytest.mark.parametrize(("status_code", "deleted"), [(400, False), (500, True)])
def test_what_may_exist_after_an_error_of_sagemakers_own_is_deleted(
    account: Account, status_code: int, deleted: bool
) -> None:
    session, aws = account
    aws.refusals["CreateEndpointConfig"] = {
        "Error": {"Code": "InternalFailure", "Message": "failed"},
        "ResponseMetadata": {"HTTPStatusCode": status_code},
    }
    with pytest.raises(EndpointError):
        deploy(MODEL, session=session, endpoint_name="dogs", progress=no_progress)
    assert len(aws.sent("DeleteModel")) == 1
    assert bool(aws.sent("DeleteEndpointConfig")) == deleted
    assert aws.sent("DeleteEndpoint") == []


TAKEN = [("dogs", False), (None, True)]


@pytest.mark.parametrize(("name", "deleted"), TAKEN)
@pytest.mark.parametrize("part", ["Model", "EndpointConfig", "Endpoint"])
def test_a_taken_name_that_was_generated_is_that_of_a_lost_response(
    account: Account, part: str, name: str | None, deleted: bool
) -> None:
    session, aws = account
    aws.refusals[f"Create{part}"] = refusal("ValidationException", f"Cannot create already existing {part}")
    with pytest.raises(EndpointError, match="already existing"):
        deploy(MODEL, session=session, endpoint_name=name, progress=no_progress)
    assert aws.sent(f"Delete{part}") == ([{f"{part}Name": aws.sent(f"Create{part}")[0][f"{part}Name"]}] * deleted)


@pytest.mark.parametrize(("name", "deleted"), TAKEN)
def test_so_it_is_with_the_model_of_a_transform_job(account: Account, name: str | None, deleted: bool) -> None:
    session, aws = account
    session.client("s3").put_object(Bucket=BUCKET, Key="new/rex.jpg", Body=b"x")
    aws.refusals["CreateModel"] = refusal("ValidationException", "Cannot create already existing model")
    with pytest.raises(JobError, match="already existing"):
        transform(MODEL, f"s3://{BUCKET}/new", session=session, name=name)
    assert bool(aws.sent("DeleteModel")) == deleted


@pytest.mark.parametrize("kind", ["model", "endpoint configuration"])
def test_what_somebody_else_has_under_the_name_of_an_endpoint_is_not_touched(account: Account, kind: str) -> None:
    session, aws = account
    deploy(MODEL, session=session, endpoint_name="dogs", progress=no_progress)
    [model], [config] = aws.sent("CreateModel"), aws.sent("CreateEndpointConfig")
    (model if kind == "model" else config)["Tags"] = []
    aws.requests[:] = [("CreateModel", model), ("CreateEndpointConfig", config)]
    with pytest.raises(EndpointError, match=f"The {kind} dogs already exists, and does not carry this project's tag"):
        deploy(MODEL, session=session, endpoint_name="dogs", progress=no_progress)
    assert [name for name, _ in aws.requests if name.startswith("Delete")] == []


def test_whoever_may_not_read_tags_can_deploy_under_a_given_name(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    session, aws = account
    for operation in ("DescribeEndpointConfig", "DescribeModel", "ListTags"):
        aws.refusals[operation] = refusal("AccessDeniedException", "no")
    deploy(MODEL, session=session, endpoint_name="dogs", progress=no_progress)
    assert aws.sent("CreateEndpoint")
    assert caplog.messages == []
