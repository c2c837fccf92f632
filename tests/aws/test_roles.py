"""The role is found where users of SageMaker expect it, and each failure names its reason and its remedy."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from dogbreed_sdk import ConfigurationError, Session
from dogbreed_sdk.aws import roles
from tests.aws.server import ACCOUNT_ID, REGION, ROLE_ARN, AwsServer

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CALLERS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"}, "Action": "sts:AssumeRole"}
    ],
}


def session_of(**settings: Any) -> Session:
    return Session.aws(region=REGION, **settings)


def create_role(server: AwsServer, name: str, path: str = "/", trust: object = None) -> str:
    document = json.dumps(trust or TRUST)
    made = server.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


def assume(server: AwsServer, arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the caller has the role."""
    made = server.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", made["SessionToken"])


def answer(session: Session, service: str, operation: str, content: dict[str, Any]) -> None:
    session.client(service).meta.events.register(
        f"before-call.{service}.{operation}",
        lambda **_: (
            AWSResponse("https://aws", 200, {}, io.BytesIO()),
            {**content, "ResponseMetadata": {"HTTPStatusCode": 200}},
        ),
    )


def forbid(session: Session, service: str, operation: str) -> None:
    refusal = {"Error": {"Code": "AccessDenied", "Message": f"not authorized to perform {service}:{operation}"}}
    session.client(service).meta.events.register(
        f"before-call.{service}.{operation}",
        lambda **_: (
            AWSResponse("https://aws", 403, {}, io.BytesIO()),
            {**refusal, "ResponseMetadata": {"HTTPStatusCode": 403}},
        ),
    )


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the file by which SageMaker says which notebook this is."""

    def write(**metadata: str) -> None:
        path = tmp_path / "resource-metadata.json"
        path.write_text(json.dumps(metadata))
        monkeypatch.setattr(roles, "METADATA_FILE", path)

    return write


def test_an_argument_wins_over_the_variable_and_the_variable_over_the_rest(
    moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"SageMaker:\n  TrainingJob:\n    RoleArn: {ROLE_ARN}-of-file\n")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(config))
    assert session_of().role_arn == f"{ROLE_ARN}-of-file"
    monkeypatch.setenv("DOGBREED_ROLE", f"{ROLE_ARN}-of-variable")
    assert session_of().role_arn == f"{ROLE_ARN}-of-variable"
    assert session_of(role=ROLE_ARN).role_arn == ROLE_ARN


def test_the_callers_own_role_keeps_its_path(moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = create_role(moto_server, "Trainer", "/service-role/team/")
    assume(moto_server, arn, monkeypatch)
    assert session_of().role_arn == arn


@pytest.mark.parametrize(
    ("name", "path"),
    [("Trainer", ""), ("AmazonSageMaker-ExecutionRole-20260101T000000", "service-role/")],
)
def test_without_permission_to_look_it_up_the_role_is_put_together_and_a_line_says_so(
    moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, path: str
) -> None:
    assume(moto_server, create_role(moto_server, name), monkeypatch)
    session = session_of()
    forbid(session, "iam", "GetRole")
    with caplog.at_level(logging.WARNING):
        assert session.role_arn == f"arn:aws:iam::{ACCOUNT_ID}:role/{path}{name}"
    assert "iam:GetRole" in caplog.text
    assert "DOGBREED_ROLE" in caplog.text


def test_a_role_given_by_name_needs_no_permission_either(moto_server: AwsServer) -> None:
    session = session_of(role="team/Trainer")
    forbid(session, "iam", "GetRole")
    assert session.role_arn == f"arn:aws:iam::{ACCOUNT_ID}:role/team/Trainer"


def test_a_role_that_sagemaker_may_not_assume_is_found_out_before_any_job(
    moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = create_role(moto_server, "Developer", trust=CALLERS_TRUST)
    with pytest.raises(ConfigurationError, match=r"trust policy does not name sagemaker\.amazonaws\.com"):
        _ = session_of(role="Developer").role_arn
    assume(moto_server, arn, monkeypatch)
    with pytest.raises(ConfigurationError, match="SageMaker may not assume the role"):
        _ = session_of().role_arn


def test_a_sign_in_role_is_refused_with_the_reason(moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(moto_server, create_role(moto_server, "AWSReservedSSO_Admin_0123456789abcdef"), monkeypatch)
    with pytest.raises(ConfigurationError, match=r"signed in through IAM Identity Center.*DOGBREED_ROLE"):
        _ = session_of().role_arn


def test_a_user_is_told_everything_that_was_tried(moto_server: AwsServer) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _ = session_of().role_arn
    for part in ("DOGBREED_ROLE is not set", "configuration file names none", "not a SageMaker notebook", ":user/moto"):
        assert part in str(caught.value)


@pytest.mark.parametrize("arn", [f"arn:aws:iam::{ACCOUNT_ID}:user/me", f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/R/s"])
def test_an_arn_of_something_else_is_refused(moto_server: AwsServer, arn: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the ARN of a role"):
        _ = session_of(role=arn).role_arn


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1"])
def test_roles_of_other_partitions_are_accepted_and_put_together(moto_server: AwsServer, region: str) -> None:
    partition = "aws-cn" if region.startswith("cn") else "aws-us-gov"
    arn = f"arn:{partition}:iam::{ACCOUNT_ID}:role/service-role/Trainer"
    assert Session.aws(region=region, role=arn).role_arn == arn
    session = Session.aws(region=region)
    caller = f"arn:{partition}:sts::{ACCOUNT_ID}:assumed-role/Trainer/me"
    answer(session, "sts", "GetCallerIdentity", {"Arn": caller, "Account": ACCOUNT_ID})
    forbid(session, "iam", "GetRole")
    assert session.role_arn == f"arn:{partition}:iam::{ACCOUNT_ID}:role/Trainer"


def test_a_notebook_instances_own_role(moto_server: AwsServer, notebook: Callable[..., None]) -> None:
    notebook(ResourceName="mine", ResourceArn="arn:aws:sagemaker:us-east-1:123456789012:notebook-instance/mine")
    moto_server.client("sagemaker").create_notebook_instance(
        NotebookInstanceName="mine", InstanceType="ml.t3.medium", RoleArn=f"{ROLE_ARN}-of-notebook"
    )
    assert session_of().role_arn == f"{ROLE_ARN}-of-notebook"


def settings(name: str) -> dict[str, str]:
    return {"ExecutionRole": f"{ROLE_ARN}-of-{name}"}


@pytest.mark.parametrize(
    ("metadata", "profile", "space", "expected"),
    [
        ({"UserProfileName": "me"}, settings("profile"), {}, "profile"),
        ({"UserProfileName": "me"}, {}, {}, "domain"),
        ({"SpaceName": "lab"}, settings("profile"), {"SpaceSharingSettings": {"SharingType": "Shared"}}, "space"),
        (
            {"SpaceName": "lab"},
            settings("profile"),
            {
                "SpaceSharingSettings": {"SharingType": "Private"},
                "OwnershipSettings": {"OwnerUserProfileName": "me"},
            },
            "profile",
        ),
        ({"UserProfileName": "me", "ExecutionRoleArn": f"{ROLE_ARN}-of-file"}, settings("profile"), {}, "file"),
    ],
)
def test_the_role_of_a_studio_space(
    moto_server: AwsServer,
    notebook: Callable[..., None],
    metadata: dict[str, str],
    profile: dict[str, str],
    space: dict[str, Any],
    expected: str,
) -> None:
    notebook(DomainId="d-1", ResourceName="default", **metadata)
    session = session_of()
    answer(session, "sagemaker", "DescribeUserProfile", {"UserSettings": profile})
    answer(session, "sagemaker", "DescribeSpace", space)
    domain = {"DefaultUserSettings": settings("domain"), "DefaultSpaceSettings": settings("space")}
    answer(session, "sagemaker", "DescribeDomain", domain)
    assert session.role_arn == f"{ROLE_ARN}-of-{expected}"


def test_a_notebook_that_may_not_look_itself_up_uses_the_role_it_runs_under(
    moto_server: AwsServer, notebook: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook(ResourceName="mine")
    arn = create_role(moto_server, "OfNotebook", "/service-role/")
    assume(moto_server, arn, monkeypatch)
    session = session_of()
    forbid(session, "sagemaker", "DescribeNotebookInstance")
    assert session.role_arn == arn
