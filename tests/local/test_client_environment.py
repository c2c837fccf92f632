"""The environment for programs of the SageMaker SDKs: where it leads, and that nothing of the user's is in it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk.local import LocalSageMaker
from dogbreed_sdk.local.client_environment import client_environment

URL = "http://127.0.0.1:8765"
SECRET = "wJalrXUtnFEMI/K7MDENG"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with AWS profiles, as many have it."""
    folder = tmp_path / "home/.aws"
    folder.mkdir(parents=True)
    (folder / "config").write_text(
        "[default]\nregion = eu-west-1\n[profile work]\nregion=us-west-2\nendpoint_url=https://s3.example\n"
        "[sso-session corporate]\nsso_region = us-east-1\n[services other]\ns3 =\n  endpoint_url = https://s3.example\n"
    )
    (folder / "credentials").write_text(f"[default]\naws_secret_access_key={SECRET}\n[old one]\naws_access_key_id=A\n")
    return folder.parent


def test_every_service_leads_to_the_server(tmp_path: Path) -> None:
    before = {"AWS_ENDPOINT_URL_S3": "https://minio.example", "AWS_ENDPOINT_URL_DYNAMODB": "https://db.example"}
    after = client_environment(URL, tmp_path, before).applied(before)
    assert {value for name, value in after.items() if name.startswith("AWS_ENDPOINT_URL")} == {URL}
    assert {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"} <= set(after)
    assert "AWS_ENDPOINT_URL_DYNAMODB" not in after


def test_nothing_of_the_users_credentials_remains(tmp_path: Path, home: Path) -> None:
    before = {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": SECRET,
        "AWS_BEARER_TOKEN_BEDROCK": SECRET,
        "AWS_PROFILE": "work",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/secret",
    }
    after = client_environment(URL, tmp_path, before).applied(before)
    assert "AKIA" not in str(after)
    assert SECRET not in str(after)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} & set(after)
    assert (after["AWS_ACCESS_KEY_ID"], after["AWS_REGION"]) == ("local", "us-west-2")
    for file in (tmp_path / "client").iterdir():
        assert SECRET not in file.read_text()
        assert "example" not in file.read_text()


@pytest.mark.parametrize(
    ("before", "region"),
    [
        ({}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "ap-south-1"}, "ap-south-1"),
        ({"AWS_PROFILE": "work"}, "us-west-2"),
        ({"HOME": "/nonexistent"}, "us-east-1"),
    ],
)
def test_the_region_is_the_users(tmp_path: Path, home: Path, before: dict[str, str], region: str) -> None:
    variables = client_environment(URL, tmp_path, {"HOME": str(home), **before}).variables
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == region
    document = json.loads(Path(variables["SAGEMAKER_USER_CONFIG_OVERRIDE"]).read_text())
    modules = document["SageMaker"]["PythonSDK"]["Modules"]
    assert modules["Session"]["DefaultS3Bucket"] == f"sagemaker-{region}-000000000000"
    assert modules["TelemetryOptOut"] is True


def test_twice_is_as_once(tmp_path: Path, home: Path) -> None:
    before = {"HOME": str(home), "PYTHONPATH": "/mine", "NO_PROXY": "intranet"}
    once = client_environment(URL, tmp_path, before).applied(before)
    config = (tmp_path / "client/config").read_text()
    assert client_environment(URL, tmp_path, once).applied(once) == once
    assert (tmp_path / "client/config").read_text() == config
    assert once["PYTHONPATH"].endswith(":/mine")
    assert once["NO_PROXY"] == "127.0.0.1,localhost,::1,intranet"


CALLS = """
import boto3
explicit = "https://sts.eu-west-1.amazonaws.com"
print(boto3.client("sts", endpoint_url=explicit, region_name="eu-west-1").get_caller_identity()["Account"])
print(boto3.Session(profile_name="old one").client("sts").get_caller_identity()["Account"])
s3 = boto3.client("s3", endpoint_url="https://s3.us-west-2.amazonaws.com")
s3.create_bucket(Bucket="dogs")
s3.put_object(Bucket="dogs", Key="a/b", Body=b"x")
print(boto3.resource("s3").Object("dogs", "a/b").get()["Body"].read())
try:
    boto3.client("athena").list_data_catalogs()
except Exception as error:
    print(error)
"""


@pytest.mark.skipif(
    importlib.util.find_spec("botocore.plugin") is None, reason="botocore loads plugins from version 1.40 on"
)
def test_no_client_reaches_aws(local: LocalSageMaker, tmp_path: Path, home: Path) -> None:
    """A proxy that refuses everything stands for the network."""
    before = {"HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    environment = client_environment(local.endpoint_url, tmp_path, before).applied(before)
    command = [sys.executable, "-c", CALLS]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert result.stderr == ""
    account, of_profile, content, refusal = result.stdout.splitlines()
    assert (account, of_profile, content) == ("000000000000", "000000000000", "b'x'")
    assert "not 'athena'; nothing was sent to AWS" in refusal


def test_scripts_and_models_inherit_it_but_never_the_users_own(tmp_path: Path) -> None:
    local: dict[str, Any] = client_environment(URL, tmp_path, {}).applied({})
    passed_on = inherited(local)
    assert {name for name in local if name.startswith("AWS_")} <= set(passed_on)
    assert {"BOTOCORE_EXPERIMENTAL__PLUGINS", "PYTHONPATH"} <= set(passed_on)
    own = {**local, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert {name for name in inherited(own) if name.startswith("AWS_")} == {"AWS_REGION", "AWS_DEFAULT_REGION"}
