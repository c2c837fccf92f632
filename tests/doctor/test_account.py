"""The checks of an AWS account: IAM, S3 and STS are moto's; what moto lacks is answered here by policies and tables."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError
from moto import mock_aws

from dogbreed_sdk import Session
from dogbreed_sdk.aws import policy
from dogbreed_sdk.cli import main
from dogbreed_sdk.doctor.account import check_account, check_clock
from dogbreed_sdk.doctor.quotas import Demand
from tests.aws.account import RecordedSageMaker

pytestmark = pytest.mark.extras

REGION = "eu-west-1"
ACCOUNT = "123456789012"
TRAIN = Demand("ml.m5.xlarge", "training")
SERVE = Demand("ml.m5.large", "endpoint")


class Account:
    """An account with a role, in which a test takes things away."""

    def __init__(self) -> None:
        iam = boto3.client("iam", region_name=REGION)
        trust = json.dumps(policy.trust_document())
        self.role = iam.create_role(RoleName="dogs", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        self.boto3_session = boto3.Session(region_name=REGION)
        self.sagemaker = RecordedSageMaker(self.boto3_session)
        self.denied: set[str] = set()
        self.refused: dict[str, str] = {}
        self.quotas = {"ml.m5.xlarge for training job usage": 4.0}
        self.default_quotas = {"ml.m5.large for endpoint usage": 2.0, "ml.g5.xlarge for training job usage": 0.0}
        self.images = {"pytorch-training", "pytorch-inference"}
        for event, answer in {
            "iam.SimulatePrincipalPolicy": self._simulate,
            "service-quotas.ListServiceQuotas": lambda **_: self._listed(self.quotas),
            "service-quotas.ListAWSDefaultServiceQuotas": lambda **_: self._listed(self.default_quotas),
            "ecr.BatchGetImage": self._image,
        }.items():
            self.boto3_session.events.register(f"before-call.{event}", self._answering(event, answer))

    def session(self, **options: Any) -> Session:
        return Session.aws(boto3_session=self.boto3_session, **{"role": self.role, **options})

    def checks(self, *demands: Demand, **options: Any) -> list[tuple[str, str, str, str]]:
        found = check_account(self.session(**options), demands or (TRAIN, SERVE))
        return [(check.name, check.status, check.message, check.remedy) for check in found]

    def problems(self, *demands: Demand, **options: Any) -> list[tuple[str, str, str, str]]:
        return [check for check in self.checks(*demands, **options) if check[1] != "pass"]

    def _answering(self, event: str, answer: Any) -> Any:
        operation = event.partition(".")[2]

        def handle(**given: Any) -> tuple[AWSResponse, dict[str, Any]]:
            if operation in self.refused:
                error = {"Code": self.refused[operation], "Message": "no"}
                return AWSResponse("", 400, {}, io.BytesIO()), {"Error": error, "ResponseMetadata": {}}
            return AWSResponse("", 200, {}, io.BytesIO()), {**answer(**given), "ResponseMetadata": {}}

        return handle

    def _simulate(self, params: dict[str, Any], **_: Any) -> dict[str, Any]:
        body = params["body"]
        actions = [value for key, value in body.items() if key.startswith("ActionNames.")]
        results = [self._result(action) for action in actions]
        return {"EvaluationResults": results, "IsTruncated": False}

    def _result(self, action: str) -> dict[str, Any]:
        """As IAM: an action that knows one of the resources only is denied on the others, and so on the whole."""
        decision = "implicitDeny" if action in self.denied else "allowed"
        specific = [{"EvalResourceName": "some", "EvalResourceDecision": decision}]
        if action.startswith("sagemaker:Create"):
            specific.append({"EvalResourceName": "of another kind", "EvalResourceDecision": "implicitDeny"})
            decision = "implicitDeny"
        return {"EvalActionName": action, "EvalDecision": decision, "ResourceSpecificResults": specific}

    @staticmethod
    def _listed(quotas: dict[str, float]) -> dict[str, Any]:
        return {"Quotas": [{"QuotaName": name, "Value": n, "QuotaCode": "L-1234"} for name, n in quotas.items()]}

    def _image(self, params: dict[str, Any], **_: Any) -> dict[str, Any]:
        wanted = json.loads(params["body"])
        return {"images": [{"imageId": wanted["imageIds"][0]}] if wanted["repositoryName"] in self.images else []}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield Account()


def test_an_account_that_is_ready_passes_and_nothing_is_created(account: Account) -> None:
    names = [name for name, *_ in account.checks()]
    assert account.problems() == []
    assert names == [
        "region",
        "credentials",
        "role",
        "bucket",
        "your permissions",
        "the role's permissions",
        "training quota",
        "endpoint quota",
        "training image",
        "inference image",
        "managed debugger",
    ]
    assert boto3.client("s3", region_name=REGION).list_buckets()["Buckets"] == []
    assert {name for name, _ in account.sagemaker.requests} == {"ListTrainingJobs"}


def test_missing_actions_are_named_one_by_one(account: Account) -> None:
    account.denied = {"sagemaker:CreateTrainingJob", "sagemaker:AddTags", "ecr:BatchGetImage", "s3:GetObject"}
    problems = {(name, status): message for name, status, message, _ in account.problems()}
    assert problems[("your permissions", "fail")]
    messages = [message for name, status, message, _ in account.problems() if status == "fail"]
    assert any("cannot train: sagemaker:AddTags, sagemaker:CreateTrainingJob not allowed on" in it for it in messages)
    assert any("role/dogs cannot read data, and store models" in it and "s3:GetObject" in it for it in messages)
    # What only one feature needs is a warning.
    assert ("your permissions", "warn") in problems


def test_without_the_right_to_simulate_the_policy_is_offered(account: Account) -> None:
    account.refused["SimulatePrincipalPolicy"] = "AccessDenied"
    assert {status for _, status, _, _ in account.problems()} == {"warn"}
    assert all("dogbreed doctor --policy" in remedy for *_, remedy in account.problems())


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Demand("ml.g5.xlarge", "training"), "ml.g5.xlarge for training job usage: 0 in eu-west-1, and 1 is asked for"),
        (Demand("ml.m5.xlarge", "training", 5), "usage: 4 in eu-west-1, and 5 are asked for"),
        (Demand("ml.m5.large", "endpoint", 3), "ml.m5.large for endpoint usage: 2"),
    ],
)
def test_a_quota_that_is_too_small_fails_with_the_request_for_more(
    account: Account, demand: Demand, words: str
) -> None:
    [(_, status, message, remedy)] = account.problems(demand)
    assert (status, words in message) == ("fail", True)
    assert f"--quota-code L-1234 --desired-value {demand.count} --region eu-west-1" in remedy


def test_a_type_without_a_quota_warns(account: Account) -> None:
    problems = {name: (status, message) for name, status, message, _ in account.problems(Demand("ml.m5.large", "spot"))}
    assert problems["spot quota"] == (
        "warn",
        "SageMaker has no quota 'ml.m5.large for spot training job usage' in eu-west-1",
    )


def test_quotas_that_may_not_be_read_warn(account: Account) -> None:
    account.refused["ListServiceQuotas"] = "AccessDeniedException"
    [(name, status, _, remedy)] = account.problems()
    assert (name, status, "servicequotas:ListServiceQuotas" in remedy) == ("quotas", "warn", True)


def test_a_service_that_cannot_be_reached_warns_and_the_rest_is_still_checked(account: Account) -> None:
    def unreachable(**_: Any) -> None:
        raise ConnectTimeoutError(endpoint_url="https://servicequotas.eu-west-1.amazonaws.com")

    account.boto3_session.events.register_first("before-call.service-quotas.ListServiceQuotas", unreachable)
    [(name, status, message, remedy)] = account.problems()
    assert (name, status) == ("quotas", "warn")
    assert "servicequotas.eu-west-1.amazonaws.com" in message
    assert "VPC" in remedy


def test_an_image_that_does_not_exist_fails(account: Account) -> None:
    account.images = {"pytorch-training"}
    [(name, status, message, _)] = account.problems()
    assert (name, status) == ("inference image", "fail")
    assert "pytorch-inference:" in message


def test_a_bucket_of_another_region_and_a_public_one_are_found(account: Account) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="far-away")
    [(name, status, message, _)] = account.problems(bucket="far-away")
    assert (name, status, "us-east-1" in message) == ("bucket", "fail", True)
    s3.create_bucket(Bucket="near", CreateBucketConfiguration={"LocationConstraint": REGION})
    [(name, status, message, _)] = account.problems(bucket="near")
    assert (name, status, message) == ("bucket", "warn", "near does not block public access")


def test_a_role_that_does_not_trust_sagemaker_fails(account: Account) -> None:
    iam = boto3.client("iam", region_name=REGION)
    other = iam.create_role(RoleName="other", AssumeRolePolicyDocument='{"Statement": []}')["Role"]["Arn"]
    [(name, status, message, remedy)] = account.problems(role=other)
    assert (name, status) == ("role", "fail")
    assert message == f"{other} does not trust sagemaker.amazonaws.com"
    assert "sts:AssumeRole" in remedy


def test_without_a_role_the_rest_is_still_checked(account: Account) -> None:
    found = {name: status for name, status, *_ in account.checks(role=None)}
    assert found["role"] == "fail"
    assert found["training quota"] == found["inference image"] == "pass"


def test_a_job_that_used_the_debugger_is_named(account: Account) -> None:
    account.sagemaker.answers["ListTrainingJobs"] = {"TrainingJobSummaries": [{"TrainingJobName": "old"}]}
    account.sagemaker.answers["DescribeTrainingJob"] = {
        "DebugRuleConfigurations": [{"RuleConfigurationName": "Overfit"}]
    }
    [message] = [message for name, _, message, _ in account.checks() if name == "managed debugger"]
    assert message == "this account used the managed Debugger in old, so it probably still has it"


def test_credentials_that_aws_refuses_end_the_examination(account: Account) -> None:
    account.boto3_session.events.register_first(
        "before-call.sts.GetCallerIdentity",
        lambda **_: (
            AWSResponse("", 403, {}, io.BytesIO()),
            {"Error": {"Code": "ExpiredToken", "Message": "expired"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
        ),
    )
    [_, (name, status, message, _)] = account.checks()
    assert (name, status) == ("credentials", "fail")
    assert "Log in again" in message


def test_a_clock_that_is_wrong_is_found() -> None:
    now = time.time()
    assert check_clock(formatdate(now, usegmt=True), now + 200) == []
    [check] = check_clock(formatdate(now, usegmt=True), now + 1000)
    assert check.status == "fail"
    assert "s fast" in check.message
    assert check_clock(None, now) == []


def test_the_policy_is_printed_for_the_account_or_with_placeholders(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--policy", "yours"]) == 0
    assert "111122223333" in capsys.readouterr().out
    given = ["--aws", "--region", REGION, "--role", account.role]
    assert main(["doctor", *given, "--policy", "role"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert f"arn:aws:s3:::sagemaker-{REGION}-{ACCOUNT}" in json.dumps(document)
    assert main(["doctor", "--policy", "trust"]) == 0
    assert json.loads(capsys.readouterr().out) == policy.trust_document()
