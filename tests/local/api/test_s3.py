"""Local S3 as boto3 uses it: objects, listings, multipart uploads, and the files that hold the objects."""

from __future__ import annotations

import base64
import http.client
import io
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from dogbreed_sdk.local import LocalSageMaker

# As files: a plain name, a name that is a folder's too, names that no file can have, and characters that need care.
KEYS = [
    "//double",
    "a&b<c>",
    "a+b%20c",
    "a/b.txt",
    "file",
    "file/below",
    "folder/",
    "new\nline",
    "n" * 300,
    "tab\tkey",
    "up/../../../up",
    "é ü/☃",
]
MEBIBYTE = 1024 * 1024

# urllib's own opener keeps the proxies of the first call in the process, which another test may have set.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSageMaker]:
    with LocalSageMaker(tmp_path_factory.mktemp("s3-root")) as running:
        yield running


@pytest.fixture(scope="module")
def s3(server: LocalSageMaker, boto3_session: boto3.Session) -> Any:
    return boto3_session.client("s3", endpoint_url=server.endpoint_url)


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = f"b-{abs(hash(request.node.name)) % 10**12}"
    s3.create_bucket(Bucket=name)
    return name


def keys(answer: dict[str, Any]) -> list[str]:
    return [item["Key"] for item in answer.get("Contents", [])]


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_an_object_comes_back_with_what_was_said_of_it(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket, Key="a", Body=b"hello", ContentType="text/plain", Metadata={"breed": "pug"}, Tagging="k=v"
    )
    answer = s3.get_object(Bucket=bucket, Key="a")
    assert answer["Body"].read() == b"hello"
    assert answer["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert (answer["ContentType"], answer["Metadata"], answer["TagCount"]) == ("text/plain", {"breed": "pug"}, 1)
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "k", "Value": "v"}]
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["ContentLength"], head["ETag"]) == (5, answer["ETag"])


def test_objects_are_files_that_are_there_after_a_restart(tmp_path: Path, boto3_session: boto3.Session) -> None:
    def client(local: LocalSageMaker) -> Any:
        return boto3_session.client("s3", endpoint_url=local.endpoint_url)

    with LocalSageMaker(tmp_path) as local:
        client(local).create_bucket(Bucket="dogs")
        for key in KEYS:
            client(local).put_object(Bucket="dogs", Key=key, Body=key.encode())
    assert (tmp_path / "s3/dogs/a/b.txt").read_bytes() == b"a/b.txt"
    with LocalSageMaker(tmp_path) as local:
        for key in KEYS:
            assert client(local).get_object(Bucket="dogs", Key=key)["Body"].read() == key.encode()
        assert keys(client(local).list_objects_v2(Bucket="dogs")) == sorted(KEYS, key=str.encode)
        for key in KEYS:
            client(local).delete_object(Bucket="dogs", Key=key)
        assert list((tmp_path / "s3/dogs").iterdir()) == []
    assert not (tmp_path.parent / "up").exists()


def test_pages_of_a_listing_hold_every_key_once(s3: Any, bucket: str) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for operation in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 3})
        assert [key for page in pages for key in keys(page)] == sorted(KEYS, key=str.encode)
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
        found = [one for page in pages for one in [*keys(page), *(p["Prefix"] for p in page.get("CommonPrefixes", []))]]
        assert sorted(found, key=str.encode) == sorted(
            {key if "/" not in key else f"{key.partition('/')[0]}/" for key in KEYS}, key=str.encode
        )


