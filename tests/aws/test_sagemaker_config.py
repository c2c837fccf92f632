"""Defaults from SageMaker's own configuration files reach a session as they reach SageMaker's SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import ConfigurationError, Session, Vpc
from dogbreed_sdk.aws import sagemaker_config
from tests.aws.server import REGION, ROLE_ARN, AwsServer

DOCUMENT: dict[str, Any] = {
    "SchemaVersion": "1.0",
    "SageMaker": {
        "PythonSDK": {"Modules": {"Session": {"DefaultS3Bucket": "team-bucket", "DefaultS3ObjectKeyPrefix": "team/a"}}},
        "TrainingJob": {
            "RoleArn": ROLE_ARN,
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "OutputDataConfig": {"KmsKeyId": "alias/team"},
            "Tags": [{"Key": "cost-center", "Value": "42"}],
        },
    },
}


def write(path: Path, document: object, monkeypatch: pytest.MonkeyPatch, who: str = "USER") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) if not isinstance(document, str) else document)
    monkeypatch.setenv(f"SAGEMAKER_{who}_CONFIG_OVERRIDE", str(path))


def test_a_session_takes_from_it_what_was_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config.yaml", DOCUMENT, monkeypatch)
    session = Session.aws(region=REGION)
    assert session.role_arn == ROLE_ARN
    assert session.base_uri == "s3://team-bucket/team/a/dogbreed"
    assert session.vpc == Vpc(subnets=["subnet-1"], security_groups=["sg-1"])
    assert session.kms_key == "alias/team"
    assert session.default_tags == {"cost-center": "42"}


def test_what_is_given_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config.yaml", DOCUMENT, monkeypatch)
    vpc = Vpc(subnets=["subnet-2"], security_groups=["sg-2"])
    session = Session.aws(region=REGION, role=f"{ROLE_ARN}2", bucket="mine", kms_key="alias/mine", vpc=vpc)
    assert (session.role_arn, session.vpc, session.kms_key) == (f"{ROLE_ARN}2", vpc, "alias/mine")
    assert session.base_uri == "s3://mine/dogbreed"  # the prefix belongs to the configuration's bucket
    assert Session.aws(region=REGION, prefix="dogs").base_uri == "s3://team-bucket/dogs"


def test_a_local_session_does_not_look_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config.yaml", "no: [valid", monkeypatch)
    session = Session.local(tmp_path / "root")
    assert (session.kms_key, session.vpc, session.default_tags) == (None, None, {})


def test_the_users_file_replaces_single_values_of_the_administrators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "admin" / "config.yaml", DOCUMENT, monkeypatch, "ADMIN")
    write(tmp_path / "user.yaml", "SageMaker:\n  TrainingJob:\n    RoleArn: " + ROLE_ARN + "-mine\n", monkeypatch)
    monkeypatch.setenv("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", str(tmp_path / "admin"))  # a folder names its config.yaml
    session = Session.aws(region=REGION)
    assert (session.role_arn, session.kms_key) == (f"{ROLE_ARN}-mine", "alias/team")


def test_files_are_found_where_sagemakers_sdk_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platformdirs = pytest.importorskip("platformdirs")
    for name, value in {"XDG_CONFIG_DIRS": f"{tmp_path}/a:{tmp_path}/b", "XDG_CONFIG_HOME": f"{tmp_path}/home"}.items():
        monkeypatch.setenv(name, value)
    expected = (platformdirs.site_config_dir("sagemaker"), platformdirs.user_config_dir("sagemaker"))
    assert sagemaker_config.usual_places() == tuple(Path(folder) / "config.yaml" for folder in expected)
    for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    expected = (platformdirs.site_config_dir("sagemaker"), platformdirs.user_config_dir("sagemaker"))
    assert sagemaker_config.usual_places() == tuple(Path(folder) / "config.yaml" for folder in expected)


def test_usual_places_may_be_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", "SAGEMAKER_USER_CONFIG_OVERRIDE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert Session.aws(region=REGION).kms_key is None
    write(tmp_path / "sagemaker" / "config.yaml", DOCUMENT, monkeypatch)
    monkeypatch.delenv("SAGEMAKER_USER_CONFIG_OVERRIDE")
    assert Session.aws(region=REGION).kms_key == "alias/team"


@pytest.mark.parametrize("named", ["team/config.yaml", "team", "team/"])
def test_a_file_may_lie_on_s3(moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    s3 = moto_server.client("s3")
    s3.create_bucket(Bucket="admins")
    s3.put_object(Bucket="admins", Key="team/config.yaml", Body=json.dumps(DOCUMENT).encode())
    monkeypatch.setenv("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", f"s3://admins/{named}")
    assert moto_server.session().kms_key == "alias/team"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("SageMaker: [", "not valid YAML"),
        ("just text", "is not a mapping"),
        ({"SageMaker": {"TrainingJob": {"RoleArn": ["a"]}}}, r"SageMaker\.TrainingJob\.RoleArn is \['a'\]"),
        ({"SageMaker": {"TrainingJob": {"Tags": {"a": "b"}}}}, r"Tags is not a list of"),
        ({"SageMaker": {"TrainingJob": {"VpcConfig": {"Subnets": ["subnet-1"]}}}}, "security_groups has 0 ids"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: object, message: str
) -> None:
    write(tmp_path / "config.yaml", document, monkeypatch)
    with pytest.raises(ConfigurationError, match=message) as caught:
        _ = Session.aws(region=REGION).kms_key
    assert str(tmp_path / "config.yaml") in str(caught.value)


@pytest.mark.parametrize("place", ["/no/such/file.yaml", "s3://admins/no-such-file.yaml"])
def test_a_variable_that_names_nothing_is_named(
    moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    moto_server.client("s3").create_bucket(Bucket="admins")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", place)
    with pytest.raises(ConfigurationError, match=r"SAGEMAKER_USER_CONFIG_OVERRIDE names .*, which does not exist"):
        _ = moto_server.session().kms_key


def test_empty_files_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config.yaml", "# nothing yet\n", monkeypatch)
    assert Session.aws(region=REGION).vpc is None
