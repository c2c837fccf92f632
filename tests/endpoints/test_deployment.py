"""Deployments on AWS: made whole, deleted whole, and never in the way of the error that matters."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from dogbreed_sdk import (
    AccessError,
    EndpointError,
    EndpointNotFoundError,
    QuotaError,
    Serverless,
    Session,
    TrainingJob,
    defaults,
)
from dogbreed_sdk.aws.requests.tags import project_tags, tag_list
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.deployment import Deployment
from tests.aws.account import BUCKET, RecordedSageMaker, refusal, response

Account = tuple[Session, RecordedSageMaker]
MODEL = f"s3://{BUCKET}/model.tar.gz"
OURS = tag_list(project_tags())
DELETIONS = ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"]


def deploy_dogs(session: Session, **arguments: Any) -> Deployment:
    return deploy(MODEL, session=session, endpoint_name="dogs", progress=None, **arguments)


def deletions(aws: RecordedSageMaker) -> list[tuple[str, dict[str, Any]]]:
    return [(name, body) for name, body in aws.requests if name.startswith("Delete")]


WHOLE = [
    ("DeleteEndpoint", {"EndpointName": "dogs"}),
    ("DeleteEndpointConfig", {"EndpointConfigName": "dogs"}),
    ("DeleteModel", {"ModelName": "dogs"}),
]


@pytest.fixture
def no_endpoint(account: Account) -> Account:
    """An account in which no endpoint is called dogs."""
    account[1].refusals["DescribeEndpoint"] = refusal("ValidationException", 'Could not find endpoint "dogs".')
    return account


def create(session: Session, *, config_tags: Any = OURS, model_tags: Any = OURS, name: str = "dogs") -> None:
    """Creates an endpoint called dogs; its configuration and its model have a name of their own."""
    client = session.client("sagemaker")
    client.create_model(
        ModelName=name, PrimaryContainer={"Image": "i"}, ExecutionRoleArn=session.role_arn, Tags=model_tags
    )
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        ],
        Tags=config_tags,
    )
    client.create_endpoint(EndpointName="dogs", EndpointConfigName=name)


@pytest.fixture
def made(account: Account) -> Account:
    """An account with an endpoint called dogs."""
    create(account[0])
    return account


@pytest.fixture
def gone(made: Account, no_endpoint: Account) -> Account:
    """One with the configuration and the model of an endpoint that is gone."""
    return no_endpoint


class TestDelete:
    def test_configuration_and_model_go_although_the_endpoint_is_gone(self, gone: Account) -> None:
        session, aws = gone
        aws.refusals["DeleteEndpoint"] = refusal("ValidationException", 'Could not find endpoint "dogs".')
        Deployment("dogs", session).delete()
        assert deletions(aws) == WHOLE

    def test_the_model_goes_although_its_configuration_is_gone(self, made: Account) -> None:
        session, aws = made
        for operation in ("DescribeEndpointConfig", "DeleteEndpointConfig"):
            aws.refusals[operation] = refusal("ValidationException", "Could not find endpoint configuration dogs")
        Deployment("dogs", session).delete()
        assert deletions(aws) == [WHOLE[0], WHOLE[2]]

    def test_nothing_left_is_no_error(self, gone: Account) -> None:
        session, aws = gone
        for operation in ("DescribeEndpointConfig", "DescribeModel", *DELETIONS):
            aws.refusals[operation] = refusal("ValidationException", "Could not find it")
        Deployment("dogs", session).delete()
        assert deletions(aws) == [WHOLE[0]]

    @pytest.mark.parametrize(("tagged", "kept"), [("config_tags", "model"), ("model_tags", "endpoint configuration")])
    def test_what_this_project_did_not_create_is_kept_and_named(
        self, account: Account, tagged: str, kept: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        session, aws = account
        create(session, **{"config_tags": [], "model_tags": [], tagged: OURS})
        Deployment("dogs", session).delete()
        left = WHOLE[2] if kept == "model" else WHOLE[1]
        assert deletions(aws) == [each for each in WHOLE if each != left]
        assert caplog.messages == [
            f"The {kept} dogs was kept: it does not carry the tag dogbreed:created-by, so others may use it."
        ]

    @pytest.mark.parametrize("refused", ["ListTags", "DescribeModel"])
    @pytest.mark.parametrize(("name", "deleted"), [("dogs", True), ("shared", False)])
    def test_what_cannot_be_looked_up_is_deleted_if_it_has_the_endpoints_name(
        self, account: Account, refused: str, name: str, deleted: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        session, aws = account
        create(session, name=name)
        aws.refusals[refused] = refusal("AccessDeniedException", "no")
        Deployment("dogs", session).delete()
        assert aws.sent("DeleteEndpoint")
        assert bool(aws.sent("DeleteModel")) == deleted
        assert ("The model shared was kept: its tags could not be read" in caplog.text) == (not deleted)

    @pytest.mark.parametrize("refused", ["DescribeEndpoint", "DescribeEndpointConfig", *DELETIONS])
    def test_every_deletion_is_tried_before_the_first_error_is_raised(self, made: Account, refused: str) -> None:
        session, aws = made
        aws.refusals[refused] = refusal("AccessDeniedException", f"{refused} is not allowed")
        with pytest.raises(AccessError, match=f"dogs: {refused} is not allowed"):
            Deployment("dogs", session).delete()
        assert deletions(aws) == WHOLE

    def test_it_does_not_hide_the_error_of_the_block(self, made: Account, caplog: pytest.LogCaptureFixture) -> None:
        session, aws = made
        aws.refusals["DeleteModel"] = refusal("AccessDeniedException", "no")
        with pytest.raises(KeyError, match="mine"), Deployment("dogs", session):
            raise KeyError("mine")
        assert "delete model dogs" in caplog.text
        with pytest.raises(AccessError), Deployment("dogs", session):
            pass


class TestErrorsOfBotocore:
    """Whatever is asked of a deployment, botocore's errors arrive as the SDK's."""

    @pytest.fixture
    def offline(self, account: Account) -> Session:
        def fail(**_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://sagemaker")

        account[0].boto3_session.events.register_first("before-call.sagemaker", fail)
        return account[0]

    def test_without_a_network(self, offline: Session) -> None:
        with pytest.raises(EndpointError, match=r"read endpoint dogs.*Check the network"):
            _ = Deployment("dogs", offline).status
        with pytest.raises(EndpointError, match="Check the network"):
            Deployment("dogs", offline).delete()

    def test_without_credentials(self, account: Account) -> None:
        def fail(**_: Any) -> None:
            raise NoCredentialsError

        account[0].boto3_session.events.register_first("before-call.sagemaker", fail)
        with pytest.raises(AccessError, match="no usable AWS credentials"):
            _ = Deployment("dogs", account[0]).status
        with pytest.raises(AccessError, match="no usable AWS credentials"):
            Deployment("dogs", account[0]).delete()


@pytest.mark.extras
class TestDeploy:
    def test_what_was_made_before_an_error_is_deleted(self, no_endpoint: Account) -> None:
        session, aws = no_endpoint
        aws.refusals["CreateEndpoint"] = refusal("ResourceLimitExceeded", "ml.m5.large for endpoint usage is 0")
        with pytest.raises(QuotaError, match="Service Quotas"):
            deploy_dogs(session)
        assert deletions(aws) == [WHOLE[1], WHOLE[2]]

    def test_what_could_not_be_deleted_again_is_named_beside_the_error(
        self, no_endpoint: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        session, aws = no_endpoint
        aws.refusals |= {
            "CreateEndpoint": refusal("ResourceLimitExceeded", "none left"),
            "DeleteEndpointConfig": refusal("AccessDeniedException", "no"),
        }
        with caplog.at_level(logging.WARNING, "dogbreed_sdk"), pytest.raises(QuotaError):
            deploy_dogs(session)
        [warning] = caplog.messages
        assert "delete endpoint configuration dogs" in warning
        assert aws.sent("DeleteModel")

    def test_an_endpoint_that_cannot_be_looked_at_is_deleted_again(self, no_endpoint: Account) -> None:
        session, aws = no_endpoint
        with pytest.raises(EndpointNotFoundError, match="endpoint dogs does not exist"):
            deploy_dogs(session)
        assert aws.sent("CreateEndpoint")
        assert deletions(aws) == WHOLE

    @pytest.mark.parametrize(
        ("serverless", "limit"),
        [(None, defaults.REALTIME_PAYLOAD_BYTES), (Serverless(), defaults.SERVERLESS_PAYLOAD_BYTES)],
    )
    def test_its_classifier_sends_no_more_than_the_endpoint_takes(
        self, account: Account, serverless: Serverless | None, limit: int
    ) -> None:
        deployed = deploy(MODEL, session=account[0], serverless=serverless, progress=None)
        for deployment in (deployed, Deployment(deployed.endpoint_name, account[0])):  # also one that is found again
            assert deployment.classifier().options.max_payload_bytes == limit
            assert deployment.classifier(max_payload_bytes=1000).options.max_payload_bytes == 1000


class TestUnreadableLogs:
    """Without the permission to read logs, jobs and endpoints can be waited for all the same."""

    @pytest.fixture
    def blind(self, account: Account) -> Account:
        session, aws = account
        session.boto3_session.events.register("before-call.logs", _refuse_logs)
        return session, aws

    def test_a_job_is_waited_for(self, blind: Account) -> None:
        assert TrainingJob("job", blind[0]).wait(progress=None).status == "Completed"

    def test_a_failed_job_says_its_reason(self, blind: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        job = TrainingJob("job", blind[0])
        described = {**job.describe(), "TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: bad"}
        monkeypatch.setattr(job, "describe", lambda: described)
        failure = job.failure()
        assert failure is not None
        assert failure.cause == "AlgorithmError: bad"

    def test_a_failed_endpoint_says_its_reason(self, blind: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        deployment = Deployment("dogs", blind[0])
        described = {"EndpointStatus": "Failed", "FailureReason": "did not pass the ping health check"}
        monkeypatch.setattr("dogbreed_sdk.endpoints.status.describe", lambda *_: described)
        with pytest.raises(EndpointError, match="did not pass the ping") as caught:
            deployment.wait(progress=None)
        assert "end of its log" not in str(caught.value)


def _refuse_logs(**_: Any) -> Any:
    return response(400), refusal("AccessDeniedException", "not authorized to perform: logs:DescribeLogStreams")


def test_a_name_that_is_not_there_is_an_error_of_its_own(no_endpoint: Account) -> None:
    with pytest.raises(EndpointNotFoundError, match="endpoint dogs does not exist"):
        _ = Deployment("dogs", no_endpoint[0]).status