def test_a_listing_begins_where_it_is_asked_to(s3: Any, bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert keys(s3.list_objects_v2(Bucket=bucket, StartAfter="b/1")) == ["b/2", "c"]
    assert keys(s3.list_objects_v2(Bucket=bucket, Prefix="b/")) == ["b/1", "b/2"]
    assert keys(s3.list_objects_v2(Bucket=bucket, Prefix="b", Delimiter="/")) == []
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert [one["Key"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["a", "b/1", "b/2", "c"]


def test_a_large_file_goes_in_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    data = os.urandom(12 * MEBIBYTE + 1)
    (tmp_path / "in").write_bytes(data)
    parts = TransferConfig(multipart_chunksize=5 * MEBIBYTE)
    s3.upload_file(str(tmp_path / "in"), bucket, "big", Config=parts)
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-3"')
    s3.download_file(bucket, "big", str(tmp_path / "out"), Config=parts)
    assert (tmp_path / "out").read_bytes() == data
    part = s3.get_object(Bucket=bucket, Key="big", PartNumber=3)
    assert (part["Body"].read(), part["PartsCount"]) == (data[10 * MEBIBYTE :], 3)
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=parts)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == data
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_an_upload_can_be_looked_at_completed_twice_and_aborted(s3: Any, bucket: str, server: LocalSageMaker) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ContentType="text/plain")["UploadId"]
    other = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=2, Body=b"dog")["ETag"]
    [part] = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert (part["PartNumber"], part["Size"], part["ETag"]) == (2, 3, etag)
    chosen = {"Parts": [{"PartNumber": 2, "ETag": etag}]}
    first = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=chosen)
    again = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=chosen)
    assert first["ETag"] == again["ETag"]
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "text/plain"
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=other)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=other, PartNumber=1, Body=b"")
    assert list((server.root / "s3/.uploads").iterdir()) == []
    assert list((server.root / "s3/.incoming").iterdir()) == []


def test_parts_must_be_the_ones_that_were_uploaded(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etags = [
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=b"x")["ETag"]
        for number in (1, 2)
    ]

    def complete(*parts: tuple[int, str]) -> str:
        chosen = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
        with pytest.raises(ClientError) as caught:
            s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=chosen)
        return code(caught)

    assert complete((3, etags[0])) == "InvalidPart"
    assert complete((1, '"other"')) == "InvalidPart"
    assert complete((2, etags[1]), (1, etags[0])) == "InvalidPartOrder"
    assert complete((1, etags[0]), (2, etags[1])) == "EntityTooSmall"


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_ranges(s3: Any, bucket: str, asked: str, status: int, content: bytes) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read()) == (status, content)


def test_a_range_behind_the_end_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-")
    assert code(caught) == "InvalidRange"


def test_conditions(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("put_object", {"Body": b"2", "IfNoneMatch": "*"}, "PreconditionFailed"),
        ("put_object", {"Body": b"2", "IfMatch": '"other"'}, "PreconditionFailed"),
        ("get_object", {"IfMatch": '"other"'}, "PreconditionFailed"),
        ("get_object", {"IfNoneMatch": etag}, "304"),
        ("head_object", {"IfNoneMatch": etag}, "304"),
    ]
    for operation, condition, expected in refused:
        with pytest.raises(ClientError) as caught:
            getattr(s3, operation)(Bucket=bucket, Key="k", **condition)
        assert code(caught) == expected
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3"


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_verified_on_both_sides(s3: Any, bucket: str, algorithm: str) -> None:
    given = s3.put_object(Bucket=bucket, Key="k", Body=b"dog", ChecksumAlgorithm=algorithm)[f"Checksum{algorithm}"]
    answer = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (answer[f"Checksum{algorithm}"], answer["ChecksumType"], answer["Body"].read()) == (
        given,
        "FULL_OBJECT",
        b"dog",
    )
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="k", Body=b"cat", **{f"Checksum{algorithm}": given})
    assert code(caught) == "BadDigest"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"dog"


