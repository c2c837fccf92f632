"""The local boto3 session: SageMaker's clients go to the local server, everything else goes nowhere."""

from __future__ import annotations

import pytest
from botocore.config import Config

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import LocalBotoSession, LocalSageMaker

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("service", ["sagemaker", "sagemaker-runtime", "logs", "cloudwatch"])
def test_clients_are_aimed_at_the_local_server(service: str) -> None:
    client = LocalBotoSession(NOWHERE, region_name="eu-west-1").client(service)
    assert client.meta.endpoint_url == NOWHERE
    assert client.meta.region_name == "eu-west-1"


def test_even_when_a_caller_names_another_place() -> None:
    client = LocalBotoSession(NOWHERE).client(
        "sagemaker",
        "us-west-2",
        endpoint_url="https://api.sagemaker.us-west-2.amazonaws.com",
        config=Config(retries={}),
    )
    assert client.meta.endpoint_url == NOWHERE


@pytest.mark.parametrize("service", ["s3", "sts", "iam", "ec2"])
def test_nothing_leaves_the_machine(service: str) -> None:
    with pytest.raises(ConfigurationError, match=service):
        LocalBotoSession(NOWHERE).client(service)


def test_resources_are_no_way_around() -> None:
    with pytest.raises(ConfigurationError, match="s3"):
        LocalBotoSession(NOWHERE).resource("s3")


def test_the_users_settings_do_not_matter(monkeypatch: pytest.MonkeyPatch, local: LocalSageMaker) -> None:
    monkeypatch.setenv("AWS_PROFILE", "a-profile-that-does-not-exist")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("HTTP_PROXY", NOWHERE)
    monkeypatch.setenv("http_proxy", NOWHERE)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert local.boto3_session().client("sagemaker").list_models()["Models"] == []
