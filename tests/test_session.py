"""Sessions: nothing happens before it is needed, and an account's faults are found before work is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from dogbreed_sdk import AccessError, ConfigurationError, Session


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield


def make_role(name: str) -> str:
    iam = boto3.client("iam", region_name="us-east-1")
    return str(iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"])


def test_making_a_session_touches_nothing(tmp_path: Path) -> None:
    Session.aws(region="us-east-1")
    Session.local(tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_the_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Session.default().is_local
    monkeypatch.setenv("DOGBREED_ROOT", str(tmp_path / "chosen"))
    assert Session.default().root == tmp_path / "chosen"


def test_a_role_may_be_given_by_name(account: None) -> None:
    arn = make_role("SageMakerRole")
    assert Session.aws(region="us-east-1", role="SageMakerRole").role_arn == arn


def test_a_role_that_does_not_exist_is_named_with_a_remedy(account: None) -> None:
    with pytest.raises(ConfigurationError, match=r"role 'Nobody' does not exist.*DOGBREED_ROLE"):
        _ = Session.aws(region="us-east-1", role="Nobody").role_arn


def test_a_user_without_a_role_is_told_to_give_one(account: None) -> None:
    with pytest.raises(ConfigurationError, match="SageMaker needs a role"):
        _ = Session.aws(region="us-east-1").role_arn


def test_a_missing_bucket_is_found_before_any_job(account: None) -> None:
    make_role("SageMakerRole")
    session = Session.aws(region="us-east-1", role="SageMakerRole", bucket="no-such-bucket")
    with pytest.raises(ConfigurationError, match="bucket no-such-bucket does not exist"):
        session.check_account()


def test_missing_credentials_are_explained() -> None:
    with pytest.raises(AccessError, match="no usable AWS credentials"):
        _ = Session.aws(region="us-east-1").base_uri


def test_a_missing_region_is_explained() -> None:
    with pytest.raises(ConfigurationError, match="No AWS region"):
        _ = Session.aws().region
    with pytest.raises(ConfigurationError, match=r"or work without AWS through session=Session.local\(\)"):
        Session.aws().client("sagemaker")


def test_an_unknown_profile_is_explained() -> None:
    with pytest.raises(AccessError, match="profile"):
        _ = Session.aws(profile="nobody").boto3_session


@pytest.mark.extras
def test_aws_images_are_found_offline() -> None:
    session = Session.aws(region="eu-west-1")
    assert session.image_uri("training", "ml.m5.xlarge").endswith("pytorch-training:2.6-cpu-py312")
    assert session.image_uri("inference", "ml.g5.xlarge").endswith("pytorch-inference:2.6-gpu-py312")