def test_amazons_own_chunks_are_taken_off(server: LocalSageMaker, s3: Any, bucket: str) -> None:
    """As clients send them that sign while they read: with a signature per chunk, and a checksum behind the body."""
    body = b"3;chunk-signature=0a\r\ndog\r\n2;chunk-signature=0b\r\ngy\r\n0;chunk-signature=0c\r\n"
    trailer = b"x-amz-checksum-crc32:XZPXcg==\r\n\r\n"
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/s3/aws4_request, SignedHeaders=host",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "Content-Encoding": "aws-chunked",
    }

    def put(content: bytes) -> int:
        connection = http.client.HTTPConnection(urlsplit(server.endpoint_url).netloc, timeout=30)
        connection.request("PUT", f"/{bucket}/k", content, headers)
        with connection.getresponse() as response:
            response.read()  # what is left of it keeps the socket open
        connection.close()
        return response.status

    checksum = base64.b64encode(zlib.crc32(b"doggy").to_bytes(4, "big"))
    assert put(body + trailer.replace(b"XZPXcg==", checksum)) == 200
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer.get("ContentEncoding")) == (b"doggy", None)
    assert put(body + trailer.replace(b"XZPXcg==", b"AAAAAA==")) == 400
    assert put(body[:-30]) == 400
    for malformed in (b"-5\r\ndoggy\r\n", b"x\r\ndoggy\r\n", b"5_0\r\ndoggy\r\n"):
        assert put(malformed + b"0\r\n\r\n") == 400
    headers["x-amz-decoded-content-length"] = "five"
    assert put(b"5\r\ndoggy\r\n0\r\n\r\n") == 400


@pytest.mark.parametrize("value", ["a\r\nX-Other: 1", "attachment; filename=☃.jpg", " "])
def test_what_no_header_can_have_is_refused(s3: Any, bucket: str, value: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError, match="Header value cannot be represented") as caught:
        s3.get_object(Bucket=bucket, Key="k", ResponseContentDisposition=value)
    assert code(caught) == "InvalidArgument"
    named = s3.get_object(Bucket=bucket, Key="k", ResponseContentDisposition='attachment; filename="a b.jpg"')
    assert (named["Body"].read(), named["ContentDisposition"]) == (b"x", 'attachment; filename="a b.jpg"')


def test_a_page_among_the_objects_can_not_read_the_others_in_a_browser(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="report.html", Body=b"<script>", ContentType="text/html")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "report.html"})
    with OPENER.open(url) as answer:
        assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # Its origin is then "null", which the server refuses as any other.
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        OPENER.open(urllib.request.Request(url, headers={"Origin": "null"}))
    caught.value.close()


def test_copies_keep_or_replace_what_is_said_of_them(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x", Metadata={"one": "1"}, ContentType="text/plain", Tagging="t=1")
    source = {"Bucket": bucket, "Key": "a b"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    s3.copy_object(
        Bucket=bucket,
        Key="new",
        CopySource=source,
        Metadata={"two": "2"},
        MetadataDirective="REPLACE",
        TaggingDirective="REPLACE",
    )
    same, new = (s3.head_object(Bucket=bucket, Key=key) for key in ("same", "new"))
    assert (same["Metadata"], same["ContentType"]) == ({"one": "1"}, "text/plain")
    assert (new["Metadata"], new["ContentType"]) == ({"two": "2"}, "binary/octet-stream")
    tags = [s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] for key in ("same", "new")]
    assert tags == [[{"Key": "t", "Value": "1"}], []]
    with pytest.raises(ClientError) as caught:
        s3.copy_object(Bucket=bucket, Key="a b", CopySource=source)
    assert code(caught) == "InvalidRequest"


def test_many_objects_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket=bucket)
    assert code(caught) == "BucketNotEmpty"
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*KEYS, "none"]]})
    assert {one["Key"] for one in answer["Deleted"]} == {*KEYS, "none"}
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket=bucket)
    assert code(caught) == "404"


def test_what_is_missing_is_named(s3: Any, bucket: str) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="none")
    with pytest.raises(s3.exceptions.NoSuchBucket, match="aws s3 mb s3://none"):
        s3.put_object(Bucket="none", Key="k", Body=b"x")
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=bucket, Key="none")
    assert code(caught) == "404"


