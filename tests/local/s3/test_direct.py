"""Local S3 without its server gives what boto3's client gets from the server."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import LocalSageMaker
from dogbreed_sdk.local.s3.direct import DirectS3, direct_client

BUCKET = "sagemaker-us-east-1-000000000000"


def test_it_has_boto3s_results_and_errors(tmp_path: Path, boto3_session: boto3.Session) -> None:
    with LocalSageMaker(tmp_path / "root") as local:
        served: Any = boto3_session.client("s3", endpoint_url=local.endpoint_url)
        direct: Any = DirectS3(tmp_path / "root")
        (tmp_path / "in").write_bytes(os.urandom(3_000_000))
        for number, client in enumerate((direct, served)):
            client.upload_file(str(tmp_path / "in"), BUCKET, f"data/{number}", ExtraArgs={"ContentType": "image/png"})
            client.upload_fileobj(io.BytesIO(b"dog"), BUCKET, f"data/{number}/small")
        for client in (direct, served):
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="data/")
            listed = [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", ())]
            assert listed == [("data/0", 3_000_000), ("data/0/small", 3), ("data/1", 3_000_000), ("data/1/small", 3)]
            for number in (0, 1):
                client.download_file(BUCKET, f"data/{number}", str(tmp_path / "out"))
                assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
                answer = client.get_object(Bucket=BUCKET, Key=f"data/{number}")
                assert (answer["ContentType"], answer["ContentLength"]) == ("image/png", 3_000_000)
                assert answer["Body"].read() == (tmp_path / "in").read_bytes()
                answer["Body"].close()
            for bucket, expected in ((BUCKET, "NoSuchKey"), ("none", "NoSuchBucket")):
                with pytest.raises(ClientError) as caught:
                    client.get_object(Bucket=bucket, Key="none")
                assert caught.value.response["Error"]["Code"] == expected


def test_many_objects_are_listed_in_pages(tmp_path: Path) -> None:
    direct: Any = DirectS3(tmp_path)
    for number in range(1001):
        direct.upload_fileobj(io.BytesIO(b""), BUCKET, f"k/{number:04}")
    direct.upload_fileobj(io.BytesIO(b""), BUCKET, "l")
    pages = list(direct.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="k/"))
    assert [item["Key"] for page in pages for item in page["Contents"]] == [f"k/{number:04}" for number in range(1001)]


def test_it_is_used_where_the_variables_lead_to_local_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_LOCAL_S3_ROOT", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    assert direct_client() is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    assert isinstance(direct_client(), DirectS3)
    monkeypatch.delenv("DOGBREED_LOCAL_S3_ROOT")
    assert direct_client() is None


def test_many_writers_and_readers_of_one_key_see_whole_objects(tmp_path: Path) -> None:
    direct: Any = DirectS3(tmp_path)
    direct.upload_fileobj(io.BytesIO(b"0" * 1000), BUCKET, "k")
    wrong: list[bytes] = []

    def write(number: int) -> None:
        for _ in range(20):
            direct.upload_fileobj(io.BytesIO(str(number).encode() * (1000 + number)), BUCKET, "k")

    def read(_number: int) -> None:
        for _ in range(60):
            answer = direct.get_object(Bucket=BUCKET, Key="k")
            content = answer["Body"].read()
            size = 1000 + int(content[:1])
            etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if content != content[:1] * size or answer["ETag"] != f'"{etag}"':
                wrong.append(content)

    with ThreadPoolExecutor(6) as pool:
        for done in [*(pool.submit(write, number) for number in (1, 2, 3)), *(pool.submit(read, 0) for _ in range(3))]:
            done.result()
    assert wrong == []


def test_an_object_is_not_forgotten_because_its_file_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct: Any = DirectS3(tmp_path)
    direct.upload_fileobj(io.BytesIO(b"dog"), BUCKET, "k")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", too_many_files)
        with pytest.raises(OSError, match="Too many open files"):
            direct.get_object(Bucket=BUCKET, Key="k")
    assert direct.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"dog"


def too_many_files(*_arguments: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
