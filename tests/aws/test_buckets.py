"""The session's bucket: created private and encrypted when it is first written to, and checked otherwise."""

from __future__ import annotations

import pytest

from dogbreed_sdk import AccessError, ConfigurationError
from dogbreed_sdk.aws.storage import join
from tests.aws.server import ACCOUNT_ID, REGION, AwsServer
from tests.aws.test_roles import forbid


@pytest.mark.parametrize("region", [REGION, "eu-west-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize("kms_key", [None, "alias/dogs"])
def test_the_default_bucket_is_created_private_and_encrypted_by_the_first_upload(
    moto_server: AwsServer, region: str, kms_key: str | None
) -> None:
    session = moto_server.session(region=region, kms_key=kms_key)
    s3, name = moto_server.client("s3", region), f"sagemaker-{region}-{ACCOUNT_ID}"
    assert session.base_uri == f"s3://{name}/dogbreed"
    assert s3.list_buckets()["Buckets"] == []
    session.storage.write_bytes(b"content", join(session.base_uri, "key"))
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [name]
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == region
    blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert list(blocked.values()) == [True] * 4
    [rule] = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    expected = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key} if kms_key else {"SSEAlgorithm": "AES256"}
    assert rule["ApplyServerSideEncryptionByDefault"] == expected
    [lifecycle] = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert lifecycle["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "Expiration" not in lifecycle
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)
    head = s3.head_object(Bucket=name, Key="dogbreed/key")
    assert (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")) == (
        ("aws:kms", kms_key) if kms_key else (head.get("ServerSideEncryption"), None)
    )


def test_every_call_for_the_default_bucket_names_its_owner(moto_server: AwsServer) -> None:
    """Somebody else may have created it under this name, which anybody can guess."""
    session = moto_server.session()
    named: list[tuple[str, str | None]] = []
    session.client("s3").meta.events.register(
        "provide-client-params.s3.*",
        lambda params, model, **_: named.append((model.name, params.get("ExpectedBucketOwner"))),
    )
    uri = join(session.base_uri, "folder", "key")
    session.storage.write_bytes(b"content", uri)
    session.storage.exists(uri)
    session.storage.sizes(join(session.base_uri, "folder"))
    session.storage.delete_folder(join(session.base_uri, "folder"))
    # API reference: CreateBucket has no such member.
    assert {owner for operation, owner in named if operation != "CreateBucket"} == {ACCOUNT_ID}
    assert len(named) > 8


def test_a_bucket_of_somebody_else_is_not_used(moto_server: AwsServer) -> None:
    session = moto_server.session()
    forbid(session, "s3", "HeadBucket")
    with pytest.raises(AccessError, match=r"belongs to another account.*DOGBREED_BUCKET"):
        session.storage.write_bytes(b"content", join(session.base_uri, "key"))


def test_missing_permissions_to_set_up_the_bucket_are_no_failure(
    moto_server: AwsServer, caplog: pytest.LogCaptureFixture
) -> None:
    session = moto_server.session()
    for operation in ("PutPublicAccessBlock", "PutBucketEncryption", "PutBucketLifecycleConfiguration"):
        forbid(session, "s3", operation)
    session.storage.write_bytes(b"content", join(session.base_uri, "key"))
    for permission in ("PutBucketPublicAccessBlock", "PutEncryptionConfiguration", "PutLifecycleConfiguration"):
        assert f"s3:{permission} is not allowed" in caplog.text


def test_an_existing_default_bucket_keeps_its_settings(moto_server: AwsServer) -> None:
    s3, session = moto_server.client("s3"), moto_server.session(kms_key="alias/dogs")
    name, called = f"sagemaker-{REGION}-{ACCOUNT_ID}", []
    s3.create_bucket(Bucket=name)
    session.client("s3").meta.events.register(
        "provide-client-params.s3.*", lambda model, **_: called.append(model.name)
    )
    session.storage.write_bytes(b"content", join(session.base_uri, "key"))
    assert [operation for operation in called if operation.startswith(("Put", "Create"))] == ["PutObject"]
    assert s3.head_object(Bucket=name, Key="dogbreed/key")["SSEKMSKeyId"] == "alias/dogs"


def test_a_bucket_of_another_region_is_refused_before_anything_is_uploaded(moto_server: AwsServer) -> None:
    moto_server.client("s3", "eu-west-1").create_bucket(
        Bucket="dogs-eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    session = moto_server.session(bucket="dogs-eu")
    with pytest.raises(ConfigurationError, match=r"dogs-eu is in eu-west-1 and the session in us-east-1"):
        session.storage.write_bytes(b"content", join(session.base_uri, "key"))
    with pytest.raises(ConfigurationError, match=r"region='eu-west-1'"):
        session.check_account()
    assert moto_server.session(bucket="dogs-eu", region="eu-west-1").storage.exists("s3://dogs-eu/key") is False


def test_a_given_bucket_that_may_be_written_to_but_not_listed_is_used(moto_server: AwsServer) -> None:
    moto_server.client("s3").create_bucket(Bucket="dogs")
    session = moto_server.session(bucket="dogs")
    forbid(session, "s3", "HeadBucket")
    session.storage.write_bytes(b"content", join(session.base_uri, "key"))
    assert moto_server.client("s3").get_object(Bucket="dogs", Key="dogbreed/key")["Body"].read() == b"content"


def test_a_given_bucket_that_is_missing_is_not_created(moto_server: AwsServer) -> None:
    session = moto_server.session(bucket="no-such-bucket")
    with pytest.raises(ConfigurationError, match=r"bucket no-such-bucket does not exist.*DOGBREED_BUCKET"):
        session.storage.write_bytes(b"content", join(session.base_uri, "key"))
    assert moto_server.client("s3").list_buckets()["Buckets"] == []