def test_the_sdks_default_bucket_is_there_when_it_is_first_asked_for(s3: Any) -> None:
    answer = s3.head_bucket(Bucket="sagemaker-eu-west-1-000000000000", ExpectedBucketOwner="000000000000")
    assert answer["BucketRegion"] == "eu-west-1"
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket="sagemaker-eu-west-1-000000000000", ExpectedBucketOwner="111111111111")
    assert code(caught) == "403"


def test_a_key_has_aws_limit(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="é" * 512, Body=b"")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="é" * 513, Body=b"")
    assert code(caught) == "KeyTooLongError"


@pytest.mark.parametrize("name", ["UPPER", "ab", "192.168.0.1", "a..b", "-a-"])
def test_a_buckets_name_is_one_that_aws_allows(s3: Any, server: LocalSageMaker, name: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.endpoint_url).netloc, timeout=30)
    connection.request("PUT", f"/{name}")
    answer = connection.getresponse()
    assert (answer.status, b"InvalidBucketName" in answer.read()) == (400, True)
    connection.close()


def test_what_would_be_ignored_is_refused(s3: Any, bucket: str) -> None:
    enabled = {"Status": "Enabled"}
    refused: list[tuple[str, dict[str, Any]]] = [
        ("put_bucket_versioning", {"VersioningConfiguration": enabled}),
        ("put_bucket_website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "index.html"}}}),
        ("put_object", {"Key": "k", "Body": b"", "ObjectLockLegalHoldStatus": "ON"}),
        ("put_object", {"Key": "k", "Body": b"", "WebsiteRedirectLocation": "/elsewhere"}),
    ]
    for operation, members in refused:
        with pytest.raises(ClientError) as caught:
            getattr(s3, operation)(Bucket=bucket, **members)
        assert code(caught) == "NotImplemented", operation
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", VersionId="1")
    assert code(caught) == "NoSuchVersion"


def test_what_every_bucket_has(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "k", "Value": "v"}]
    assert bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]


def test_presigned_urls_and_names_of_buckets_in_the_host(server: LocalSageMaker, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/b"})
    with OPENER.open(url) as answer:
        assert answer.read() == b"hello"
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "put"})
    with OPENER.open(urllib.request.Request(url, data=b"dog", method="PUT")):
        pass
    connection = http.client.HTTPConnection(urlsplit(server.endpoint_url).netloc, timeout=30)
    connection.request("GET", "/put", headers={"Host": f"{bucket}.localhost"})
    assert connection.getresponse().read() == b"dog"
    connection.close()


def test_other_clients_settings_work(server: LocalSageMaker, bucket: str) -> None:
    for config in (
        Config(signature_version="s3v4", request_checksum_calculation="when_required"),
        Config(signature_version="s3"),
        Config(s3={"payload_signing_enabled": False}),
    ):
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            region_name="us-east-1",
            config=config,
        )
        client.upload_fileobj(io.BytesIO(b"dog"), bucket, "k")
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"dog"
        client.close()


def test_a_file_that_another_program_changed_or_deleted_is_noticed(
    server: LocalSageMaker, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"old", ContentType="text/plain")
    path = server.root / "s3" / bucket / "a/b"
    path.write_bytes(b"longer")
    [listed] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    answer = s3.get_object(Bucket=bucket, Key="a/b", ChecksumMode="ENABLED")
    assert (answer["Body"].read(), answer["ETag"], answer["ContentType"]) == (b"longer", listed["ETag"], "text/plain")
    path.unlink()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="a/b")


def test_web_pages_are_refused(server: LocalSageMaker, s3: Any, bucket: str) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "["}, {"Host": ""}):
        connection = http.client.HTTPConnection(urlsplit(server.endpoint_url).netloc, timeout=30)
        connection.request("PUT", f"/{bucket}/k", b"x", headers)
        with connection.getresponse() as response:
            assert response.status == 403
        connection.close()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
