"""Transfers copy what changed, resume what was interrupted, and show nothing that is incomplete or damaged.

They run against moto's S3 and against local SageMaker's, which refuses content that differs from its checksum.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk import AccessError, ConfigurationError, Session
from dogbreed_sdk.aws import contents, multipart
from dogbreed_sdk.aws.storage import Storage, join
from dogbreed_sdk.aws.transfers import TransferProgress, transfer_printer
from dogbreed_sdk.local import LocalSageMaker
from tests.aws.server import AwsServer
from tests.waiting import wait_for

pytestmark = pytest.mark.extras

BUCKET = "dogs"
PARTS = 3
LARGE = multipart.PART_BYTES * (PARTS - 1) + 1000


@pytest.fixture(scope="module")
def our_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalSageMaker(tmp_path_factory.mktemp("s3")) as server:
        yield server.endpoint_url


@pytest.fixture(params=["moto", "local"])
def session(request: pytest.FixtureRequest, moto_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session whose bucket is there and empty, and whose processes reach it too."""
    if request.param == "local":
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", request.getfixturevalue("our_s3"))
    made = moto_server.session(bucket=BUCKET)
    s3 = made.client("s3")
    if request.param == "local" and any(found["Name"] == BUCKET for found in s3.list_buckets()["Buckets"]):
        made.storage.delete_folder(f"s3://{BUCKET}")
    else:
        s3.create_bucket(Bucket=BUCKET)
    return made


@pytest.fixture
def calls(session: Session) -> Counter[str]:
    """How often each operation of S3 was called."""
    counted: Counter[str] = Counter()
    session.client("s3").meta.events.register(
        "provide-client-params.s3.*", lambda model, **_: counted.update([model.name])
    )
    return counted


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "model.tar.gz"
    path.write_bytes(os.urandom(LARGE))
    return path


def small_files(root: Path, count: int = 12) -> dict[str, Path]:
    (root / "a b").mkdir(parents=True)
    files = {f"a b/{number:02}.jpg": root / "a b" / f"{number:02}.jpg" for number in range(count)}
    for number, path in enumerate(files.values()):
        path.write_bytes(b"%04d" % number * 100)
    return files


@pytest.mark.parametrize(("count", "said"), [(1, "0 of 1 file, "), (2, "0 of 2 files, ")])
def test_its_progress_counts_files(count: int, said: str) -> None:
    progress = TransferProgress(
        doing="Uploading",
        files=0,
        total_files=count,
        bytes=0,
        total_bytes=8,
        unchanged_files=0,
        bytes_per_second=0.0,
        seconds=1.0,
    )
    assert progress.summary.startswith(said)


def test_only_what_changed_is_copied_and_the_size_alone_does_not_tell(
    session: Session, calls: Counter[str], tmp_path: Path
) -> None:
    uri, files = join(session.base_uri, "data"), small_files(tmp_path / "data")
    assert session.storage.upload_files(files, uri) == len(files)
    calls.clear()
    assert session.storage.upload_files(files, uri) == 0
    assert calls == {"ListObjectsV2": 1}  # the listing's ETags suffice
    files["a b/03.jpg"].write_bytes(b"****" * 100)
    assert session.storage.upload_files(files, uri) == 1
    fetched = session.client("s3").get_object(Bucket=BUCKET, Key="dogbreed/data/a b/03.jpg")["Body"].read()
    assert fetched == b"****" * 100


