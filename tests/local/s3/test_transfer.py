"""Channels and outputs on S3, with boto3 talking to a bucket that lives in a dictionary (the real one is AWS's)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.jobs.artifacts import copy_contents
from dogbreed_sdk.local.jobs.channels import channels_of
from dogbreed_sdk.local.s3.transfer import download_object, download_prefix, s3_uri, upload_object

Bucket = dict[str, bytes]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is for the tests."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix("/bucket").lstrip("/")
        if key:
            self._answer(self.bucket.get(key))
            return
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size></Contents>"
            for key, content in sorted(self.bucket.items())
            if key.startswith(prefix)
        )
        self._answer(f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        key = unquote(self.path).removeprefix("/bucket/")
        self.bucket[key] = self.rfile.read(int(self.headers["content-length"]))
        self._answer(b"")

    def _answer(self, content: bytes | None) -> None:
        self.send_response(404 if content is None else 200)
        self.send_header("content-length", str(len(content or b"")))
        self.send_header("etag", '"x"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content or b"")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    Handler.bucket = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield Handler.bucket
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_prefix_becomes_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    bucket.update({"dogs/": b"", "dogs/train/1.jpg": b"one", "dogs/2.jpg": b"two", "dogs-old/3.jpg": b"three"})
    lines: list[str] = []
    assert download_prefix("s3://bucket/dogs", tmp_path / "channel", progress=lines.append) == 2
    files = {path.relative_to(tmp_path / "channel").as_posix() for path in tmp_path.rglob("*.jpg")}
    assert files == {"train/1.jpg", "2.jpg"}
    assert lines == ["Downloaded 2 objects, 6 B, from s3://bucket/dogs"]


def test_one_object_keeps_its_name(bucket: Bucket, tmp_path: Path) -> None:
    bucket["dogs/one.jpg"] = b"one"
    assert download_prefix("s3://bucket/dogs/one.jpg", tmp_path, progress=print) == 1
    assert (tmp_path / "one.jpg").read_bytes() == b"one"


def test_a_key_cannot_leave_its_folder(bucket: Bucket, tmp_path: Path) -> None:
    bucket["dogs/../../escaped"] = b"x"
    with pytest.raises(ConfigurationError, match="leads out of the folder"):
        download_prefix("s3://bucket/dogs", tmp_path / "channel", progress=print)


def test_a_file_goes_there_and_back(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"weights")
    upload_object(tmp_path / "model.tar.gz", "s3://bucket/out/model.tar.gz")
    assert bucket["out/model.tar.gz"] == b"weights"
    download_object("s3://bucket/out/model.tar.gz", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"weights"


def test_what_is_not_there_is_named(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"s3://bucket/nowhere failed: .*404"):
        download_object("s3://bucket/nowhere", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://dogs.s3.amazonaws.com/a/b.tar.gz", "s3://dogs/a/b.tar.gz"),
        ("https://my.dogs.s3.eu-west-1.amazonaws.com/a%20b", "s3://my.dogs/a b"),
        ("https://dogs.s3.dualstack.eu-west-1.amazonaws.com/a", "s3://dogs/a"),
        ("https://s3-eu-west-1.amazonaws.com/dogs/a/", "s3://dogs/a/"),
        ("https://dogs.s3.cn-north-1.amazonaws.com.cn/a", "s3://dogs/a"),
        ("https://example.com/dogs/a", "https://example.com/dogs/a"),
        ("https://dogs.s3.amazonaws.com.example.com/a", "https://dogs.s3.amazonaws.com.example.com/a"),
        ("s3://dogs/a%20b", "s3://dogs/a%20b"),
        ("file:///dogs", "file:///dogs"),
    ],
)
def test_an_https_address_of_s3_is_an_s3_uri(uri: str, expected: str) -> None:
    assert s3_uri(uri) == expected
    data = {"DataSource": {"S3DataSource": {"S3Uri": uri}}, "ChannelName": "train"}
    request: Any = {"AlgorithmSpecification": {}, "InputDataConfig": [data]}
    assert [channel.uri for channel in channels_of(request)] == [expected]


def test_the_files_of_a_folder_become_objects(bucket: Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "weights").write_bytes(b"1")
    (folder / "code/inference.py").write_bytes(b"2")
    (folder / "alias").symlink_to("weights")
    (folder / "dangling").symlink_to("nowhere")
    lines: list[str] = []
    copy_contents(folder, "s3://bucket/out/", lines.append)
    assert bucket == {"out/weights": b"1", "out/code/inference.py": b"2", "out/alias": b"1"}
    assert lines == ["warning: model/dangling is not packed: it is a link to nowhere, which does not exist"]
