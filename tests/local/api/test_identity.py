"""STS and IAM as the SDKs ask them, and the refusal of every other service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from dogbreed_sdk.local import LocalSageMaker
from dogbreed_sdk.local.api.handling import MAX_REQUEST_BYTES

ROLE = "arn:aws:iam::000000000000:role/local-sagemaker"


@pytest.fixture(scope="module")
def ask(empty_local: LocalSageMaker, boto3_session: boto3.Session) -> Callable[[str], Any]:
    def make(service: str) -> Any:
        return boto3_session.client(service, endpoint_url=empty_local.endpoint_url)

    return make


def test_the_caller_has_a_role_that_exists(ask: Callable[[str], Any]) -> None:
    caller = ask("sts").get_caller_identity()
    assert caller["Account"] == "000000000000"
    assert caller["Arn"] == "arn:aws:sts::000000000000:assumed-role/local-sagemaker/local"
    role = ask("iam").get_role(RoleName="local-sagemaker")["Role"]
    assert role["Arn"] == ROLE
    trusted = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
    assert "sagemaker.amazonaws.com" in trusted


def test_a_role_can_be_assumed(ask: Callable[[str], Any]) -> None:
    answer = ask("sts").assume_role(RoleArn=ROLE, RoleSessionName="me")
    assert answer["AssumedRoleUser"]["Arn"].endswith("assumed-role/local-sagemaker/me")
    assert set(answer["Credentials"]) == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}


def test_every_role_may_do_everything(ask: Callable[[str], Any]) -> None:
    actions = [f"sagemaker:Action{number}" for number in range(150)]
    pages = ask("iam").get_paginator("simulate_principal_policy").paginate(PolicySourceArn=ROLE, ActionNames=actions)
    results = [one for page in pages for one in page["EvaluationResults"]]
    assert [one["EvalActionName"] for one in results] == actions
    assert {one["EvalDecision"] for one in results} == {"allowed"}
    policies = ask("iam").list_attached_role_policies(RoleName="local-sagemaker")["AttachedPolicies"]
    assert [one["PolicyName"] for one in policies] == ["AdministratorAccess"]


def test_what_is_not_offered_is_named(ask: Callable[[str], Any]) -> None:
    with pytest.raises(ClientError, match="IAM has no operation 'CreateUser'"):
        ask("iam").create_user(UserName="u")
    with pytest.raises(ClientError, match="already exists"):
        ask("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    with pytest.raises(ClientError, match="Member must have length"):
        ask("sts").assume_role(RoleArn="short-short-short-short", RoleSessionName="x" * 65)


def test_a_response_has_one_request_id(ask: Callable[[str], Any]) -> None:
    metadata = ask("sts").get_caller_identity()["ResponseMetadata"]
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"]


def test_a_body_of_any_size_is_not_kept(empty_local: LocalSageMaker) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = requests.post(
        empty_local.endpoint_url, b"Action=" + b"x" * MAX_REQUEST_BYTES, headers=headers, timeout=30
    )
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("service", "operation"),
    [("sqs", "list_queues"), ("sns", "list_topics"), ("lambda", "list_functions"), ("ec2", "describe_instances")],
)
def test_other_services_are_refused_in_their_protocol(ask: Callable[[str], Any], service: str, operation: str) -> None:
    with pytest.raises(ClientError, match=f"not '{service}'; nothing was sent to AWS"):
        getattr(ask(service), operation)()