def test_with_a_key_content_is_compared_by_sha_256(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ETag of an object that a KMS key encrypts looks like an MD5 and is none."""
    keyed = Session.aws(region=session.region, bucket=BUCKET, kms_key="alias/dogs")
    uri, files = join(keyed.base_uri, "data"), small_files(tmp_path / "data")
    assert keyed.storage.upload_files(files, uri) == len(files)
    key = "dogbreed/data/a b/03.jpg"
    assert keyed.client("s3").head_object(Bucket=BUCKET, Key=key)["SSEKMSKeyId"] == "alias/dogs"
    monkeypatch.setattr(contents, "is_same_by_etag", lambda *_: False)
    assert keyed.storage.upload_files(files, uri) == 0
    files["a b/03.jpg"].write_bytes(b"****" * 100)
    assert keyed.storage.upload_files(files, uri) == 1


def test_content_that_is_damaged_on_its_way_is_never_stored(
    moto_server: AwsServer, our_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 compares what arrives with the SHA-256 that was sent; moto does not."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", our_s3)
    session = moto_server.session(bucket="damage")
    session.client("s3").create_bucket(Bucket="damage")
    monkeypatch.setattr(contents, "sha256_base64", lambda _: contents.file_sha256(Path(os.devnull)))
    with pytest.raises(AccessError, match="Could not upload"):
        session.storage.upload_files(small_files(tmp_path / "data", 1), join(session.base_uri, "data"))
    assert session.storage.sizes(session.base_uri) == {}


def test_a_large_file_goes_up_in_parts_and_comes_back_in_ranges(
    session: Session, calls: Counter[str], large: Path, tmp_path: Path
) -> None:
    uri = join(session.base_uri, "model.tar.gz")
    steps: list[TransferProgress] = []
    session.storage.upload_file(large, uri, transfer=steps.append)
    assert calls["UploadPart"] == PARTS
    assert (steps[-1].bytes, steps[-1].total_bytes, steps[-1].files, steps[-1].done) == (LARGE, LARGE, 1, True)
    assert len(steps) == PARTS + 1
    assert steps[-1].bytes_per_second > 0
    session.storage.download_file(uri, tmp_path / "back.tar.gz")
    assert (tmp_path / "back.tar.gz").read_bytes() == large.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["back.tar.gz"]
    calls.clear()
    assert session.storage.upload_files({"model.tar.gz": large}, session.base_uri) == 0
    assert not {"UploadPart", "CreateMultipartUpload", "PutObject"} & calls.keys()


def test_an_upload_that_failed_half_way_resumes_with_the_parts_that_are_there(
    session: Session, calls: Counter[str], large: Path
) -> None:
    uri, events = join(session.base_uri, "model.tar.gz"), session.client("s3").meta.events

    def fail(params: dict[str, Any], **_: object) -> None:
        if params["PartNumber"] == PARTS:
            raise ConfigurationError("the plug was pulled")

    events.register("provide-client-params.s3.UploadPart", fail)
    with pytest.raises(ConfigurationError, match="plug"):
        session.storage.upload_file(large, uri)
    events.unregister("provide-client-params.s3.UploadPart", fail)
    assert not session.storage.exists(uri)
    [begun] = session.client("s3").list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    there = session.client("s3").list_parts(Bucket=BUCKET, Key=begun["Key"], UploadId=begun["UploadId"])
    calls.clear()
    session.storage.upload_file(large, uri)
    assert calls["UploadPart"] == PARTS - len(there.get("Parts", []))
    assert session.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_parts_of_other_content_are_not_used_and_old_ones_are_removed(
    session: Session, calls: Counter[str], large: Path
) -> None:
    s3, key = session.client("s3"), "dogbreed/model.tar.gz"
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    data = b"other" * (1 << 20)
    s3.upload_part(Bucket=BUCKET, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=data)
    calls.clear()
    session.storage.upload_file(large, f"s3://{BUCKET}/{key}")
    assert calls["UploadPart"] == PARTS
    left = s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    # moto dates all uploads back to 2010; the other server knows that this one is new, and may still be running.
    assert [upload["UploadId"] for upload in left] == ([] if calls["AbortMultipartUpload"] else [begun["UploadId"]])
    for upload in left:
        s3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload["UploadId"])


def test_deleting_a_folder_removes_interrupted_uploads_to_it_and_no_others(session: Session) -> None:
    s3 = session.client("s3")
    for key in ("dogbreed/job/model", "dogbreed/job-2/model"):
        s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    session.storage.delete_files(session.base_uri, ["a file"])
    assert len(s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]) == 2
    assert session.storage.delete_folder(join(session.base_uri, "job")) == 0
    [left] = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert left["Key"] == "dogbreed/job-2/model"
    session.storage.delete_folder(session.base_uri)
    assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


@pytest.mark.parametrize("operation", ["ListMultipartUploads", "ListParts"])
def test_uploading_works_without_permission_to_resume(session: Session, large: Path, operation: str) -> None:
    def refuse(**_: object) -> None:
        answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(answer, operation)  # type: ignore[arg-type]

    s3, key = session.client("s3"), "dogbreed/x"
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    s3.meta.events.register(f"provide-client-params.s3.{operation}", refuse)
    session.storage.upload_file(large, f"s3://{BUCKET}/{key}")
    assert session.storage.sizes(session.base_uri) == {"x": LARGE}
    s3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=begun)


def test_an_object_that_is_replaced_while_it_is_downloaded_comes_in_one_version(
    session: Session, large: Path, tmp_path: Path
) -> None:
    s3, key, newer = session.client("s3"), "dogbreed/model.tar.gz", os.urandom(LARGE)
    session.storage.upload_file(large, f"s3://{BUCKET}/{key}")
    replaced = threading.Event()

    def replace(params: dict[str, Any], **_: object) -> None:
        if params.get("Range", "").startswith(f"bytes={multipart.PART_BYTES}-") and not replaced.is_set():
            replaced.set()
            s3.put_object(Bucket=BUCKET, Key=key, Body=newer)

    s3.meta.events.register("provide-client-params.s3.GetObject", replace)
    session.storage.download_file(f"s3://{BUCKET}/{key}", tmp_path / "back")
    assert replaced.is_set()
    assert (tmp_path / "back").read_bytes() == newer


@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_download_that_arrives_damaged_is_not_shown(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "source").write_bytes(b"x" * size)
    session.storage.upload_file(tmp_path / "source", join(session.base_uri, "x"))
    monkeypatch.setattr(contents, "_blocks", lambda _: iter([b"y" * size]))  # what is on the disk is not what was sent
    with pytest.raises(AccessError, match="arrived damaged"):
        session.storage.download_file(join(session.base_uri, "x"), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_folder_comes_down_once_and_then_only_what_changed(
    session: Session, calls: Counter[str], tmp_path: Path
) -> None:
    uri, files, steps = join(session.base_uri, "data"), small_files(tmp_path / "data"), list[TransferProgress]()
    session.storage.upload_files(files, uri)
    assert session.storage.download_files(uri, tmp_path / "back", transfer=steps.append) == len(files)
    assert (steps[-1].files, steps[-1].bytes) == (len(files), sum(path.stat().st_size for path in files.values()))
    for name, path in files.items():
        assert (tmp_path / "back" / name).read_bytes() == path.read_bytes()
    (tmp_path / "back" / "a b" / "03.jpg").write_bytes(b"****" * 100)
    (tmp_path / "back" / "a b" / "04.jpg").unlink()
    calls.clear()
    assert session.storage.download_files(uri, tmp_path / "back") == 2
    assert calls["GetObject"] == 2
    assert session.storage.download_files(uri, tmp_path / "other", names={"a b/00.jpg"}) == 1


def test_a_key_that_leads_out_of_the_folder_is_refused(session: Session, tmp_path: Path) -> None:
    session.client("s3").put_object(Bucket=BUCKET, Key="dogbreed/data/../../x", Body=b"x")
    with pytest.raises(ConfigurationError, match="leads out of the folder"):
        session.storage.download_files(join(session.base_uri, "data"), tmp_path / "back")
    assert not (tmp_path / "x").exists()


def test_progress_is_a_line_per_second_and_one_at_the_end(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = small_files(tmp_path / "data")
    for _ in range(2):
        session.storage.upload_files(files, join(session.base_uri, "data"), transfer=transfer_printer())
    lines = capsys.readouterr().err.splitlines()
    assert lines  # nothing was copied the second time, which is no news
    assert lines[-1].startswith("Uploading  12 of 12 files, 0.0 of 0.0 MB, ")


PROGRAM = """
import itertools, os, time
from pathlib import Path
from dogbreed_sdk import Session
from dogbreed_sdk.aws import {module}
session = Session.aws(region="us-east-1", bucket="dogs")
events = session.client("s3").meta.events
sent = itertools.count(1)
def slow(params, **_):
    if next(sent) > {fast}:
        os.write(1, b"half way\\n")  # whole lines, of many threads
        time.sleep(60)
events.register("provide-client-params.s3.{operation}", slow)
{call}
"""


def killed_half_way(call: str, *, module: str, operation: str, fast: int) -> None:
    """Runs a transfer in a process of its own, and kills the process while some requests are still to come."""
    program = PROGRAM.format(call=call, module=module, operation=operation, fast=fast)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
        process.send_signal(signal.SIGKILL)


def test_a_killed_upload_of_many_files_sends_only_the_rest_again(
    session: Session, calls: Counter[str], tmp_path: Path
) -> None:
    files, uri = small_files(tmp_path / "data", 100), join(session.base_uri, "data")
    found = "{path.relative_to(root).as_posix(): path for path in root.rglob('*.jpg')}"
    call = f"root = Path({str(tmp_path / 'data')!r}); session.storage.upload_files({found}, {uri!r})"
    killed_half_way(call, module="storage", operation="PutObject", fast=60)
    there = session.storage.sizes(uri)
    assert 20 <= len(there) <= 60
    assert all(size == files[name].stat().st_size for name, size in there.items())
    calls.clear()
    sent = session.storage.upload_files(files, uri)
    assert sent == calls["PutObject"]
    # The server may have answered the last requests of the dead process only now.
    assert len(files) - 60 <= sent <= len(files) - len(there)
    assert session.storage.upload_files(files, uri) == 0


def test_a_killed_upload_of_a_large_file_sends_only_the_missing_parts_again(
    session: Session, calls: Counter[str], large: Path
) -> None:
    uri, s3 = join(session.base_uri, "model.tar.gz"), session.client("s3")
    call = f"multipart.PART_THREADS = 1; session.storage.upload_file(Path({str(large)!r}), {uri!r})"
    killed_half_way(call, module="multipart", operation="UploadPart", fast=PARTS - 1)

    def parts() -> int:
        [begun] = s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
        found = s3.list_parts(Bucket=BUCKET, Key=begun["Key"], UploadId=begun["UploadId"])
        return len(found.get("Parts", []))

    assert not session.storage.exists(uri)
    assert parts() == PARTS - 1
    calls.clear()
    session.storage.upload_file(large, uri)
    assert calls["UploadPart"] == 1
    assert session.storage.sizes(session.base_uri) == {"model.tar.gz": LARGE}


def test_a_killed_download_requests_only_the_rest_and_shows_nothing_before(
    session: Session, large: Path, tmp_path: Path
) -> None:
    uri, target = join(session.base_uri, "model.tar.gz"), tmp_path / "model.tar.gz"
    session.storage.upload_file(large, uri)
    call = f"downloads.RANGE_THREADS = 1; session.storage.download_file({uri!r}, Path({str(target)!r}))"
    killed_half_way(call, module="downloads", operation="GetObject", fast=PARTS - 1)
    [part] = wait_for(lambda: list(tmp_path.iterdir()))
    assert part.name.startswith(".model.tar.gz.")
    here = part.stat().st_size
    assert here == multipart.PART_BYTES * (PARTS - 1)
    ranges: list[str] = []
    session.client("s3").meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: ranges.append(params.get("Range", ""))
    )
    steps: list[TransferProgress] = []
    session.storage.download_file(uri, target, transfer=steps.append)
    assert ranges == [f"bytes={here}-{LARGE - 1}"]
    assert (steps[-1].bytes, steps[-1].done) == (LARGE, True)
    assert target.read_bytes() == large.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.tar.gz"]


def test_local_folders_are_compared_by_content_too(tmp_path: Path) -> None:
    storage: Storage = Session.local(tmp_path / "root").storage
    files, uri = small_files(tmp_path / "data"), (tmp_path / "there").as_uri()
    assert storage.upload_files(files, uri) == len(files)
    files["a b/03.jpg"].write_bytes(b"****" * 100)
    assert storage.upload_files(files, uri) == 1
    assert storage.download_files(uri, tmp_path / "back") == len(files)
    assert storage.download_files(uri, tmp_path / "back") == 0
